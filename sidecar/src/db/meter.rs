//! For how long a batch has waited for Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For how long Postgres was waited for; the time that a reader takes is not in it.
#[derive(Clone, Default)]
pub(super) struct Meter {
    nanos: Arc<AtomicU64>,
}

impl Meter {
    /// All that was added.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Acquire))
    }

    /// Adds what was measured otherwise.
    pub(super) fn add(&self, time: Duration) {
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// Runs something that waits for Postgres, and adds the time that it takes.
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> (T, Duration) {
        let started = Instant::now();
        let outcome = work();
        let took = started.elapsed();
        self.add(took);
        (outcome, took)
    }
}
