//! Reading a bundle: one cache for Redis's clients and for those of HTTP.

use serde_json::{Value, json};

use super::{Stack, TENANT, message, path};

#[test]
fn the_first_read_is_a_miss_the_next_a_hit_and_redis_has_the_same_bundle() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_LOG_READS", "on"));
    let key = format!("dashboard:bundle:{TENANT}:include=true");
    for (cached, word, line) in [
        (false, "MISS", format!("[dashboard-bundle] Cache MISS key={key} (compute from db)")),
        (true, "HIT", format!("[dashboard-bundle] Cache HIT key={key} (redis)")),
    ] {
        let response = stack.get(&path(TENANT));
        assert_eq!(response.status, 200);
        let body = response.json();
        assert_eq!((&body["status"], &body["cached"]), (&json!("success"), &json!(cached)));
        assert_eq!(response.header("x-cache"), Some(word));
        assert_eq!(response.header("x-cache-key"), Some(key.as_str()));
        assert_eq!(body["data"], stack.redis.client().json(&["GET", &key]));
        assert!(stack.sidecar.log().contains(&line), "{}", stack.sidecar.log());
    }
    let statistics = |field| stack.redis.client().figure(field);
    assert_eq!((statistics("hits"), statistics("misses")), (1, 1));
}

#[test]
fn the_log_has_no_line_for_each_read_but_counts_and_the_first_failure_of_its_kind() {
    let mut stack = Stack::start();
    for _ in 0..3 {
        stack.get(&path(TENANT));
    }
    stack.get(&path("nobody"));
    stack.get(&path("nobody"));
    stack.sidecar.process().interrupt();
    assert!(stack.sidecar.process().wait_exit().success());
    let log = stack.sidecar.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("[dashboard-bundle]")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("\"code\":\"no_tenant\""), "{log}");
    assert!(lines[1].contains("hit 2, miss 1, no_tenant 2"), "{log}");
}

#[test]
fn bust_cache_computes_anew_and_says_so() {
    let stack = Stack::start();
    let total = |response: &harness::Response| response.json()["data"]["stats"]["totalContacts"].clone();
    assert_eq!(total(&stack.get(&path(TENANT))), 0);
    stack.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{TENANT}')"));
    assert_eq!(total(&stack.get(&path(TENANT))), 0, "fresh");
    let response = stack.get(&format!("{}&bust_cache=true", path(TENANT)));
    assert_eq!((total(&response), &response.json()["cached"]), (json!(1), &json!(false)));
    assert_eq!(response.header("x-cache"), Some("REFRESHED"));
    assert_eq!(total(&stack.get(&format!("{}&bust_cache=false", path(TENANT)))), 1);
}

#[test]
fn test_data_is_left_out_when_that_is_asked_for() {
    let stack = Stack::start();
    stack.postgres.execute(&format!(
        "INSERT INTO contacts (tenant_id, is_test_data) VALUES ('{TENANT}', true), ('{TENANT}', null)"
    ));
    for (query, contacts) in [("", 2), ("&include_test_data=true", 2), ("&include_test_data=false", 1)] {
        let data: Value = stack.get(&format!("{}{query}", path(TENANT))).json()["data"].clone();
        assert_eq!(data["stats"]["totalContacts"], contacts, "{query}");
    }
}

#[test]
fn what_the_client_has_already_is_not_sent_again_and_does_not_cross_redis() {
    let stack = Stack::start();
    let first = stack.get(&path(TENANT));
    let etag = first.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("W/\"{}\"", first.json()["data"]["meta"]["etag"].as_str().unwrap()));
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert_eq!(first.headers("vary"), "authorization, accept-encoding");

    let sent =
        || stack.redis.client().info("stats", "total_net_output_bytes").unwrap().parse::<u64>().unwrap();
    let before = sent();
    let response = stack.ask("GET", &path(TENANT), &[("if-none-match", &etag)], "");
    let crossed = sent() - before;
    assert_eq!((response.status, response.body.len()), (304, 0));
    for name in ["etag", "cache-control", "vary"] {
        assert_eq!(response.headers(name), first.headers(name), "{name}");
    }
    assert_eq!(response.header("x-cache"), Some("HIT"));
    assert!(response.header("x-cache-ttl-ms").unwrap().parse::<u64>().unwrap() > 0);
    let size = serde_json::to_vec(&first.json()["data"]).unwrap().len() as u64;
    // INFO's own answer is in it.
    let info = stack.redis.client().bytes(&["INFO", "stats"]).len() as u64;
    assert!(crossed < info + size, "{crossed} bytes of which INFO is {info}; the bundle has {size}");

    for (known, status) in [
        (format!("\"{}\"", etag.trim_start_matches("W/").trim_matches('"')), 304),
        (format!("\"x\", {etag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        ("x".to_owned(), 200),
    ] {
        let response = stack.ask("GET", &path(TENANT), &[("if-none-match", &known)], "");
        assert_eq!(response.status, status, "{known}");
    }

    stack.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{TENANT}')"));
    let fresh = format!("{}&bust_cache=true", path(TENANT));
    let response = stack.ask("GET", &fresh, &[("if-none-match", &etag)], "");
    assert_eq!(response.status, 200, "other content");
    let etag = response.header("etag").unwrap().to_owned();
    let response = stack.ask("GET", &fresh, &[("if-none-match", &etag)], "");
    assert_eq!((response.status, response.header("x-cache")), (304, Some("REFRESHED")), "the same content");
}

#[test]
fn head_tells_what_get_would_without_the_body() {
    let stack = Stack::start();
    stack.fill();
    let get = stack.get(&path(TENANT));
    let head = stack.ask("HEAD", &path(TENANT), &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["etag", "content-type", "cache-control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 5000);
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let stack = Stack::start();
    for (query, status, named) in [
        ("", 400, "'tenant_id'"),
        ("?tenant_id=", 400, "'tenant_id'"),
        ("?tenant_id=a%20b", 400, "'tenant_id'"),
        ("?tenant_id=a*", 400, "'tenant_id'"),
        ("?tenant_id=SOFT", 400, "'tenant_id'"),
        ("?tenant_id=a&tenant_id=b", 400, "'tenant_id'"),
        ("?tenant_id=a&include_test_data=1", 400, "'include_test_data'"),
        ("?tenant_id=a&bust_cache=yes", 400, "'bust_cache'"),
        ("?tenant=a", 400, "'tenant'"),
        ("?tenant_id=nobody", 404, "'nobody'"),
        ("?tenant_id=33333333-3333-4333-8333-333333333333", 404, "there is no tenant"),
    ] {
        let response = stack.get(&format!("/api/reports/dashboard-bundle{query}"));
        assert_eq!(response.status, status, "{query}");
        assert!(message(&response).contains(named), "{query}: {}", response.text());
    }
}

#[test]
fn with_redis_or_postgres_down_it_says_which() {
    let mut stack = Stack::start();
    stack.postgres.go_down();
    let response = stack.get(&path(TENANT));
    assert_eq!(response.status, 503);
    assert!(message(&response).contains("Postgres"), "{}", response.text());
    assert!(response.header("retry-after").is_some());
    let log = stack.sidecar.log();
    assert!(
        log.contains("\"code\":\"postgres_unavailable\"") && !log.contains("\"code\":\"redis_unavailable\""),
        "{log}"
    );
    stack.redis.shutdown();
    let response = stack.get(&path(TENANT));
    assert_eq!(response.status, 503);
    assert!(message(&response).contains("Redis"), "{}", response.text());
}

#[test]
fn connections_that_redis_has_closed_cost_nobody_an_error() {
    let stack = Stack::start();
    let mut observer = stack.redis.client();
    for _ in 0..5 {
        assert_eq!(stack.get(&path(TENANT)).status, 200);
        observer.ok(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let response = stack.get(&path(TENANT));
        assert_eq!(response.status, 200, "{}", response.text());
    }
}
