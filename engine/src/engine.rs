//! The engine: which request is answered from memory, which one waits, and for what. It knows no Redis, no
//! network and no clock: callers pass the time and what is stored, and carry out what it decides.
//!
//! The rules that it keeps, by the numbers of `ARCHITECTURE.md`:
//!
//! 1. **One flight**: at most one request for a bundle is under way ([`Engine::read`]).
//! 2. **Fence**: [`Engine::invalidate`] takes the identity of being current from every flight under way;
//!    only a current flight's result is stored ([`Engine::land`]), so nothing read from the database
//!    before a clear is stored after it. Identity, not time: no clock takes part.
//! 3. **Serve order**: fresh at once; stale at once with a refresh behind it; changed or asked for anew,
//!    wait; absent, wait.
//! 4. **Stale if error**: a failure is answered with what is stored; see [`crate::backoff`]
//!    and [`crate::breaker`].
//! 5. **Exactly one reply**: a waiter is in exactly one flight until it is handed back, once.
//! 8. **Bounds**: flights and waiters are counted here.

use crate::backoff::Backoffs;
use crate::breaker::Breaker;
use crate::failure::{Failure, Sign};
use crate::negative::NegativeCache;
use crate::seats::{Patience, Seats};
use crate::terms::{
    Again, Ask, Cancelled, Carrier, Counters, Landing, Launch, Limits, Plan, Refusal, Refused, Seat, Stored,
    new_enough,
};
use crate::units::{FlightId, Millis};
use std::collections::{BTreeSet, HashMap};
use wire::key::BundleId;

/// A warm batch is answered bundle by bundle. Who has waited in one for so long gets a flight of its own, so
/// that a slow tenant of the batch does not delay the others.
pub(crate) const BATCH_PATIENCE: Millis = 250;

pub(crate) struct Flight<W> {
    pub(crate) bundle: BundleId,
    pub(crate) began: Millis,
    pub(crate) carrier: Carrier,
    /// It goes on when nobody waits for it any more: what it brings is to be stored.
    pub(crate) kept: bool,
    pub(crate) cancelled: Option<Cancelled>,
    pub(crate) waiters: BTreeSet<W>,
    /// Those for whom it began too early: they wait for the one after.
    pub(crate) next: BTreeSet<W>,
    /// A warming run may be among them.
    pub(crate) has_runs: bool,
}

/// Flights and those who wait for them. `W` names a waiter.
pub struct Engine<W> {
    pub(crate) flights: HashMap<FlightId, Flight<W>>,
    pub(crate) current: HashMap<BundleId, FlightId>,
    pub(crate) seats: Seats<W>,
    pub(crate) batched: usize,
    pub(crate) last_flight: FlightId,
    pub(crate) unknown: NegativeCache,
    pub(crate) backoffs: Backoffs,
    pub(crate) breaker: Breaker,
    /// Counters of its decisions.
    pub counters: Counters,
}

impl<W: Copy + Ord + std::hash::Hash> Default for Engine<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Copy + Ord + std::hash::Hash> Engine<W> {
    /// One that knows of nothing.
    pub fn new() -> Self {
        Self {
            flights: HashMap::new(),
            current: HashMap::new(),
            seats: Seats::new(),
            batched: 0,
            last_flight: 0,
            unknown: NegativeCache::new(),
            backoffs: Backoffs::new(),
            breaker: Breaker::new(),
            counters: Counters::default(),
        }
    }

    /// Decides for one caller. A flight that this begins is pushed to `launches`: send it.
    pub fn read(
        &mut self,
        now: Millis,
        limits: &Limits,
        id: &BundleId,
        stored: Stored,
        ask: Ask,
        launches: &mut Vec<Launch>,
    ) -> Plan {
        match stored {
            Stored::Fresh { age } if new_enough(ask.max_age, age) => return Plan::Serve,
            Stored::Stale { age } if new_enough(ask.max_age, age) => {
                if ask.may_store {
                    self.refresh_behind(now, limits, id, launches);
                }
                return Plan::Serve;
            }
            _ => {}
        }
        let fallback = stored != Stored::Absent;
        // Someone who asks for a new answer gets one, so a person can end a remembered "no" early. A clear ends
        // it too, but on the primary only.
        if !fallback
            && ask.may_store
            && ask.max_age.is_none()
            && self.unknown.contains(now, &id.tenant, id.db)
        {
            self.counters.negative_hits += 1;
            return Plan::Refuse(Refusal::NoTenant);
        }
        if !ask.may_wait {
            if ask.may_store {
                self.refresh_behind(now, limits, id, launches);
            }
            return if fallback { Plan::Serve } else { Plan::Refuse(Refusal::Miss) };
        }
        // Without its own request for a new answer, a bundle whose last refresh failed is not asked for
        // again before its back-off has passed.
        if fallback && ask.max_age.is_none() && !self.backoffs.may_try(now, id, stored == Stored::Changed) {
            return Plan::Serve;
        }
        match self.seat(now, limits, id, ask, launches) {
            Ok((flight, next, batch)) => {
                let hard = now + limits.timeout;
                let soft = match (fallback, batch) {
                    (true, _) => hard.min(now + limits.soft_timeout),
                    (false, true) => hard.min(now + BATCH_PATIENCE),
                    (false, false) => hard,
                };
                Plan::Wait(Seat { flight, next, patience: Some(Patience { soft, hard }) })
            }
            Err(_) if fallback => Plan::Serve,
            Err(refusal) => Plan::Refuse(refusal),
        }
    }

    /// A seat in the flight under way, or in a new one: its number, whether the caller has to wait for the
    /// one after it, and whether it is part of a batch.
    fn seat(
        &mut self,
        now: Millis,
        limits: &Limits,
        id: &BundleId,
        ask: Ask,
        launches: &mut Vec<Launch>,
    ) -> Result<(FlightId, bool, bool), Refusal> {
        if self.seats.impatient() >= limits.max_waiters {
            self.counters.refused_waiters += 1;
            return Err(Refusal::TooManyWaiters);
        }
        if let Some((number, flight)) = self.under_way(id) {
            // A clear fences the flights of the primary. Here one may be under way that a clear there should
            // have fenced, so nobody takes the result of a flight that began before the question.
            let unfenced = !ask.may_store;
            let next = unfenced || !new_enough(ask.max_age, now - flight.began);
            let batch = flight.carrier == Carrier::Batch;
            self.counters.joined += 1;
            return Ok((number, next, batch));
        }
        self.room(now, limits).inspect_err(|why| self.count_refused(*why, 1))?;
        let flight = self.launch(now, id.clone(), Carrier::Single, false, launches);
        Ok((flight, false, false))
    }

    pub(crate) fn under_way(&self, id: &BundleId) -> Option<(FlightId, &Flight<W>)> {
        let number = *self.current.get(id)?;
        Some((number, self.flights.get(&number)?))
    }

    /// Begins a flight that nobody waits for, unless one is under way or a bound, the back-off of this
    /// bundle or the breaker speaks against it.
    pub fn refresh_behind(
        &mut self,
        now: Millis,
        limits: &Limits,
        id: &BundleId,
        launches: &mut Vec<Launch>,
    ) {
        let unknown = self.unknown.contains(now, &id.tenant, id.db);
        if self.current.contains_key(id) || unknown || !self.backoffs.may_try(now, id, false) {
            return;
        }
        // Half of the flights are kept for those who wait.
        let limits = Limits { max_flights: limits.max_flights.div_ceil(2), ..*limits };
        if self.room(now, &limits).is_ok() {
            self.counters.refreshes_behind += 1;
            self.launch(now, id.clone(), Carrier::Single, true, launches);
        }
    }

    /// A seat for a warming run, which waits as long as the flight takes. Where a flight has to begin it is
    /// left to the caller to send, as part of a batch.
    pub fn warm(&mut self, now: Millis, id: &BundleId, force: bool, launches: &mut Vec<Launch>) -> Seat {
        if let Some((flight, _)) = self.under_way(id) {
            self.counters.joined += 1;
            return Seat { flight, next: force, patience: None };
        }
        let flight = self.launch(now, id.clone(), Carrier::Batch, true, launches);
        Seat { flight, next: false, patience: None }
    }

    pub(crate) fn room(&mut self, now: Millis, limits: &Limits) -> Result<(), Refusal> {
        if self.flights.len() - self.batched >= limits.max_flights {
            return Err(Refusal::TooManyFlights);
        }
        if self.breaker.admits(now) { Ok(()) } else { Err(Refusal::BreakerOpen) }
    }

    pub(crate) fn launch(
        &mut self,
        now: Millis,
        bundle: BundleId,
        carrier: Carrier,
        kept: bool,
        launches: &mut Vec<Launch>,
    ) -> FlightId {
        self.last_flight += 1;
        let flight = self.last_flight;
        self.counters.flights += 1;
        self.batched += usize::from(carrier == Carrier::Batch);
        self.current.insert(bundle.clone(), flight);
        let state = Flight {
            bundle: bundle.clone(),
            began: now,
            carrier,
            kept,
            cancelled: None,
            waiters: BTreeSet::new(),
            next: BTreeSet::new(),
            has_runs: false,
        };
        self.flights.insert(flight, state);
        self.breaker.launched(now, flight);
        launches.push(Launch { flight, carrier, bundle });
        flight
    }

    /// Seats `waiter`. Nothing may happen in between: the flight of the seat is under way.
    pub fn join(&mut self, seat: Seat, waiter: W) {
        if let Some(flight) = self.flights.get_mut(&seat.flight) {
            let side = if seat.next { &mut flight.next } else { &mut flight.waiters };
            side.insert(waiter);
            flight.has_runs |= seat.patience.is_none();
            self.seats.sit(waiter, seat.flight, seat.patience);
        }
    }

    /// Ends a flight. Its waiters are handed back: take each out with [`Engine::release`] and answer it.
    pub fn land(
        &mut self,
        now: Millis,
        limits: &Limits,
        flight: FlightId,
        outcome: Result<(), &Failure>,
    ) -> Option<Landing<W>> {
        let landed = self.flights.remove(&flight)?;
        let Flight { bundle, carrier, cancelled, waiters, mut next, has_runs, .. } = landed;
        self.batched -= usize::from(carrier == Carrier::Batch);
        let current = self.current.get(&bundle) == Some(&flight);
        if current {
            self.current.remove(&bundle);
        }
        // Unless it has ended otherwise just before.
        let cancelled = cancelled.filter(|_| outcome == Err(&Failure::Abandoned));
        match cancelled {
            Some(Cancelled::Late) => {
                self.note_outcome(now, limits, flight, &bundle, current, Err(&Failure::Timeout));
            }
            // It says nothing about anything.
            Some(Cancelled::Unwanted) => {
                self.counters.cancelled += 1;
                self.breaker.released(flight);
            }
            None => self.note_outcome(now, limits, flight, &bundle, current, outcome),
        }
        let (mut relaunch, mut refused, mut again) = (Vec::new(), None, None);
        if has_runs {
            let runs: BTreeSet<W> = next.extract_if(.., |waiter| self.seats.is_patient(*waiter)).collect();
            again = (!runs.is_empty()).then(|| Again { bundle: bundle.clone(), waiters: runs });
        }
        if !next.is_empty() {
            refused = self.follow(now, limits, bundle.clone(), next, &mut relaunch);
        }
        Some(Landing { bundle, current, cancelled, waiters, relaunch, refused, again })
    }

    fn note_outcome(
        &mut self,
        now: Millis,
        limits: &Limits,
        flight: FlightId,
        bundle: &BundleId,
        current: bool,
        outcome: Result<(), &Failure>,
    ) {
        let sign = outcome.map_or_else(Failure::sign, |()| Sign::Alive);
        if let Some(recovery) = self.breaker.landed(now, flight, bundle, outcome) {
            self.backoffs.recovered(recovery);
        }
        match outcome {
            Ok(()) => {
                self.backoffs.succeeded(bundle);
                self.unknown.remove(&bundle.tenant, bundle.db);
            }
            // The clear that orphaned this flight may have announced the tenant's creation.
            Err(Failure::NoTenant) if current => {
                self.unknown.insert(now + limits.negative_ttl, bundle.tenant.clone(), bundle.db);
            }
            Err(Failure::NoTenant) => {}
            Err(_) => self.backoffs.failed(now, bundle, sign),
        }
    }

    /// Begins the flight that the `next` of an ended or orphaned one wait for, or hands them back where
    /// there is no room.
    pub(crate) fn follow(
        &mut self,
        now: Millis,
        limits: &Limits,
        bundle: BundleId,
        next: BTreeSet<W>,
        launches: &mut Vec<Launch>,
    ) -> Option<Refused<W>> {
        if let Err(why) = self.room(now, limits) {
            self.count_refused(why, next.len());
            return Some(Refused { bundle, waiters: next, why });
        }
        let flight = self.launch(now, bundle, Carrier::Single, false, launches);
        self.seat_all(flight, next, false);
        None
    }

    pub(crate) fn count_refused(&mut self, why: Refusal, waiters: usize) {
        let counter = match why {
            Refusal::BreakerOpen => &mut self.counters.refused_breaker,
            _ => &mut self.counters.refused_flights,
        };
        *counter += waiters as u64;
    }

    /// Requests under way, batches included.
    pub fn flights(&self) -> usize {
        self.flights.len()
    }

    /// Callers who wait, each until a deadline. Warming runs, which wait as long as it takes, are bounded
    /// elsewhere.
    pub fn waiters(&self) -> usize {
        self.seats.impatient()
    }

    /// Tenants remembered as unknown.
    pub fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// Why the sidecar is not asked while the breaker is open.
    pub fn breaker_cause(&self) -> Option<&Failure> {
        self.breaker.cause()
    }

    /// `closed`, `open` or `half-open`.
    pub fn breaker_state(&self, now: Millis) -> &'static str {
        self.breaker.state(now)
    }
}
