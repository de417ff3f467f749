#!/usr/bin/env bash
# make stop: ends what make run has started, in good order. The data stays, the cache included.
# With --purge it removes the data too.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# pg_ctl, kill and the rest would fail one by one, each in words of its own.
owner() {
    stat -c %U "$1" 2>/dev/null
}
if [ -d "$RUN" ] && [ ! -O "$RUN" ]; then
    fail "$RUN belongs to the user $(owner "$RUN"), and what runs there to that user too: run make stop as $(owner "$RUN")"
fi

# Redis first, so that no client finds it without its sidecar.
if pid=$(redis_pid); then
    step "Stopping Redis"
    end_process "Redis" "$pid" "$RUN/redis/log"
fi
if pid=$(sidecar_pid); then
    step "Stopping the sidecar"
    end_process "the sidecar" "$pid" "$RUN/sidecar/log"
fi
# Whoever has removed .run has not ended what ran in it, and nothing is left that it could save.
for process in /proc/[0-9]*; do
    case $(readlink "$process/cwd" 2>/dev/null) in
    "$RUN/redis (deleted)" | "$RUN/sidecar (deleted)")
        step "Ending $(cat "$process/comm") (pid ${process#/proc/}), whose directory has been removed"
        kill -KILL "${process#/proc/}"
        ;;
    esac
done

if BINARIES=$(postgres_binaries) && id postgres >/dev/null 2>&1; then
    # Without .run this is the place outside of the tree; a cluster inside of it ends by itself when its files go.
    CLUSTER=$(cluster_directory)
    if as_postgres "$BINARIES/pg_ctl" -D "$CLUSTER/data" status >/dev/null 2>&1; then
        step "Stopping Postgres"
        as_postgres "$BINARIES/pg_ctl" -D "$CLUSTER/data" -s -m fast -w -t 60 stop
    elif pgrep -f -- "-D $CLUSTER/data( |\$)" >/dev/null; then
        fail "Postgres in $CLUSTER runs, but belongs to the user postgres: run make stop as root"
    fi
fi

if [ "${1:-}" = --purge ]; then
    step "Removing $RUN"
    [ -z "${CLUSTER:-}" ] || rm -rf "$CLUSTER"
    rm -rf "$RUN"
fi
