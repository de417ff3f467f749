//! A panic of ours costs the client that met it an error, and nobody else anything.
//!
//! The module panics on request in builds with debug assertions, which is what tests are.
#![cfg(debug_assertions)]

use harness::{FakeUpstream, Redis, assert_eventually, text};

fn scene() -> (FakeUpstream, Redis) {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).env("DASHBOARD_FAULTS", "1").start();
    (upstream, redis)
}

/// Nothing is left of it, and everything works.
fn all_is_well(redis: &Redis) {
    let mut client = redis.client();
    assert_eventually!(client.figure("flights") == 0, "no flight is left");
    assert_eventually!(client.figure("blocked_clients") == 0, "nobody waits");
    assert_eq!(client.json(&["DASHBOARD.GET", "acme"])["meta"]["tenant_id"], "acme");
    assert!(redis.log().contains("a panic was caught") || redis.log().contains("a fault that was asked for"));
}

#[test]
fn a_panic_in_a_command_is_an_error_of_that_command() {
    let (_upstream, redis) = scene();
    let mut client = redis.client();
    let error = client.error(&["DASHBOARD.GET", "panics-in-command"]);
    assert!(error.starts_with("ERR an internal error"), "{error}");
    assert_eq!(client.bytes(&["ECHO", "in step"]), b"in step");
    all_is_well(&redis);
}

#[test]
fn a_panic_of_the_worker_answers_everyone_who_waits_for_its_flight() {
    let (_upstream, redis) = scene();
    let mut clients: Vec<_> = (0..20).map(|_| redis.client()).collect();
    for client in &mut clients {
        client.send(&["DASHBOARD.GET", "panics-in-worker"]);
    }
    for client in &mut clients {
        let error = client.receive().unwrap_err();
        assert!(error.starts_with("UNAVAILABLE the request was abandoned"), "{error}");
        assert_eq!(client.bytes(&["ECHO", "in step"]), b"in step");
    }
    all_is_well(&redis);
}

#[test]
fn a_panic_while_a_result_is_stored_answers_who_waits_and_deadlines_go_on() {
    let (upstream, redis) = scene();
    let (mut client, mut slow) = (redis.client(), redis.client());
    client.ok(&["CONFIG", "SET", "dashboard.timeout", "500"]);
    upstream.answer_for("slow", harness::Answer::Hang);
    slow.send(&["DASHBOARD.GET", "slow"]);
    upstream.wait_for(1);
    let error = client.error(&["DASHBOARD.GET", "panics-in-landing"]);
    assert!(error.starts_with("ERR an internal error"), "{error}");
    let error = slow.receive().unwrap_err();
    assert!(error.starts_with("TIMEOUT "), "{error}");
    all_is_well(&redis);
}

#[test]
fn a_panic_in_a_reply_is_an_error_reply() {
    let (_upstream, redis) = scene();
    let mut client = redis.client();
    let error = client.error(&["DASHBOARD.GET", "panics-in-reply"]);
    assert!(error.starts_with("ERR an internal error"), "{error}");
    assert_eq!(client.bytes(&["ECHO", "in step"]), b"in step");
    // It is stored all the same.
    assert_eq!(client.json(&["DASHBOARD.GET", "panics-in-reply"])["meta"]["tenant_id"], "panics-in-reply");
    all_is_well(&redis);
}

#[test]
fn a_panic_in_a_clear_is_an_error_and_never_counts_as_cleared() {
    let (_upstream, redis) = scene();
    let mut client = redis.client();
    client.ok(&["DASHBOARD.GET", "panics-in-clear"]);
    for command in [&["DASHBOARD.CLEAR"][..], &["DASHBOARD.CLEAR", "panics-in-clear"]] {
        let error = client.error(command);
        assert!(error.starts_with("ERR an internal error"), "{error}");
        assert_eq!(text(&client.call(&["ECHO", "in step"]).unwrap()), "in step");
    }
    all_is_well(&redis);
}

#[test]
fn a_swap_whose_marks_panic_again_and_again_is_named_in_the_log() {
    let (_upstream, redis) = scene();
    let mut client = redis.client();
    client.ok(&["DASHBOARD.GET", "panics-in-clear"]);
    client.ok(&["SWAPDB", "0", "3"]);
    assert_eventually!(client.figure("clears_running") == 0, "it ends");
    let log = redis.log();
    assert!(log.contains("not every bundle of database 3 was marked as changed after SWAPDB"), "{log}");
    assert!(log.contains("run DASHBOARD.CLEAR SOFT"), "{log}");
    assert_eq!(log.matches("please report it: a fault that was asked for, in clear").count(), 4, "{log}");
    all_is_well(&redis);
}

#[test]
fn a_panic_in_a_clear_of_several_databases_leaves_the_client_in_its_own() {
    let (_upstream, redis) = scene();
    let (mut zero, mut three) = (redis.client(), redis.client());
    three.ok(&["SELECT", "3"]);
    zero.ok(&["SET", "of", "zero"]);
    let error = three.error(&["DASHBOARD.CLEAR", "panics-in-clear", "SOFT"]);
    assert!(error.starts_with("ERR an internal error"), "{error}");
    three.ok(&["SET", "of", "three"]);
    assert_eq!(zero.bytes(&["GET", "of"]), b"zero");
    all_is_well(&redis);
}
