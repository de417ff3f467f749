//! The engine: which request is answered from memory, which one waits, and for what. It knows no Redis, no
//! network and no clock: callers pass the time and what is stored, and carry out what it decides.
//!
//! The rules that it keeps, by the numbers of `ARCHITECTURE.md`:
//!
//! 1. **One flight**: at most one request for a bundle is under way ([`Engine::read`]).
//! 2. **Fence**: [`Engine::invalidate`] takes the identity of being current from every flight under way;
//!    only a current flight's result is stored ([`Engine::land`]), so nothing read from the database
//!    before a clear is stored after it. Identity, not time: no clock takes part.
//!    A SOFT ([`Engine::overtake`]) leaves the flight its place: what it brings is kept, still marked as changed,
//!    and the next one begins when it lands. So changes that come faster than a bundle is computed never starve it.
//! 3. **Serve order**: fresh at once; stale at once with a refresh behind it; changed or asked for anew,
//!    wait; absent, wait.
//! 4. **Stale if error**: a failure is answered with what is stored; see [`crate::backoff`]
//!    and [`crate::breaker`].
//! 5. **Exactly one reply**: a waiter is in exactly one flight until it is handed back, once.
//! 8. **Bounds**: flights and waiters are counted here; who finds no flight waits in the `queue`, tenants in turn.

use crate::backoff::Backoffs;
use crate::breaker::Breaker;
use crate::failure::{Failure, Sign};
use crate::negative::NegativeCache;
use crate::queue::Queue;
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
    /// It has not begun: it waits in the queue.
    pub(crate) queued: bool,
    /// Its data has changed since it began: what it brings is a fallback only.
    pub(crate) overtaken: bool,
    /// Another begins when it lands, whoever waits then.
    pub(crate) again: bool,
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
    pub(crate) queue: Queue,
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
            queue: Queue::new(),
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
                    self.refresh_behind(now, limits, id, None, launches);
                }
                return Plan::Serve;
            }
            _ => {}
        }
        let fallback = stored != Stored::Absent;
        // Someone who asks for a new answer gets one, so a person can end a remembered "no" early. A clear ends
        // it too, but on the primary only.
        if !fallback && ask.may_store && ask.max_age.is_none() && self.unknown.contains(now, &id.tenant) {
            self.counters.negative_hits += 1;
            return Plan::Refuse(Refusal::NoTenant);
        }
        if !ask.may_wait {
            if ask.may_store {
                self.refresh_behind(now, limits, id, ask.max_age, launches);
            }
            return match fallback {
                false => Plan::Refuse(Refusal::Miss),
                true if self.would_wait(now, limits, id, stored, ask) => Plan::Fallback,
                true => Plan::Serve,
            };
        }
        // Without its own request for a new answer, a bundle whose last refresh failed is not asked for
        // again before its back-off has passed.
        if fallback && ask.max_age.is_none() && !self.backoffs.may_try(now, id, stored == Stored::Changed) {
            return Plan::Serve;
        }
        match self.seat(now, limits, id, ask, !fallback, launches) {
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

    /// Whether one that may wait would wait for a new bundle.
    fn would_wait(&mut self, now: Millis, limits: &Limits, id: &BundleId, stored: Stored, ask: Ask) -> bool {
        let tried = ask.max_age.is_some() || self.backoffs.may_try(now, id, stored == Stored::Changed);
        tried && (self.current.contains_key(id) || self.room(now, limits).is_ok())
    }

    /// A seat in the flight under way, or in a new one: its number, whether the caller has to wait for the
    /// one after it, and whether it is part of a batch.
    fn seat(
        &mut self,
        now: Millis,
        limits: &Limits,
        id: &BundleId,
        ask: Ask,
        may_queue: bool,
        launches: &mut Vec<Launch>,
    ) -> Result<(FlightId, bool, bool), Refusal> {
        let of_tenant = self.seats.of_tenant(&id.tenant);
        if self.seats.impatient() >= limits.max_waiters || of_tenant >= limits.waiters_of_one_tenant() {
            self.counters.refused_waiters += 1;
            return Err(Refusal::TooManyWaiters);
        }
        if let Some((number, flight)) = self.under_way(id) {
            // A clear fences the flights of the primary. Here one may be under way that a clear there should
            // have fenced, so nobody takes the result of a flight that began before the question.
            let unfenced = !ask.may_store;
            let too_old = unfenced || flight.overtaken || !new_enough(ask.max_age, now - flight.began);
            let next = too_old && !flight.queued;
            let batch = flight.carrier == Carrier::Batch;
            self.counters.joined += 1;
            return Ok((number, next, batch));
        }
        let begun = self.begin(now, limits, id.clone(), may_queue, launches);
        begun.map(|flight| (flight, false, false)).inspect_err(|why| self.count_refused(*why, 1))
    }

    /// A flight of its own for a bundle, which may have to wait for a place: behind those who wait for one already.
    pub(crate) fn begin(
        &mut self,
        now: Millis,
        limits: &Limits,
        bundle: BundleId,
        may_queue: bool,
        launches: &mut Vec<Launch>,
    ) -> Result<FlightId, Refusal> {
        match self.room(now, limits) {
            Ok(()) if may_queue && !self.queue.is_empty() => {
                let flight = self.enqueue(now, bundle);
                self.queue.pop().into_iter().for_each(|first| self.take_off(now, first, launches));
                Ok(flight)
            }
            Ok(()) => Ok(self.launch(now, bundle, Carrier::Single, false, launches)),
            Err(Refusal::TooManyFlights) if may_queue && self.is_worth_a_wait(limits, &bundle) => {
                Ok(self.enqueue(now, bundle))
            }
            Err(why) => Err(why),
        }
    }

    fn enqueue(&mut self, now: Millis, bundle: BundleId) -> FlightId {
        let tenant = bundle.tenant.clone();
        let flight = self.enter(now, bundle, Carrier::Single, false);
        if let Some(entered) = self.flights.get_mut(&flight) {
            entered.queued = true;
        }
        self.queue.push(&tenant, flight);
        self.counters.queued += 1;
        flight
    }

    /// Whether one that joins the queue now can expect its bundle within its time.
    fn is_worth_a_wait(&self, limits: &Limits, bundle: &BundleId) -> bool {
        let expected = self.queue.expected(&bundle.tenant, limits.max_flights);
        self.queue.len() < limits.max_waiters && expected.is_none_or(|wait| wait < limits.timeout)
    }

    /// Begins those that wait in the queue, as far as there is room. If the sidecar is not asked any more, all of them
    /// are refused: they would wait for nothing.
    fn begin_queued(&mut self, now: Millis, limits: &Limits, landing: &mut Landing<W>) {
        while !self.queue.is_empty() {
            match self.room(now, limits) {
                Ok(()) => {
                    let Some(flight) = self.queue.pop() else { return };
                    self.take_off(now, flight, &mut landing.relaunch);
                }
                Err(why @ Refusal::BreakerOpen) => {
                    let Some(flight) = self.queue.pop().and_then(|flight| self.flights.remove(&flight))
                    else {
                        return;
                    };
                    let Flight { bundle, waiters, .. } = flight;
                    self.current.remove(&bundle);
                    let (runs, clients): (BTreeSet<W>, BTreeSet<W>) =
                        waiters.into_iter().partition(|waiter| self.seats.is_patient(*waiter));
                    self.count_refused(why, clients.len());
                    if !runs.is_empty() {
                        landing.again.push(Again { bundle: bundle.clone(), waiters: runs });
                    }
                    landing.refused.push(Refused { bundle, waiters: clients, why });
                }
                Err(_) => return,
            }
        }
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
        max_age: Option<Millis>,
        launches: &mut Vec<Launch>,
    ) {
        if let Some(flight) = self.current.get(id).and_then(|number| self.flights.get_mut(number)) {
            // One that began too early is followed by another.
            let too_old = flight.overtaken || !new_enough(max_age, now - flight.began);
            flight.again |= too_old && !flight.queued;
            flight.kept |= flight.again;
            return;
        }
        if self.unknown.contains(now, &id.tenant) || !self.backoffs.may_try(now, id, false) {
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
        if let Some((flight, state)) = self.under_way(id) {
            let next = (force || state.overtaken) && !state.queued;
            self.counters.joined += 1;
            return Seat { flight, next, patience: None };
        }
        let flight = self.launch(now, id.clone(), Carrier::Batch, true, launches);
        Seat { flight, next: false, patience: None }
    }

    pub(crate) fn room(&mut self, now: Millis, limits: &Limits) -> Result<(), Refusal> {
        if self.flights() - self.batched >= limits.max_flights {
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
        let flight = self.enter(now, bundle, carrier, kept);
        self.take_off(now, flight, launches);
        flight
    }

    /// Makes a flight the current one of its bundle.
    fn enter(&mut self, now: Millis, bundle: BundleId, carrier: Carrier, kept: bool) -> FlightId {
        self.last_flight += 1;
        let flight = self.last_flight;
        self.batched += usize::from(carrier == Carrier::Batch);
        self.current.insert(bundle.clone(), flight);
        let state = Flight {
            bundle,
            began: now,
            carrier,
            kept,
            cancelled: None,
            queued: false,
            overtaken: false,
            again: false,
            waiters: BTreeSet::new(),
            next: BTreeSet::new(),
            has_runs: false,
        };
        self.flights.insert(flight, state);
        flight
    }

    fn take_off(&mut self, now: Millis, number: FlightId, launches: &mut Vec<Launch>) {
        if let Some(flight) = self.flights.get_mut(&number) {
            (flight.queued, flight.began) = (false, now);
            self.counters.flights += 1;
            self.breaker.launched(now, number);
            launches.push(Launch { flight: number, carrier: flight.carrier, bundle: flight.bundle.clone() });
        }
    }

    /// Seats `waiter`. Nothing may happen in between: the flight of the seat is under way.
    pub fn join(&mut self, seat: Seat, waiter: W) {
        if let Some(flight) = self.flights.get_mut(&seat.flight) {
            let side = if seat.next { &mut flight.next } else { &mut flight.waiters };
            side.insert(waiter);
            flight.has_runs |= seat.patience.is_none();
            self.seats.sit(waiter, &flight.bundle.tenant, seat.flight, seat.patience);
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
        let Flight {
            bundle, began, carrier, cancelled, overtaken, again, waiters, mut next, has_runs, ..
        } = landed;
        self.batched -= usize::from(carrier == Carrier::Batch);
        let current = self.current.get(&bundle) == Some(&flight);
        if current {
            self.current.remove(&bundle);
        }
        // Unless it has ended otherwise just before.
        let cancelled = cancelled.filter(|_| outcome == Err(&Failure::Abandoned));
        // One that began when its clients had waited for a while has not had the time that the sidecar is given.
        let had_its_time = now - began + BATCH_PATIENCE >= limits.timeout;
        let cancelled = cancelled.map(|why| if had_its_time { why } else { Cancelled::Unwanted });
        let outcome = if cancelled == Some(Cancelled::Late) { Err(&Failure::Timeout) } else { outcome };
        if cancelled == Some(Cancelled::Unwanted) {
            // It says nothing about anything.
            self.counters.cancelled += 1;
            self.breaker.released(flight);
        } else {
            self.note_outcome(now, limits, flight, &bundle, current && !overtaken, outcome);
            if carrier == Carrier::Single && matches!(outcome, Ok(()) | Err(Failure::Timeout)) {
                self.queue.took(now - began);
            }
        }
        let mut landing = Landing {
            bundle: bundle.clone(),
            current,
            overtaken,
            cancelled,
            waiters,
            relaunch: Vec::new(),
            refused: Vec::new(),
            again: Vec::new(),
        };
        if has_runs {
            let runs: BTreeSet<W> = next.extract_if(.., |waiter| self.seats.is_patient(*waiter)).collect();
            if !runs.is_empty() {
                landing.again.push(Again { bundle: bundle.clone(), waiters: runs });
            }
        }
        let is_followed = !next.is_empty();
        if is_followed {
            let refused = self.follow(now, limits, bundle.clone(), next, again, &mut landing.relaunch);
            landing.refused.extend(refused);
        }
        self.begin_queued(now, limits, &mut landing);
        if again && !is_followed && outcome.is_ok() {
            self.refresh_behind(now, limits, &bundle, None, &mut landing.relaunch);
        }
        Some(landing)
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
                self.unknown.remove(&bundle.tenant);
            }
            // The clear that orphaned this flight may have announced the tenant's creation.
            Err(Failure::NoTenant) if current => {
                self.unknown.insert(now + limits.negative_ttl, bundle.tenant.clone());
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
        kept: bool,
        launches: &mut Vec<Launch>,
    ) -> Option<Refused<W>> {
        match self.begin(now, limits, bundle.clone(), true, launches) {
            Ok(number) => {
                if let Some(flight) = self.flights.get_mut(&number) {
                    flight.kept = kept;
                }
                self.seat_all(number, next, false);
                None
            }
            Err(why) => {
                self.count_refused(why, next.len());
                Some(Refused { bundle, waiters: next, why })
            }
        }
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
        self.flights.len() - self.queue.len()
    }

    /// Bundles that wait for a flight.
    pub fn queued(&self) -> usize {
        self.queue.len()
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
