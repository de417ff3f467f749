#!/usr/bin/env bash
# make stop: ends what make run has started, in good order. The data stays, the cache included.
# With --purge it removes the data too.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ -d "$RUN" ] || exit 0

# Redis first, so that no client finds it without its sidecar.
if pid=$(redis_pid); then
    step "Stopping Redis"
    end_process "Redis" "$pid" "$RUN/redis/log"
fi
if pid=$(sidecar_pid); then
    step "Stopping the sidecar"
    end_process "the sidecar" "$pid" "$RUN/sidecar/log"
fi
if BINARIES=$(postgres_binaries) && id postgres >/dev/null 2>&1; then
    CLUSTER=$(cluster_directory)
    if as_postgres "$BINARIES/pg_ctl" -D "$CLUSTER/data" status >/dev/null 2>&1; then
        step "Stopping Postgres"
        as_postgres "$BINARIES/pg_ctl" -D "$CLUSTER/data" -s -m fast -w -t 60 stop
    fi
fi

if [ "${1:-}" = --purge ]; then
    step "Removing $RUN"
    [ -z "${CLUSTER:-}" ] || rm -rf "$CLUSTER"
    rm -rf "$RUN"
fi
