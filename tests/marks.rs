//! What marks a bundle as changed, and what does not: copies, other versions, and time.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};

use crate::states::{get, key, now};

fn expiry(client: &mut Client, tenant: &str) -> i64 {
    client.int(&["PEXPIRETIME", &key(tenant)])
}

#[test]
fn an_expiry_that_is_off_by_half_a_second_neither_undoes_a_mark_nor_makes_one() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("hot-window", 0).start();
    let mut client = redis.client();
    for tenant in ["marked", "fresh"] {
        client.json(&["DASHBOARD.GET", tenant]);
    }
    client.int(&["DASHBOARD.CLEAR", "marked", "SOFT"]);
    upstream.hold();
    client.ok(&["CONFIG", "SET", "dashboard.soft-timeout", "1"]);
    for drift in [-500, -1, 2, 500] {
        for tenant in ["marked", "fresh"] {
            let moved = expiry(&mut client, tenant) + drift;
            assert_eq!(client.int(&["PEXPIREAT", &key(tenant), &moved.to_string()]), 1);
        }
        assert_eq!((get(&mut client, "marked"), get(&mut client, "fresh")), ("stale".into(), "hit".into()));
    }
}

#[test]
fn a_tool_that_copies_with_dump_and_restore_takes_marks_along_and_invents_none() {
    let upstream = FakeUpstream::start();
    let [from, to] = [(); 2].map(|()| Redis::builder().upstream(&upstream).setting("hot-window", 0).start());
    let (mut from, mut to) = (from.client(), to.client());
    for n in 0..40 {
        from.json(&["DASHBOARD.GET", &format!("t{n}")]);
    }
    for n in 0..20 {
        from.int(&["DASHBOARD.CLEAR", &format!("t{n}"), "SOFT"]);
    }
    upstream.hold();
    to.ok(&["CONFIG", "SET", "dashboard.soft-timeout", "1"]);
    for n in 0..40 {
        let key = key(&format!("t{n}"));
        let (ttl, dump) = (from.int(&["PTTL", &key]).to_string(), from.bytes(&["DUMP", &key]));
        to.ok(&[b"RESTORE", key.as_bytes(), ttl.as_bytes(), &dump[..]]);
        let expected = if n < 20 { "stale" } else { "hit" };
        assert_eq!(get(&mut to, &format!("t{n}")), expected, "{n}");
    }
}

#[test]
fn bundles_from_before_the_format_keep_their_mark_of_one_millisecond() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    for (tenant, mark, status) in [("marked", 1, "refreshed"), ("fresh", 0, "hit")] {
        let bundle = client.json(&["DASHBOARD.GET", tenant]);
        let value = String::from_utf8(client.bytes(&["GET", &key(tenant)])).unwrap();
        let old = value.replacen("\"format\":2,", "", 1);
        assert_ne!(old, value);
        let expiry = bundle["meta"]["expires_at_ms"].as_i64().unwrap() - mark;
        client.ok(&["SET", &key(tenant), &old, "PXAT", &expiry.to_string()]);
        assert_eq!(get(&mut client, tenant), status);
    }
    // And a mark of today is one for them, too.
    client.int(&["DASHBOARD.CLEAR", "fresh", "SOFT"]);
    assert_eventually!(get(&mut client, "fresh") != "stale", "it is computed anew");
    assert_eq!(upstream.count("fresh"), 2);
}

#[test]
fn a_mark_keeps_the_fallback_of_a_bundle_that_has_less_than_a_minute_left() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("ttl", 20).setting("stale-ttl", 20).start();
    let mut client = redis.client();
    client.json(&["DASHBOARD.GET", "a"]);
    upstream.answer(Answer::UNAVAILABLE);
    assert_eq!(client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]), 1);
    assert_eq!(get(&mut client, "a"), "stale");
    assert!(expiry(&mut client, "a") > now(&mut client));
}

#[test]
fn marks_survive_a_restart_from_the_append_only_file_and_reach_a_replica() {
    let upstream = FakeUpstream::start();
    let primary = Redis::builder()
        .upstream(&upstream)
        .tcp()
        .line("appendonly yes")
        .setting("hot-window", 0)
        .setting("soft-timeout", 1)
        .start();
    let replica = Redis::builder().upstream(&upstream).setting("soft-timeout", 1).start();
    replica.follow(&primary);
    let mut client = primary.client();
    for tenant in ["marked", "fresh"] {
        client.json(&["DASHBOARD.GET", tenant]);
    }
    client.int(&["DASHBOARD.CLEAR", "marked", "SOFT"]);
    upstream.hold();
    let mut reader = replica.client();
    assert_eventually!(
        get(&mut reader, "marked") == "stale" && get(&mut reader, "fresh") == "hit",
        "on the replica"
    );
    let primary = primary.restart();
    let mut client = primary.client();
    assert_eq!((get(&mut client, "marked"), get(&mut client, "fresh")), ("stale".into(), "hit".into()));
}

#[test]
fn past_the_time_that_it_is_valid_a_bundle_is_waited_for_and_clients_that_keep_it_are_told() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    upstream.answer(Answer::ValidFor(1_000));
    let bundle = client.json(&["DASHBOARD.GET", "a"]);
    let until = bundle["meta"]["valid_until_ms"].as_i64().unwrap();
    assert_eq!(get(&mut client, "a"), "hit");
    let ttl = client.map(&["DASHBOARD.GET", "a", "WITHMETA"])[2].clone();
    assert!(matches!(ttl.1, redis::Value::Int(ttl) if ttl <= 1_000), "{ttl:?}");
    assert_eventually!(now(&mut client) >= until, "a second passes");
    upstream.answer(Answer::Bundle);
    let told = client.figure("invalidations");
    assert_eq!(get(&mut client, "a"), "refreshed", "it is changed, not merely old");
    assert_eventually!(client.figure("invalidations") == told + 1, "of time nobody has been told");
    assert_eq!(get(&mut client, "a"), "hit");
}
