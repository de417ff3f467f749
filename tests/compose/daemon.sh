# A Docker daemon of our own: its data, its socket and its processes belong to this test and end with it.
# shellcheck shell=bash

# Starts it with everything under this directory, and sets DOCKER_HOST.
start_daemon() {
    local place=$1
    mkdir -p "$place/data" "$place/exec"
    export DOCKER_HOST=unix://$place/docker.sock
    rm -f "$place/docker.pid"
    dockerd --data-root "$place/data" --exec-root "$place/exec" --pidfile "$place/docker.pid" --host "$DOCKER_HOST" \
        >"$place/dockerd.log" 2>&1 &
    DAEMON=$!
    wait_until 60 docker info || {
        tail -n 20 "$place/dockerd.log" >&2
        fail "dockerd has not started, so docker-compose.yml was not tried; the lines above are the end of its log. It needs root, cgroups and iptables."
    }
}

# By its own pid, which is that of the process that was started here.
end_daemon() {
    [ -n "${DAEMON:-}" ] || return 0
    kill -TERM "$DAEMON" 2>/dev/null || true
    wait "$DAEMON" || true
    DAEMON=
}
