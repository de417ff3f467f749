//! Whatever the sidecar answers, only the right bundle is stored, and the server goes on.

use harness::{Answer, FakeUpstream, Redis};

/// Asks for a bundle that comes wrong, and then for it again once it comes right.
fn refuses(answer: &Answer, first_word: &str) {
    let upstream = FakeUpstream::start();
    upstream.answer(answer.clone());
    let mut redis =
        Redis::builder().upstream(&upstream).setting("timeout", 1_000).setting("negative-ttl", 0).start();
    let mut client = redis.client();

    let error = client.error(&["DASHBOARD.GET", "acme"]);
    assert_eq!(error.split(' ').next(), Some(first_word), "{answer:?}: {error}");
    assert!(error.len() < 300 && !error.contains('\n'), "{answer:?}: one clear message: {error}");
    assert!(!error.contains("own words"), "{answer:?}: causes are for the log: {error}");
    assert_eq!(client.int(&["DBSIZE"]), 0, "{answer:?}: nothing is stored");

    upstream.answer(Answer::Bundle);
    harness::assert_eventually!(client.call(&["DASHBOARD.GET", "acme"]).is_ok(), "the right bundle is taken");
    assert!(redis.is_alive());
}

#[test]
fn another_tenants_bundle_is_refused() {
    refuses(&Answer::WrongTenant, "UNAVAILABLE");
}

#[test]
fn the_bundle_of_the_other_include_value_is_refused() {
    refuses(&Answer::WrongInclude, "UNAVAILABLE");
}

#[test]
fn garbage_is_refused() {
    refuses(&Answer::Garbage, "UNAVAILABLE");
}

#[test]
fn json_that_is_no_bundle_is_refused() {
    refuses(&Answer::WrongShape, "UNAVAILABLE");
}

#[test]
fn half_a_body_is_refused() {
    refuses(&Answer::HalfBody, "UNAVAILABLE");
}

#[test]
fn an_empty_body_is_refused() {
    refuses(&Answer::EmptyBody, "UNAVAILABLE");
}

#[test]
fn a_connection_that_closes_without_a_byte_is_unavailable() {
    refuses(&Answer::Close, "UNAVAILABLE");
}

#[test]
fn ten_megabytes_are_refused() {
    refuses(&Answer::Sized(10_000_000), "OVERLOADED");
}

#[test]
fn no_answer_at_all_is_a_timeout() {
    refuses(&Answer::Hang, "TIMEOUT");
}

#[test]
fn errors_of_the_sidecar_keep_their_kind() {
    refuses(&Answer::NO_TENANT, "NOTENANT");
    refuses(&Answer::UNAVAILABLE, "UNAVAILABLE");
    refuses(&Answer::Error(500, "internal"), "UNAVAILABLE");
    refuses(&Answer::Error(429, "overloaded"), "OVERLOADED");
    refuses(&Answer::Error(504, "timeout"), "TIMEOUT");
    refuses(&Answer::Error(401, "unauthorized"), "UNAVAILABLE");
}

#[test]
fn unavailable_says_whether_the_sidecar_or_postgres_is_down() {
    let mut upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    upstream.answer(Answer::UNAVAILABLE);
    let error = client.error(&["DASHBOARD.GET", "a"]);
    assert!(error.contains("Postgres"), "{error}");
    upstream.refuse();
    let error = client.error(&["DASHBOARD.GET", "b"]);
    assert!(error.contains("sidecar"), "{error}");
}

#[test]
fn a_sidecar_that_comes_back_is_used_again() {
    let mut upstream = FakeUpstream::start();
    upstream.refuse();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    for i in 0..20 {
        let error = client.error(&["DASHBOARD.GET", &format!("t{i}")]);
        assert!(error.starts_with("UNAVAILABLE "), "{error}");
    }
    upstream.listen();
    harness::assert_eventually!(client.call(&["DASHBOARD.GET", "t0"]).is_ok(), "the breaker closes again");
}

#[test]
fn a_bundle_as_large_as_the_bound_is_taken_and_one_byte_more_is_not() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("max-bundle-bytes", "64kb").start();
    let mut client = redis.client();
    upstream.answer(Answer::Sized(60_000));
    client.bytes(&["DASHBOARD.GET", "small"]);
    upstream.answer(Answer::Sized(65_537));
    let error = client.error(&["DASHBOARD.GET", "large"]);
    assert!(error.starts_with("OVERLOADED ") && error.contains("max-bundle-bytes"), "{error}");
}

#[test]
fn the_token_is_shown_to_the_sidecar_and_to_nobody_else() {
    let upstream = FakeUpstream::start();
    upstream.require_token("correct-horse-battery");
    let redis = Redis::builder().upstream(&upstream).setting("token", "correct-horse-battery").start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    for args in [&["DASHBOARD.HELP"][..], &["INFO", "everything"], &["SLOWLOG", "GET"], &["CLIENT", "LIST"]] {
        let reply = format!("{:?}", client.ok(args));
        assert!(!reply.contains("correct-horse-battery"), "{args:?}");
    }
    assert!(!redis.log().contains("correct-horse-battery"));
}

#[test]
fn when_redis_is_out_of_memory_the_bundle_is_answered_uncached() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).line("maxmemory-policy noeviction").start();
    let mut client = redis.client();
    client.ok(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(client.json(&["DASHBOARD.GET", "acme"])["meta"]["tenant_id"], "acme");
    assert_eq!(client.int(&["DBSIZE"]), 0);
    client.ok(&["CONFIG", "SET", "maxmemory", "0"]);
    client.bytes(&["DASHBOARD.GET", "acme"]);
    assert_eq!(client.int(&["DBSIZE"]), 1);
}
