//! `DASHBOARD.GET`: hit and miss, what is stored, and every option.

use harness::{Answer, Client, FakeUpstream, Redis, text};
use redis::Value;

const KEY: &str = "dashboard:bundle:acme:include=true";

fn version(bundle: &serde_json::Value) -> i64 {
    bundle["stats"]["totalContacts"].as_i64().unwrap_or_else(|| panic!("no version: {bundle}"))
}

/// `WITHMETA`'s fields, in the order in which they come.
fn meta(client: &mut Client, options: &[&str]) -> Vec<(String, Value)> {
    let mut args = vec!["DASHBOARD.GET", "acme", "WITHMETA"];
    args.extend(options);
    client.map(&args)
}

fn field<'a>(meta: &'a [(String, Value)], name: &str) -> &'a Value {
    &meta.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name} in {meta:?}")).1
}

fn status(client: &mut Client, options: &[&str]) -> String {
    text(field(&meta(client, options), "status"))
}

#[test]
fn the_first_get_computes_and_the_second_is_answered_from_memory() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();

    let first = client.bytes(&["DASHBOARD.GET", "acme"]);
    let second = client.bytes(&["DASHBOARD.GET", "acme"]);

    assert_eq!(first, second);
    assert_eq!(upstream.total(), 1);
    assert_eq!((client.figure("misses"), client.figure("hits")), (1, 1));
}

#[test]
fn what_is_stored_is_a_plain_string_equal_to_the_reply_under_the_documented_key() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();

    let reply = client.bytes(&["DASHBOARD.GET", "acme"]);

    assert_eq!(text(&client.ok(&["TYPE", KEY])), "string");
    assert_eq!(client.bytes(&["GET", KEY]), reply);
    assert_eq!(client.int(&["DBSIZE"]), 1);
    let bundle: serde_json::Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!(bundle["meta"]["tenant_id"], "acme");
    assert_eq!(bundle["meta"]["include_test_data"], true);
    assert_eq!(
        bundle["meta"]["ttl_seconds"].as_i64().map(|ttl| (270..=300).contains(&ttl)),
        Some(true),
        "{bundle}"
    );
    assert!(reply.starts_with(br#"{"meta":{"#), "meta comes first");
}

#[test]
fn the_key_lives_for_ttl_less_the_jitter_and_the_whole_stale_ttl_beyond() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("ttl", 100).setting("stale-ttl", 1000).start();
    let mut client = redis.client();
    let mut ttls = Vec::new();
    for tenant in 0..30 {
        client.bytes(&["DASHBOARD.GET", &format!("t{tenant}")]);
        ttls.push(client.int(&["PTTL", &format!("dashboard:bundle:t{tenant}:include=true")]));
    }
    let (least, most) = (ttls.iter().min().unwrap(), ttls.iter().max().unwrap());
    assert!(*least >= 1_085_000 && *most <= 1_100_000, "within 10 % of the ttl: {ttls:?}");
    assert!(most - least > 5_000, "spread: {ttls:?}");

    client.ok(&["CONFIG", "SET", "dashboard.jitter", "0"]);
    client.bytes(&["DASHBOARD.GET", "exact"]);
    let exact = client.int(&["PTTL", "dashboard:bundle:exact:include=true"]);
    assert!((1_090_000..=1_100_000).contains(&exact), "{exact}");
}

#[test]
fn include_false_is_another_bundle_under_another_key() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();

    let with = client.json(&["DASHBOARD.GET", "acme", "INCLUDE", "true"]);
    let without = client.json(&["DASHBOARD.GET", "acme", "include", "FALSE"]);
    client.bytes(&["DASHBOARD.GET", "acme"]);

    assert_eq!(with["meta"]["include_test_data"], true);
    assert_eq!(without["meta"]["include_test_data"], false);
    assert_eq!(upstream.total(), 2);
    assert_eq!(client.int(&["EXISTS", KEY, "dashboard:bundle:acme:include=false"]), 2);
}

#[test]
fn withmeta_is_a_map_in_resp3_and_a_flat_array_in_resp2_with_the_same_fields() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut resp2, mut resp3) = (redis.client(), redis.client_resp3());

    let args = ["DASHBOARD.GET", "acme", "WITHMETA"];
    assert!(matches!(resp2.ok(&args), Value::Array(_)));
    assert!(matches!(resp3.ok(&args), Value::Map(_)));
    let (flat, map) = (meta(&mut resp2, &[]), meta(&mut resp3, &[]));

    for reply in [&flat, &map] {
        let names: Vec<_> = reply.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["status", "age_ms", "ttl_ms", "etag", "bundle", "behind_ms"]);
        assert_eq!(text(field(reply, "status")), "hit");
        assert!(matches!(field(reply, "age_ms"), Value::Int(0..20_000)), "{reply:?}");
        assert!(matches!(field(reply, "ttl_ms"), Value::Int(1..=300_000)), "{reply:?}");
    }
    assert_eq!(field(&flat, "bundle"), &Value::BulkString(resp2.bytes(&["GET", KEY])));
    let bundle = resp2.json(&["GET", KEY]);
    assert_eq!(bundle["meta"]["etag"], text(field(&map, "etag")));
}

#[test]
fn withmeta_says_miss_then_hit_then_refreshed() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    assert_eq!(status(&mut client, &[]), "miss");
    assert_eq!(status(&mut client, &[]), "hit");
    assert_eq!(status(&mut client, &["REFRESH"]), "refreshed");
    assert_eq!(status(&mut client, &[]), "hit");
}

#[test]
fn refresh_computes_anew_and_replaces_what_is_stored() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);

    assert_eq!(version(&client.json(&["DASHBOARD.GET", "acme", "REFRESH"])), 2);
    assert_eq!(version(&client.json(&["DASHBOARD.GET", "acme"])), 2);
    assert_eq!(upstream.total(), 2);
}

#[test]
fn refresh_falls_back_to_the_old_bundle_when_computing_fails() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    upstream.answer(Answer::UNAVAILABLE);

    assert_ne!(status(&mut client, &["REFRESH"]), "refreshed");
    assert_eq!(version(&client.json(&["GET", KEY])), 1, "a failed refresh leaves the old bundle");
}

#[test]
fn refresh_falls_back_to_the_old_bundle_after_the_soft_timeout() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("soft-timeout", 50).start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    upstream.hold();

    assert_ne!(status(&mut client, &["REFRESH"]), "refreshed");
    upstream.release();
    harness::assert_eventually!(version(&client.json(&["GET", KEY])) == 2, "the late bundle is stored");
}

#[test]
fn maxage_recomputes_only_a_bundle_that_is_older() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);

    assert_eq!(version(&client.json(&["DASHBOARD.GET", "acme", "MAXAGE", "60000"])), 1);
    let mut with_maxage = || version(&client.json(&["DASHBOARD.GET", "acme", "MAXAGE", "500"]));
    harness::assert_eventually!(with_maxage() == 2, "it grows older than half a second");
    assert_eq!(version(&client.json(&["DASHBOARD.GET", "acme", "MAXAGE", "60000"])), 2);
    assert_eq!(version(&client.json(&["DASHBOARD.GET", "acme", "MAXAGE", "0"])), 3);
}

#[test]
fn past_its_ttl_the_old_bundle_is_answered_at_once_and_refreshed_behind_it() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("ttl", 1).start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    upstream.hold();

    harness::assert_eventually!(status(&mut client, &[]) == "stale", "a second passes");
    let reply = meta(&mut client, &[]);
    assert_eq!(text(field(&reply, "status")), "stale");
    assert!(matches!(field(&reply, "age_ms"), Value::Int(900..20_000)), "{reply:?}");
    assert_eq!(field(&reply, "ttl_ms"), &Value::Int(0));
    upstream.wait_for(2);
    assert_eq!(upstream.total(), 2, "one refresh, however many readers");

    upstream.release();
    harness::assert_eventually!(version(&client.json(&["GET", KEY])) == 2, "the refreshed bundle is stored");
}

#[test]
fn raising_the_ttl_does_not_make_an_old_bundle_fresh_again() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("ttl", 1).start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    upstream.hold();
    harness::assert_eventually!(status(&mut client, &[]) == "stale", "a second passes");
    client.ok(&["CONFIG", "SET", "dashboard.ttl", "100000"]);
    assert_eq!(status(&mut client, &[]), "stale");
    upstream.release();
}

#[test]
fn ifnonematch_answers_null_for_what_the_client_has_and_the_bundle_otherwise() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let bundle = client.json(&["DASHBOARD.GET", "acme"]);
    let etag = bundle["meta"]["etag"].as_str().unwrap();

    assert_eq!(client.ok(&["DASHBOARD.GET", "acme", "IFNONEMATCH", etag]), Value::Nil);
    let other = "0".repeat(32);
    assert_eq!(client.json(&["DASHBOARD.GET", "acme", "IFNONEMATCH", &other]), bundle);
}

#[test]
fn ifnonematch_answers_null_after_recomputing_the_same_content() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Unchanging);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let bundle = client.json(&["DASHBOARD.GET", "acme"]);
    let etag = bundle["meta"]["etag"].as_str().unwrap();

    assert_eq!(client.ok(&["DASHBOARD.GET", "acme", "REFRESH", "IFNONEMATCH", etag]), Value::Nil);
    assert_eq!(upstream.total(), 2);
}

#[test]
fn options_come_in_any_order_and_case() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme", "INCLUDE", "false"]);
    let args = ["dashboard.get", "acme", "withmeta", "MaxAge", "1000", "INCLUDE", "false", "refresh"];
    let reply = client.map(&args);
    assert_eq!(text(field(&reply, "status")), "refreshed");
    assert_eq!(upstream.total(), 2);
    assert!(!upstream.requests()[1].include_test_data);
}

#[test]
fn an_unknown_tenant_is_remembered_for_negative_ttl() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::NO_TENANT);
    let redis = Redis::builder().upstream(&upstream).setting("negative-ttl", 1).start();
    let mut client = redis.client();
    for _ in 0..3 {
        let error = client.error(&["DASHBOARD.GET", "nobody"]);
        assert!(error.starts_with("NOTENANT "), "{error}");
    }
    assert_eq!(upstream.total(), 1);
    assert_eq!(client.int(&["DBSIZE"]), 0);

    upstream.answer(Answer::Bundle);
    harness::assert_eventually!(
        client.call(&["DASHBOARD.GET", "nobody"]).is_ok(),
        "the tenant is asked for again"
    );
}

#[test]
fn with_hash_tag_the_tenant_stands_in_braces() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("hash-tag", "yes").start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    assert_eq!(client.int(&["EXISTS", "dashboard:bundle:{acme}:include=true"]), 1);
}

#[test]
fn in_cluster_mode_a_bundle_always_lies_in_the_slot_of_its_tenants_name() {
    let upstream = FakeUpstream::start();
    let bus = format!("cluster-port {}", harness::free_port());
    let redis = Redis::builder().upstream(&upstream).tcp().line("cluster-enabled yes").line(&bus).start();
    let mut client = redis.client();
    client.ok(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    harness::assert_eventually!(client.call(&["DASHBOARD.GET", "acme"]).is_ok(), "the cluster is up");
    let key = "dashboard:bundle:{acme}:include=true";
    assert_eq!(client.int(&["EXISTS", key]), 1);
    assert_eq!(client.int(&["CLUSTER", "KEYSLOT", key]), client.int(&["CLUSTER", "KEYSLOT", "acme"]));
}

#[test]
fn in_multi_and_lua_what_is_there_is_answered_and_what_is_not_is_miss_and_filled() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let script = "return redis.pcall('DASHBOARD.GET', KEYS[1])";

    let error = client.error(&["EVAL", script, "1", "acme"]);
    assert!(error.starts_with("MISS "), "{error}");
    harness::assert_eventually!(client.int(&["EXISTS", KEY]) == 1, "the fill has started");
    assert_eq!(client.bytes(&["EVAL", script, "1", "acme"]), client.bytes(&["GET", KEY]));

    client.ok(&["MULTI"]);
    client.ok(&["DASHBOARD.GET", "acme"]);
    let Value::Array(replies) = client.ok(&["EXEC"]) else { panic!("EXEC replies with an array") };
    assert_eq!(replies, [Value::BulkString(client.bytes(&["GET", KEY]))]);
}
