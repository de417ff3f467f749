//! What is counted. How it is shown is `info`'s.

use crate::upstream::Fetched;
use engine::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted where it happens, without the state's lock: a hit takes none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    /// Reads answered at once with a fresh bundle.
    Hits,
    /// With an old one.
    Stale,
    /// With one that was computed: where none was stored,
    Misses,
    /// or anew.
    Refreshed,
    /// With an error, but for one about the arguments.
    Errors,
    /// Reads whose client has gone before its answer, or was answered by the server: killed, unblocked with
    /// an error, or a change of role.
    Left,
    /// Of those answered with an old bundle: those that waited in vain for a new one.
    SoftTimeouts,
    /// Of the errors: TIMEOUT.
    Timeouts,
    /// Bundles removed by a clear.
    Cleared,
    /// Bundles marked as changed by a clear.
    MarkedChanged,
    /// Of those answered with an old bundle: fresh ones that are not called a hit, because the feed is behind.
    Unsure,
    /// Tenants' names invalidated for clients that keep copies.
    Invalidations,
}

const NAMES: [&str; 12] = [
    "hits",
    "stale",
    "misses",
    "refreshed",
    "errors",
    "left",
    "soft_timeouts",
    "timeouts",
    "cleared",
    "marked_changed",
    "stale_feed_behind",
    "invalidations",
];

static COUNTS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

#[inline]
pub(crate) fn count(what: Count) {
    COUNTS[what as usize].fetch_add(1, Ordering::Relaxed);
}

/// Each with its name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, u64)> {
    NAMES.into_iter().zip(COUNTS.iter().map(|counter| counter.load(Ordering::Relaxed)))
}

pub(crate) fn reset() {
    COUNTS.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
}

/// What became of a bundle that a flight brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    /// A clear came between.
    Orphaned,
    /// The server could not store it.
    Refused,
}

/// What became of flights and clears.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) computed: u64,
    pub(crate) unchanged: u64,
    pub(crate) stored: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) uncached: u64,
    pub(crate) discarded: u64,
    pub(crate) failures: [u64; Failure::ALL.len()],
    pub(crate) fences: u64,
    pub(crate) warm_failures: u64,
    pub(crate) failed_runs: u64,
}

impl Counters {
    pub(crate) fn landed(&mut self, result: &Result<Arc<Fetched>, Failure>, fate: Fate) {
        match result {
            Ok(bundle) => {
                *(if bundle.renewed { &mut self.unchanged } else { &mut self.computed }) += 1;
                match fate {
                    Fate::Stored => {
                        self.stored += 1;
                        self.stored_bytes += bundle.value.len() as u64;
                    }
                    Fate::Orphaned => self.discarded += 1,
                    Fate::Refused => self.uncached += 1,
                }
            }
            Err(failure) => {
                if let Some(at) = Failure::ALL.iter().position(|kind| kind == failure) {
                    self.failures[at] += 1;
                }
            }
        }
    }
}
