//! Connections to the sidecar that stay open and go silent, as behind a balancer or a tunnel whose far end has gone, while
//! new ones work: what is under way ends within its deadline, and what comes next is answered over a new connection.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use harness::{Answer, Client, FakeUpstream, Redis, Relay, assert_eventually};

/// A server that reaches the fake through a relay.
fn servers(timeout_ms: u64) -> (FakeUpstream, Relay, Redis) {
    let upstream = FakeUpstream::start();
    let relay = Relay::to(&upstream.socket());
    let redis = Redis::builder()
        .setting("sidecar", format!("unix:{}", relay.socket().display()))
        .setting("timeout", timeout_ms)
        .start();
    (upstream, relay, redis)
}

/// How many clients a fill is under way for at the same time, and so how many connections there are.
const CROWD: usize = 20;

/// Has as many connections made as bundles are asked for at once, and left idle.
fn fill_the_pool(upstream: &FakeUpstream, redis: &Redis) {
    upstream.hold();
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| redis.client()).collect();
    for (n, client) in crowd.iter_mut().enumerate() {
        client.send(&["DASHBOARD.GET", &format!("first-{n}")]);
    }
    upstream.wait_for(CROWD);
    upstream.release();
    crowd.iter_mut().for_each(|client| assert!(client.receive().is_ok()));
}

#[test]
fn a_question_on_a_connection_that_goes_silent_ends_at_its_deadline_and_the_next_goes_over_a_new_one() {
    let (upstream, relay, redis) = servers(300);
    upstream.hold();
    let (mut waiting, mut client) = (redis.client(), redis.client());
    waiting.send(&["DASHBOARD.GET", "a"]);
    upstream.wait_for(1);
    relay.silence_existing();
    upstream.release();
    let error = waiting.receive().unwrap_err();
    assert!(error.starts_with("TIMEOUT "), "{error}");
    for tenant in ["a", "b"] {
        client.json(&["DASHBOARD.GET", tenant]);
    }
}

#[test]
fn of_any_number_of_idle_connections_that_went_silent_one_costs_a_deadline_at_most() {
    // Shorter than a connection may be idle: the others would still be used.
    let (upstream, relay, redis) = servers(150);
    fill_the_pool(&upstream, &redis);
    relay.silence_existing();
    let mut client = redis.client();
    let failed =
        (0..CROWD).filter(|n| client.call(&["DASHBOARD.GET", &format!("then-{n}")]).is_err()).count();
    assert!(failed <= 1, "{failed} of {CROWD} reads met a silent connection");
}

#[test]
fn a_connection_that_has_been_idle_is_closed_and_not_used_again() {
    let (upstream, relay, redis) = servers(60_000);
    let mut redis = redis;
    let mut client = redis.client();
    let sockets = format!("/proc/{}/fd", redis.process().pid());
    let open = || fs::read_dir(&sockets).map(Iterator::count).unwrap_or_default();
    let before = open();
    client.json(&["DASHBOARD.GET", "a"]);
    assert_eventually!(open() == before, Duration::from_secs(3), "the connection is closed");
    relay.silence_existing();
    client.json(&["DASHBOARD.GET", "b"]);
    assert_eq!((relay.accepted(), upstream.total()), (2, 2));
}

#[test]
fn a_warming_stream_that_goes_silent_ends_within_seconds_whatever_a_bundle_may_take_and_the_next_run_is_whole()
 {
    let (upstream, relay, redis) = servers(600_000);
    upstream.answer(Answer::SignsOfLife);
    let (mut warming, mut client) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM", "a", "b", "c"]);
    upstream.wait_for(6);
    relay.silence_existing();
    let silent = Instant::now();
    let report = fields_of(warming.receive().unwrap());
    assert!(silent.elapsed() < Duration::from_secs(15), "{:?}", silent.elapsed());
    assert_eq!((report["warmed"], report["failed"]), (0, 3), "{report:?}");
    upstream.answer(Answer::Bundle);
    let report = fields_of(client.ok(&["DASHBOARD.WARM", "a", "b", "c"]));
    assert_eq!((report["warmed"], report["failed"]), (3, 0), "{report:?}");
}

#[test]
fn a_list_of_tenants_on_a_connection_that_goes_silent_ends_at_its_deadline_and_the_next_run_has_one() {
    let (upstream, relay, redis) = servers(300);
    upstream.active_tenants(&["a", "b"]);
    let mut client = redis.client();
    let mut warming = redis.client();
    relay.hold();
    warming.send(&["DASHBOARD.WARM"]);
    assert_eventually!(relay.holds_something(), "the list is asked for");
    relay.silence_existing();
    relay.release();
    let error = warming.receive().unwrap_err();
    assert!(error.starts_with("TIMEOUT "), "{error}");
    let report = fields_of(client.ok(&["DASHBOARD.WARM"]));
    assert_eq!((report["tenants"], report["failed"]), (2, 0), "{report:?}");
}

#[test]
fn the_kernel_watches_a_connection_to_a_sidecar_on_another_host() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let redis = Redis::builder().setting("sidecar", format!("http://127.0.0.1:{port}")).start();
    let mut client = redis.client();
    client.send(&["DASHBOARD.GET", "a"]);
    let (_accepted, from) = listener.accept().unwrap();
    // Of /proc/net/tcp: addresses in hexadecimal, the remote one third; 02 is the timer of keepalive.
    let ours = format!(":{:04X}", from.port());
    let theirs = format!(":{port:04X}");
    assert_eventually!(
        fs::read_to_string("/proc/net/tcp").unwrap().lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.len() > 5
                && words[1].ends_with(&ours)
                && words[2].ends_with(&theirs)
                && words[5].starts_with("02:")
        }),
        "keepalive is on"
    );
}

/// The numbers of a report.
fn fields_of(reply: redis::Value) -> HashMap<String, i64> {
    let fields = harness::fields(reply).expect("a map");
    let number = |(name, value)| if let redis::Value::Int(n) = value { Some((name, n)) } else { None };
    fields.into_iter().filter_map(number).collect()
}
