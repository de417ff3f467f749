# What the other scripts share: where things lie, and how to tell our own processes from others.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for those who source this file

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
RUN=$ROOT/.run
SIDECAR=$ROOT/target/release/dashboard-sidecar
MODULE=$ROOT/target/release/libdashboard.so

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

step() {
    printf '==> %s\n' "$*"
}

# Debian installs each major version of Postgres into a directory of its own and none into PATH.
postgres_binaries() {
    local newest
    newest=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] && dirname "$newest"
}

# Postgres refuses to run as root, so root runs it as the user that Debian's package creates.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && setpriv --reuid=postgres --regid=postgres --init-groups -- "$@")
    else
        "$@"
    fi
}

# Where the private cluster lives: data, log and socket, in a directory that only its owner can enter,
# which is why connections need no password. Normally .run/postgres; if the user postgres cannot reach
# that (a clone under /root), a directory of postgres's own home, and .run/postgres points there.
cluster_directory() {
    if as_postgres test -x "$RUN"; then
        printf '%s\n' "$RUN/postgres"
    else
        printf '/var/lib/postgresql/redis-dashboard-%s\n' "$(printf %s "$ROOT" | cksum | cut -d ' ' -f 1)"
    fi
}

# A socket's path may have 107 bytes; a deeply nested clone keeps its sockets elsewhere.
socket_directory() {
    local wanted=$1
    if [ "${#wanted}" -le 80 ]; then
        printf '%s\n' "$wanted"
    else
        printf '/tmp/redis-dashboard-%s-%s\n' "$(id -u)" "$(printf %s "$wanted" | cksum | cut -d ' ' -f 1)"
    fi
}

# Prints the pid in a file if that process is ours: a reused pid has another program or another working
# directory.
our_pid() {
    local file=$1 program=$2 directory=$3 pid
    pid=$(cat "$file" 2>/dev/null) || return 1
    [ -n "$pid" ] || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$program" ] || return 1
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$directory" ] || return 1
    printf '%s\n' "$pid"
}

# The kernel keeps 15 characters of a program's name.
sidecar_pid() {
    our_pid "$RUN/sidecar/pid" dashboard-sidec "$RUN/sidecar"
}

redis_pid() {
    our_pid "$RUN/redis/pid" redis-server "$RUN/redis"
}

# Polls a command until it succeeds, for so many seconds.
wait_until() {
    local seconds=$1 end
    shift
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

# SIGTERM is how all of these are asked to end in good order: Redis saves as for SHUTDOWN, the sidecar
# drains. Nothing is killed: what does not end has something to say in its log.
end_process() {
    local name=$1 pid=$2 log=$3
    kill -TERM "$pid"
    wait_until 60 gone "$pid" || fail "$name (pid $pid) has not ended within 60 s; see $log"
}
