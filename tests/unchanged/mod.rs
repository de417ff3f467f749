//! A WARM computes only what has changed: of what is past its `ttl`, the sidecar is asked first whether anything has.

mod renewed;
mod sidecar;

use harness::Client;

use crate::states::{age, get, key};
use crate::warm::warm;

/// The other bundle of a tenant.
fn key_without(tenant: &str) -> String {
    format!("dashboard:bundle:{tenant}:include=false")
}

/// Warms these tenants, and makes their bundles an hour old.
fn warm_an_hour_ago(client: &mut Client, tenants: &[&str]) {
    warm(client, tenants);
    for tenant in tenants {
        age(client, &key(tenant));
        age(client, &key_without(tenant));
        assert_eq!(client.json(&["GET", &key(tenant)])["meta"]["tenant_id"], **tenant);
    }
}

/// What is stored, without a read of it being noticed.
fn stored(client: &mut Client, key: &str) -> serde_json::Value {
    client.json(&["GET", key])
}

/// How a bundle is answered, and then what it says.
fn read(client: &mut Client, tenant: &str) -> (String, serde_json::Value) {
    (get(client, tenant), stored(client, &key(tenant)))
}
