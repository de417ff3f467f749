//! A server that holds one bundle in each state, for the tests of several subjects.

use harness::{Client, Reply, text};
use redis::Value;

/// Tenants by the state of their bundle.
pub(crate) const FRESH: &str = "fresh";
pub(crate) const STALE: &str = "past-ttl";
pub(crate) const CHANGED: &str = "marked-as-changed";
pub(crate) const ABSENT: &str = "absent";

pub(crate) fn key(tenant: &str) -> String {
    format!("dashboard:bundle:{tenant}:include=true")
}

/// Stores three bundles, with three requests; the upstream must be answering.
pub(crate) fn prepare(client: &mut Client) {
    client.ok(&["CONFIG", "SET", "dashboard.jitter", "0", "dashboard.ttl", "1"]);
    client.json(&["DASHBOARD.GET", STALE]);
    client.ok(&["CONFIG", "SET", "dashboard.ttl", "300"]);
    for tenant in [FRESH, CHANGED] {
        client.json(&["DASHBOARD.GET", tenant]);
    }
    mark_as_changed(client, CHANGED);
    let fresh_until = client.json(&["GET", &key(STALE)])["meta"]["fresh_until_ms"].as_i64().unwrap();
    harness::assert_eventually!(now(client) > fresh_until, "a second passes");
}

/// Does to the key what `CLEAR … SOFT` does, and nothing else: it is not computed anew because it was read a
/// moment ago.
fn mark_as_changed(client: &mut Client, tenant: &str) {
    let expires_at = client.json(&["GET", &key(tenant)])["meta"]["expires_at_ms"].as_i64().unwrap();
    assert_eq!(client.int(&["PEXPIREAT", &key(tenant), &(expires_at + 60_000).to_string()]), 1);
}

/// Makes a fresh bundle one of an hour ago, past its `ttl`, with no known change.
pub(crate) fn age(client: &mut Client, key: &str) {
    let mut value = String::from_utf8(client.bytes(&["GET", key])).unwrap();
    let meta = client.json(&["GET", key])["meta"].clone();
    for name in ["as_of_ms", "fresh_until_ms"] {
        let at = meta[name].as_i64().unwrap();
        value = value.replace(&format!("\"{name}\":{at}"), &format!("\"{name}\":{}", at - 3_600_000));
    }
    client.ok(&["SET", key, &value, "PXAT", &meta["expires_at_ms"].to_string()]);
}

/// The server's time, in milliseconds.
pub(crate) fn now(client: &mut Client) -> i64 {
    let Value::Array(time) = client.ok(&["TIME"]) else { panic!("TIME replies with an array") };
    let part = |at: usize| text(&time[at]).parse::<i64>().unwrap();
    part(0) * 1000 + part(1) / 1000
}

/// What a read with WITHMETA came to: its status, or the error's first word.
pub(crate) fn status(reply: Reply) -> String {
    match reply {
        Ok(Value::Array(fields)) => text(&fields[1]),
        Ok(Value::ServerError(error)) => error.code().to_owned(),
        Ok(other) => panic!("not a reply with WITHMETA: {other:?}"),
        Err(error) => error.split(' ').next().unwrap().to_owned(),
    }
}

/// How this tenant's bundle is answered.
pub(crate) fn get(client: &mut Client, tenant: &str) -> String {
    status(client.call(&["DASHBOARD.GET", tenant, "WITHMETA"]))
}
