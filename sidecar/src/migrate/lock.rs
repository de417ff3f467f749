//! One migrating session at a time, in whichever process. Knows nothing about what it guards.

use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::error::Error;

/// "dashbord" in ASCII: advisory locks have numbers for names, and this one must not meet another application's.
const KEY: i64 = 0x6461_7368_626f_7264;

/// How long to wait for another session: indexes of a large CRM take minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often to ask.
const INTERVAL: Duration = Duration::from_millis(100);

/// The lock, held while this lives. Postgres lets go of it with the session if [`Lock::release`] is never reached.
pub(super) struct Lock<'a> {
    client: &'a mut Client,
    held: bool,
}

impl<'a> Lock<'a> {
    /// Waits for the lock, and lifts the session's statement timeout: an index takes as long as it takes.
    ///
    /// It asks again and again instead of waiting in Postgres, because CREATE INDEX CONCURRENTLY waits for every
    /// transaction that is older than its own: for us, too, if we waited inside of one. That is a deadlock.
    pub(super) fn acquire(client: &'a mut Client) -> Result<Self, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut told = false;
        while !try_lock(client)? {
            if Instant::now() >= deadline {
                return Err(Error::busy(PATIENCE));
            }
            if !told {
                tracing::info!("another session is migrating this database: waiting for it");
                told = true;
            }
            thread::sleep(INTERVAL);
        }
        let lock = Self { client, held: true };
        lock.client
            .batch_execute("SET statement_timeout = 0")
            .map_err(|source| Error::database("lifting the statement timeout", source))?;
        Ok(lock)
    }

    /// The session that holds the lock.
    pub(super) fn client(&mut self) -> &mut Client {
        self.client
    }

    /// Lets the next one in.
    pub(super) fn release(mut self) -> Result<(), Error> {
        self.unlock().map_err(|source| Error::database("releasing the migration lock", source))
    }

    fn unlock(&mut self) -> Result<(), postgres::Error> {
        self.held = false;
        self.client.batch_execute(&format!("SELECT pg_advisory_unlock({KEY}); RESET statement_timeout"))
    }
}

impl Drop for Lock<'_> {
    /// After an error: the session may go back to a pool and live on.
    fn drop(&mut self) {
        if self.held
            && let Err(error) = self.unlock()
        {
            tracing::debug!(%error, "the migration lock goes with its session");
        }
    }
}

fn try_lock(client: &mut Client) -> Result<bool, Error> {
    client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&KEY])
        .and_then(|row| row.try_get(0))
        .map_err(|source| Error::database("taking the migration lock", source))
}
