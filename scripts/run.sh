#!/usr/bin/env bash
# make run: a private Postgres with a demonstration CRM, the sidecar, and Redis with the module, under .run/.
# What runs already is left alone, unless its binary or configuration has changed since.
#
#   REDIS_PORT   Redis's port on loopback (6380)
#   HTTP_PORT    the sidecar's public port on loopback (4001)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

REDIS_PORT=${REDIS_PORT:-6380}
HTTP_PORT=${HTTP_PORT:-4001}
mkdir -p "$RUN"
[ -O "$RUN" ] || fail "$RUN belongs to the user $(stat -c %U "$RUN"): run as that user, or remove it"
mkdir -p "$RUN/redis" "$RUN/sidecar"
CLUSTER=$(cluster_directory)
BINARIES=$(postgres_binaries) || fail "no Postgres server under /usr/lib/postgresql; run make setup"
POSTGRES_SOCKETS=$(socket_directory "$CLUSTER")
SIDECAR_SOCKETS=$(socket_directory "$RUN/sidecar")

percent_encoded() {
    local text=$1 out='' i char
    for ((i = 0; i < ${#text}; i++)); do
        char=${text:i:1}
        case $char in
        [A-Za-z0-9._-]) out+=$char ;;
        *) out+=$(printf '%s' "$char" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%') ;;
        esac
    done
    printf '%s\n' "$out"
}

# Settings of the shell's for some other sidecar must not reach this one.
while read -r variable; do
    unset "$variable"
done < <(compgen -e DASHBOARD_ || true)

export DATABASE_URL
DATABASE_URL=postgresql://postgres@$(percent_encoded "$POSTGRES_SOCKETS")/crm
export REDIS_URL=redis://127.0.0.1:$REDIS_PORT
export DASHBOARD_INTERNAL=unix:$SIDECAR_SOCKETS/sidecar.sock
export DASHBOARD_LISTEN=127.0.0.1:$HTTP_PORT
export DASHBOARD_JWT_SECRET_FILE=$RUN/sidecar/jwt-secret
# A line for each read, to look at, and no balancer that would have to turn away before the sidecar may stop.
export DASHBOARD_LOG_READS=on DASHBOARD_LAME_DUCK_MS=0

require_free_port() {
    local port=$1 what=$2 variable=$3
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        fail "port $port, wanted for $what, is taken by another program; choose another one: $variable=$((port + 1000)) make run"
    fi
}

sql() {
    as_postgres "$BINARIES/psql" -X -q -t -A -v ON_ERROR_STOP=1 -h "$POSTGRES_SOCKETS" -U postgres "$@"
}

start_postgres() {
    if [ ! -e "$CLUSTER/data/PG_VERSION" ]; then
        step "Creating a private Postgres cluster in $CLUSTER"
        # An initdb that was interrupted leaves a directory without PG_VERSION.
        rm -rf "$CLUSTER"
        install -d -m 700 "$CLUSTER"
        [ "$(id -u)" -ne 0 ] || chown -R postgres: "$CLUSTER"
        as_postgres "$BINARIES/initdb" -D "$CLUSTER/data" -U postgres -E UTF8 --locale=C.UTF-8 \
            --auth-local=trust --auth-host=reject >/dev/null
        [ "$CLUSTER" = "$RUN/postgres" ] || ln -sfn "$CLUSTER" "$RUN/postgres"
    fi
    as_postgres install -d -m 700 "$POSTGRES_SOCKETS"
    if ! as_postgres "$BINARIES/pg_ctl" -D "$CLUSTER/data" status >/dev/null; then
        step "Starting Postgres (socket in $POSTGRES_SOCKETS, no TCP port)"
        as_postgres "$BINARIES/pg_ctl" -D "$CLUSTER/data" -l "$CLUSTER/log" -s -w -t 60 \
            -o "-c listen_addresses= -c unix_socket_directories='$POSTGRES_SOCKETS'" start </dev/null ||
            fail "Postgres has not started; see $CLUSTER/log"
    fi
    if [ -z "$(sql -d postgres -c "SELECT 1 FROM pg_database WHERE datname = 'crm'")" ]; then
        sql -d postgres -c 'CREATE DATABASE crm'
    fi
}

load_demonstration() {
    step "Migrating"
    "$SIDECAR" migrate
    # Written last: a load that was interrupted is done again.
    if [ ! -e "$RUN/demonstration-loaded" ]; then
        step "Loading the demonstration CRM"
        "$SIDECAR" demo load
        touch "$RUN/demonstration-loaded"
    fi
    # After the load, which is quicker without triggers.
    step "Having changes counted and followed"
    "$SIDECAR" counters enable
}

# What signs tokens for the HTTP API. It is kept: tokens outlast a restart.
make_secret() {
    [ ! -s "$DASHBOARD_JWT_SECRET_FILE" ] || return 0
    step "Making a secret for tokens ($DASHBOARD_JWT_SECRET_FILE)"
    (
        umask 077
        od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$DASHBOARD_JWT_SECRET_FILE.new"
        mv "$DASHBOARD_JWT_SECRET_FILE.new" "$DASHBOARD_JWT_SECRET_FILE"
    )
}

# What a process was started with; if that differs, it is started anew.
fingerprint() {
    sha256sum "$@"
    printf '%s\n' "$DATABASE_URL" "$REDIS_URL" "$DASHBOARD_INTERNAL" "$DASHBOARD_LISTEN" "$DASHBOARD_LOG_READS"
}

is_current() {
    [ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

start_sidecar() {
    local pid print
    print=$(fingerprint "$SIDECAR" "$DASHBOARD_JWT_SECRET_FILE")
    if pid=$(sidecar_pid); then
        is_current "$RUN/sidecar/started-with" "$print" && return
        end_process "the sidecar" "$pid" "$RUN/sidecar/log"
    fi
    require_free_port "$HTTP_PORT" "the sidecar" HTTP_PORT
    step "Starting the sidecar (http://127.0.0.1:$HTTP_PORT)"
    install -d -m 700 "$SIDECAR_SOCKETS"
    (
        cd "$RUN/sidecar"
        setsid "$SIDECAR" serve >>log 2>&1 </dev/null &
        echo $! >pid
    )
    wait_until 30 http_answers /livez || fail "the sidecar has not come up; see $RUN/sidecar/log: $(tail -n 3 "$RUN/sidecar/log")"
    printf '%s\n' "$print" >"$RUN/sidecar/started-with"
}

# /livez says that it listens; /readyz also wants Redis, which comes after it.
http_answers() {
    curl --noproxy '*' -fsS "http://127.0.0.1:$HTTP_PORT$1"
}

start_redis() {
    local pid print
    print=$(fingerprint "$MODULE" "$ROOT/redis.conf")
    if pid=$(redis_pid); then
        is_current "$RUN/redis/started-with" "$print" && return
        end_process "Redis" "$pid" "$RUN/redis/log"
    fi
    require_free_port "$REDIS_PORT" "Redis" REDIS_PORT
    step "Starting Redis (port $REDIS_PORT)"
    redis-server "$ROOT/redis.conf" --port "$REDIS_PORT" --dir "$RUN/redis" --daemonize yes \
        --pidfile "$RUN/redis/pid" --logfile "$RUN/redis/log" \
        --loadmodule "$MODULE" --dashboard.sidecar "$DASHBOARD_INTERNAL" </dev/null
    wait_until 60 redis_answers || fail "Redis has not become ready; see $RUN/redis/log: $(tail -n 3 "$RUN/redis/log")"
    printf '%s\n' "$print" >"$RUN/redis/started-with"
}

redis_answers() {
    [ "$(redis-cli -p "$REDIS_PORT" PING)" = PONG ] && redis_pid
}

# First of all, so that nothing is started that would have to wait for a port.
require_ports() {
    # A process of ours that is to be started anew frees its port itself.
    sidecar_pid >/dev/null || require_free_port "$HTTP_PORT" "the sidecar" HTTP_PORT
    redis_pid >/dev/null || require_free_port "$REDIS_PORT" "Redis" REDIS_PORT
}

require_ports
start_postgres
load_demonstration
make_secret
start_sidecar
start_redis
wait_until 30 http_answers /readyz || fail "the sidecar has not become ready; see $RUN/sidecar/log"
step "Warming the bundles of every active tenant, and of all of them together as one (inactive tenants are not warmed)"
"$SIDECAR" warm --progress

TENANT=$(sql -d crm -c 'SELECT t.id FROM tenant t JOIN leads l ON l.tenant_id = t.id GROUP BY t.id ORDER BY count(*) DESC, t.id LIMIT 1')
TOKEN=$("$SIDECAR" token --role superadmin --expires-in 12h)
cat <<EOF

All is up; make stop ends it and keeps the data. The dashboard, for anybody with this link, for twelve hours:

  http://127.0.0.1:$HTTP_PORT/dashboard?tenant=$TENANT#token=$TOKEN

Over HTTP:

  export TOKEN=$TOKEN
  export TENANT=$TENANT
  curl --noproxy '*' -s -H "Authorization: Bearer \$TOKEN" "http://localhost:$HTTP_PORT/api/reports/dashboard-bundle?tenant_id=\$TENANT"
  curl --noproxy '*' -s http://localhost:$HTTP_PORT/api/system/health | grep redis-cache

A token of another kind, such as one that may only read this tenant:

  DASHBOARD_JWT_SECRET_FILE=$DASHBOARD_JWT_SECRET_FILE ${SIDECAR#"$PWD/"} token --tenant $TENANT

Whatever changes in Postgres is followed: add a lead, and see it in the dashboard, or as the first of recentLeads, a moment later:

  psql -h $POSTGRES_SOCKETS -U postgres -d crm -c "INSERT INTO leads (tenant_id, first_name, last_name, source, status, created_date, created_at) VALUES ('$TENANT', 'Ada', 'Lovelace', 'psql', 'new', now(), now())"
  redis-cli -p $REDIS_PORT DASHBOARD.GET $TENANT | grep -o '"recentLeads":.[^}]*}'
  DATABASE_URL=$DATABASE_URL ${SIDECAR#"$PWD/"} feed status

In Redis:

  redis-cli -p $REDIS_PORT DASHBOARD.GET $TENANT
  redis-cli -p $REDIS_PORT DASHBOARD.GET $TENANT WITHMETA
  redis-cli -p $REDIS_PORT TTL dashboard:bundle:$TENANT:include=true
  redis-cli -p $REDIS_PORT DASHBOARD.CLEAR $TENANT
  redis-cli -p $REDIS_PORT INFO dashboard

Every bundle is warmed each night at 00:00 UTC. When, and how the last run went:

  DATABASE_URL=$DATABASE_URL REDIS_URL=$REDIS_URL ${SIDECAR#"$PWD/"} cron list
EOF
