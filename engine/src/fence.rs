//! The fence: what a clear does to the flights under way.

use crate::backoff::Backoffs;
use crate::engine::Engine;
use crate::negative::NegativeCache;
use crate::terms::{Again, Cancelled, Fenced, Limits, Scope};
use crate::units::{FlightId, Millis};
use std::collections::{BTreeMap, BTreeSet};
use wire::key::BundleId;

impl<W: Copy + Ord + std::hash::Hash> Engine<W> {
    /// The fence: no flight that is under way now will be stored or joined by a later caller. Those who
    /// wait for the flight after it get theirs at once. What waits in the queue has not begun: it is not touched.
    pub fn invalidate(&mut self, now: Millis, limits: &Limits, scope: Scope<'_>) -> Fenced<W> {
        let orphans = self.flights_in(scope);
        self.forget_failures(scope);
        self.counters.orphaned += orphans.len() as u64;
        let mut fenced =
            Fenced { launches: Vec::new(), cancel: Vec::new(), refused: Vec::new(), again: Vec::new() };
        for (bundle, flight) in orphans {
            self.current.remove(&bundle);
            let (next, runs) = self.who_wait_on(flight);
            fenced.cancel.extend(self.cancel_unwanted(flight, Cancelled::Unwanted));
            if !runs.is_empty() {
                fenced.again.push(Again { bundle: bundle.clone(), waiters: runs });
            }
            if !next.is_empty() {
                fenced.refused.extend(self.follow(now, limits, bundle, next, false, &mut fenced.launches));
            }
        }
        fenced
    }

    /// The same for data that has changed, and may change faster than it is computed: a flight under way keeps its
    /// place and its waiters, but what it brings is a fallback only, and no later caller joins it. The next flight
    /// begins when it lands.
    pub fn overtake(&mut self, scope: Scope<'_>) {
        self.forget_failures(scope);
        for flight in self.flights_in(scope).into_values() {
            if let Some(flight) = self.flights.get_mut(&flight) {
                self.counters.overtaken += u64::from(!flight.overtaken);
                flight.overtaken = true;
            }
        }
    }

    /// The databases that have flights.
    pub fn databases(&self) -> BTreeSet<i32> {
        self.current.keys().map(|id| id.db).collect()
    }

    /// The current flights that have begun, in order, so that a run can be repeated.
    fn flights_in(&self, scope: Scope<'_>) -> BTreeMap<BundleId, FlightId> {
        let begun = |flight: &FlightId| self.flights.get(flight).is_some_and(|flight| !flight.queued);
        match scope {
            Scope::Tenant(db, tenant) => {
                let current = |id: BundleId| self.current.get(&id).map(|flight| (id, *flight));
                let both = BundleId::both(db, tenant).into_iter().filter_map(current);
                both.filter(|(_, flight)| begun(flight)).collect()
            }
            _ => {
                let covered = self.current.iter().filter(|(id, flight)| scope.covers(id) && begun(flight));
                covered.map(|(id, flight)| (id.clone(), *flight)).collect()
            }
        }
    }

    /// What failed before may succeed now.
    fn forget_failures(&mut self, scope: Scope<'_>) {
        match scope {
            Scope::Tenant(db, tenant) => {
                self.unknown.remove(tenant);
                for id in BundleId::both(db, tenant) {
                    self.backoffs.succeeded(&id);
                }
            }
            _ => {
                self.unknown = NegativeCache::new();
                self.backoffs = Backoffs::new();
            }
        }
    }

    /// Takes out of an orphaned flight those whom its result does not help: who asked for something newer,
    /// and, apart, warming runs, which want the bundle stored.
    fn who_wait_on(&mut self, orphan: FlightId) -> (BTreeSet<W>, BTreeSet<W>) {
        let Some(flight) = self.flights.get_mut(&orphan) else { return Default::default() };
        let mut next = std::mem::take(&mut flight.next);
        let mut runs = BTreeSet::new();
        if flight.has_runs {
            let seats = &self.seats;
            runs.extend(flight.waiters.extract_if(.., |waiter| seats.is_patient(*waiter)));
            runs.extend(next.extract_if(.., |waiter| seats.is_patient(*waiter)));
        }
        (next, runs)
    }
}
