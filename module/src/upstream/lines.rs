//! A streamed answer: many bundles as lines, each matched to its order as it arrives.

use super::renewal;
use super::response::{ErrorBody, Sent, bundle, members, object};
use super::terms::{Fetched, Order, Problem, too_large};
use engine::{Failure, FlightId};
use serde::Deserialize;
use std::time::Duration;
use wire::protocol::{Cost, Unchanged};

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
        } else if let Ok(unchanged) = object::<Unchanged<'_>>(line) {
            let order = self.take(&unchanged.tenant_id, unchanged.include_test_data)?;
            land(order.flight, renewal::renew(&unchanged, order));
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
    use super::super::response::samples::{LIFE, answer, order};
    use super::{Duration, Failure, Fetched, FlightId, Lines, Order, Problem, bundle};
    use proptest::prelude::*;
    use std::cell::RefCell;
    use wire::bundle::{Lifetime, Stamp, version};
    use wire::known::Known;

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
        let stamp = Stamp::read(&fetched.value, "a", true).unwrap();
        assert_eq!((stamp.life, fetched.life), (LIFE, LIFE));
        assert_eq!(version(&fetched.value, "a", true), Some("v:1"), "it can be renewed once more");
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
