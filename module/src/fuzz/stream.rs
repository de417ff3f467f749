//! The sidecar's streamed answer: lines, each a bundle, an error or the word that one is unchanged, in pieces of any
//! size.

use super::answers::check_accepted;
use super::{ETAG, STORED_CONTENT, assert_one_line, boolean, dice, known, object, order, string};
use crate::upstream::lines::Lines;
use crate::upstream::response;
use crate::upstream::{Fetched, Order, Problem};
use engine::Failure;
use engine::FlightId;
use std::cell::RefCell;
use wire::bundle::Stamp;

/// The least that `dashboard.max-bundle-bytes` can be.
const LIMIT: usize = 1024;

/// A value, or a failure with its cause.
type Landed = Result<Vec<u8>, (Failure, String)>;

/// What landed, in order, and how the stream ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    landed: Vec<(FlightId, Landed)>,
    ended: Option<(Failure, String)>,
}

/// - The lines mean the same however they are cut into pieces.
/// - An order lands at most once, with a bundle of its own or because of a line that names it.
/// - A line that holds an order's bundle lands it, whatever the other lines are.
/// - What is said to be unchanged lands as what was stored, if that is known and is what is meant.
/// - What is buffered is bounded.
pub fn check(data: &[u8]) {
    let stored = Order { known: Some(known("a", false)), ..order(3, "a", false) };
    let orders = [order(1, "a", true), order(2, "b", true), stored];
    let outcome = read(&orders, data, &mut || data.len());
    assert_eq!(outcome, read(&orders, data, &mut || 1), "byte by byte");
    for most in [3, 40, 700] {
        let mut dice = dice(data);
        let cut = read(&orders, data, &mut || dice.usize(1..=most));
        assert_eq!(outcome, cut, "cut at random in pieces of up to {most} bytes");
    }

    let within = &data[..data.len().min(LIMIT * orders.len() * 4)];
    let complete = within.iter().rposition(|b| *b == b'\n').map_or(&[][..], |end| &within[..end]);
    let lines: Vec<&[u8]> = complete.split(|b| *b == b'\n').collect();
    for order in &orders {
        let mut landings = outcome.landed.iter().filter(|(flight, _)| *flight == order.flight);
        let landing = landings.next();
        assert!(landings.next().is_none(), "{order:?} landed twice");
        check_landing(order, landing.map(|(_, result)| result), &lines);
    }
    match &outcome.ended {
        None => assert!(data.is_empty() || data.ends_with(b"\n"), "a line without an end"),
        Some((_, cause)) => assert_one_line(cause),
    }
}

fn read(orders: &[Order], mut data: &[u8], piece: &mut dyn FnMut() -> usize) -> Outcome {
    let landed = RefCell::new(Vec::new());
    let land = |flight, result: Result<Fetched, Problem>| {
        let result = result.map(|fetched| fetched.value.to_vec()).map_err(|p| (p.failure, p.cause));
        landed.borrow_mut().push((flight, result));
    };
    let mut lines = Lines::new(LIMIT, orders);
    let mut ended = Ok(());
    while !data.is_empty() && ended.is_ok() {
        let (head, tail) = data.split_at(piece().min(data.len()));
        ended = lines.feed(head, &land);
        assert!(lines.buffered() <= LIMIT, "{} bytes are buffered", lines.buffered());
        data = tail;
    }
    let ended = ended.and_then(|()| lines.finish()).err().map(|p| (p.failure, p.cause));
    Outcome { landed: landed.into_inner(), ended }
}

fn check_landing(order: &Order, landing: Option<&Landed>, lines: &[&[u8]]) {
    let accepted = |line: &&[u8]| response::bundle(line, order).ok();
    let mut short = lines.iter().copied().filter(|line| line.len() <= LIMIT);
    match landing {
        None => {
            let lands = |line: &[u8]| accepted(&line).is_some() || is_unchanged(line, order);
            assert!(!short.any(lands), "{order:?} has a line and did not land");
        }
        Some(Ok(value))
            if value.ends_with(STORED_CONTENT) && short.clone().any(|line| is_unchanged(line, order)) =>
        {
            let stamp = Stamp::read(value, order.tenant.as_str(), order.include).expect("a stamp");
            assert_eq!((stamp.etag, stamp.life), (ETAG.as_bytes(), order.life));
        }
        Some(Ok(value)) => {
            let found =
                short.find_map(|line| accepted(&line).filter(|f| f.value == value).map(|f| (line, f)));
            let (line, fetched) = found.expect("a line that holds it");
            check_accepted(line, order, &fetched);
        }
        Some(Err((failure, cause))) => {
            assert_one_line(cause);
            let own = (order.tenant.as_str().to_owned(), order.include);
            let to_blame = match failure {
                Failure::TooLarge => lines
                    .iter()
                    .any(|line| line.len() > LIMIT && named(line).is_none_or(|whose| whose == own)),
                _ => short.any(|line| named(line).as_ref() == Some(&own)),
            };
            assert!(to_blame, "{order:?} landed as {failure:?} ({cause}), and no line says so");
        }
    }
}

/// Whether a line says that what is known of this order's bundle is unchanged.
fn is_unchanged(line: &[u8], order: &Order) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        unchanged: String,
        tenant_id: String,
        include_test_data: bool,
    }
    object(line).is_some()
        && serde_json::from_slice::<Line>(line).is_ok_and(|line| {
            let own = line.tenant_id == order.tenant.as_str() && line.include_test_data == order.include;
            own && order.known.is_some() && line.unchanged == ETAG
        })
}

/// The bundle that a line is about.
fn named(line: &[u8]) -> Option<(String, bool)> {
    let text = String::from_utf8_lossy(line);
    let line = object(text.as_bytes())?;
    let by = match line.get("meta") {
        Some(meta) => object(meta.get().as_bytes())?,
        None => line,
    };
    Some((string(&by, "tenant_id")?, boolean(&by, "include_test_data")?))
}
