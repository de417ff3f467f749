//! Making and checking a connection is an attempt: whatever goes wrong in it costs that attempt only.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use postgres::Error;

use super::stand_in::failed;
use crate::descriptors;

/// What an attempt says that has panicked. The panic itself is in the log.
const PANICKED: &str = "the attempt to connect ended abnormally; see the sidecar's log";

/// Makes an attempt. A panic becomes an error: a pool counts a connection as being made until the attempt returns, and one that
/// did not would take a place for good. And where this process has run out of descriptors, the error says that, not that the server
/// is away.
pub(crate) fn attempt<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What the attempt has worked with is dropped on the way.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let outcome = outcome.unwrap_or_else(|_panic| Err(failed(ErrorKind::Other, PANICKED)));
    outcome.map_err(|error| {
        let by_us = error.as_db_error().is_none();
        if by_us && (descriptors::is_shortage(&error) || descriptors::none_is_free()) {
            failed(ErrorKind::Other, descriptors::SHORTAGE)
        } else {
            error
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_the_attempt_only() {
        let error = attempt(|| -> Result<(), Error> { panic!("a driver that gives up") }).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), PANICKED);
        assert!(attempt(|| Ok(())).is_ok());
    }
}
