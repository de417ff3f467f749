//! The negative cache: tenants that Postgres did not know a moment ago. Bounded: a stream of invented names
//! pushes out the oldest "no" and never grows memory.

use crate::units::Millis;
use std::collections::{HashMap, VecDeque};
use wire::tenant::Tenant;

const CAPACITY: usize = 4096;

/// Tenants known not to exist, each until a time.
pub(crate) struct NegativeCache {
    until: HashMap<(i32, Tenant), Millis>,
    order: VecDeque<(i32, Tenant, Millis)>,
}

impl NegativeCache {
    pub(crate) fn new() -> Self {
        Self { until: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, until: Millis, tenant: Tenant, db: i32) {
        while self.order.len() >= CAPACITY {
            let Some((db, tenant, until)) = self.order.pop_front() else { break };
            let key = (db, tenant);
            // A younger entry of the same name has its own place in the order.
            if self.until.get(&key) == Some(&until) {
                self.until.remove(&key);
            }
        }
        self.until.insert((db, tenant.clone()), until);
        self.order.push_back((db, tenant, until));
    }

    pub(crate) fn contains(&self, now: Millis, tenant: &Tenant, db: i32) -> bool {
        // The usual case pays for no copy of the name.
        !self.until.is_empty() && self.until.get(&(db, tenant.clone())).is_some_and(|until| now < *until)
    }

    pub(crate) fn remove(&mut self, tenant: &Tenant, db: i32) {
        if !self.until.is_empty() {
            self.until.remove(&(db, tenant.clone()));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> Tenant {
        Tenant::new(format!("t{n}").as_bytes()).unwrap()
    }

    #[test]
    fn a_no_is_remembered_until_its_time_and_no_longer() {
        let mut cache = NegativeCache::new();
        cache.insert(10, tenant(1), 0);
        assert!(cache.contains(9, &tenant(1), 0));
        assert!(!cache.contains(9, &tenant(1), 1), "another database");
        assert!(!cache.contains(10, &tenant(1), 0));
    }

    #[test]
    fn a_hundred_thousand_invented_names_stay_within_the_bound() {
        let mut cache = NegativeCache::new();
        for n in 0..100_000 {
            cache.insert(10, tenant(n), 0);
        }
        assert_eq!(cache.len(), CAPACITY);
        assert!(cache.contains(0, &tenant(99_999), 0));
    }

    #[test]
    fn a_name_that_comes_again_keeps_its_younger_entry() {
        let mut cache = NegativeCache::new();
        cache.insert(10, tenant(0), 0);
        cache.insert(20, tenant(0), 0);
        for n in 1..CAPACITY {
            cache.insert(10, tenant(n), 0);
        }
        assert!(cache.contains(15, &tenant(0), 0));
    }
}
