//! Bundles that nobody has and that find no place among the flights: they wait here for one, tenant by tenant in
//! turn, so that a tenant that asks for many does not push the others back.

use crate::units::{FlightId, Millis};
use std::collections::{HashMap, VecDeque};
use wire::tenant::Tenant;

/// What a flight takes is the mean of the last ones; each new one has this share of it.
const SHARE: u64 = 8;
/// The mean is kept in sixteenths of a millisecond: a bundle may take one.
const FINE: u64 = 16;

/// Flights that have not begun. Each has somebody who waits for it, so `max_waiters` bounds them.
pub(crate) struct Queue {
    lines: HashMap<Tenant, VecDeque<FlightId>>,
    /// Whose turn it is; each tenant that has a line stands here once.
    turns: VecDeque<Tenant>,
    len: usize,
    /// What a flight took lately; `None` before the first has landed.
    mean: Option<u64>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), len: 0, mean: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A flight has taken so long.
    pub(crate) fn took(&mut self, time: Millis) {
        let time = time.saturating_mul(FINE);
        self.mean = Some(match self.mean {
            None => time,
            Some(mean) => mean - mean / SHARE + time / SHARE,
        });
    }

    /// How long one that joins now has to wait for its bundle, as far as that can be told: until a place is free,
    /// and for its own flight.
    pub(crate) fn expected(&self, max_flights: usize) -> Option<Millis> {
        let rounds = |mean: u64| mean.saturating_mul(self.len as u64 + 1) / (max_flights.max(1) as u64);
        self.mean.map(|mean| (mean.saturating_add(rounds(mean))) / FINE)
    }

    pub(crate) fn push(&mut self, tenant: &Tenant, flight: FlightId) {
        let line = self.lines.entry(tenant.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        line.push_back(flight);
        self.len += 1;
    }

    /// The flight that is next: the oldest of the tenant whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<FlightId> {
        let tenant = self.turns.pop_front()?;
        let line = self.lines.get_mut(&tenant)?;
        let flight = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.len -= usize::from(flight.is_some());
        flight
    }

    /// Nobody waits for this one any more.
    pub(crate) fn remove(&mut self, tenant: &Tenant, flight: FlightId) {
        let Some(line) = self.lines.get_mut(tenant) else { return };
        let before = line.len();
        line.retain(|queued| *queued != flight);
        self.len -= before - line.len();
        if line.is_empty() {
            self.lines.remove(tenant);
            self.turns.retain(|other| other != tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn tenants_take_turns_however_many_bundles_one_asks_for() {
        let mut queue = Queue::new();
        (1..=3).for_each(|flight| queue.push(&tenant("many"), flight));
        queue.push(&tenant("one"), 4);
        queue.push(&tenant("two"), 5);
        queue.remove(&tenant("two"), 5);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [1, 4, 2, 3]);
        assert!(queue.is_empty() && queue.lines.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn the_wait_that_is_expected_follows_what_flights_took_and_how_many_are_before() {
        let mut queue = Queue::new();
        assert_eq!(queue.expected(4), None, "nothing has landed yet");
        queue.took(100);
        assert_eq!(queue.expected(4), Some(125), "a quarter of a flight until a place is free, and its own");
        (1..=7).for_each(|flight| queue.push(&tenant("t"), flight));
        assert_eq!(queue.expected(4), Some(300));
        (0..100).for_each(|_| queue.took(2));
        assert!(queue.expected(4).is_some_and(|wait| wait <= 8), "{:?}", queue.expected(4));
    }
}
