//! What is accepted from the sidecar. A bundle is taken only whole, as JSON, within its size, and only if
//! its `meta` names the tenant and the include flag that were asked for.

use super::client::too_large;
use super::endpoint::Endpoint;
use super::known::Unchanged;
use super::{Failure, Fetched, Order, Problem};
use crate::bundle::{self, ETAG_LEN, SidecarMeta};
use crate::engine::FlightId;
use crate::tenant::Tenant;
use hyper::StatusCode;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The bundle in `body`, where it is the one of `order`.
pub(crate) fn bundle(body: &[u8], order: &Order) -> Result<Fetched, Problem> {
    Sent::read(body).map_err(|why| malformed(order, &why))?.accept(order)
}

fn malformed(order: &Order, why: &dyn fmt::Display) -> Problem {
    Problem::new(Failure::Malformed, format!("{}: {why}", order.tenant))
}

/// A bundle's text, taken apart in one pass.
struct Sent<'a> {
    meta: SidecarMeta,
    /// What follows `meta`.
    rest: &'a str,
}

impl<'a> Sent<'a> {
    fn read(body: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let raw = envelope.meta.get();
        let meta = object(raw.as_bytes()).map_err(|e| format!("meta: {e}"))?;
        // `meta` is the first member, so what follows its text is the rest of the bundle.
        let rest = text[text.find(raw).map_or(text.len(), |at| at + raw.len())..].trim_end();
        Ok(Self { meta, rest })
    }

    fn accept(self, order: &Order) -> Result<Fetched, Problem> {
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
        let value = bundle::compose(&meta, order.life, rest.as_bytes());
        Ok(Fetched { value: value.into(), etag: meta.etag, life: order.life, renewed: false })
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
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = members(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn members<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
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
struct ErrorBody {
    #[serde(deserialize_with = "members")]
    error: ErrorText,
    tenant_id: Option<String>,
    include_test_data: Option<bool>,
}

#[derive(Deserialize)]
struct ErrorText {
    code: String,
    #[serde(default)]
    message: String,
}

impl ErrorText {
    fn problem(&self) -> Problem {
        let failure = match self.code.as_str() {
            "no_tenant" => Failure::NoTenant,
            "timeout" => Failure::Timeout,
            "overloaded" => Failure::SidecarBusy,
            "postgres_unavailable" => Failure::PostgresDown,
            "unauthorized" => Failure::Token,
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

/// Of a line that is too large, so much is kept: its `meta` stands first and tells whose it is.
const HEAD: usize = 512;

/// Splits a streamed answer into lines, and matches each to its order. A line that is too large, or is for
/// nobody, or is no bundle, costs only itself: what got no line in the end is failed by the caller.
pub(crate) struct Lines<'a> {
    partial: Vec<u8>,
    too_large: bool,
    limit: usize,
    /// Bytes that may still come: a stream without an end is ended.
    budget: usize,
    waiting: Vec<&'a Order>,
    /// The first line that could not be matched.
    problem: Option<Problem>,
    cost: Option<Duration>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(limit: usize, orders: &'a [Order]) -> Self {
        Self {
            partial: Vec::new(),
            too_large: false,
            limit,
            budget: limit.saturating_mul(orders.len().saturating_mul(4)),
            waiting: orders.iter().collect(),
            problem: None,
            cost: None,
        }
    }

    /// Takes the next bytes; `land` is called for each line that they complete.
    pub(crate) fn feed(
        &mut self,
        data: &[u8],
        land: &impl Fn(FlightId, Result<Fetched, Problem>),
    ) -> Result<(), Problem> {
        let (mut data, beyond) = data.split_at(data.len().min(self.budget));
        self.budget -= data.len();
        while let Some(end) = data.iter().position(|b| *b == b'\n') {
            let (head, tail) = data.split_at(end);
            data = tail.get(1..).unwrap_or_default();
            self.append(head);
            let line = std::mem::take(&mut self.partial);
            if let Err(problem) = self.line(&line, land) {
                self.problem.get_or_insert(problem);
            }
            self.too_large = false;
        }
        self.append(data);
        if beyond.is_empty() { Ok(()) } else { Err(too_large(self.limit)) }
    }

    /// At the end of the answer: what it has cost the database, where the sidecar says so.
    pub(crate) fn finish(self) -> Result<Option<Duration>, Problem> {
        match self.problem {
            Some(problem) => Err(problem),
            None if self.partial.is_empty() => Ok(self.cost),
            None => Err(Problem::new(Failure::Incomplete, "the answer ended within a line")),
        }
    }

    /// Bytes that are kept of a line that has not ended.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn buffered(&self) -> usize {
        self.partial.len()
    }

    fn append(&mut self, data: &[u8]) {
        if self.partial.len() + data.len() > self.limit {
            self.too_large = true;
        }
        let room = if self.too_large { HEAD.saturating_sub(self.partial.len()) } else { data.len() };
        self.partial.extend_from_slice(&data[..room.min(data.len())]);
        if self.too_large {
            self.partial.truncate(HEAD);
        }
    }

    fn line(
        &mut self,
        line: &[u8],
        land: &impl Fn(FlightId, Result<Fetched, Problem>),
    ) -> Result<(), Problem> {
        if line.is_empty() {
            // A sign of life from a sidecar that is still computing.
            return Ok(());
        }
        if self.too_large {
            let name = named_at_the_head(line).ok_or_else(|| too_large(self.limit))?;
            let order = self.take(&name.tenant_id, name.include_test_data)?;
            land(order.flight, Err(too_large(self.limit)));
        } else if let Ok(sent) = Sent::read(line) {
            let order = self.take(&sent.meta.tenant_id, sent.meta.include_test_data)?;
            land(order.flight, sent.accept(order));
        } else if let Ok(Cost { query_us }) = object(line) {
            self.cost = Some(Duration::from_micros(query_us));
        } else if let Ok(unchanged) = object::<Unchanged>(line) {
            let order = self.take(&unchanged.tenant_id, unchanged.include_test_data)?;
            land(order.flight, unchanged.renew(order));
        } else {
            let (name, problem) = whose(line)?;
            let order = self.take(&name.tenant_id, name.include_test_data)?;
            land(order.flight, problem.map_or_else(|| bundle(line, order), Err));
        }
        Ok(())
    }

    /// The order that a line is for; it waits no longer.
    fn take(&mut self, tenant: &str, include: bool) -> Result<&'a Order, Problem> {
        let place = self.waiting.iter().position(|o| o.tenant.as_str() == tenant && o.include == include);
        place.map(|place| self.waiting.swap_remove(place)).ok_or_else(|| {
            let cause = format!("a line of the answer is for tenant {tenant:?}, which was not asked for");
            Problem::new(Failure::WrongBundle, cause)
        })
    }
}

/// The last line of a batch: how long the database has worked for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    query_us: u64,
}

/// What names a bundle.
#[derive(Deserialize)]
struct Name {
    tenant_id: String,
    include_test_data: bool,
}

#[derive(Deserialize)]
struct Named {
    #[serde(deserialize_with = "members")]
    meta: Name,
}

/// The bundle that the beginning of a line names by its whole `meta`, where the rest was not kept.
fn named_at_the_head(head: &[u8]) -> Option<Name> {
    let meta = head.strip_prefix(b"{\"meta\":")?;
    members(&mut serde_json::Deserializer::from_slice(meta)).ok()
}

/// Which bundle a line is about, and the error where it is one.
fn whose(line: &[u8]) -> Result<(Name, Option<Problem>), Problem> {
    if let Ok(Named { meta }) = object(line) {
        return Ok((meta, None));
    }
    match object(line) {
        Ok(ErrorBody { error, tenant_id: Some(tenant_id), include_test_data: Some(include_test_data) }) => {
            Ok((Name { tenant_id, include_test_data }, Some(error.problem())))
        }
        _ => Err(Problem::new(
            Failure::Malformed,
            "a line of the answer is neither a bundle nor an error, nor says that one is unchanged",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Lifetime;
    use crate::upstream::Known;
    use proptest::prelude::*;
    use std::cell::RefCell;

    const LIFE: Lifetime =
        Lifetime { as_of: 1_700_000_000_000, fresh_until: 1_700_000_300_000, expires_at: 1_700_086_700_000 };

    fn order(flight: FlightId, tenant: &str, include: bool) -> Order {
        Order { flight, tenant: Tenant::new(tenant.as_bytes()).unwrap(), include, life: LIFE, known: None }
    }

    fn answer(tenant: &str, include: bool) -> String {
        format!(
            concat!(
                r#"{{"meta":{{"tenant_id":"{}","include_test_data":{},"generated_at":"2026-01-02T03:04:05Z","#,
                r#""etag":"00112233445566778899aabbccddeeff","compute_ms":1}},"stats":{{"totalLeads":2}}}}"#
            ),
            tenant, include
        )
    }

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

    /// What became of the orders of a stream that arrives in such pieces.
    fn stream(
        orders: &[Order],
        body: &str,
        pieces: &[usize],
    ) -> (Vec<(FlightId, Option<Failure>)>, Option<Failure>) {
        let landed = RefCell::new(Vec::new());
        let land = |flight, result: Result<Fetched, Problem>| {
            landed.borrow_mut().push((flight, result.err().map(|p| p.failure)));
        };
        let mut lines = Lines::new(4096, orders);
        let mut rest = body.as_bytes();
        let mut ended = Ok(());
        for piece in pieces.iter().copied().chain(std::iter::repeat(usize::MAX)) {
            let (head, tail) = rest.split_at(piece.min(rest.len()));
            ended = ended.and_then(|()| lines.feed(head, &land));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let ended = ended.and_then(|()| lines.finish());
        (landed.into_inner(), ended.err().map(|p| p.failure))
    }

    proptest! {
        #[test]
        fn a_stream_means_the_same_however_it_is_cut(pieces in prop::collection::vec(1_usize..300, 0..40)) {
            let orders = [order(1, "a", true), order(2, "b", true), order(3, "a", false)];
            let error = r#"{"error":{"code":"timeout","message":"late"},"tenant_id":"b","include_test_data":true}"#;
            let body = format!("{}\n{error}\n{}\n", answer("a", false), answer("a", true));
            let expected = vec![(3, None), (2, Some(Failure::Timeout)), (1, None)];
            prop_assert_eq!(stream(&orders, &body, &pieces), (expected, None));
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_take_another_tenants_bundle(
            noise in "\\PC{0,40}", at in 0_usize..300, drop in 0_usize..10,
        ) {
            let mut body = answer("t1", true);
            let at = at.min(body.len());
            body.replace_range(at..(at + drop).min(body.len()), &noise);
            if let Ok(fetched) = bundle(body.as_bytes(), &order(1, "t1", true)) {
                let json: serde_json::Value = serde_json::from_slice(&fetched.value).unwrap();
                prop_assert_eq!(&json["meta"]["tenant_id"], "t1");
                prop_assert_eq!(&json["meta"]["include_test_data"], true);
            }
            let _ = stream(&[order(1, "t1", true)], &body, &[at]);
        }
    }

    #[test]
    fn a_line_for_nobody_costs_only_itself() {
        let orders = [order(1, "a", true)];
        let body = format!("{}\nnonsense\n\n{}\n", answer("b", true), answer("a", true));
        assert_eq!(stream(&orders, &body, &[]), (vec![(1, None)], Some(Failure::WrongBundle)));
    }

    #[test]
    fn a_line_that_is_too_large_costs_only_its_own_tenant() {
        let orders = [order(1, "a", true), order(2, "b", true)];
        let large = answer("a", true).replace("totalLeads", &"x".repeat(5000));
        let body = format!("{large}\n{}\n", answer("b", true));
        for pieces in [&[][..], &[100; 60], &[4000]] {
            let expected = (vec![(1, Some(Failure::TooLarge)), (2, None)], None);
            assert_eq!(stream(&orders, &body, pieces), expected);
        }
    }

    #[test]
    fn the_last_line_tells_what_a_batch_has_cost() {
        let cost = |last: &str| {
            let orders = [order(1, "a", true)];
            let mut lines = Lines::new(4096, &orders);
            let body = format!("{}\n{last}\n", answer("a", true));
            lines.feed(body.as_bytes(), &|_, _| ()).unwrap();
            lines.finish().map_err(|problem| problem.failure)
        };
        assert_eq!(cost(r#"{"query_us":41700}"#), Ok(Some(Duration::from_micros(41_700))));
        assert_eq!(cost(""), Ok(None), "another version's sidecar");
        for other in [r#"{"query_us":-1}"#, r#"{"query_us":1,"a":2}"#, "[1]", r#"{"query_us":"1"}"#] {
            assert_eq!(cost(other), Err(Failure::Malformed), "{other}");
        }
    }

    /// An order of which this is stored.
    fn knowing(flight: FlightId, tenant: &str, version: &str) -> Order {
        let sent = answer(tenant, true)
            .replace("\"compute_ms\"", &format!("\"version\":\"{version}\",\"compute_ms\""));
        let order = order(flight, tenant, true);
        let long_ago = Lifetime { as_of: LIFE.as_of - 1_000_000, fresh_until: LIFE.as_of - 1, ..LIFE };
        let stored = bundle(sent.as_bytes(), &Order { life: long_ago, ..order.clone() }).unwrap();
        Order { known: Known::copy(&stored.value, tenant, true), ..order }
    }

    #[test]
    fn what_is_unchanged_lands_as_what_was_stored_with_a_new_life() {
        let orders = [knowing(1, "a", "v:1")];
        let landed = RefCell::new(Vec::new());
        let mut lines = Lines::new(4096, &orders);
        let line =
            r#"{"unchanged":"00112233445566778899aabbccddeeff","tenant_id":"a","include_test_data":true}"#;
        lines.feed(format!("{line}\n").as_bytes(), &|_, result| landed.borrow_mut().push(result)).unwrap();
        let fetched = landed.into_inner().pop().unwrap().unwrap();
        assert!(fetched.renewed);
        let stamp = bundle::Stamp::read(&fetched.value, "a", true).unwrap();
        assert_eq!((stamp.life, fetched.life), (LIFE, LIFE));
        assert_eq!(bundle::version(&fetched.value, "a", true), Some("v:1"), "it can be renewed once more");
        let json: serde_json::Value = serde_json::from_slice(&fetched.value).unwrap();
        assert_eq!(json["stats"]["totalLeads"], 2);
        assert_eq!(
            json["meta"]["generated_at"], "2026-01-02T03:04:05Z",
            "it was read from the database then"
        );
    }

    #[test]
    fn what_is_unchanged_must_be_what_is_known_and_named_as_a_whole() {
        let etag = "00112233445566778899aabbccddeeff";
        let line = |etag: &str, tenant: &str, include: bool| {
            format!(r#"{{"unchanged":"{etag}","tenant_id":"{tenant}","include_test_data":{include}}}"#) + "\n"
        };
        let orders = [knowing(1, "a", "v"), order(2, "b", true)];
        let wrong = Some(Failure::WrongBundle);
        let other = etag.replace('f', "0");
        for (body, landed, ended) in [
            (line(&other, "a", true), vec![(1, wrong.clone())], None),
            (line(etag, "b", true), vec![(2, wrong.clone())], None),
            (line(etag, "a", false), vec![], wrong.clone()),
            (line(etag, "a", true) + &line(etag, "a", true), vec![(1, None)], wrong),
            (line(etag, "a", true).replace("}", r#","more":1}"#), vec![], Some(Failure::Malformed)),
            (format!("{{\"unchanged\":\"{etag}\"}}\n"), vec![], Some(Failure::Malformed)),
            (format!("[\"{etag}\",\"a\",true]\n"), vec![], Some(Failure::Malformed)),
        ] {
            assert_eq!(stream(&orders, &body, &[]), (landed, ended), "{body}");
        }
    }

    #[test]
    fn a_stream_without_an_end_is_refused_at_the_bound() {
        let (_, ended) = stream(&[order(1, "a", true)], &"x".repeat(50_000), &[]);
        assert_eq!(ended, Some(Failure::TooLarge));
    }
}
