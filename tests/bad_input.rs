//! Bad input: one clear error that names the thing; nothing is stored; the server goes on.

use harness::{Answer, FakeUpstream, Redis};

#[test]
fn every_bad_argument_is_refused_by_an_error_that_names_it() {
    let upstream = FakeUpstream::start();
    let mut redis = Redis::with(&upstream);
    let mut client = redis.client();
    let long = "x".repeat(65);
    let cases: &[(&[&str], &str)] = &[
        (&["DASHBOARD.GET", ""], "tenant"),
        (&["DASHBOARD.GET", &long], "tenant"),
        (&["DASHBOARD.GET", "a:b"], "a:b"),
        (&["DASHBOARD.GET", "{a}"], "{a}"),
        (&["DASHBOARD.GET", "a*"], "a*"),
        (&["DASHBOARD.GET", "a b"], "a b"),
        (&["DASHBOARD.GET", "caf\u{e9}"], "tenant"),
        (&["DASHBOARD.GET", "a", "BOGUS"], "BOGUS"),
        (&["DASHBOARD.GET", "a", "b"], "b"),
        (&["DASHBOARD.GET", "a", "INCLUDE"], "INCLUDE"),
        (&["DASHBOARD.GET", "a", "INCLUDE", "maybe"], "maybe"),
        (&["DASHBOARD.GET", "a", "INCLUDE", "1"], "INCLUDE"),
        (&["DASHBOARD.GET", "a", "INCLUDE", "true", "INCLUDE", "true"], "INCLUDE"),
        (&["DASHBOARD.GET", "a", "MAXAGE"], "MAXAGE"),
        (&["DASHBOARD.GET", "a", "MAXAGE", "-1"], "-1"),
        (&["DASHBOARD.GET", "a", "MAXAGE", "1.5"], "1.5"),
        (&["DASHBOARD.GET", "a", "MAXAGE", "soon"], "soon"),
        (&["DASHBOARD.GET", "a", "MAXAGE", "99999999999999999999"], "99999999999999999999"),
        (&["DASHBOARD.GET", "a", "MAXAGE", "1", "MAXAGE", "2"], "MAXAGE"),
        (&["DASHBOARD.GET", "a", "REFRESH", "refresh"], "REFRESH"),
        (&["DASHBOARD.GET", "a", "WITHMETA", "WITHMETA"], "WITHMETA"),
        (&["DASHBOARD.GET", "a", "IFNONEMATCH"], "IFNONEMATCH"),
        (&["DASHBOARD.CLEAR", "a:b"], "a:b"),
        (&["DASHBOARD.CLEAR", "a", "*"], "*"),
        (&["DASHBOARD.CLEAR", "SOFT", "SOFT"], "SOFT"),
        (&["DASHBOARD.CLEAR", ""], "tenant"),
        (&["DASHBOARD.WARM", "a", "b:c"], "b:c"),
        (&["DASHBOARD.WARM", "FORCE", "a", "force"], "FORCE"),
        (&["DASHBOARD.WARM", "ASYNC", "ASYNC"], "ASYNC"),
        (&["DASHBOARD.FEED", "-1", "1000"], "lag-ms"),
        (&["DASHBOARD.FEED", "soon", "1000"], "soon"),
        (&["DASHBOARD.FEED", "9007199254740992", "1000"], "lag-ms"),
        (&["DASHBOARD.FEED", "1", ""], "period-ms"),
        (&["DASHBOARD.FEED", "1", "1.5"], "period-ms"),
        (&["DASHBOARD.FEED", "1", "86400001"], "86400001"),
        (&["DASHBOARD.FEED", "1"], ""),
        (&["DASHBOARD.FEED", "1", "2", "3"], ""),
        (&["DASHBOARD.HELP", "me"], ""),
        (&["DASHBOARD.GET"], ""),
    ];
    for (args, named) in cases {
        let error = client.error(args);
        assert!(error.starts_with("ERR "), "{args:?}: {error}");
        assert!(error.contains(named), "{args:?}: names '{named}': {error}");
        assert!(error.len() < 300, "{args:?}: {error}");
    }
    assert_eq!(upstream.total(), 0, "no work is done");
    assert_eq!(client.int(&["DBSIZE"]), 0, "nothing is stored");
    assert!(redis.is_alive());
}

#[test]
fn bytes_that_are_not_text_are_refused_too() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    for args in [
        [&b"DASHBOARD.GET"[..], b"\xff\xfe", b"WITHMETA"],
        [b"DASHBOARD.GET", b"a\0b", b"WITHMETA"],
        [b"DASHBOARD.GET", b"a", b"\xff"],
        [b"DASHBOARD.GET", b"a\r\nb", b"WITHMETA"],
        [b"DASHBOARD.CLEAR", b"a", b"\xc3\x28"],
        [b"DASHBOARD.WARM", b"\xf0", b"FORCE"],
    ] {
        let error = client.error(&args);
        assert!(error.starts_with("ERR ") && !error.contains(['\r', '\n', '\0']), "{args:?}: {error:?}");
    }
    assert_eq!(client.bytes(&["ECHO", "in step"]), b"in step");
}

#[test]
fn an_address_with_control_characters_is_refused_and_the_server_goes_on() {
    let upstream = FakeUpstream::start();
    let mut redis = Redis::with(&upstream);
    let mut client = redis.client();
    for address in [&b"a\0b"[..], b"unix:/a\0b", b"unix:/run/\x1b[31m", b"http://a\0b:80"] {
        let error = client.error(&[&b"CONFIG"[..], b"SET", b"dashboard.sidecar", address]);
        assert!(error.contains("control character"), "{error:?}");
    }
    assert!(format!("{:?}", client.call(&["CONFIG", "GET", "dashboard.sidecar"])).contains(&upstream.url()));
    client.json(&["DASHBOARD.GET", "acme"]);
    assert!(redis.is_alive());
}

#[test]
fn an_error_of_the_sidecar_with_control_characters_reaches_everyone_who_waits() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Error(500, r"odd\u0000\r\n\u001b[31m"));
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let error = client.error(&["DASHBOARD.GET", "acme"]);
    assert!(error.starts_with("UNAVAILABLE "), "{error}");
    let report = format!("{:?}", client.call(&["DASHBOARD.WARM", "acme"]));
    assert!(report.contains("failed"), "{report}");
    assert_eq!(client.blocked_clients(), 0);
}

#[test]
fn an_overlong_argument_is_not_repeated_whole() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let error = redis.client().error(&["DASHBOARD.GET", "a", &"x".repeat(1_000_000)]);
    assert!(error.starts_with("ERR ") && error.len() < 300, "{} bytes", error.len());
}

#[test]
fn reserved_words_are_never_tenants() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    for word in ["SOFT", "force", "Async"] {
        let error = client.error(&["DASHBOARD.GET", word]);
        assert!(error.starts_with("ERR ") && error.contains(word), "{error}");
    }
}

#[test]
fn the_longest_and_the_strangest_allowed_tenants_work() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    for tenant in ["x".repeat(64), "A-b_c.9".to_owned(), ".".to_owned(), "-".to_owned()] {
        assert_eq!(client.json(&["DASHBOARD.GET", &tenant])["meta"]["tenant_id"], *tenant);
    }
}

#[test]
fn a_value_of_another_type_under_our_key_is_wrongtype_and_stays_as_it_is() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let key = "dashboard:bundle:acme:include=true";
    client.ok(&["RPUSH", key, "an element"]);
    let error = client.error(&["DASHBOARD.GET", "acme"]);
    assert!(error.starts_with("WRONGTYPE ") && error.contains(key), "{error}");
    assert_eq!(client.int(&["LLEN", key]), 1);
    assert_eq!(client.blocked_clients(), 0);
}

#[test]
fn a_string_under_our_key_that_is_no_bundle_is_never_answered() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let key = "dashboard:bundle:acme:include=true";
    let other = r#"{"meta":{"tenant_id":"evil","include_test_data":true,"generated_at":"2026-01-02T03:04:05.123456Z","etag":"0123456789abcdef0123456789abcdef"},"stats":{},"funnel":{},"lists":{}}"#;
    for value in ["", "x", "{}", "null", r#"{"meta":{}}"#, other, "\u{feff}{}", "[[[[[[[["] {
        client.ok(&["SET", key, value]);
        match client.call(&["DASHBOARD.GET", "acme"]) {
            Ok(reply) => {
                assert!(harness::text(&reply).contains(r#""tenant_id":"acme""#), "{value:?}: {reply:?}");
            }
            Err(error) => assert!(error.len() < 300, "{value:?}: {error}"),
        }
    }
}

#[test]
fn a_bundle_of_ours_without_a_ttl_is_answered_and_the_server_goes_on() {
    let upstream = FakeUpstream::start();
    let mut redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    client.ok(&["PERSIST", "dashboard:bundle:acme:include=true"]);
    client.json(&["DASHBOARD.GET", "acme"]);
    assert!(redis.is_alive());
}
