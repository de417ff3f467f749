//! `POST /api/reports/clear-cache`.

use super::{OTHER, Stack, TENANT, message, path};

const CLEAR: &str = "/api/reports/clear-cache";

#[test]
fn one_tenant_is_cleared_or_all_of_them() {
    let stack = Stack::start();
    let fill = || [TENANT, OTHER].map(|tenant| stack.get(&path(tenant)).status);
    let cached = |tenant| stack.get(&path(tenant)).json()["cached"].clone();
    fill();
    let response = stack.sidecar.public().post(CLEAR, &format!(r#"{{"tenant_id":"{TENANT}"}}"#));
    assert_eq!(response.status, 200);
    let body = response.json();
    assert_eq!((&body["status"], &body["data"]["cleared"]), (&"success".into(), &1.into()), "{body}");
    assert_eq!((cached(TENANT), cached(OTHER)), (false.into(), true.into()));

    let response = stack.sidecar.public().post(CLEAR, "{}");
    assert_eq!(response.json()["data"], serde_json::json!({"tenant_id": null, "cleared": 2}));
    assert_eq!(stack.redis.client().int(&["DBSIZE"]), 0);
}

#[test]
fn what_curl_sends_by_default_is_understood() {
    let stack = Stack::start();
    stack.get(&path(TENANT));
    for kind in ["application/x-www-form-urlencoded", "application/json; charset=utf-8"] {
        let response = stack.ask("POST", CLEAR, &[("content-type", kind)], "{}");
        assert_eq!(response.status, 200, "{kind}: {}", response.text());
    }
}

#[test]
fn a_body_that_is_not_understood_clears_nothing() {
    let stack = Stack::start();
    stack.get(&path(TENANT));
    let huge = format!(r#"{{"tenant_id":"{}"}}"#, "x".repeat(20_000));
    let json = ("content-type", "application/json");
    for (headers, body, status, named) in [
        (&[json][..], "", 400, "the body"),
        (&[json], "[]", 400, "the body"),
        (&[json], "{", 400, "the body"),
        (&[json], "{} {}", 400, "the body"),
        (&[json], "tenant_id=one", 400, "the body"),
        (&[json], r#"{"tenant_id":null}"#, 400, "'tenant_id'"),
        (&[json], r#"{"tenant_id":["a"]}"#, 400, "'tenant_id'"),
        (&[json], r#"{"tenant_id":"a b"}"#, 400, "'tenant_id'"),
        (&[json], r#"{"tenant_id":"a","tenant_id":"b"}"#, 400, "tenant_id"),
        (&[json], r#"{"tenant":"a"}"#, 400, "tenant"),
        (&[json], &huge, 413, "16384"),
        (&[("content-type", "text/plain")], "{}", 415, "text/plain"),
        (&[("content-type", "application/xml")], "{}", 415, "application/xml"),
        (&[json, ("content-encoding", "gzip")], "{}", 415, "gzip"),
    ] {
        let response = stack.ask("POST", CLEAR, headers, body);
        assert_eq!(response.status, status, "{headers:?} {body:.80}: {}", response.text());
        assert!(message(&response).contains(named), "{body:.80}: {}", response.text());
    }
    assert_eq!(stack.redis.client().int(&["DBSIZE"]), 1);
}
