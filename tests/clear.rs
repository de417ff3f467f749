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
    for clear in [&["DASHBOARD.CLEAR", "a"][..], &["DASHBOARD.CLEAR"], &["DASHBOARD.CLEAR", "a", "SOFT"]] {
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
