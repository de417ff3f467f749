//! What the clock of Postgres has shown, and how far that can be believed.

use std::time::{Duration, Instant};

/// An answer that took longer says nothing of the clock: this process may have stood still between its arrival and our look at our own.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);

/// What the database's clock has shown, between two moments of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) asked: Instant,
    pub(super) answered: Instant,
    /// In seconds.
    pub(super) shows: f64,
}

impl Reading {
    /// By how many seconds it is ahead of what has passed here since that moment; none where it says nothing.
    pub(super) fn ahead_since(self, began: Instant) -> Option<f64> {
        let Self { asked, answered, shows } = self;
        let is_of_use = answered.duration_since(asked) <= LONGEST_ANSWER;
        is_of_use.then(|| shows - answered.duration_since(began).as_secs_f64())
    }
}
