//! Bundles that nobody has and that find no place among the flights: they wait here for one, tenant by tenant in
//! turn, so that a tenant that asks for many does not push the others back.

use crate::units::{FlightId, Millis};
use std::collections::{HashMap, VecDeque};
use wire::tenant::Tenant;

/// What a flight takes is the mean of the last ones; each new one has this share of it.
const SHARE: u64 = 8;
/// The mean is kept in sixteenths of a millisecond: a bundle may take one.
const FINE: u64 = 16;

/// Flights that have not begun. Each has somebody who waits for it, or had when it was asked for; `max_waiters` bounds
/// them.
pub(crate) struct Queue {
    lines: HashMap<Tenant, VecDeque<FlightId>>,
    /// Whose turn it is; each tenant that has a line stands here once.
    turns: VecDeque<Tenant>,
    len: usize,
    /// At `n`: how many lines are longer than `n`.
    longer: Vec<usize>,
    /// What a flight took lately; `None` before the first has landed.
    mean: Option<u64>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), len: 0, longer: Vec::new(), mean: None }
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

    /// How long one of this tenant that joins now has to wait for its bundle, as far as that can be told: until a place
    /// is free, and for its own flight.
    pub(crate) fn expected(&self, tenant: &Tenant, max_flights: usize) -> Option<Millis> {
        let before = self.before(tenant) as u64;
        let rounds = |mean: u64| mean.saturating_mul(before + 1) / (max_flights.max(1) as u64);
        self.mean.map(|mean| (mean.saturating_add(rounds(mean))) / FINE)
    }

    /// How many begin before one of this tenant that joins now: its own, and as many of each other tenant, and one.
    fn before(&self, tenant: &Tenant) -> usize {
        let own = self.lines.get(tenant).map_or(0, VecDeque::len);
        self.longer.iter().take(own + 1).sum()
    }

    pub(crate) fn push(&mut self, tenant: &Tenant, flight: FlightId) {
        let line = self.lines.entry(tenant.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        if self.longer.len() == line.len() {
            self.longer.push(0);
        }
        self.longer[line.len()] += 1;
        line.push_back(flight);
        self.len += 1;
    }

    /// A line has become shorter by one.
    fn shortened(&mut self, line: usize) {
        self.longer[line] -= 1;
        self.longer.pop_if(|lines| *lines == 0);
        self.len -= 1;
    }

    /// The flight that is next: the oldest of the tenant whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<FlightId> {
        let tenant = self.turns.pop_front()?;
        let line = self.lines.get_mut(&tenant)?;
        let flight = line.pop_front()?;
        let left = line.len();
        if left == 0 {
            self.lines.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.shortened(left);
        Some(flight)
    }

    /// Nobody waits for this one any more.
    pub(crate) fn remove(&mut self, tenant: &Tenant, flight: FlightId) {
        let Some(line) = self.lines.get_mut(tenant) else { return };
        let Some(place) = line.iter().position(|queued| *queued == flight) else { return };
        line.remove(place);
        let left = line.len();
        if left == 0 {
            self.lines.remove(tenant);
            self.turns.retain(|other| other != tenant);
        }
        self.shortened(left);
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
        assert!(queue.longer.is_empty());
    }

    #[test]
    fn the_wait_that_is_expected_follows_what_flights_took_and_how_many_are_before() {
        let mut queue = Queue::new();
        let (t, other) = (tenant("t"), tenant("other"));
        assert_eq!(queue.expected(&t, 4), None, "nothing has landed yet");
        queue.took(100);
        assert_eq!(
            queue.expected(&t, 4),
            Some(125),
            "a quarter of a flight until a place is free, and its own"
        );
        (1..=7).for_each(|flight| queue.push(&t, flight));
        assert_eq!(queue.expected(&t, 4), Some(300));
        assert_eq!(queue.expected(&other, 4), Some(150), "one of the other tenant is before it");
        (0..100).for_each(|_| queue.took(2));
        assert!(queue.expected(&t, 4).is_some_and(|wait| wait <= 8), "{:?}", queue.expected(&t, 4));
    }

    #[test]
    fn as_many_begin_before_one_that_joins_as_were_expected() {
        let names = ["a", "b", "c", "d"].map(tenant);
        for joins in &names {
            let mut queue = Queue::new();
            let mut flight = 0;
            for (n, name) in names.iter().enumerate() {
                for _ in 0..[5, 0, 2, 1][n] {
                    flight += 1;
                    queue.push(name, flight);
                }
            }
            queue.remove(&names[0], 2);
            let expected = queue.before(joins);
            queue.push(joins, 99);
            let before = std::iter::from_fn(|| queue.pop()).take_while(|flight| *flight != 99).count();
            assert_eq!(before, expected, "{joins}");
        }
    }
}
