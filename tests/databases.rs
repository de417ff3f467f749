//! Each database (`SELECT`) has its own bundles and flights; a change of a tenant's data is one in all of them.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually, text};
use redis::Value;

use crate::states::key;

/// A client of database 0 and one of database 3.
fn clients(redis: &Redis) -> (Client, Client) {
    let (zero, mut three) = (redis.client(), redis.client());
    three.ok(&["SELECT", "3"]);
    (zero, three)
}

fn version(client: &mut Client, tenant: &str) -> i64 {
    client.json(&["DASHBOARD.GET", tenant])["stats"]["totalContacts"].as_i64().unwrap()
}

fn exists(client: &mut Client, tenant: &str) -> bool {
    client.int(&["EXISTS", &key(tenant)]) == 1
}

#[test]
fn a_bundle_is_stored_and_found_in_its_own_database() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    assert_eq!((version(&mut zero, "a"), version(&mut three, "a")), (1, 2));
    assert_eq!((version(&mut zero, "a"), version(&mut three, "a")), (1, 2));
    assert_eq!((zero.int(&["DBSIZE"]), three.int(&["DBSIZE"])), (1, 1));
}

#[test]
fn a_clear_takes_the_bundles_of_its_own_database() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    for clear in [&["DASHBOARD.CLEAR", "a"][..], &["DASHBOARD.CLEAR"]] {
        version(&mut zero, "a");
        version(&mut three, "a");
        assert_eq!(three.int(clear), 1, "{clear:?}");
        assert_eq!((exists(&mut zero, "a"), exists(&mut three, "a")), (true, false), "{clear:?}");
    }
}

#[test]
fn a_change_marks_the_bundles_of_every_database() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    for clear in [&["DASHBOARD.CLEAR", "a", "SOFT"][..], &["DASHBOARD.CLEAR", "SOFT"]] {
        let before = version(&mut zero, "a").max(version(&mut three, "a"));
        assert_eq!(three.int(clear), 2, "{clear:?}");
        assert!(version(&mut zero, "a") > before, "{clear:?}");
        assert!(version(&mut three, "a") > before, "{clear:?}");
        assert_eq!(three.int(&["DBSIZE"]), 1, "the client's database is the one that it chose");
    }
}

#[test]
fn a_change_overtakes_what_is_being_computed_in_a_database_without_keys() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    upstream.hold();
    three.send(&["DASHBOARD.GET", "a"]);
    upstream.wait_for(1);
    assert_eq!(zero.int(&["DASHBOARD.CLEAR", "a", "SOFT"]), 0);
    upstream.release();
    three.receive().unwrap();
    let status = crate::states::get(&mut three, "a");
    assert_eq!(status, "refreshed", "what came from before the change is a fallback only");
}

/// Clients of databases 0 and 3 that wait for the same tenant, and another client of database 3.
fn a_flight_in_both(upstream: &FakeUpstream, redis: &Redis) -> (Client, Client, Client) {
    upstream.hold();
    let (mut zero, mut three) = clients(redis);
    let mut other = redis.client();
    other.ok(&["SELECT", "3"]);
    zero.send(&["DASHBOARD.GET", "a"]);
    three.send(&["DASHBOARD.GET", "a"]);
    upstream.wait_for(2);
    (zero, three, other)
}

#[test]
fn a_clear_fences_the_flights_of_its_own_database() {
    for clear in [&["DASHBOARD.CLEAR", "a"][..], &["DASHBOARD.CLEAR"]] {
        let upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let (mut zero, mut three, mut other) = a_flight_in_both(&upstream, &redis);
        assert_eq!(other.int(clear), 0);
        upstream.release();
        zero.receive().unwrap();
        three.receive().unwrap();
        assert_eq!((exists(&mut zero, "a"), exists(&mut three, "a")), (true, false), "{clear:?}");
    }
}

#[test]
fn warming_fills_the_database_in_which_it_was_asked_for() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b"]);
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    three.ok(&["DASHBOARD.WARM", "c"]);
    three.ok(&["DASHBOARD.WARM"]);
    assert_eq!((zero.int(&["DBSIZE"]), three.int(&["DBSIZE"])), (0, 6));
    zero.ok(&["DASHBOARD.WARM"]);
    assert_eq!((zero.int(&["DBSIZE"]), three.int(&["DBSIZE"])), (4, 6));
    assert_eq!(upstream.total(), 10, "fresh in one database is not fresh in the other");
}

#[test]
fn two_databases_warmed_at_once_are_both_filled() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b"]);
    upstream.hold();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    zero.send(&["DASHBOARD.WARM"]);
    three.send(&["DASHBOARD.WARM"]);
    upstream.wait_for(2);
    upstream.release();
    zero.receive().unwrap();
    three.receive().unwrap();
    assert_eq!((zero.int(&["DBSIZE"]), three.int(&["DBSIZE"])), (4, 4));
}

#[test]
fn an_unknown_tenant_is_unknown_in_every_database_until_it_is_known_in_one() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("negative-ttl", 1000).start();
    let (mut zero, mut three) = clients(&redis);
    upstream.answer(Answer::NO_TENANT);
    assert!(zero.error(&["DASHBOARD.GET", "a"]).starts_with("NOTENANT "));
    upstream.answer(Answer::Bundle);
    assert!(three.error(&["DASHBOARD.GET", "a"]).starts_with("NOTENANT "), "it is remembered");
    three.int(&["DASHBOARD.CLEAR", "a"]);
    version(&mut three, "a");
    version(&mut zero, "a");
}

#[test]
fn a_tracking_client_is_told_of_the_clear_in_its_own_database() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (_, mut three) = clients(&redis);
    let mut tracking = redis.client_resp3();
    tracking.ok(&["SELECT", "3"]);
    tracking.ok(&["CLIENT", "TRACKING", "ON"]);
    tracking.json(&["DASHBOARD.GET", "a"]);
    three.int(&["DASHBOARD.CLEAR", "a"]);
    assert!(matches!(tracking.receive(), Ok(Value::Push { kind: redis::PushKind::Invalidate, .. })));
}

#[test]
fn flushing_or_swapping_other_databases_does_not_touch_a_flight() {
    for (command, is_stored) in [
        (&["FLUSHDB"][..], false),
        (&["FLUSHDB", "ASYNC"], false),
        (&["SWAPDB", "3", "4"], false),
        (&["SWAPDB", "5", "4"], true),
        (&["FLUSHALL"], false),
    ] {
        let upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let (mut zero, mut three, mut other) = a_flight_in_both(&upstream, &redis);
        other.ok(command);
        upstream.release();
        for client in [&mut zero, &mut three] {
            let bundle = text(&client.receive().unwrap());
            assert!(bundle.contains(r#""tenant_id":"a""#), "{command:?}: {bundle}");
        }
        assert_eq!(exists(&mut zero, "a"), command != ["FLUSHALL"], "{command:?}");
        assert_eq!(exists(&mut three, "a"), is_stored, "{command:?}");
        three.ok(&["SELECT", "4"]);
        assert!(!exists(&mut three, "a"), "{command:?}: what was asked for elsewhere");
    }
}

#[test]
fn a_bundle_that_is_moved_is_found_where_it_has_gone() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    assert_eq!(version(&mut zero, "a"), 1);
    assert_eq!(zero.int(&["MOVE", &key("a"), "3"]), 1);
    let reply = three.map(&["DASHBOARD.GET", "a", "WITHMETA"]);
    assert_eq!(text(&reply[0].1), "hit", "its stamp and its expiry went with it");
    assert_eq!((version(&mut three, "a"), version(&mut zero, "a")), (1, 2));
}

#[test]
fn a_client_that_goes_to_another_database_meanwhile_does_not_take_the_bundle_along() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = Redis::with(&upstream);
    let (mut zero, mut three) = clients(&redis);
    three.send(&["DASHBOARD.GET", "a"]);
    three.send(&["SELECT", "5"]);
    upstream.wait_for(1);
    upstream.release();
    three.receive().unwrap();
    three.receive().unwrap();
    assert!(!exists(&mut three, "a") && !exists(&mut zero, "a"));
    three.ok(&["SELECT", "3"]);
    assert_eventually!(exists(&mut three, "a"), "it is stored where it was asked for");
}
