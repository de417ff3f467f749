//! A Redis behind one address: it moves to another server, or its connections fall silent, while old connections stay open.

use std::time::{Duration, Instant};

use harness::{Client, EventStream, Postgres, Redis, Relay, Sidecar, SidecarBuilder, assert_eventually};

use super::{TENANT, TENANTS, path};

const CLEAR: &str = "/api/reports/clear-cache";

/// A primary, its replica, and an address that leads to the primary.
struct Pair {
    sidecar: Sidecar,
    address: Relay,
    primary: Redis,
    replica: Redis,
    postgres: Postgres,
}

impl Pair {
    fn start(settings: impl FnOnce(SidecarBuilder) -> SidecarBuilder) -> Self {
        let postgres = Postgres::start();
        postgres.execute(TENANTS);
        let (primary, replica) = (Redis::builder().tcp().start(), Redis::builder().tcp().start());
        replica.follow(&primary);
        let address = Relay::to(&primary.socket());
        let url = format!("redis+unix://{}", address.socket().display());
        let sidecar = settings(Sidecar::builder().database(postgres.url()).env("REDIS_URL", url)).start();
        for redis in [&primary, &replica] {
            redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", sidecar.url()]);
        }
        Self { sidecar, address, primary, replica, postgres }
    }

    /// The two change their roles. The address leads to the new primary, and leaves old connections open.
    fn fail_over(&self) {
        self.replica.client().ok(&["REPLICAOF", "NO", "ONE"]);
        self.primary.follow(&self.replica);
        self.address.lead_to(&self.replica.socket());
    }

    fn read(&self) -> u16 {
        self.sidecar.public().get(&path(TENANT)).status
    }

    fn clear(&self) -> u16 {
        self.sidecar.public().post(CLEAR, "{}").status
    }

    /// A read that is computed anew.
    fn refresh(&self) -> u16 {
        self.sidecar.public().get(&format!("{}&bust_cache=true", path(TENANT))).status
    }
}

/// How many bundles were computed there because somebody read them.
fn refreshed(redis: &Redis) -> i64 {
    redis.client().figure("computed")
}

#[test]
fn after_a_fail_over_that_leaves_old_connections_open_the_first_clear_already_reaches_the_new_primary() {
    let pair = Pair::start(|sidecar| sidecar);
    assert_eq!((pair.read(), pair.clear(), pair.read()), (200, 200, 200));
    pair.fail_over();
    let mut new = pair.replica.client();
    assert_eventually!(new.int(&["DBSIZE"]) > 0, "the bundle is there");
    assert_eq!(pair.clear(), 200, "{}", pair.sidecar.log());
    assert_eq!(new.int(&["DBSIZE"]), 0);
    assert_eq!((pair.read(), pair.clear()), (200, 200));
}

#[test]
fn a_connection_that_has_lain_idle_is_not_used_with_a_server_that_has_become_a_replica() {
    let pair = Pair::start(|sidecar| sidecar);
    assert_eq!(pair.refresh(), 200);
    pair.fail_over();
    let idle = |client: &mut Client| {
        let list = String::from_utf8(client.bytes(&["CLIENT", "LIST"])).unwrap();
        let mut theirs = list.lines().filter(|line| line.contains("cmd=dashboard.get")).peekable();
        theirs.peek().is_some() && theirs.all(|line| !line.contains(" idle=0 ") && !line.contains(" idle=1 "))
    };
    let mut old = pair.primary.client();
    assert_eventually!(idle(&mut old), "it has lain idle");
    let before = (refreshed(&pair.primary), refreshed(&pair.replica));
    assert_eq!(pair.refresh(), 200);
    assert_eq!((refreshed(&pair.primary), refreshed(&pair.replica) > before.1), (before.0, true));
}

#[test]
fn a_connection_that_is_always_in_use_is_replaced_at_its_greatest_age() {
    let pair = Pair::start(|sidecar| sidecar.env("DASHBOARD_REDIS_CONNECTION_AGE_MS", "1000"));
    assert_eq!(pair.refresh(), 200);
    pair.fail_over();
    let before = refreshed(&pair.replica);
    assert_eventually!(
        pair.refresh() == 200 && refreshed(&pair.replica) > before,
        "reads reach the new primary"
    );
}

#[test]
fn where_connections_fall_silent_and_stay_open_new_ones_are_made_within_seconds() {
    let pair = Pair::start(|sidecar| sidecar.env("DASHBOARD_REDIS_TIMEOUT_MS", "3000"));
    let events = format!("/api/reports/dashboard-events?tenant_id={TENANT}");
    let mut stream = EventStream::open(pair.sidecar.public(), &events, &[]);
    assert_eq!(stream.next_name(), "ready");
    assert_eq!((pair.refresh(), pair.clear()), (200, 200));
    assert_eq!(pair.sidecar.public().get("/metrics").status, 200);
    pair.address.silence_existing();
    let began = Instant::now();
    for (what, works) in [
        ("a read", &(|| pair.read() == 200) as &dyn Fn() -> bool),
        ("a clear", &|| pair.clear() == 200),
        ("a refresh", &|| pair.refresh() == 200),
        ("readyz", &|| pair.sidecar.public().get("/readyz").status == 200),
        ("metrics", &|| pair.sidecar.public().get("/metrics").text().contains("dashboard_module_hits_total")),
    ] {
        assert_eventually!(works(), "{what} works again");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // It has been told before that it would not hear of changes.
    assert!(stream.any(|event| event.name == "ready"), "it hears of changes again");
    drop(pair.postgres);
}
