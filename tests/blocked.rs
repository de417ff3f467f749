//! A blocked client gets exactly one reply, whatever happens to it, and leaves nothing behind.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually, text};
use std::time::{Duration, Instant};

struct Scene {
    upstream: FakeUpstream,
    redis: Redis,
    blocked: Client,
    other: Client,
}

/// A client that waits for a bundle which is not coming yet.
fn scene() -> Scene {
    scene_with(Redis::builder())
}

fn scene_with(builder: harness::RedisBuilder) -> Scene {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = builder.upstream(&upstream).start();
    let (mut blocked, other) = (redis.client(), redis.client());
    blocked.id();
    blocked.send(&["DASHBOARD.GET", "acme"]);
    upstream.wait_for(1);
    Scene { upstream, redis, blocked, other }
}

impl Scene {
    /// The connection is in step: had the blocked command been answered twice or not at all, this would see
    /// another reply.
    fn one_reply_and_nothing_left(&mut self) {
        assert_eq!(self.blocked.bytes(&["ECHO", "in step"]), b"in step");
        self.nothing_left();
    }

    fn nothing_left(&mut self) {
        self.upstream.release();
        let other = &mut self.other;
        assert_eventually!(other.figure("waiters") == 0, "no waiter is left");
        assert_eventually!(other.figure("flights") == 0, "no flight is left");
        assert_eq!(other.blocked_clients(), 0);
        assert!(self.redis.is_alive());
    }
}

#[test]
fn a_client_that_waits_too_long_gets_timeout_at_its_deadline() {
    let started = Instant::now();
    let mut scene = scene_with(Redis::builder().setting("timeout", 300));
    let error = scene.blocked.receive().unwrap_err();
    let waited = started.elapsed();
    assert!(error.starts_with("TIMEOUT "), "{error}");
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(scene.other.figure("timeouts"), 1);
    scene.one_reply_and_nothing_left();
}

#[test]
fn a_hanging_sidecar_is_let_go_at_the_deadline() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Hang);
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 200).start();
    let error = redis.client().error(&["DASHBOARD.GET", "acme"]);
    assert!(error.starts_with("TIMEOUT "), "{error}");
    assert_eventually!(upstream.abandoned() == 1, "the module drops the connection");
}

#[test]
fn a_client_that_disconnects_leaves_nothing_behind() {
    let mut scene = scene();
    scene.blocked = scene.redis.client();
    let other = &mut scene.other;
    assert_eventually!(other.figure("waiters") == 0, "the waiter is gone before the flight ends");
    scene.one_reply_and_nothing_left();
}

#[test]
fn client_kill_ends_the_wait() {
    let mut scene = scene();
    let id = blocked_id(&mut scene.other);
    assert_eq!(scene.other.int(&["CLIENT", "KILL", "ID", &id]), 1);
    scene.blocked.receive().unwrap_err();
    scene.nothing_left();
}

#[test]
fn client_unblock_answers_as_a_timeout_would() {
    let mut scene = scene();
    let id = blocked_id(&mut scene.other);
    assert_eq!(scene.other.int(&["CLIENT", "UNBLOCK", &id, "TIMEOUT"]), 1);
    let error = scene.blocked.receive().unwrap_err();
    assert!(error.starts_with("TIMEOUT "), "{error}");
    scene.one_reply_and_nothing_left();
}

#[test]
fn client_unblock_with_error_answers_unblocked() {
    let mut scene = scene();
    let id = blocked_id(&mut scene.other);
    assert_eq!(scene.other.int(&["CLIENT", "UNBLOCK", &id, "ERROR"]), 1);
    let error = scene.blocked.receive().unwrap_err();
    assert!(error.starts_with("UNBLOCKED "), "{error}");
    scene.one_reply_and_nothing_left();
}

#[test]
fn others_keep_waiting_when_one_is_unblocked() {
    let mut scene = scene();
    let mut second = scene.redis.client();
    let id = second.id().to_string();
    second.send(&["DASHBOARD.GET", "acme"]);
    let other = &mut scene.other;
    assert_eventually!(other.blocked_clients() == 2, "both wait");
    scene.other.int(&["CLIENT", "UNBLOCK", &id]);
    second.receive().unwrap_err();
    scene.upstream.release();
    scene.blocked.receive().unwrap();
    assert_eq!(scene.upstream.total(), 1);
    scene.one_reply_and_nothing_left();
}

#[test]
fn a_flush_during_a_flight_answers_the_waiter_and_stores_nothing() {
    for flush in ["FLUSHALL", "FLUSHDB"] {
        let mut scene = scene();
        scene.other.ok(&[flush]);
        scene.upstream.release();
        scene.blocked.receive().unwrap();
        assert_eq!(scene.other.int(&["DBSIZE"]), 0, "{flush}");
        scene.one_reply_and_nothing_left();
    }
}

#[test]
fn a_swapdb_during_a_flight_answers_the_waiter() {
    let mut scene = scene();
    scene.other.ok(&["SWAPDB", "0", "1"]);
    scene.upstream.release();
    scene.blocked.receive().unwrap();
    scene.one_reply_and_nothing_left();
}

#[test]
fn a_role_change_ends_the_wait_and_the_replica_stores_nothing() {
    let mut scene = scene();
    scene.other.ok(&["REPLICAOF", "127.0.0.1", "1"]);
    // Redis itself closes it or answers UNBLOCKED; either way the wait is over.
    scene.blocked.receive().unwrap_err();
    scene.nothing_left();
    assert_eq!(scene.other.int(&["DBSIZE"]), 0);
    scene.other.ok(&["REPLICAOF", "NO", "ONE"]);
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    assert_eq!(scene.other.int(&["DBSIZE"]), 1);
}

#[test]
fn a_shutdown_during_a_flight_is_prompt_and_clean() {
    let mut scene = scene();
    let started = Instant::now();
    scene.redis.shutdown();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    scene.blocked.receive().unwrap_err();
    assert!(!scene.redis.log().contains("REDIS BUG REPORT"), "{}", scene.redis.log());
}

#[test]
fn blocked_time_is_measured() {
    let mut scene = scene();
    scene.other.ok(&["CONFIG", "SET", "slowlog-log-slower-than", "1"]);
    scene.upstream.release();
    scene.blocked.receive().unwrap();
    let slow = text(&scene.other.ok(&["SLOWLOG", "LEN"]));
    assert_ne!(slow, "0", "the wait is in the slow log");
    let stats = String::from_utf8(scene.other.bytes(&["INFO", "commandstats"])).unwrap().to_lowercase();
    let line =
        stats.lines().find(|line| line.starts_with("cmdstat_dashboard.get:")).expect("it has statistics");
    assert!(line.contains("calls=1,") && !line.contains("usec=0,"), "{line}");
    scene.one_reply_and_nothing_left();
}

#[test]
fn a_flight_that_nobody_waits_for_any_more_is_cancelled_and_the_next_get_begins_anew() {
    let mut scene = scene_with(Redis::builder().setting("timeout", 60_000));
    let id = blocked_id(&mut scene.other);
    scene.other.int(&["CLIENT", "KILL", "ID", &id]);
    assert_eventually!(scene.upstream.abandoned() == 1, "the request has been broken off");
    let other = &mut scene.other;
    assert_eventually!(other.figure("flights") == 0, "no flight is left");
    assert_eq!((other.figure("cancelled"), other.figure("left")), (1, 1));
    assert_eq!(other.figure("failed_abandoned"), 0, "nothing has failed");
    scene.upstream.release();
    assert_eq!(other.json(&["DASHBOARD.GET", "acme"])["stats"]["totalContacts"], 2);
}

#[test]
fn a_flight_that_somebody_still_waits_for_goes_on_when_another_leaves() {
    let mut scene = scene_with(Redis::builder().setting("timeout", 60_000));
    let id = blocked_id(&mut scene.other);
    let mut second = scene.redis.client();
    second.send(&["DASHBOARD.GET", "acme"]);
    let other = &mut scene.other;
    assert_eventually!(other.figure("waiters") == 2, "both wait");
    other.int(&["CLIENT", "KILL", "ID", &id]);
    assert_eventually!(other.figure("waiters") == 1, "one has gone");
    scene.upstream.release();
    second.receive().unwrap();
    assert_eq!(scene.upstream.total(), 1);
    assert_eq!(other.figure("cancelled"), 0);
}

#[test]
fn a_flight_whose_only_client_fell_back_goes_on_and_is_stored() {
    let upstream = FakeUpstream::start();
    let settings = Redis::builder().setting("soft-timeout", 50).setting("hot-window", 0);
    let redis = settings.upstream(&upstream).start();
    let mut client = redis.client();
    client.ok(&["DASHBOARD.GET", "acme"]);
    client.int(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    upstream.hold();
    let reply = client.map(&["DASHBOARD.GET", "acme", "WITHMETA"]);
    assert_eq!(text(&reply[0].1), "stale");
    assert_eq!((client.figure("soft_timeouts"), client.figure("timeouts")), (1, 0));
    assert_eq!(client.figure("flights"), 1);
    upstream.release();
    assert_eventually!(client.figure("stored") == 2, "what came is stored");
}

#[test]
fn what_a_clear_has_made_useless_is_broken_off() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    upstream.hold();
    // In a transaction nobody waits, and the bundle is computed behind it.
    client.ok(&["MULTI"]);
    client.ok(&["DASHBOARD.GET", "acme"]);
    client.ok(&["EXEC"]);
    upstream.wait_for(1);
    client.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eventually!(upstream.abandoned() == 1, "the request has been broken off");
    assert_eventually!(client.figure("flights") == 0, "no flight is left");
}

#[test]
fn the_query_of_a_client_that_has_gone_is_cancelled_in_postgres() {
    let postgres = harness::Postgres::start();
    postgres.execute(
        "CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json
         LANGUAGE plpgsql STABLE AS $$BEGIN PERFORM pg_sleep(60); RETURN '{}'; END$$",
    );
    let sidecar = harness::Sidecar::on(&postgres.url());
    let socket = format!("unix:{}", sidecar.socket().unwrap().display());
    let redis = Redis::builder().setting("sidecar", socket).setting("timeout", 60_000).start();
    let mut client = redis.client();
    client.send(&["DASHBOARD.GET", "acme"]);
    let slow = || postgres.running().iter().any(|sql| sql.contains("dashboard.bundle"));
    assert_eventually!(slow(), "the query runs");
    drop(client);
    assert_eventually!(!slow(), Duration::from_secs(3), "the query has been cancelled");
}

#[test]
fn on_a_replica_nobody_takes_the_result_of_a_flight_that_began_before_the_question() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut first, mut second, mut third) = (redis.client(), redis.client(), redis.client());
    let mut other = redis.client();
    other.ok(&["REPLICAOF", "127.0.0.1", "1"]);
    upstream.hold();
    let version = |client: &mut Client| {
        let bundle: serde_json::Value = serde_json::from_str(&text(&client.receive().unwrap())).unwrap();
        bundle["stats"]["totalContacts"].as_i64().unwrap()
    };
    for (client, waiters) in [(&mut first, 1), (&mut second, 2), (&mut third, 3)] {
        client.send(&["DASHBOARD.GET", "acme"]);
        assert_eventually!(other.figure("waiters") == waiters, "it waits");
    }
    upstream.release();
    assert_eq!([version(&mut first), version(&mut second), version(&mut third)], [1, 2, 2]);
    assert_eq!(upstream.total(), 2);
}

#[test]
fn a_blocked_warm_is_answered_once_too() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = Redis::with(&upstream);
    let (mut warming, mut other) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM", "a", "b"]);
    upstream.wait_for(1);
    let id = blocked_id(&mut other);
    assert_eq!(other.int(&["CLIENT", "UNBLOCK", &id, "ERROR"]), 1);
    let error = warming.receive().unwrap_err();
    assert!(error.starts_with("UNBLOCKED "), "{error}");
    assert_eq!(warming.bytes(&["ECHO", "in step"]), b"in step");
    upstream.release();
    assert_eventually!(other.figure("flights") == 0, "no flight is left");
}

/// The id of the one client that is blocked.
/// Redis uses the memory of a blocked client again as soon as it has gone; its successor must not get what
/// was meant for it.
#[test]
fn clients_that_leave_while_answers_are_under_way_are_not_mistaken_for_those_who_come_after() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("large", Answer::Sized(900_000));
    upstream.hold();
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 60_000).start();
    let mut observer = redis.client();
    let connect = |count: usize| -> Vec<Client> { (0..count).map(|_| redis.client()).collect() };
    let ask = |clients: &mut [Client], tenant: &str| {
        clients.iter_mut().for_each(|client| client.send(&["DASHBOARD.GET", tenant]));
    };
    let (mut first, mut second, mut third) = (connect(2000), connect(500), connect(500));
    ask(&mut first, "large");
    assert_eventually!(observer.blocked_clients() == 2000, "all of them wait");
    upstream.release_one();
    assert_eventually!(observer.figure("blocked_clients") < 2000, "the first are answered");
    // Some have their answer, some are about to be released. The next ones come while that goes on.
    drop(first);
    ask(&mut second, "second");
    assert_eventually!(observer.figure("waiters") == 500, "the next ones wait");
    ask(&mut third, "third");
    assert_eventually!(observer.figure("waiters") == 1000, "and those after them");
    upstream.release();
    for (clients, tenant) in [(&mut second, "second"), (&mut third, "third")] {
        for client in clients {
            let bundle = client.receive().unwrap();
            let bundle: serde_json::Value = serde_json::from_str(&text(&bundle)).unwrap();
            assert_eq!(bundle["meta"]["tenant_id"], tenant);
        }
    }
    assert_eventually!(observer.blocked_clients() == 0 && observer.figure("flights") == 0, "nothing is left");
}

#[test]
fn a_clear_in_slices_waits_while_writes_are_paused() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut client, mut clearing, mut admin) = (redis.client(), redis.client(), redis.client());
    // Other keys make the search long enough to be caught in the middle.
    client.ok(&["DEBUG", "POPULATE", "200000", "other", "1"]);
    client.ok(&["DASHBOARD.GET", "acme"]);
    clearing.send(&["DASHBOARD.CLEAR"]);
    assert_eventually!(admin.figure("blocked_clients") == 1, "the clear is under way");
    admin.ok(&["CLIENT", "PAUSE", "300", "WRITE"]);
    assert_eq!(clearing.receive().map(|value| text(&value)).unwrap(), "1");
    assert_eq!(client.int(&["EXISTS", "dashboard:bundle:acme:include=true"]), 0);
}

#[test]
fn a_replica_that_takes_writes_refuses_to_clear_and_to_warm() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.ok(&["CONFIG", "SET", "replica-read-only", "no"]);
    client.ok(&["REPLICAOF", "127.0.0.1", "1"]);
    for args in [&["DASHBOARD.WARM", "acme"][..], &["DASHBOARD.CLEAR", "acme"], &["DASHBOARD.CLEAR"]] {
        let error = client.error(args);
        assert!(error.starts_with("READONLY "), "{args:?}: {error}");
    }
}

fn blocked_id(client: &mut Client) -> String {
    let mut id = None;
    let found = harness::poll_until(harness::DEADLINE, || {
        let list = String::from_utf8(client.bytes(&["CLIENT", "LIST"])).unwrap();
        id = list.lines().find(|line| is_blocked(line)).map(|line| {
            let start = line.strip_prefix("id=").expect("a line starts with the id");
            start.split(' ').next().expect("something follows").to_owned()
        });
        id.is_some()
    });
    assert!(found, "a client is blocked");
    id.unwrap()
}

fn is_blocked(line: &str) -> bool {
    line.split(' ').any(|field| field.strip_prefix("flags=").is_some_and(|flags| flags.contains('b')))
}
