//! What is accepted from the sidecar. A bundle is taken only whole, as JSON, within its size, and only if
//! its `meta` names the tenant and the include flag that were asked for.

use super::endpoint::Endpoint;
use super::terms::{Fetched, Order, Problem};
use engine::Failure;
use hyper::StatusCode;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use wire::bundle::{self, ETAG_LEN, Lifetime, SidecarMeta};
use wire::protocol::code;
use wire::tenant::Tenant;

/// The bundle in `body`, where it is the one of `order`.
pub(crate) fn bundle(body: &[u8], order: &Order) -> Result<Fetched, Problem> {
    Sent::read(body).map_err(|why| malformed(order, &why))?.accept(order)
}

fn malformed(order: &Order, why: &dyn fmt::Display) -> Problem {
    Problem::new(Failure::Malformed, format!("{}: {why}", order.tenant))
}

/// A bundle's text, taken apart in one pass.
pub(super) struct Sent<'a> {
    pub(super) meta: SidecarMeta,
    /// What follows `meta`.
    rest: &'a str,
}

impl<'a> Sent<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let raw = envelope.meta.get();
        let meta = object(raw.as_bytes()).map_err(|e| format!("meta: {e}"))?;
        // `meta` is the first member, so what follows its text is the rest of the bundle.
        let rest = text[text.find(raw).map_or(text.len(), |at| at + raw.len())..].trim_end();
        Ok(Self { meta, rest })
    }

    pub(super) fn accept(self, order: &Order) -> Result<Fetched, Problem> {
        let Self { meta, rest } = self;
        if meta.tenant_id != order.tenant.as_str() || meta.include_test_data != order.include {
            let cause = format!(
                "asked for tenant {} (include_test_data {}), got tenant {:?} (include_test_data {})",
                order.tenant,
                order.include,
                meta.tenant_id.chars().take(80).collect::<String>(),
                meta.include_test_data
            );
            return Err(Problem::new(Failure::WrongBundle, cause));
        }
        if meta.etag.len() != ETAG_LEN || !meta.etag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(malformed(order, &"meta.etag is not 32 lower-case hexadecimal digits"));
        }
        if meta.version.as_deref().is_some_and(|version| !bundle::is_version(version)) {
            return Err(malformed(order, &"meta.version is not 1 to 128 of A-Z a-z 0-9 . : _ -"));
        }
        if meta.valid_until_ms.is_some_and(|at| !bundle::is_time(at)) {
            return Err(malformed(order, &"meta.valid_until_ms is not a time in milliseconds since 1970"));
        }
        let life = Lifetime { valid_until: meta.valid_until_ms, ..order.life };
        let value = bundle::compose(&meta, life, rest.as_bytes());
        Ok(Fetched { value: value.into(), etag: meta.etag, life, renewed: false })
    }
}

/// A JSON object whose first member, and only that, is `meta`.
struct Envelope<'a> {
    meta: &'a RawValue,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bundle: an object that begins with its meta")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                use serde::de::Error;
                if map.next_key::<String>()?.as_deref() != Some("meta") {
                    return Err(A::Error::custom("a bundle begins with its meta"));
                }
                let meta = map.next_value()?;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "meta" {
                        return Err(A::Error::custom("meta stands twice"));
                    }
                    map.next_value::<IgnoredAny>()?;
                }
                Ok(Envelope { meta })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads an object by the names of its members. (Derived code alone would also take an array, by position.)
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = members(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

pub(super) fn members<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Named<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Named(PhantomData))
}

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    #[serde(deserialize_with = "members")]
    pub(super) error: ErrorText,
    pub(super) tenant_id: Option<String>,
    pub(super) include_test_data: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct ErrorText {
    code: String,
    #[serde(default)]
    message: String,
}

impl ErrorText {
    pub(super) fn problem(&self) -> Problem {
        let failure = match self.code.as_str() {
            code::NO_TENANT => Failure::NoTenant,
            code::TIMEOUT => Failure::Timeout,
            code::OVERLOADED => Failure::SidecarBusy,
            code::POSTGRES_UNAVAILABLE => Failure::PostgresDown,
            code::UNAUTHORIZED => Failure::Token,
            _ => Failure::SidecarError,
        };
        Problem::new(failure, format!("the sidecar says {}: {}", self.code, self.message))
    }
}

/// The failure that an answer other than 200 stands for.
pub(crate) fn error(status: StatusCode, body: &[u8], endpoint: &Endpoint) -> Problem {
    match object::<ErrorBody>(body) {
        Ok(body) => body.error.problem(),
        Err(_) => Problem::new(
            Failure::SidecarError,
            format!("{endpoint} answered {status} without an error object"),
        ),
    }
}

/// The tenants in `body`. A name that cannot be a tenant's makes the list wrong as a whole: a tenant that
/// is never warmed should be noticed.
pub(crate) fn tenants(body: &[u8]) -> Result<Vec<Tenant>, Problem> {
    #[derive(Deserialize)]
    struct List {
        tenants: Vec<String>,
    }
    let malformed = |why: String| Problem::new(Failure::Malformed, why);
    let list: List = object(body).map_err(|e| malformed(format!("list of tenants: {e}")))?;
    let mut seen = HashSet::new();
    let mut tenants = Vec::with_capacity(list.tenants.len());
    for name in &list.tenants {
        let tenant = Tenant::new(name.as_bytes())
            .ok_or_else(|| malformed(format!("list of tenants: {name:?} cannot be a tenant's name")))?;
        // A tenant is warmed once, and counted once.
        if seen.insert(name) {
            tenants.push(tenant);
        }
    }
    Ok(tenants)
}

#[cfg(test)]
pub(super) mod samples {
    use super::{Order, Tenant};
    use engine::FlightId;
    use wire::bundle::Lifetime;

    pub(in crate::upstream) const LIFE: Lifetime = Lifetime {
        as_of: 1_700_000_000_000,
        fresh_until: 1_700_000_300_000,
        expires_at: 1_700_086_700_000,
        valid_until: None,
    };

    pub(in crate::upstream) fn order(flight: FlightId, tenant: &str, include: bool) -> Order {
        Order { flight, tenant: Tenant::new(tenant.as_bytes()).unwrap(), include, life: LIFE, known: None }
    }

    pub(in crate::upstream) fn answer(tenant: &str, include: bool) -> String {
        format!(
            concat!(
                r#"{{"meta":{{"tenant_id":"{}","include_test_data":{},"generated_at":"2026-01-02T03:04:05Z","#,
                r#""etag":"00112233445566778899aabbccddeeff","compute_ms":1}},"stats":{{"totalLeads":2}}}}"#
            ),
            tenant, include
        )
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{answer, order};
    use super::*;

    fn failure(body: &str) -> Failure {
        bundle(body.as_bytes(), &order(1, "t1", true)).unwrap_err().failure
    }

    #[test]
    fn the_bundle_that_was_asked_for_is_accepted_and_stamped() {
        let fetched = bundle(answer("t1", true).as_bytes(), &order(1, "t1", true)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fetched.value).unwrap();
        assert_eq!((&json["meta"]["tenant_id"], &json["stats"]["totalLeads"]), (&"t1".into(), &2.into()));
        assert!(bundle::Stamp::read(&fetched.value, "t1", true).is_some());
    }

    #[test]
    fn another_bundle_than_the_one_asked_for_is_refused() {
        assert_eq!(failure(&answer("t2", true)), Failure::WrongBundle);
        assert_eq!(failure(&answer("t1", false)), Failure::WrongBundle);
    }

    #[test]
    fn what_is_no_whole_bundle_is_refused() {
        let good = answer("t1", true);
        let etag = "00112233445566778899aabbccddeeff";
        for bad in [
            "",
            "[]",
            "hello",
            r#"{"stats":{}}"#,
            r#"{"meta":{}}"#,
            &good[..good.len() - 1],
            &format!("{good}x"),
            &good.replace(etag, "short"),
            &good.replace(etag, &etag.to_uppercase()),
            &good.replace(r#""compute_ms":1"#, r#""compute_ms":1,"version":"""#),
            &good.replace(r#""compute_ms":1"#, r#""compute_ms":1,"version":"a b""#),
            &good.replace(r#""compute_ms":1"#, r#""compute_ms":1,"version":7"#),
            &good.replace(r#""compute_ms":1"#, r#""compute_ms":1,"valid_until_ms":12"#),
            &good.replace(r#""compute_ms":1"#, r#""compute_ms":1,"valid_until_ms":"soon""#),
            &good.replacen(r#""stats""#, r#""meta":{},"stats""#, 1),
            &good.replacen(r#"{"meta""#, r#"{"first":1,"meta""#, 1),
        ] {
            assert_eq!(failure(bad), Failure::Malformed, "{bad}");
        }
    }

    #[test]
    fn a_list_with_an_impossible_tenant_is_refused_and_names_it() {
        assert_eq!(tenants(br#"{"tenants":["a","b"]}"#).unwrap().len(), 2);
        assert!(tenants(br#"{"tenants":["a","b:c"]}"#).unwrap_err().cause.contains("b:c"));
    }
}
