//! The promise of the night: what was warmed at midnight is there in the morning, however long ago it has gone
//! stale, and nobody waits for it.

use harness::{Client, Postgres, Redis, Sidecar, assert_eventually, text};

const TENANTS: &str = "INSERT INTO tenant (id, tenant_id, name) SELECT md5('tenant' || n)::uuid, 'tenant-' || n, 'Tenant ' || n \
                       FROM generate_series(1, 20) AS n";
/// Of a bundle, in seconds: how long it is fresh, and how many times as long this night is.
const TTL: i64 = 1;
const TTLS: i64 = 3;
const STALE_TTL: i64 = 600;

fn status(client: &mut Client, tenant: &str) -> String {
    let reply = client.map(&["DASHBOARD.GET", tenant, "WITHMETA"]);
    reply.iter().find(|(name, _)| name == "status").map(|(_, status)| text(status)).unwrap()
}

struct Night {
    postgres: Postgres,
    sidecar: Sidecar,
    redis: Redis,
}

/// A server whose job runs now, and whose bundles then go unread for several times their lifetime.
fn night() -> Night {
    let postgres = Postgres::start();
    postgres.execute(TENANTS);
    let port = harness::free_port();
    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .env("REDIS_URL", format!("redis://127.0.0.1:{port}"))
        .env("DASHBOARD_SCHEDULER", "on")
        .env("DASHBOARD_SCHEDULER_POLL_MS", "50")
        .start();
    let redis = Redis::builder()
        .setting("sidecar", sidecar.url())
        .setting("ttl", TTL)
        .setting("stale-ttl", STALE_TTL)
        .line(&format!("port {port}"))
        .line("appendonly yes")
        .start();
    postgres.execute("UPDATE cron_job SET next_run = now()");
    assert_eventually!(
        postgres.value::<Option<String>>("SELECT metadata->>'outcome' FROM cron_job").as_deref()
            == Some("success"),
        "the job has run"
    );
    let mut client = redis.client();
    assert_eq!(client.int(&["DBSIZE"]), 2 * 21, "every tenant and all together, with and without test data");
    let key = format!("dashboard:bundle:{}:include=true", tenant(&postgres));
    let left = (STALE_TTL + TTL - TTLS * TTL) * 1_000;
    assert_eventually!(client.int(&["PTTL", &key]) < left, "{TTLS} times its lifetime has passed");
    Night { postgres, sidecar, redis }
}

fn tenant(postgres: &Postgres) -> String {
    postgres.value("SELECT id::text FROM tenant ORDER BY id LIMIT 1")
}

/// The first read of the morning comes while nothing can be computed: it is answered all the same.
fn morning(Night { postgres, mut sidecar, redis }: Night) {
    let tenant = tenant(&postgres);
    let mut client = redis.client();
    // What is computed by day is fresh for longer than this takes.
    client.ok(&["CONFIG", "SET", "dashboard.ttl", "300"]);
    sidecar.process().freeze();
    assert_eq!(status(&mut client, &tenant), "stale", "at once, from memory");
    assert_eq!(client.figure("refreshes_behind"), 1);
    sidecar.process().thaw();
    assert_eventually!(
        client.figure("stored") == client.figure("computed") && client.figure("flights") == 0,
        "it is refreshed"
    );
    assert_eq!(status(&mut client, &tenant), "hit");
    assert_eq!((client.figure("misses"), client.figure("timeouts")), (0, 0), "nobody has waited");
}

#[test]
fn the_first_read_after_a_nights_warming_is_answered_from_memory_and_the_second_is_fresh() {
    morning(night());
}

#[test]
fn so_it_is_after_redis_was_restarted_in_the_night() {
    let mut night = night();
    night.redis.restart_in_place();
    morning(night);
}
