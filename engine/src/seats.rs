//! Who waits where, and until when. A waiter has one seat, in one flight, until it is taken out.

use crate::units::{FlightId, Millis};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use wire::tenant::Tenant;

/// Until when a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// When to look whether there is something better to do than to wait on.
    pub(crate) soft: Millis,
    /// When to give up.
    pub(crate) hard: Millis,
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    tenant: Tenant,
    pub(crate) flight: FlightId,
    /// `None`: as long as the flight takes.
    pub(crate) hard: Option<Millis>,
    /// When it is due, as it stands in `due`.
    next: Option<Millis>,
}

/// All seats.
pub(crate) struct Seats<W> {
    places: HashMap<W, Place>,
    due: BTreeSet<(Millis, W)>,
    /// How many of each tenant do not wait for ever.
    tenants: HashMap<Tenant, usize>,
}

impl<W: Copy + Ord + Hash> Seats<W> {
    pub(crate) fn new() -> Self {
        Self { places: HashMap::new(), due: BTreeSet::new(), tenants: HashMap::new() }
    }

    pub(crate) fn sit(&mut self, waiter: W, tenant: &Tenant, flight: FlightId, patience: Option<Patience>) {
        let (hard, next) = (patience.map(|p| p.hard), patience.map(|p| p.soft));
        self.places.insert(waiter, Place { tenant: tenant.clone(), flight, hard, next });
        if let Some(Patience { soft, .. }) = patience {
            *self.tenants.entry(tenant.clone()).or_default() += 1;
            self.due.insert((soft, waiter));
        }
    }

    pub(crate) fn get(&self, waiter: W) -> Option<&Place> {
        self.places.get(&waiter)
    }

    /// Waits as long as its flight takes.
    pub(crate) fn is_patient(&self, waiter: W) -> bool {
        self.places.get(&waiter).is_some_and(|place| place.hard.is_none())
    }

    /// Moves `waiter` to another flight; its time goes on.
    pub(crate) fn move_to(&mut self, waiter: W, flight: FlightId) {
        if let Some(place) = self.places.get_mut(&waiter) {
            place.flight = flight;
        }
    }

    /// Lets `waiter` wait until then, or until it has to give up.
    pub(crate) fn prolong(&mut self, waiter: W, until: Millis) {
        let Some(place) = self.places.get_mut(&waiter) else { return };
        if let (Some(next), Some(hard)) = (place.next, place.hard) {
            let until = until.min(hard);
            self.due.remove(&(next, waiter));
            self.due.insert((until, waiter));
            place.next = Some(until);
        }
    }

    pub(crate) fn remove(&mut self, waiter: W) -> Option<Place> {
        let place = self.places.remove(&waiter)?;
        if let Some(next) = place.next {
            self.due.remove(&(next, waiter));
            if let Some(waiting) = self.tenants.get_mut(&place.tenant) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.tenants.remove(&place.tenant);
                }
            }
        }
        Some(place)
    }

    /// Who is due first, and when.
    pub(crate) fn first_due(&self) -> Option<(Millis, W)> {
        self.due.first().copied()
    }

    /// Those of one tenant who do not wait for ever.
    pub(crate) fn of_tenant(&self, tenant: &Tenant) -> usize {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Those who do not wait for ever.
    pub(crate) fn impatient(&self) -> usize {
        self.due.len()
    }
}
