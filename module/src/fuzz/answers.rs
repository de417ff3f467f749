//! The sidecar's answers that come as a whole: one bundle, the list of tenants, an error.

use super::{ETAG, LIFE, assert_one_line, boolean, is_tenant, object, order, string};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::response;
use crate::upstream::{Fetched, Order};
use engine::Failure;
use hyper::StatusCode;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use wire::bundle::{self, Lifetime, Stamp};

/// - A bundle is accepted by at most one order: the one that its `meta` names.
/// - What is accepted reads back as that order's, and nobody else's; it is JSON, and but for `meta` the bytes
///   that came.
/// - A bundle is never refused for what it contains.
/// - A list of tenants is read whole or not at all.
/// - Only an error that says so means that there is no such tenant: its stored bundle is removed then.
/// - What is refused is explained in one line.
pub fn check(data: &[u8]) {
    check_bundle(data);
    check_content(data);
    check_list(data);
    check_error(data);
}

fn check_bundle(body: &[u8]) {
    let orders = [order(1, "t1", true), order(2, "t1", false), order(3, "t2", true)];
    let mut accepted = 0;
    for order in &orders {
        match response::bundle(body, order) {
            Ok(fetched) => {
                accepted += 1;
                check_accepted(body, order, &fetched);
                for other in orders.iter().filter(|other| other.flight != order.flight) {
                    let read = Stamp::read(&fetched.value, other.tenant.as_str(), other.include);
                    assert_eq!(read, None, "read as {other:?}");
                }
            }
            Err(problem) => {
                assert!(matches!(problem.failure, Failure::Malformed | Failure::WrongBundle), "{problem:?}");
                assert_one_line(&problem.cause);
            }
        }
    }
    assert!(accepted <= 1, "{accepted} orders accept it");
}

/// Of one bundle that `order` has accepted.
pub(super) fn check_accepted(body: &[u8], order: &Order, fetched: &Fetched) {
    let sent = Members::of(body);
    let said = object(sent.meta().get().as_bytes()).expect("meta is an object");
    assert_eq!(string(&said, "tenant_id").as_deref(), Some(order.tenant.as_str()));
    assert_eq!(boolean(&said, "include_test_data"), Some(order.include));
    let etag = string(&said, "etag").expect("an etag");
    assert!(etag.len() == 32 && etag.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{etag}");
    assert_eq!(fetched.etag, etag);

    let stamp = Stamp::read(&fetched.value, order.tenant.as_str(), order.include).expect("a stamp");
    let valid_until = said.get("valid_until_ms").and_then(|at| at.get().parse().ok());
    assert!(valid_until.is_none_or(bundle::is_time));
    let life = Lifetime { valid_until, ..order.life };
    assert_eq!((stamp.etag, stamp.life, fetched.life), (etag.as_bytes(), life, life));

    let kept = Members::of(&fetched.value);
    assert_eq!(kept.after_meta(), sent.after_meta());
    let meta = object(kept.meta().get().as_bytes()).expect("meta is an object");
    assert_eq!(string(&meta, "tenant_id").as_deref(), Some(order.tenant.as_str()));
    assert_eq!(boolean(&meta, "include_test_data"), Some(order.include));
    assert_eq!(string(&meta, "etag"), Some(etag));
    assert_eq!(string(&meta, "generated_at"), string(&said, "generated_at"));
    assert_eq!(meta["compute_ms"].get(), said["compute_ms"].get());
    let version = string(&said, "version");
    assert_eq!(string(&meta, "version"), version);
    assert_eq!(bundle::version(&fetched.value, order.tenant.as_str(), order.include), version.as_deref());
    assert_eq!(
        meta.len(),
        10 + usize::from(version.is_some()) + usize::from(valid_until.is_some()),
        "{meta:?}"
    );
    assert!(!fetched.renewed);

    let again = response::bundle(&fetched.value, order).expect("what is stored could be an answer");
    assert_eq!(again.value, fetched.value);
}

fn check_content(data: &[u8]) {
    let text = serde_json::to_string(&String::from_utf8_lossy(data)).unwrap();
    let order = order(1, "t1", true);
    let body = format!(
        "{{\"meta\":{{\"tenant_id\":\"t1\",\"include_test_data\":true,\"generated_at\":{text},\"etag\":\"{ETAG}\",\
         \"compute_ms\":3}},\"stats\":{{{text}:{text}}}}}"
    );
    let fetched = response::bundle(body.as_bytes(), &order).expect("a bundle may contain any text");
    check_accepted(body.as_bytes(), &order, &fetched);
    assert_eq!(fetched.life, LIFE);
}

fn check_list(data: &[u8]) {
    match response::tenants(data) {
        Ok(tenants) => {
            let text = String::from_utf8_lossy(data);
            let sent = object(text.as_bytes()).expect("an object");
            let sent: Vec<String> = serde_json::from_str(sent["tenants"].get()).unwrap();
            assert!(sent.iter().all(|name| is_tenant(name.as_bytes())), "{sent:?}");
            let sent = each_once(sent.iter().map(String::as_str));
            assert!(tenants.iter().map(|tenant| tenant.as_str()).eq(sent), "{tenants:?}");
        }
        Err(problem) => {
            assert_eq!(problem.failure, Failure::Malformed);
            assert_one_line(&problem.cause);
        }
    }
    let names: Vec<&str> =
        data.split(|b| !is_tenant(&[*b])).filter(|n| is_tenant(n)).flat_map(str::from_utf8).collect();
    let body = format!("{{\"tenants\":{names:?}}}");
    let read = response::tenants(body.as_bytes()).expect("a list of tenants");
    assert!(read.iter().map(|tenant| tenant.as_str()).eq(each_once(names)), "{read:?}");
}

/// In the order in which they come first.
fn each_once<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

fn check_error(data: &[u8]) {
    let endpoint = Endpoint::Unix("/run/sidecar.sock".into());
    let problem = response::error(StatusCode::BAD_GATEWAY, data, &endpoint);
    assert_one_line(&problem.cause);
    if problem.failure == Failure::NoTenant {
        let text = String::from_utf8_lossy(data);
        let body = object(text.as_bytes()).expect("an object");
        let error = object(body["error"].get().as_bytes()).expect("an object");
        assert_eq!(string(&error, "code").as_deref(), Some("no_tenant"));
    }
}

/// An object's members, in order.
struct Members<'a> {
    text: &'a str,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    fn of(json: &'a [u8]) -> Self {
        let text = str::from_utf8(json).expect("text");
        let InOrder(members) = serde_json::from_str(text).expect("an object");
        Self { text, members }
    }

    fn meta(&self) -> &'a RawValue {
        let named = self.members.iter().filter(|(name, _)| name == "meta").count();
        let (first, meta) = self.members.first().expect("a member");
        assert_eq!((first.as_str(), named), ("meta", 1));
        meta
    }

    fn after_meta(&self) -> &'a str {
        let meta = self.meta().get();
        let end = meta.as_ptr().addr() - self.text.as_ptr().addr() + meta.len();
        self.text[end..].trim_end()
    }
}

struct InOrder<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for InOrder<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = InOrder<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(InOrder(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}
