//! `NOWAIT`: for clients that share one connection, where a wait would hold everybody up.

use harness::{Client, FakeUpstream, Redis, assert_eventually, text};
use redis::Value;

use crate::states::{ABSENT, CHANGED, FRESH, STALE, prepare, status};

fn get(client: &mut Client, tenant: &str, more: &[&str]) -> String {
    let args = [&["DASHBOARD.GET", tenant, "NOWAIT", "WITHMETA"], more].concat();
    status(client.call(&args))
}

#[test]
fn what_is_there_is_answered_at_once_and_a_new_one_is_computed_behind_it() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    prepare(&mut client);
    upstream.hold();
    let before = upstream.total();
    assert_eq!(get(&mut client, FRESH, &[]), "hit");
    assert_eq!(get(&mut client, STALE, &[]), "stale");
    assert_eq!(get(&mut client, CHANGED, &[]), "changed", "a read that may wait would have waited");
    assert_eq!(get(&mut client, ABSENT, &[]), "MISS");
    upstream.wait_for(before + 3);
    upstream.release();
    for tenant in [STALE, CHANGED, ABSENT] {
        assert_eventually!(get(&mut client, tenant, &[]) == "hit", "{tenant}");
    }
    assert_eq!(upstream.total(), before + 3, "each once");
}

#[test]
fn with_refresh_or_maxage_what_is_too_old_is_answered_as_changed() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    prepare(&mut client);
    upstream.hold();
    let before = upstream.total();
    assert_eq!(get(&mut client, FRESH, &["REFRESH"]), "changed");
    assert_eq!(get(&mut client, STALE, &["MAXAGE", "5"]), "changed");
    assert_eq!(get(&mut client, FRESH, &["MAXAGE", "3600000"]), "hit");
    upstream.wait_for(before + 2);
    // That one began before this question: another follows it.
    assert_eq!(get(&mut client, FRESH, &["REFRESH"]), "changed");
    upstream.release();
    upstream.wait_for(before + 3);
}

#[test]
fn a_connection_that_is_shared_is_not_held_up() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut shared = redis.client();
    shared.ok(&["SET", "x", "1"]);
    upstream.hold();
    shared.send(&["DASHBOARD.GET", ABSENT, "NOWAIT"]);
    shared.send(&["GET", "x"]);
    assert!(shared.receive().unwrap_err().starts_with("MISS"));
    assert_eq!(text(&shared.receive().unwrap()), "1", "while the bundle is being computed");
    // The other way: wait on a connection of its own.
    let mut own = redis.client();
    own.send(&["DASHBOARD.GET", ABSENT, "WITHMETA"]);
    upstream.release();
    assert_eq!(status(own.receive()), "miss");
    assert_eq!(upstream.total(), 1, "it joins what NOWAIT began");
}

#[test]
fn a_replica_answers_what_it_has_and_computes_nothing() {
    let upstream = FakeUpstream::start();
    let primary = Redis::builder().upstream(&upstream).tcp().start();
    let replica = Redis::with(&upstream);
    primary.client().json(&["DASHBOARD.GET", FRESH]);
    replica.follow(&primary);
    let mut client = replica.client();
    assert_eventually!(get(&mut client, FRESH, &[]) == "hit", "the replica has it");
    assert_eq!(get(&mut client, ABSENT, &[]), "MISS");
    assert_eq!(upstream.total(), 1);
}

#[test]
fn withmeta_ends_with_how_far_the_feed_is_behind() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let last = |client: &mut Client| client.map(&["DASHBOARD.GET", FRESH, "WITHMETA"]).pop().unwrap();
    assert_eq!(last(&mut client), ("behind_ms".to_owned(), Value::Nil), "no feed follows");
    client.ok(&["DASHBOARD.FEED", "40", "3600000"]);
    assert_eq!(last(&mut client), ("behind_ms".to_owned(), Value::Int(40)));
}
