//! A sidecar, or its Postgres, that is away: what is stored is served, little is asked, and all is well soon
//! after it is back.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};

use crate::states::{ABSENT, CHANGED, FRESH, STALE, get, prepare, status};

fn breaker(client: &mut Client) -> String {
    client.info("dashboard", "dashboard_sidecar_breaker").expect("it is always told")
}

/// Takes the sidecar, or its Postgres, away.
fn fail(upstream: &mut FakeUpstream, answer: Option<&Answer>) {
    match answer {
        Some(answer) => upstream.answer(answer.clone()),
        None => upstream.refuse(),
    }
}

fn recover(upstream: &mut FakeUpstream, answer: Option<&Answer>) {
    match answer {
        Some(_) => upstream.answer(Answer::Bundle),
        None => upstream.listen(),
    }
}

const WAYS_TO_FAIL: [Option<&Answer>; 3] = [None, Some(&Answer::UNAVAILABLE), Some(&Answer::Close)];

#[test]
fn while_nothing_can_be_computed_what_is_stored_is_served_as_stale_and_never_removed() {
    for failing in WAYS_TO_FAIL.into_iter().chain([Some(&Answer::Error(500, "internal"))]) {
        let mut upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let mut client = redis.client();
        prepare(&mut client);
        fail(&mut upstream, failing);
        for _ in 0..20 {
            let statuses = [FRESH, STALE, CHANGED, ABSENT].map(|tenant| get(&mut client, tenant));
            assert_eq!(statuses, ["hit", "stale", "stale", "UNAVAILABLE"], "{failing:?}");
            let anew = client.call(&["DASHBOARD.GET", FRESH, "REFRESH", "WITHMETA"]);
            assert_eq!(status(anew), "stale", "{failing:?}");
        }
        assert_eq!(client.int(&["DBSIZE"]), 3, "{failing:?}");
        recover(&mut upstream, failing);
        for tenant in [STALE, CHANGED, ABSENT] {
            assert_eventually!(get(&mut client, tenant) == "hit", "{tenant} is computed again");
        }
    }
}

#[test]
fn a_bundle_that_cannot_be_computed_is_tried_seldom_however_often_it_is_read() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    prepare(&mut client);
    upstream.answer(Answer::Error(500, "internal"));
    let before = upstream.total();
    for _ in 0..500 {
        assert_eq!([STALE, CHANGED].map(|tenant| get(&mut client, tenant)), ["stale", "stale"]);
    }
    let asked = upstream.total() - before;
    assert!((2..20).contains(&asked), "asked {asked} times for 1000 reads");
}

#[test]
fn the_breaker_opens_tries_again_and_closes_and_info_tells_each() {
    for failing in WAYS_TO_FAIL {
        let mut upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let mut client = redis.client();
        client.json(&["DASHBOARD.GET", "before"]);
        assert_eq!(breaker(&mut client), "closed");

        fail(&mut upstream, failing);
        let asked = upstream.total();
        for n in 0..5 {
            client.error(&["DASHBOARD.GET", &format!("t{n}")]);
        }
        assert_eq!(breaker(&mut client), "open", "{failing:?}: five failures in a row");
        // More than can be asked before its first pause is over, which is short.
        for n in 0..200 {
            let error = client.error(&["DASHBOARD.GET", &format!("u{n}")]);
            assert!(error.starts_with("UNAVAILABLE "), "{failing:?}: {error}");
        }
        assert!(client.figure("breaker_refusals") > 150, "{failing:?}");
        assert!(upstream.total() - asked < 50, "{failing:?}: {}", upstream.total() - asked);
        assert_eventually!(breaker(&mut client) == "half-open", "its pause passes");
        // What is tried then fails: it is open again.
        client.error(&["DASHBOARD.GET", "probe"]);
        assert_eq!(breaker(&mut client), "open", "{failing:?}");

        recover(&mut upstream, failing);
        assert_eventually!(breaker(&mut client) == "half-open", "its pause passes");
        client.json(&["DASHBOARD.GET", "after"]);
        assert_eq!(breaker(&mut client), "closed", "{failing:?}");
        client.json(&["DASHBOARD.GET", "t0"]);
    }
}

#[test]
fn one_tenant_that_is_never_answered_does_not_open_the_breaker() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 50).start();
    let mut client = redis.client();
    upstream.answer_for("slow", Answer::Hang);
    for _ in 0..10 {
        let error = client.error(&["DASHBOARD.GET", "slow"]);
        assert!(error.starts_with("TIMEOUT "), "{error}");
    }
    assert_eq!(breaker(&mut client), "closed");
    client.json(&["DASHBOARD.GET", "quick"]);
}

#[test]
fn several_tenants_in_a_row_without_an_answer_open_it_until_there_is_one() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 50).start();
    let mut client = redis.client();
    upstream.answer(Answer::Hang);
    for n in 0..5 {
        client.error(&["DASHBOARD.GET", &format!("t{n}")]);
    }
    assert_eventually!(breaker(&mut client) != "closed", "nobody is answered");
    upstream.answer(Answer::Bundle);
    assert_eventually!(client.call(&["DASHBOARD.GET", "t0"]).is_ok(), "it is back");
    assert_eq!(breaker(&mut client), "closed");
}

#[test]
fn who_waits_for_the_flight_after_one_that_opens_the_breaker_is_told_why_there_is_none() {
    let mut upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut first, mut second, mut other) = (redis.client(), redis.client(), redis.client());
    upstream.answer(Answer::Close);
    for n in 0..4 {
        other.error(&["DASHBOARD.GET", &format!("t{n}")]);
    }
    upstream.hold();
    first.send(&["DASHBOARD.GET", "acme", "REFRESH"]);
    upstream.wait_for(5);
    second.send(&["DASHBOARD.GET", "acme", "REFRESH"]);
    assert_eventually!(other.figure("waiters") == 2, "both wait");
    upstream.refuse();
    for client in [&mut first, &mut second] {
        let error = client.receive().unwrap_err();
        assert!(error.starts_with("UNAVAILABLE the sidecar cannot be reached"), "{error}");
    }
    assert_eq!((other.figure("breaker_refusals"), other.figure("overloaded_flights")), (1, 0));
}

#[test]
fn while_postgres_is_down_every_error_names_it() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    upstream.answer(Answer::UNAVAILABLE);
    for n in 0..20 {
        let error = client.error(&["DASHBOARD.GET", &format!("t{n}")]);
        assert!(error.contains("Postgres"), "{n}: {error}");
    }
}
