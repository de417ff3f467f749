//! `DASHBOARD.CLEAR`: counts, SOFT, and the fence.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually, text};

fn version(client: &mut Client, tenant: &str) -> i64 {
    client.json(&["DASHBOARD.GET", tenant])["stats"]["totalContacts"].as_i64().unwrap()
}

fn fill(client: &mut Client, tenants: &[&str]) {
    for tenant in tenants {
        for include in ["true", "false"] {
            client.bytes(&["DASHBOARD.GET", tenant, "INCLUDE", include]);
        }
    }
}

#[test]
fn clear_counts_the_bundles_that_it_removes() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    fill(&mut client, &["a", "b", "c"]);
    client.ok(&["SET", "somebody:elses", "key"]);

    assert_eq!(client.int(&["DASHBOARD.CLEAR", "nobody"]), 0);
    assert_eq!(client.int(&["DASHBOARD.CLEAR", "a"]), 2);
    assert_eq!(client.int(&["DASHBOARD.CLEAR", "a", "b"]), 2);
    assert_eq!(client.int(&["DBSIZE"]), 3);
    assert_eq!(client.int(&["DASHBOARD.CLEAR"]), 2);
    assert_eq!(client.bytes(&["GET", "somebody:elses"]), b"key");
    assert_eq!(client.int(&["DBSIZE"]), 1);
}

#[test]
fn a_tenant_named_twice_is_cleared_once() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    fill(&mut client, &["a"]);
    assert_eq!(client.int(&["DASHBOARD.CLEAR", "a", "a"]), 2);
}

#[test]
fn clearing_thousands_of_bundles_leaves_other_keys_and_removes_all_of_ours() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "seed"]);
    let script = "local v = redis.call('GET', 'dashboard:bundle:seed:include=true') \
                  for i = 1, 5000 do \
                    redis.call('SET', 'dashboard:bundle:t' .. i .. ':include=true', v, 'EX', 1000) \
                    redis.call('SET', 'other:' .. i, 'x') \
                  end";
    client.ok(&["EVAL", script, "0"]);

    assert_eq!(client.int(&["DASHBOARD.CLEAR"]), 5_001);
    assert_eq!(client.int(&["DBSIZE"]), 5_000);
}

#[test]
fn after_clear_the_next_get_computes_anew() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    assert_eq!(version(&mut client, "a"), 1);
    client.int(&["DASHBOARD.CLEAR", "a"]);
    assert_eq!(version(&mut client, "a"), 2);
}

#[test]
fn a_flight_that_clear_has_orphaned_answers_its_waiters_and_is_not_stored() {
    for clear in [&["DASHBOARD.CLEAR", "a"][..], &["DASHBOARD.CLEAR"]] {
        let upstream = FakeUpstream::start();
        upstream.hold();
        let redis = Redis::with(&upstream);
        let (mut early, mut late, mut other) = (redis.client(), redis.client(), redis.client());
        early.send(&["DASHBOARD.GET", "a"]);
        upstream.wait_for(1);
        assert_eq!(other.int(clear), 0, "{clear:?}");

        late.send(&["DASHBOARD.GET", "a"]);
        upstream.wait_for(2);
        upstream.release_one();
        let reply = String::from_utf8(early.receive().map(|v| text(&v)).unwrap().into_bytes()).unwrap();
        assert!(
            reply.contains(r#""totalContacts":1"#),
            "{clear:?}: the early one gets its own flight's result"
        );
        assert_eq!(other.int(&["DBSIZE"]), 0, "{clear:?}: the orphan is not stored");

        upstream.release();
        let reply = text(&late.receive().unwrap());
        assert!(reply.contains(r#""totalContacts":2"#), "{clear:?}: who came after CLEAR gets the new one");
        assert_eq!(version(&mut other, "a"), 2, "{clear:?}");
        assert_eq!(upstream.total(), 2, "{clear:?}");
    }
}

#[test]
fn soft_keeps_the_bundle_as_a_fallback_only() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    fill(&mut client, &["a"]);

    assert_eq!(client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]), 2);
    assert_eq!(client.int(&["DBSIZE"]), 2, "kept");
    assert_eq!(version(&mut client, "a"), 2, "but not answered while a new one can be had");

    upstream.answer(Answer::UNAVAILABLE);
    client.int(&["DASHBOARD.CLEAR", "SOFT", "a"]);
    let reply = client.map(&["DASHBOARD.GET", "a", "WITHMETA"]);
    assert_eq!(text(&reply[0].1), "stale");
}

#[test]
fn soft_without_a_tenant_marks_every_bundle() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    fill(&mut client, &["a", "b"]);
    assert_eq!(client.int(&["DASHBOARD.CLEAR", "SOFT"]), 4);
    assert_eq!((version(&mut client, "a"), version(&mut client, "b")), (2, 2));
}

#[test]
fn soft_falls_back_after_the_soft_timeout() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("soft-timeout", 50).start();
    let mut client = redis.client();
    assert_eq!(version(&mut client, "a"), 1);
    // Before CLEAR: a bundle that was read a moment ago may be computed anew at once.
    upstream.hold();
    client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    let reply = client.map(&["DASHBOARD.GET", "a", "WITHMETA"]);
    assert_eq!(text(&reply[0].1), "stale");
    upstream.release();
    assert_eventually!(version(&mut client, "a") == 2, "the new bundle is stored once it comes");
}

#[test]
fn a_client_with_tracking_drops_its_copy_on_clear_and_hears_nothing_of_a_fill() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut tracking, mut other) = (redis.client_resp3(), redis.client());
    tracking.ok(&["CLIENT", "TRACKING", "ON"]);
    tracking.bytes(&["DASHBOARD.GET", "a"]);
    other.bytes(&["DASHBOARD.GET", "a", "INCLUDE", "false"]);
    // A reply, not a push, comes next: the fill has told nobody anything.
    assert_eq!(tracking.bytes(&["PING"]), b"PONG");

    other.int(&["DASHBOARD.CLEAR", "a"]);
    let push = tracking.receive().unwrap();
    let expected = redis::Value::Array(vec![redis::Value::BulkString(b"a".to_vec())]);
    assert!(
        matches!(&push, redis::Value::Push { kind: redis::PushKind::Invalidate, data } if data[0] == expected),
        "{push:?}"
    );
}

#[test]
fn clear_replicates_and_persists_as_ordinary_commands() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).line("appendonly yes").start();
    let mut client = redis.client();
    fill(&mut client, &["a", "b"]);
    client.int(&["DASHBOARD.CLEAR", "a"]);
    drop(client);
    let redis = redis.restart_without_module();
    let mut client = redis.client();
    assert_eq!(client.int(&["DBSIZE"]), 2);
    assert_eq!(client.int(&["EXISTS", "dashboard:bundle:b:include=true"]), 1);
}

#[test]
fn many_tenants_named_at_once_are_cleared_in_slices_and_counted() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let names: Vec<String> = (0..300).map(|n| format!("t{n}")).collect();
    let command = |first: &'static str| -> Vec<&str> {
        std::iter::once(first).chain(names.iter().map(String::as_str)).collect()
    };
    client.ok(&command("DASHBOARD.WARM"));
    client.ok(&["DASHBOARD.GET", "other"]);
    assert_eq!(client.int(&command("DASHBOARD.CLEAR")), 600);
    assert_eq!(client.int(&["DBSIZE"]), 1, "the one that was not named");
}

#[test]
fn where_waiting_is_not_allowed_named_tenants_are_cleared_and_all_are_refused() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.ok(&["DASHBOARD.GET", "acme"]);
    for script in ["return redis.call('DASHBOARD.CLEAR')", "return redis.call('DASHBOARD.WARM', 'ASYNC')"] {
        let error = client.error(&["EVAL", script, "0"]);
        assert!(error.contains("send it outside"), "{error}");
    }
    assert_eq!(client.int(&["DBSIZE"]), 1);
    assert_eq!(client.int(&["EVAL", "return redis.call('DASHBOARD.CLEAR', KEYS[1])", "1", "acme"]), 1);
    assert_eq!(client.int(&["DBSIZE"]), 0);
}

/// A clear of everything that takes its time, among a hundred bundles and a million other keys, held by a
/// pause of writes.
fn a_long_clear(redis: &Redis, soft: bool) -> (Client, Vec<String>) {
    let mut client = redis.client();
    client.ok(&["DEBUG", "POPULATE", "200000", "other", "1"]);
    let tenants: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    for tenant in &tenants {
        assert_eq!(version(&mut client, tenant), 1);
    }
    let mut clearing = redis.client();
    clearing.send(if soft { &["DASHBOARD.CLEAR", "SOFT"][..] } else { &["DASHBOARD.CLEAR"] });
    assert_eventually!(client.figure("blocked_clients") == 1, "the clear is under way");
    (clearing, tenants)
}

#[test]
fn a_clear_of_everything_is_one_for_every_reader_from_its_first_moment() {
    for soft in [false, true] {
        let upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let (mut clearing, tenants) = a_long_clear(&redis, soft);
        let (mut client, mut admin) = (redis.client(), redis.client());
        admin.ok(&["CLIENT", "PAUSE", "60000", "WRITE"]);
        for tenant in &tenants {
            // With SOFT, those that were searched already may have been computed by now.
            assert_eq!(version(&mut client, tenant), 2, "soft: {soft}");
        }
        assert_eq!(client.figure("blocked_clients"), 1, "the clear is still under way");
        admin.ok(&["CLIENT", "UNPAUSE"]);
        clearing.receive().unwrap();
    }
}

#[test]
fn what_is_stored_during_a_clear_of_everything_stays_and_each_bundle_is_counted_once() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut clearing, tenants) = a_long_clear(&redis, false);
    let mut client = redis.client();
    for tenant in &tenants {
        assert_eq!(version(&mut client, tenant), 2);
    }
    assert_eq!(client.figure("blocked_clients"), 1, "the clear is still under way");
    assert_eq!(text(&clearing.receive().unwrap()), "100");
    assert_eq!(client.figure("cleared"), 100);
    for tenant in &tenants {
        assert_eq!(version(&mut client, tenant), 2, "not computed a second time");
    }
    assert_eq!(upstream.total(), 200);
}

#[test]
fn another_form_of_the_keys_during_a_clear_of_everything_brings_nothing_back() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("hash-tag", "yes").start();
    let (mut clearing, tenants) = a_long_clear(&redis, false);
    let mut client = redis.client();
    client.ok(&["CONFIG", "SET", "dashboard.hash-tag", "no"]);
    for tenant in &tenants {
        assert_eq!(version(&mut client, tenant), 2);
    }
    client.ok(&["CONFIG", "SET", "dashboard.hash-tag", "yes"]);
    assert_eq!(client.figure("blocked_clients"), 1, "the clear is still under way");
    clearing.receive().unwrap();
    for tenant in &tenants {
        assert_eq!(version(&mut client, tenant), 3, "the old one is gone");
    }
}

#[test]
fn readers_that_fill_max_waiters_keep_nobody_from_clearing() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("max-waiters", 1).start();
    let (mut reading, mut client) = (redis.client(), redis.client());
    client.ok(&["DASHBOARD.GET", "a"]);
    upstream.hold();
    reading.send(&["DASHBOARD.GET", "slow"]);
    assert_eventually!(client.figure("waiters") == 1, "it waits");
    assert_eq!(client.int(&["DASHBOARD.CLEAR"]), 1);
    upstream.release();
    reading.receive().unwrap();
}

#[test]
fn a_changed_bundle_is_computed_at_once_if_it_was_read_a_moment_ago_and_else_when_it_is_asked_for() {
    for (policy, reads) in [("allkeys-lru", 1), ("allkeys-lfu", 2)] {
        let upstream = FakeUpstream::start();
        let redis = Redis::builder().upstream(&upstream).line(&format!("maxmemory-policy {policy}")).start();
        let mut client = redis.client();
        client.ok(&["DASHBOARD.WARM", "read", "unread"]);
        for _ in 0..reads {
            client.ok(&["DASHBOARD.GET", "read"]);
        }
        assert_eq!(client.int(&["DASHBOARD.CLEAR", "read", "unread", "SOFT"]), 4);
        upstream.wait_for(5);
        assert_eventually!(client.figure("flights") == 0, "it has been computed");
        assert_eq!((upstream.count("read"), upstream.count("unread")), (3, 2), "{policy}");
        let reply = client.map(&["DASHBOARD.GET", "read", "WITHMETA"]);
        assert_eq!(text(&reply[0].1), "hit");
    }
}

#[test]
fn with_no_hot_window_nothing_is_computed_before_it_is_asked_for() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("hot-window", 0).start();
    let mut client = redis.client();
    client.ok(&["DASHBOARD.GET", "a"]);
    client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    assert_eq!(client.figure("flights_total"), 1);
}

#[test]
fn who_was_to_fall_back_on_what_was_then_cleared_waits_on_for_the_new_bundle() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("soft-timeout", 100).start();
    let (mut reading, mut client) = (redis.client(), redis.client());
    assert_eq!(version(&mut client, "a"), 1);
    upstream.hold();
    client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    reading.send(&["DASHBOARD.GET", "a"]);
    assert_eventually!(client.figure("waiters") == 1, "it waits");
    let waits_since = std::time::Instant::now();
    client.int(&["DASHBOARD.CLEAR", "a"]);
    assert_eventually!(waits_since.elapsed().as_millis() > 200, "soft-timeout has passed");
    assert_eq!(client.figure("waiters"), 1, "it waits on");
    upstream.release();
    let bundle: serde_json::Value = serde_json::from_str(&text(&reading.receive().unwrap())).unwrap();
    assert_eq!(bundle["stats"]["totalContacts"], 2);
}
