//! Cold bundles that find no place among `dashboard.max-flights` wait for one.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};

#[test]
fn four_hundred_cold_tenants_at_once_are_all_answered() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut observer = redis.client();
    let mut clients: Vec<Client> = (0..400).map(|_| redis.client()).collect();
    upstream.hold();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&["DASHBOARD.GET", &format!("t{n}")]);
    }
    assert_eventually!(observer.figure("queued") == 336, "64 are computed, the others wait");
    assert_eq!(observer.figure("flights"), 64);
    upstream.release();
    for client in &mut clients {
        client.receive().unwrap();
    }
    assert_eq!(upstream.total(), 400, "each once");
    let figures = ["queued", "queued_total", "overloaded_flights"].map(|name| observer.figure(name));
    assert_eq!(figures, [0, 336, 0]);
}

/// Clients that have each asked for a cold bundle of this tenant, in databases of their own.
fn ask(redis: &Redis, tenant: &str, databases: std::ops::Range<usize>) -> Vec<Client> {
    let one = |database: usize| {
        let mut client = redis.client();
        client.ok(&["SELECT", &database.to_string()]);
        client.send(&["DASHBOARD.GET", tenant]);
        client
    };
    databases.map(one).collect()
}

#[test]
fn a_tenant_that_asks_for_many_bundles_does_not_push_the_others_back() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("max-flights", 1).start();
    let mut observer = redis.client();
    upstream.hold();
    let mut clients = ask(&redis, "holder", 0..1);
    upstream.wait_for(1);
    for (tenant, databases, queued) in [("many", 0..4, 4), ("one", 0..1, 5)] {
        clients.extend(ask(&redis, tenant, databases));
        assert_eventually!(observer.figure("queued") == queued, "that many");
    }
    upstream.release();
    for client in &mut clients {
        client.receive().unwrap();
    }
    let order: Vec<String> = upstream.requests().into_iter().map(|request| request.tenant).collect();
    assert_eq!(order, ["holder", "many", "one", "many", "many", "many"]);
}

#[test]
fn who_asks_for_a_queued_bundle_waits_for_the_same_flight() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("max-flights", 1).start();
    let mut observer = redis.client();
    upstream.hold();
    let mut clients = ask(&redis, "holder", 0..1);
    upstream.wait_for(1);
    for _ in 0..3 {
        clients.extend(ask(&redis, "a", 0..1));
    }
    assert_eventually!(observer.figure("waiters") == 4, "that many");
    // It has not begun: a clear has nothing to fence, and REFRESH nothing to wait for.
    observer.int(&["DASHBOARD.CLEAR", "a"]);
    upstream.release();
    for client in &mut clients {
        client.receive().unwrap();
    }
    assert_eq!((upstream.count("a"), observer.figure("orphaned")), (1, 0));
}

#[test]
fn where_the_deadline_cannot_be_met_a_cold_read_is_refused_at_once() {
    let upstream = FakeUpstream::start();
    let redis =
        Redis::builder().upstream(&upstream).setting("max-flights", 1).setting("timeout", 200).start();
    let (mut slow, mut late) = (redis.client(), redis.client());
    upstream.answer(Answer::Hang);
    assert!(slow.error(&["DASHBOARD.GET", "a"]).starts_with("TIMEOUT"), "that is what a bundle takes now");
    slow.send(&["DASHBOARD.GET", "b"]);
    upstream.wait_for(2);
    assert!(late.error(&["DASHBOARD.GET", "c"]).starts_with("OVERLOADED"));
    assert_eq!((late.figure("queued"), late.figure("overloaded_flights")), (0, 1));
    slow.receive().unwrap_err();
}

#[test]
fn a_bundle_that_nobody_waits_for_any_more_leaves_the_queue() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("max-flights", 1).start();
    let mut observer = redis.client();
    upstream.hold();
    let mut holder = ask(&redis, "holder", 0..1);
    upstream.wait_for(1);
    let gone = ask(&redis, "a", 0..1);
    assert_eventually!(observer.figure("queued") == 1, "that many");
    drop(gone);
    assert_eventually!(observer.figure("queued") == 0, "that many");
    upstream.release();
    holder[0].receive().unwrap();
    assert_eq!(upstream.total(), 1);
}

#[test]
fn when_the_sidecar_is_gone_those_in_the_queue_are_told_at_once() {
    let mut upstream = FakeUpstream::start();
    let redis =
        Redis::builder().upstream(&upstream).setting("max-flights", 5).setting("timeout", 60_000).start();
    let mut observer = redis.client();
    upstream.hold();
    let mut clients: Vec<Client> = (0..20).flat_map(|n| ask(&redis, &format!("t{n}"), 0..1)).collect();
    assert_eventually!(observer.figure("queued") == 15, "that many");
    upstream.refuse();
    for client in &mut clients {
        let error = client.receive().unwrap_err();
        assert!(error.starts_with("UNAVAILABLE"), "{error}");
    }
    assert_eventually!(observer.figure("queued") == 0 && observer.figure("waiters") == 0, "nobody is left");
}
