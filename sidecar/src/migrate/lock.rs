//! One migrating session at a time, in whichever process. Knows nothing about what it guards.

use std::thread;
use std::time::{Duration, Instant};

use super::error::Error;

/// How long to wait for another session: indexes of a large CRM take minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often to ask.
const INTERVAL: Duration = Duration::from_millis(100);

/// The turns of one process: it waits for others, and says so once.
pub(super) struct Turns {
    deadline: Instant,
    told: bool,
}

impl Turns {
    pub(super) fn begin() -> Self {
        Self { deadline: Instant::now() + PATIENCE, told: false }
    }

    /// Attempts something until nobody else is at it; `attempt` returns none as long as somebody is.
    ///
    /// It asks again and again instead of waiting in Postgres, because CREATE INDEX CONCURRENTLY waits for every
    /// transaction that is older than its own: for us, too, if we waited inside of one. That is a deadlock.
    pub(super) fn wait<T>(
        &mut self,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
            if Instant::now() >= self.deadline {
                return Err(Error::busy(PATIENCE));
            }
            if !std::mem::replace(&mut self.told, true) {
                tracing::info!("another session is migrating this database: waiting for it");
            }
            thread::sleep(INTERVAL);
        }
    }
}
