#!/usr/bin/env bash
# Starts docker-compose.yml for real and tries what its head says, and what an operator does with it: the first HIT, the
# page, a restart that keeps the cache, down and up, users, health, stopping in time.
#
# Read from the environment:
#   COMPOSE_WORK     where the daemon keeps its data (target/compose); kept, so that a second run builds little
#   BASE_IMAGES      debootstrap (default): made here, without a registry. pull: from the registry
#   BUILD_NETWORK    the network of the builds (default); host where only the machine itself reaches the package mirrors
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=scripts/lib.sh
. "$here/../../scripts/lib.sh"
# shellcheck source=tests/compose/daemon.sh
. "$here/daemon.sh"

# Debian's own client comes first: BuildKit is built into it.
export PATH=/usr/bin:$PATH DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
WORK=${COMPOSE_WORK:-$ROOT/target/compose}
REDIS_PORT=${REDIS_PORT:-16380}
HTTP_PORT=${HTTP_PORT:-14001}
SERVICES="postgres sidecar redis"

compose() {
    docker-compose --project-name dashboard-test --project-directory "$ROOT" --file "$ROOT/docker-compose.yml" \
        --file "$WORK/network.yml" --env-file "$WORK/env" "$@"
}

container() {
    compose ps -q "$1"
}

state() {
    docker inspect --format '{{.State.Health.Status}}' "$(container "$1")"
}

healthy() {
    [ "$(state "$1")" = healthy ]
}

# The version that Debian has knows no "up --wait".
up() {
    local service
    compose up --detach --build
    for service in $SERVICES; do
        wait_until 180 healthy "$service" || {
            compose logs --tail 30 "$service"
            fail "$service is not healthy: $(state "$service")"
        }
    done
}

redis() {
    redis-cli -p "$REDIS_PORT" "$@"
}

status_of() {
    redis DASHBOARD.GET "$1" WITHMETA | sed -n 2p
}

is_hit() {
    [ "$(status_of "$1")" = hit ]
}

expect() {
    local what=$1 wanted=$2 is=$3
    [ "$is" = "$wanted" ] || fail "$what: '$is', where '$wanted' is expected"
    printf 'ok: %s\n' "$what"
}

marked() {
    redis INFO dashboard | tr -d '\r' | sed -n 's/^dashboard_marked_changed://p'
}

marked_since() {
    [ "$(marked)" -gt "$1" ]
}

cached_by_http() {
    curl --noproxy '*' --silent --fail --header "Authorization: Bearer $1" \
        "http://127.0.0.1:$HTTP_PORT/api/reports/dashboard-bundle?tenant_id=$2" | grep -q '"cached":true'
}

http_status() {
    curl --noproxy '*' --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$HTTP_PORT$1"
}

# Asked to end, and ended by themselves: 137 would be the end of the grace period.
stops_in_time() {
    local service=$1 id began
    id=$(container "$service")
    began=$SECONDS
    compose stop "$service"
    expect "$service ends by itself ($((SECONDS - began)) s)" 0 "$(docker inspect --format '{{.State.ExitCode}}' "$id")"
}

finish() {
    if [ -n "${DAEMON:-}" ]; then
        compose down --volumes --timeout 60 >/dev/null 2>&1 || true
    fi
    end_daemon
}

mkdir -p "$WORK"
{
    printf 'POSTGRES_PASSWORD=%s\n' "a b:c/d@e%f#g"
    printf 'DASHBOARD_JWT_SECRET=%s\n' "0123456789abcdef0123456789abcdef"
    printf 'REDIS_PORT=%s\nHTTP_PORT=%s\n' "$REDIS_PORT" "$HTTP_PORT"
} >"$WORK/env"
{
    printf 'services:\n'
    for service in migrate counters sidecar redis; do
        printf '  %s:\n    build:\n      network: %s\n' "$service" "${BUILD_NETWORK:-default}"
    done
} >"$WORK/network.yml"

trap finish EXIT
step "Starting a Docker daemon in $WORK"
start_daemon "$WORK/docker"
if [ "${BASE_IMAGES:-debootstrap}" = debootstrap ]; then
    "$here/base_images.sh" "$WORK/images"
fi

step "Building and starting"
up
for service in sidecar redis; do
    expect "$service does not run as root" 10001 "$(docker exec "$(container "$service")" id -u)"
done

step "The demonstration"
compose run -T --rm sidecar demo load
redis DASHBOARD.WARM
tenant=$(compose exec -T postgres psql -U crm -d crm -AtXc "SELECT tenant_id FROM leads WHERE tenant_id IS NOT NULL LIMIT 1")
# The feed may still be announcing what was just loaded.
wait_until 30 is_hit "$tenant" || fail "the bundle of $tenant is no hit: $(status_of "$tenant")"
printf 'ok: a bundle is a hit\n'
expect "the page is there" 200 "$(http_status /dashboard)"
expect "the sidecar is ready" 200 "$(http_status /readyz)"
expect "the API asks for a token" 401 "$(http_status "/api/reports/dashboard-bundle?tenant_id=$tenant")"
token=$(compose run -T --rm sidecar token --role superadmin | tr -d '\r' | tail -n 1)
wait_until 30 cached_by_http "$token" "$tenant" || fail "the bundle by HTTP is not from the cache"
printf 'ok: a token reads the bundle from the cache\n'

step "A change is followed"
before=$(marked)
compose exec -T postgres psql -U crm -d crm -qXc "UPDATE leads SET status = status WHERE tenant_id = '$tenant'"
wait_until 20 marked_since "$before" || fail "a change in Postgres has not reached Redis within 20 s"
printf 'ok: a change in Postgres has reached Redis\n'

step "A restart keeps the cache"
keys=$(redis DBSIZE)
compose restart --timeout 60 redis
wait_until 60 healthy redis || fail "redis is not healthy after a restart"
expect "all keys are there after a restart" "$keys" "$(redis DBSIZE)"

step "Stopping"
for service in redis sidecar postgres; do
    stops_in_time "$service"
done

step "Down and up"
compose down --timeout 60
up
expect "all keys are there after down and up" "$keys" "$(redis DBSIZE)"
step "docker-compose.yml works"
