//! The line that says that nothing has changed since what is stored was computed: then it begins a new life.

use super::response;
use super::terms::{Fetched, Order, Problem};
use engine::Failure;
use wire::protocol::Unchanged;

/// The stored bundle of `order` with its new life. The etag proves that the sidecar means that one.
pub(super) fn renew(line: &Unchanged<'_>, order: &Order) -> Result<Fetched, Problem> {
    let wrong = |what: &str| {
        let cause = format!("{}: {what} is said to be unchanged", order.tenant);
        Problem::new(Failure::WrongBundle, cause)
    };
    let known = order.known.as_ref().ok_or_else(|| wrong("what was to be computed"))?;
    if known.etag() != line.unchanged {
        return Err(wrong("another bundle than the one that is stored"));
    }
    // What is stored reads like an answer.
    Ok(Fetched { renewed: true, ..response::bundle(known.value(), order)? })
}
