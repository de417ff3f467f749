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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_panic_costs_the_attempt_only() {
        let error = attempt(|| -> Result<(), Error> { panic!("a driver that gives up") }).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), PANICKED);
        assert!(attempt(|| Ok(())).is_ok());
    }

    /// Its first attempt to connect panics, and its first connection when it is checked.
    #[derive(Default)]
    struct Fragile {
        connected: AtomicU32,
        checked: AtomicU32,
    }

    impl r2d2::ManageConnection for Fragile {
        type Connection = ();
        type Error = Error;

        fn connect(&self) -> Result<(), Error> {
            attempt(|| {
                assert!(self.connected.fetch_add(1, Ordering::Relaxed) > 0, "a driver that gives up");
                Ok(())
            })
        }

        fn is_valid(&self, (): &mut ()) -> Result<(), Error> {
            attempt(|| {
                assert!(self.checked.fetch_add(1, Ordering::Relaxed) > 0, "one that gives up later");
                Ok(())
            })
        }

        fn has_broken(&self, (): &mut ()) -> bool {
            false
        }
    }

    #[test]
    fn a_pool_of_one_has_its_place_still_after_a_panic() {
        let pool = r2d2::Pool::builder()
            .max_size(1)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Fragile::default());
        assert!(pool.get().is_ok());
        assert_eq!(pool.state().connections, 1);
    }
}
