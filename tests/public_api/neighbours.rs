//! One tenant's slow bundle is nobody else's: what is in memory is read at once, and what waits has bounds.

use std::thread::ScopedJoinHandle;

use harness::{Endpoint, FakeUpstream, Redis, Response, Sidecar, SidecarBuilder, assert_eventually, http};

use super::message;

/// Redis with an upstream that can be held, and a sidecar that reads it.
struct Street {
    upstream: FakeUpstream,
    redis: Redis,
    sidecar: Sidecar,
}

impl Street {
    fn start(settings: impl FnOnce(SidecarBuilder) -> SidecarBuilder) -> Self {
        let upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        // Longer than any test takes.
        redis.client().ok(&["CONFIG", "SET", "dashboard.timeout", "60000"]);
        redis.client().ok(&["CONFIG", "SET", "dashboard.soft-timeout", "60000"]);
        let sidecar = settings(Sidecar::builder().env("DASHBOARD_REDIS_TIMEOUT_MS", "60000"))
            .without_postgres()
            .env("REDIS_URL", redis.url())
            .start();
        Self { upstream, redis, sidecar }
    }

    fn get(&self, tenant: &str) -> Response {
        get(self.sidecar.public(), tenant)
    }

    /// Waits until so many requests wait for bundles.
    fn wait_for(&self, waiting: usize) {
        let line = format!("\ndashboard_waiting_reads {waiting}\n");
        assert_eventually!(self.sidecar.public().get("/metrics").text().contains(&line), "{waiting} wait");
    }
}

fn get(endpoint: &Endpoint, tenant: &str) -> Response {
    http(endpoint, "GET", &format!("/api/reports/dashboard-bundle?tenant_id={tenant}"), None, b"").unwrap()
}

/// Which computation an answer shows.
fn version(response: &Response) -> u64 {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["data"]["stats"]["totalContacts"].as_u64().unwrap()
}

fn versions(answers: Vec<ScopedJoinHandle<'_, Response>>) -> Vec<u64> {
    answers.into_iter().map(|answer| version(&answer.join().unwrap())).collect()
}

#[test]
fn two_hundred_who_wait_for_one_bundle_hold_up_nobody_who_asks_for_another_and_cost_one_connection() {
    const CROWD: usize = 200;
    let street = Street::start(|sidecar| sidecar);
    assert_eq!(version(&street.get("b")), 1);
    let connections =
        || street.redis.client().info("clients", "connected_clients").unwrap().parse::<usize>().unwrap();
    street.upstream.hold();
    let before = connections();
    std::thread::scope(|scope| {
        let endpoint = street.sidecar.public();
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(|| get(endpoint, "a"))).collect();
        street.wait_for(CROWD);
        for _ in 0..20 {
            let hit = street.get("b");
            assert_eq!((hit.status, hit.header("x-cache")), (200, Some("HIT")), "{}", hit.text());
        }
        assert!(connections() <= before + 3, "{} connections, {before} before", connections());
        street.upstream.release();
        assert_eq!(versions(crowd), [1; CROWD]);
    });
    assert_eq!(street.upstream.count("a"), 1);
}

#[test]
fn while_a_bundle_that_has_changed_is_waited_for_a_fresh_one_is_a_hit() {
    let street = Street::start(|sidecar| sidecar.env("DASHBOARD_REDIS_POOL", "1"));
    assert_eq!((version(&street.get("a")), version(&street.get("b"))), (1, 1));
    street.upstream.hold();
    street.redis.client().ok(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| street.get("a"));
        street.wait_for(1);
        let hit = street.get("b");
        assert_eq!((version(&hit), hit.header("x-cache")), (1, Some("HIT")));
        street.upstream.release();
        assert_eq!(version(&waiting.join().unwrap()), 2, "a newer one");
    });
}

/// In Redis each of them would have a place of its own in a flight; here they share one, which began before.
#[test]
fn who_comes_after_a_clear_is_not_given_what_was_under_way_before() {
    let street = Street::start(|sidecar| sidecar);
    street.upstream.hold();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| street.get("a"));
        // In Redis: what it asked first, without waiting, has begun to fill the cache before.
        let mut client = street.redis.client();
        assert_eventually!(client.figure("waiters") == 1, "the first one waits");
        client.ok(&["DASHBOARD.CLEAR", "a"]);
        let later: Vec<_> = (0..3).map(|_| scope.spawn(|| street.get("a"))).collect();
        street.wait_for(4);
        street.upstream.release();
        assert_eq!(version(&first.join().unwrap()), 1);
        assert_eq!(versions(later), [2; 3]);
    });
    assert_eq!(street.upstream.count("a"), 2);
}

#[test]
fn who_wants_it_computed_anew_waits_for_one_that_begins_after_they_came() {
    let street = Street::start(|sidecar| sidecar);
    let refresh = || street.get("a&bust_cache=true");
    street.upstream.hold();
    std::thread::scope(|scope| {
        let first = scope.spawn(refresh);
        street.upstream.wait_for(1);
        let later: Vec<_> = (0..3).map(|_| scope.spawn(refresh)).collect();
        street.wait_for(4);
        street.upstream.release();
        assert_eq!(version(&first.join().unwrap()), 1);
        assert_eq!(versions(later), [2; 3]);
    });
}

#[test]
fn who_waits_for_one_tenant_leaves_room_for_the_others() {
    let street = Street::start(|sidecar| sidecar.env("DASHBOARD_MAX_WAITING_PER_TENANT", "2"));
    street.upstream.hold();
    std::thread::scope(|scope| {
        let endpoint = street.sidecar.public();
        let of_one: Vec<_> = (0..2).map(|_| scope.spawn(|| get(endpoint, "a"))).collect();
        street.wait_for(2);
        let refused = street.get("a");
        assert_eq!(refused.status, 429);
        assert!(message(&refused).contains("DASHBOARD_MAX_WAITING_PER_TENANT"), "{}", refused.text());
        let other = scope.spawn(|| get(endpoint, "b"));
        street.wait_for(3);
        street.upstream.release();
        assert_eq!(versions(of_one), [1, 1]);
        assert_eq!(version(&other.join().unwrap()), 1);
    });
    assert_eq!(version(&street.get("a")), 1, "there is room again");
}

#[test]
fn what_nobody_waits_for_any_more_is_given_up() {
    let street = Street::start(|sidecar| sidecar);
    street.upstream.hold();
    let client = harness::KeepAlive::send(
        street.sidecar.public(),
        "/api/reports/dashboard-bundle?tenant_id=a&bust_cache=true",
    );
    street.upstream.wait_for(1);
    street.wait_for(1);
    drop(client);
    street.wait_for(0);
    assert_eventually!(street.upstream.abandoned() == 1, "the upstream is left");
}
