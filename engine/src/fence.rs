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
    /// wait for the flight after it get theirs at once.
    pub fn invalidate(&mut self, now: Millis, limits: &Limits, scope: Scope<'_>) -> Fenced<W> {
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
        let mut fenced =
            Fenced { launches: Vec::new(), cancel: Vec::new(), refused: Vec::new(), again: Vec::new() };
        for (bundle, flight) in orphans {
            let (next, runs) = self.who_wait_on(flight);
            fenced.cancel.extend(self.cancel_unwanted(flight, Cancelled::Unwanted));
            if !runs.is_empty() {
                fenced.again.push(Again { bundle: bundle.clone(), waiters: runs });
            }
            if !next.is_empty() {
                fenced.refused.extend(self.follow(now, limits, bundle, next, &mut fenced.launches));
            }
        }
        fenced
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
