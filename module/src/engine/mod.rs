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
//! 4. **Stale if error**: a failure is answered with what is stored; see [`health`].
//! 5. **Exactly one reply**: a waiter is in exactly one flight until it is handed back, once.
//! 8. **Bounds**: flights and waiters are counted here.

pub(crate) mod health;
#[cfg(test)]
mod model;
mod negative;
mod terms;

pub(crate) use terms::{
    Ask, Carrier, Counters, Landing, Launch, Limits, Plan, Refusal, Scope, Seat, Stored, new_enough,
};

use crate::tenant::BundleId;
use crate::upstream::Failure;
use health::{Backoffs, Breaker, Sign};
use negative::NegativeCache;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Milliseconds of a clock that never goes back.
pub(crate) type Millis = u64;

/// A flight's identity: never used twice.
pub(crate) type FlightId = u64;

struct Flight<W> {
    bundle: BundleId,
    began: Millis,
    carrier: Carrier,
    waiters: BTreeSet<W>,
    next: BTreeSet<W>,
}

/// Flights and those who wait for them. `W` names a waiter.
pub(crate) struct Engine<W> {
    flights: HashMap<FlightId, Flight<W>>,
    current: HashMap<BundleId, FlightId>,
    seats: HashMap<W, (FlightId, Option<Millis>)>,
    deadlines: BTreeSet<(Millis, W)>,
    batched: usize,
    last_flight: FlightId,
    unknown: NegativeCache,
    backoffs: Backoffs,
    breaker: Breaker,
    pub(crate) counters: Counters,
}

impl<W: Copy + Ord + std::hash::Hash> Engine<W> {
    pub(crate) fn new() -> Self {
        Self {
            flights: HashMap::new(),
            current: HashMap::new(),
            seats: HashMap::new(),
            deadlines: BTreeSet::new(),
            batched: 0,
            last_flight: 0,
            unknown: NegativeCache::new(),
            backoffs: Backoffs::new(),
            breaker: Breaker::new(),
            counters: Counters::default(),
        }
    }

    /// Decides for one caller. A flight that this begins is pushed to `launches`: send it.
    pub(crate) fn read(
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
        // Someone who asks for a new answer gets one, so a person can end a remembered "no" early.
        if !fallback && ask.max_age.is_none() && self.unknown.contains(now, &id.tenant, id.db) {
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
        if fallback && ask.max_age.is_none() && !self.backoffs.may_try(now, id) {
            return Plan::Serve;
        }
        match self.seat(now, limits, id, ask.max_age, launches) {
            Ok((flight, next)) => {
                let patience =
                    if fallback { limits.soft_timeout.min(limits.timeout) } else { limits.timeout };
                Plan::Wait(Seat { flight, next, deadline: Some(now + patience) })
            }
            Err(_) if fallback => Plan::Serve,
            Err(refusal) => Plan::Refuse(refusal),
        }
    }

    /// A seat in the flight under way, or in a new one.
    fn seat(
        &mut self,
        now: Millis,
        limits: &Limits,
        id: &BundleId,
        max_age: Option<Millis>,
        launches: &mut Vec<Launch>,
    ) -> Result<(FlightId, bool), Refusal> {
        if self.deadlines.len() >= limits.max_waiters {
            self.counters.refused_waiters += 1;
            return Err(Refusal::TooManyWaiters);
        }
        if let Some((flight, began)) = self.under_way(id) {
            self.counters.joined += 1;
            return Ok((flight, !new_enough(max_age, now - began)));
        }
        self.room(now, limits).inspect_err(|refusal| match refusal {
            Refusal::BreakerOpen => self.counters.refused_breaker += 1,
            _ => self.counters.refused_flights += 1,
        })?;
        let launch = self.launch(now, id.clone(), Carrier::Single);
        let flight = launch.flight;
        launches.push(launch);
        Ok((flight, false))
    }

    fn under_way(&self, id: &BundleId) -> Option<(FlightId, Millis)> {
        let flight = *self.current.get(id)?;
        Some((flight, self.flights.get(&flight)?.began))
    }

    /// Begins a flight that nobody waits for, unless one is under way or a bound, the back-off of this
    /// bundle or the breaker speaks against it.
    pub(crate) fn refresh_behind(
        &mut self,
        now: Millis,
        limits: &Limits,
        id: &BundleId,
        launches: &mut Vec<Launch>,
    ) {
        let unknown = self.unknown.contains(now, &id.tenant, id.db);
        if self.current.contains_key(id) || unknown || !self.backoffs.may_try(now, id) {
            return;
        }
        // Half of the flights are kept for those who wait.
        let limits = Limits { max_flights: limits.max_flights.div_ceil(2), ..*limits };
        if self.room(now, &limits).is_ok() {
            self.counters.refreshes_behind += 1;
            launches.push(self.launch(now, id.clone(), Carrier::Single));
        }
    }

    /// A seat for a warming run, which waits as long as the flight takes. Where a flight has to begin it is
    /// left to the caller to send, as part of a batch.
    pub(crate) fn warm(
        &mut self,
        now: Millis,
        id: &BundleId,
        force: bool,
        launches: &mut Vec<Launch>,
    ) -> Seat {
        if let Some((flight, _)) = self.under_way(id) {
            self.counters.joined += 1;
            return Seat { flight, next: force, deadline: None };
        }
        let launch = self.launch(now, id.clone(), Carrier::Batch);
        let flight = launch.flight;
        launches.push(launch);
        Seat { flight, next: false, deadline: None }
    }

    fn room(&mut self, now: Millis, limits: &Limits) -> Result<(), Refusal> {
        if self.flights.len() - self.batched >= limits.max_flights {
            return Err(Refusal::TooManyFlights);
        }
        if self.breaker.admits(now) { Ok(()) } else { Err(Refusal::BreakerOpen) }
    }

    fn launch(&mut self, now: Millis, bundle: BundleId, carrier: Carrier) -> Launch {
        self.last_flight += 1;
        let flight = self.last_flight;
        self.counters.flights += 1;
        self.batched += usize::from(carrier == Carrier::Batch);
        self.current.insert(bundle.clone(), flight);
        let state = Flight {
            bundle: bundle.clone(),
            began: now,
            carrier,
            waiters: BTreeSet::new(),
            next: BTreeSet::new(),
        };
        self.flights.insert(flight, state);
        self.breaker.launched(now, flight);
        Launch { flight, bundle }
    }

    /// Seats `waiter`. Nothing may happen in between: the flight of the seat is under way.
    pub(crate) fn join(&mut self, seat: Seat, waiter: W) {
        if let Some(flight) = self.flights.get_mut(&seat.flight) {
            if seat.next {
                flight.next.insert(waiter)
            } else {
                flight.waiters.insert(waiter)
            };
            self.sit(waiter, seat.flight, seat.deadline);
        }
    }

    fn sit(&mut self, waiter: W, flight: FlightId, deadline: Option<Millis>) {
        self.seats.insert(waiter, (flight, deadline));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, waiter));
        }
    }

    /// Takes `waiter` out: it has gone, or is answered otherwise. The flight goes on: its result will be
    /// of use to the next one.
    pub(crate) fn leave(&mut self, waiter: W) -> bool {
        let Some(flight) = self.unseat(waiter) else { return false };
        if let Some(flight) = self.flights.get_mut(&flight) {
            flight.waiters.remove(&waiter);
            flight.next.remove(&waiter);
        }
        true
    }

    fn unseat(&mut self, waiter: W) -> Option<FlightId> {
        let (flight, deadline) = self.seats.remove(&waiter)?;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, waiter));
        }
        Some(flight)
    }

    /// One waiter whose deadline has passed, taken out.
    pub(crate) fn expire(&mut self, now: Millis) -> Option<W> {
        let &(deadline, waiter) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.counters.timeouts += 1;
        self.leave(waiter);
        Some(waiter)
    }

    /// When [`Engine::expire`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends a flight. Its waiters are handed back: answer each.
    pub(crate) fn land(
        &mut self,
        now: Millis,
        limits: &Limits,
        flight: FlightId,
        outcome: Result<(), &Failure>,
    ) -> Option<Landing<W>> {
        let Flight { bundle, carrier, waiters, next, .. } = self.flights.remove(&flight)?;
        self.batched -= usize::from(carrier == Carrier::Batch);
        let current = self.current.get(&bundle) == Some(&flight);
        if current {
            self.current.remove(&bundle);
        }
        self.note_outcome(now, limits, flight, &bundle, current, outcome);
        for waiter in &waiters {
            self.unseat(*waiter);
        }
        let (mut relaunch, mut refused) = (None, Vec::new());
        if !next.is_empty() {
            match self.follow(now, limits, bundle.clone(), next) {
                Ok(launch) => relaunch = Some(launch),
                Err(waiters) => refused.extend(waiters),
            }
        }
        let waiters = waiters.into_iter().collect();
        Some(Landing { bundle, current, waiters, relaunch, refused })
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
        self.breaker.landed(now, flight, bundle, sign);
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
            Err(_) => self.backoffs.failed(now, bundle),
        }
    }

    /// The fence: no flight that is under way now will be stored or joined by a later caller. Those who
    /// wait for the flight after it get theirs at once, pushed to `launches`; who finds no room is handed
    /// back: answer each.
    pub(crate) fn invalidate(
        &mut self,
        now: Millis,
        limits: &Limits,
        scope: Scope<'_>,
        launches: &mut Vec<Launch>,
    ) -> Vec<W> {
        // In order, so that a run can be repeated.
        let orphans: BTreeMap<BundleId, FlightId> = match scope {
            Scope::Tenant(db, tenant) => BundleId::both(db, tenant)
                .into_iter()
                .filter_map(|id| self.current.remove_entry(&id))
                .collect(),
            _ => self.current.extract_if(|id, _| scope.covers(id)).collect(),
        };
        match scope {
            Scope::Tenant(db, tenant) => {
                self.unknown.remove(tenant, db);
                for id in BundleId::both(db, tenant) {
                    self.backoffs.succeeded(&id);
                }
            }
            _ => {
                self.unknown = NegativeCache::new();
                self.backoffs = Backoffs::new();
            }
        }
        self.counters.orphaned += orphans.len() as u64;
        let mut refused = Vec::new();
        for (bundle, flight) in orphans {
            let next = self.who_wait_on(flight);
            if next.is_empty() {
                continue;
            }
            match self.follow(now, limits, bundle, next) {
                Ok(launch) => launches.push(launch),
                Err(waiters) => refused.extend(waiters),
            }
        }
        refused
    }

    /// Takes out of an orphaned flight those whom its result does not help: who asked for something newer,
    /// and warming runs, which want the bundle stored.
    fn who_wait_on(&mut self, orphan: FlightId) -> BTreeSet<W> {
        let Some(flight) = self.flights.get_mut(&orphan) else { return BTreeSet::new() };
        let seats = &self.seats;
        let mut next = std::mem::take(&mut flight.next);
        next.extend(
            flight.waiters.extract_if(.., |w| seats.get(w).is_some_and(|(_, deadline)| deadline.is_none())),
        );
        next
    }

    /// Begins the flight that the `next` of an ended or orphaned one wait for, or hands them back where
    /// there is no room.
    fn follow(
        &mut self,
        now: Millis,
        limits: &Limits,
        bundle: BundleId,
        next: BTreeSet<W>,
    ) -> Result<Launch, BTreeSet<W>> {
        if self.room(now, limits).is_err() {
            self.counters.refused_flights += 1;
            for waiter in &next {
                self.unseat(*waiter);
            }
            return Err(next);
        }
        let launch = self.launch(now, bundle, Carrier::Single);
        for waiter in &next {
            if let Some(seat) = self.seats.get_mut(waiter) {
                seat.0 = launch.flight;
            }
        }
        if let Some(flight) = self.flights.get_mut(&launch.flight) {
            flight.waiters = next;
        }
        Ok(launch)
    }

    /// Requests under way, batches included.
    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }

    /// Callers who wait, each until a deadline. Warming runs, which wait as long as it takes, are bounded
    /// elsewhere.
    pub(crate) fn waiters(&self) -> usize {
        self.deadlines.len()
    }

    /// Tenants remembered as unknown.
    pub(crate) fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// `closed`, `open` or `half-open`.
    pub(crate) fn breaker_state(&self, now: Millis) -> &'static str {
        self.breaker.state(now)
    }
}
