#!/bin/sh
# What docker-compose.yml needs of the official Postgres image: a cluster of its own in PGDATA, made once, for
# POSTGRES_USER with POSTGRES_PASSWORD and the database POSTGRES_DB; then the server, as the user postgres.
set -eu
PATH=/usr/lib/postgresql/15/bin:$PATH
if [ "$(id -u)" -eq 0 ]; then
    chown postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    mkdir -p /var/run/postgresql
    chown postgres:postgres /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile="$password" --auth-local=trust \
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    rm "$password"
    printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    # Until the database is there, nobody is let in by the network: it is not healthy yet.
    pg_ctl --pgdata="$PGDATA" --options="-c listen_addresses=''" --wait start >/dev/null
    createdb --username="$POSTGRES_USER" --maintenance-db=postgres "$POSTGRES_DB"
    pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop >/dev/null
fi
exec postgres -c listen_addresses='*'
