//! What must hold of all that is read from outside, whatever its bytes: arguments, the sidecar's answers,
//! stored values, the setting `sidecar`. Each `check` takes any bytes and panics where a property does not
//! hold; it does not only look for panics of the code itself.
//!
//! cargo-fuzz calls them (`make fuzz`), led by coverage; `cargo test` does so for a few seconds, led by
//! nothing but the corpus. Both read `module/fuzz/corpus`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a fuzzer is told that a property does not hold"
)]

pub mod answers;
pub mod arguments;
pub mod endpoints;
#[cfg(test)]
mod mutate;
#[cfg(test)]
mod run;
pub mod stored;
pub mod stream;

use crate::upstream::Order;
use engine::FlightId;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use wire::bundle::{Lifetime, SidecarMeta, compose};
use wire::known::Known;
use wire::tenant::Tenant;

const LIFE: Lifetime = Lifetime {
    as_of: 1_700_000_000_000,
    fresh_until: 1_700_000_300_000,
    expires_at: 1_700_086_700_000,
    valid_until: None,
};
const ETAG: &str = "00112233445566778899aabbccddeeff";
const STORED_CONTENT: &[u8] = b",\"stats\":{\"stored\":1}}";

fn order(flight: FlightId, tenant: &str, include: bool) -> Order {
    let tenant = Tenant::new(tenant.as_bytes()).expect("a tenant's name");
    Order { flight, tenant, include, life: LIFE, known: None }
}

/// What is stored of a bundle, with the etag [`ETAG`].
pub(crate) fn known(tenant: &str, include: bool) -> Known {
    let meta = SidecarMeta {
        tenant_id: tenant.into(),
        include_test_data: include,
        generated_at: "2026-01-02T03:04:05Z".into(),
        etag: ETAG.into(),
        compute_ms: 3,
        version: Some("v:1".into()),
        valid_until_ms: None,
    };
    let life = Lifetime { as_of: LIFE.as_of - 1, ..LIFE };
    Known::copy(&compose(&meta, life, STORED_CONTENT), tenant, include).expect("a stored bundle")
}

/// What the README says of a tenant's name.
fn is_tenant(name: &[u8]) -> bool {
    let spelled = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    let reserved: HashSet<&[u8]> = HashSet::from([&b"SOFT"[..], b"FORCE", b"ASYNC"]);
    (1..=64).contains(&name.len())
        && name.iter().all(spelled)
        && !reserved.contains(&name.to_ascii_uppercase()[..])
}

/// Text that stands in a reply or a log: one line, and not a long one.
fn assert_one_line(text: &str) {
    assert!(!text.contains(char::is_control), "control characters in {text:?}");
    assert!((1..=2000).contains(&text.len()), "{} bytes: {text}", text.len());
}

/// The members of a JSON object, each with its text.
fn object(json: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(json).ok()
}

/// A member that is a string.
fn string(object: &BTreeMap<String, &RawValue>, name: &str) -> Option<String> {
    serde_json::from_str(object.get(name)?.get()).ok()
}

/// A member that is true or false.
fn boolean(object: &BTreeMap<String, &RawValue>, name: &str) -> Option<bool> {
    serde_json::from_str(object.get(name)?.get()).ok()
}

/// Random numbers that are always the same for the same input, so that a find can be repeated.
fn dice(data: &[u8]) -> fastrand::Rng {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish())
}
