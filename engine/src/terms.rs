//! The words that the engine and its callers exchange.

use crate::seats::Patience;
use crate::units::{FlightId, Millis};
use std::collections::BTreeSet;
use wire::key::BundleId;
use wire::tenant::Tenant;

/// The bounds and times that decisions depend on, as they are now.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bundles computed at a time, warming not counted.
    pub max_flights: usize,
    /// Callers that wait at a time.
    pub max_waiters: usize,
    /// How long a waiter waits where nothing is stored.
    pub timeout: Millis,
    /// How long a waiter waits where an old bundle can be served instead.
    pub soft_timeout: Millis,
    /// How long an unknown tenant is remembered.
    pub negative_ttl: Millis,
}

/// Clients that may always wait for one bundle, where `max_waiters` allows as many.
const HERD: usize = 1_000;

impl Limits {
    /// Callers of one tenant that wait at a time: the other tenants keep a quarter of the places, unless there are so
    /// few that a morning's herd on one bundle would not fit.
    pub(crate) fn waiters_of_one_tenant(&self) -> usize {
        (self.max_waiters - self.max_waiters / 4).max(self.max_waiters.min(HERD))
    }
}

/// What is stored for a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nothing that could be served.
    Absent,
    /// Within its `ttl`.
    Fresh {
        /// Milliseconds since its flight began.
        age: Millis,
    },
    /// Past its `ttl`, with no known change.
    Stale {
        /// Milliseconds since its flight began.
        age: Millis,
    },
    /// Marked as changed: only a fallback.
    Changed,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The oldest answer that will do: `Some(0)` is `REFRESH`, an answer from after this call.
    pub max_age: Option<Millis>,
    /// The caller may be made to wait.
    pub may_wait: bool,
    /// This server may store what is computed (a replica may not).
    pub may_store: bool,
}

/// Whether an answer of this age will do for who asks for one of at most `max_age`.
#[inline]
pub fn new_enough(max_age: Option<Millis>, age: Millis) -> bool {
    max_age.is_none_or(|max| max > 0 && age <= max)
}

/// What to do for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Answer with what is stored.
    Serve,
    /// The same; who may wait would have waited for a new one.
    Fallback,
    /// Take the seat with [`super::Engine::join`]; the answer comes with the flight.
    Wait(Seat),
    /// Answer with an error.
    Refuse(Refusal),
}

/// Why a caller is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Absent, and the caller may not wait.
    Miss,
    /// The tenant is remembered as unknown.
    NoTenant,
    /// `max_flights`.
    TooManyFlights,
    /// `max_waiters`.
    TooManyWaiters,
    /// The sidecar does not answer.
    BreakerOpen,
}

/// A place in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub(crate) flight: FlightId,
    /// The flight under way began too early for this caller: it waits for the one after.
    pub(crate) next: bool,
    /// Until when the caller waits; `None`: as long as it takes.
    pub(crate) patience: Option<Patience>,
}

/// What becomes of a waiter whose time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It waits on: there is nothing to fall back on, and its last moment has not come.
    Stays,
    /// It has been taken out: answer it. A flight that nobody waits for any more is to be cancelled.
    Out {
        /// That flight.
        cancel: Option<FlightId>,
    },
}

/// A flight to be sent to the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its identity.
    pub flight: FlightId,
    /// How it is asked for.
    pub carrier: Carrier,
    /// What is asked for.
    pub bundle: BundleId,
}

/// Whether a flight is a request of its own or part of a warm batch. Batches have a bound of their own, so
/// that warming takes nothing from the flights that clients wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A request of its own.
    Single,
    /// Part of a warm batch.
    Batch,
}

/// Why a flight is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Its clients have gone, or began to wait long before it began, or a clear has made its result useless.
    Unwanted,
    /// It took longer than the last of its clients could wait.
    Late,
}

/// What to do when a flight has ended.
#[derive(Debug)]
pub struct Landing<W> {
    /// Which bundle it was.
    pub bundle: BundleId,
    /// No clear came between: the result may be stored (or, where the tenant is gone, the old one removed).
    pub current: bool,
    /// The data has changed since it began: store it as marked, to fall back on.
    pub overtaken: bool,
    /// It was broken off.
    pub cancelled: Option<Cancelled>,
    /// Who waited in it.
    pub waiters: BTreeSet<W>,
    /// Flights that begin now: for those who asked for something newer, and from the queue.
    pub relaunch: Vec<Launch>,
    /// Those for whom there is no flight.
    pub refused: Vec<Refused<W>>,
    /// Runs that need something newer: see [`Again`].
    pub again: Vec<Again<W>>,
}

/// What to do after a fence.
#[derive(Debug)]
pub struct Fenced<W> {
    /// Flights to be sent to the sidecar.
    pub launches: Vec<Launch>,
    /// Flights that are of no use to anybody now: break them off.
    pub cancel: Vec<FlightId>,
    /// Those for whom there is no flight left.
    pub refused: Vec<Refused<W>>,
    /// Runs whose flights were fenced.
    pub again: Vec<Again<W>>,
}

/// Warming runs that need this bundle once more. They get no flight at once, but send it in one of their next
/// batches: a run keeps its pace whatever is cleared. Take each out with [`super::Engine::release`].
#[derive(Debug)]
pub struct Again<W> {
    /// Which bundle.
    pub bundle: BundleId,
    /// Who.
    pub waiters: BTreeSet<W>,
}

/// Those who waited for a flight that could not begin: take each out with [`super::Engine::release`] and answer
/// it.
#[derive(Debug)]
pub struct Refused<W> {
    /// Which bundle.
    pub bundle: BundleId,
    /// Who.
    pub waiters: BTreeSet<W>,
    /// Why.
    pub why: Refusal,
}

/// What to invalidate.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// All bundles of all databases.
    Everything,
    /// All bundles of one database.
    Database(i32),
    /// All bundles of one tenant in one database.
    Tenant(i32, &'a Tenant),
}

impl Scope<'_> {
    pub(crate) fn covers(&self, id: &BundleId) -> bool {
        match self {
            Self::Everything => true,
            Self::Database(db) => id.db == *db,
            Self::Tenant(db, tenant) => id.db == *db && id.tenant == **tenant,
        }
    }
}

/// Counters of the engine's decisions, since the module was loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Flights begun.
    pub flights: u64,
    /// Bundles that had to wait for a flight.
    pub queued: u64,
    /// Flights whose data changed before they landed.
    pub overtaken: u64,
    /// Callers who took a seat in a flight under way.
    pub joined: u64,
    /// Flights that a clear fenced.
    pub orphaned: u64,
    /// Flights begun for nobody in particular.
    pub refreshes_behind: u64,
    /// Callers refused for `max_flights`.
    pub refused_flights: u64,
    /// Callers refused for `max_waiters`.
    pub refused_waiters: u64,
    /// Callers refused because the sidecar does not answer.
    pub refused_breaker: u64,
    /// Flights broken off.
    pub cancelled: u64,
    /// Flights of a batch that were too slow for who waited.
    pub superseded: u64,
    /// Callers told that their tenant is unknown, from memory.
    pub negative_hits: u64,
}
