//! The words that the engine and its callers exchange.

use super::seats::Patience;
use super::{FlightId, Millis};
use crate::tenant::{BundleId, Tenant};
use std::collections::BTreeSet;

/// The bounds and times that decisions depend on, as they are now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_flights: usize,
    pub(crate) max_waiters: usize,
    /// How long a waiter waits where nothing is stored.
    pub(crate) timeout: Millis,
    /// How long a waiter waits where an old bundle can be served instead.
    pub(crate) soft_timeout: Millis,
    pub(crate) negative_ttl: Millis,
}

/// What is stored for a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Absent,
    Fresh { age: Millis },
    Stale { age: Millis },
    Changed,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// The oldest answer that will do: `Some(0)` is `REFRESH`, an answer from after this call.
    pub(crate) max_age: Option<Millis>,
    /// The caller may be made to wait.
    pub(crate) may_wait: bool,
    /// This server may store what is computed (a replica may not).
    pub(crate) may_store: bool,
}

/// Whether an answer of this age will do for who asks for one of at most `max_age`.
#[inline]
pub(crate) fn new_enough(max_age: Option<Millis>, age: Millis) -> bool {
    max_age.is_none_or(|max| max > 0 && age <= max)
}

/// What to do for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Answer with what is stored.
    Serve,
    /// Take the seat with [`super::Engine::join`]; the answer comes with the flight.
    Wait(Seat),
    /// Answer with an error.
    Refuse(Refusal),
}

/// Why a caller is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Miss,
    NoTenant,
    TooManyFlights,
    TooManyWaiters,
    BreakerOpen,
}

/// A place in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(super) flight: FlightId,
    /// The flight under way began too early for this caller: it waits for the one after.
    pub(super) next: bool,
    /// Until when the caller waits; `None`: as long as it takes.
    pub(super) patience: Option<Patience>,
}

/// What becomes of a waiter whose time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It waits on: there is nothing to fall back on, and its last moment has not come.
    Stays,
    /// It has been taken out: answer it. A flight that nobody waits for any more is to be cancelled.
    Out { cancel: Option<FlightId> },
}

/// A flight to be sent to the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) flight: FlightId,
    pub(crate) carrier: Carrier,
    pub(crate) bundle: BundleId,
}

/// Whether a flight is a request of its own or part of a warm batch. Batches have a bound of their own, so
/// that warming takes nothing from the flights that clients wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Single,
    Batch,
}

/// Why a flight is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// Its clients have gone, or a clear has made its result useless.
    Unwanted,
    /// It took longer than the last of its clients could wait.
    Late,
}

/// What to do when a flight has ended.
#[derive(Debug)]
pub(crate) struct Landing<W> {
    pub(crate) bundle: BundleId,
    /// No clear came between: the result may be stored (or, where the tenant is gone, the old one removed).
    pub(crate) current: bool,
    /// It was broken off.
    pub(crate) cancelled: Option<Cancelled>,
    pub(crate) waiters: BTreeSet<W>,
    /// For those who asked for something newer than this flight.
    pub(crate) relaunch: Vec<Launch>,
    /// Those of them for whom there is no flight left.
    pub(crate) refused: Option<Refused<W>>,
    /// Runs that need something newer: see [`Again`].
    pub(crate) again: Option<Again<W>>,
}

/// What to do after a fence.
#[derive(Debug)]
pub(crate) struct Fenced<W> {
    /// Flights to be sent to the sidecar.
    pub(crate) launches: Vec<Launch>,
    /// Flights that are of no use to anybody now: break them off.
    pub(crate) cancel: Vec<FlightId>,
    /// Those for whom there is no flight left.
    pub(crate) refused: Vec<Refused<W>>,
    /// Runs whose flights were fenced.
    pub(crate) again: Vec<Again<W>>,
}

/// Warming runs that need this bundle once more. They get no flight at once, but send it in one of their next
/// batches: a run keeps its pace whatever is cleared. Take each out with [`super::Engine::release`].
#[derive(Debug)]
pub(crate) struct Again<W> {
    pub(crate) bundle: BundleId,
    pub(crate) waiters: BTreeSet<W>,
}

/// Those who waited for a flight that could not begin: take each out with [`super::Engine::release`] and answer
/// it.
#[derive(Debug)]
pub(crate) struct Refused<W> {
    pub(crate) bundle: BundleId,
    pub(crate) waiters: BTreeSet<W>,
    pub(crate) why: Refusal,
}

/// What to invalidate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    Everything,
    Database(i32),
    Tenant(i32, &'a Tenant),
}

impl Scope<'_> {
    pub(super) fn covers(&self, id: &BundleId) -> bool {
        match self {
            Self::Everything => true,
            Self::Database(db) => id.db == *db,
            Self::Tenant(db, tenant) => id.db == *db && id.tenant == **tenant,
        }
    }
}

/// Counters of the engine's decisions, since the module was loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) flights: u64,
    pub(crate) joined: u64,
    pub(crate) orphaned: u64,
    pub(crate) refreshes_behind: u64,
    pub(crate) refused_flights: u64,
    pub(crate) refused_waiters: u64,
    pub(crate) refused_breaker: u64,
    pub(crate) cancelled: u64,
    pub(crate) superseded: u64,
    pub(crate) negative_hits: u64,
}
