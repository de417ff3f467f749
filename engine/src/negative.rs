//! The negative cache: tenants that Postgres did not know a moment ago. Bounded: a stream of invented names
//! pushes out the oldest "no" and never grows memory. Whether a tenant exists is Postgres's word, the same for every
//! database of Redis.

use crate::units::Millis;
use std::collections::{HashMap, VecDeque};
use wire::tenant::Tenant;

const CAPACITY: usize = 4096;

/// Tenants known not to exist, each until a time.
pub(crate) struct NegativeCache {
    until: HashMap<Tenant, Millis>,
    order: VecDeque<(Tenant, Millis)>,
}

impl NegativeCache {
    pub(crate) fn new() -> Self {
        Self { until: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, until: Millis, tenant: Tenant) {
        while self.order.len() >= CAPACITY {
            let Some((tenant, until)) = self.order.pop_front() else { break };
            // A younger entry of the same name has its own place in the order.
            if self.until.get(&tenant) == Some(&until) {
                self.until.remove(&tenant);
            }
        }
        self.until.insert(tenant.clone(), until);
        self.order.push_back((tenant, until));
    }

    pub(crate) fn contains(&self, now: Millis, tenant: &Tenant) -> bool {
        self.until.get(tenant).is_some_and(|until| now < *until)
    }

    pub(crate) fn remove(&mut self, tenant: &Tenant) {
        self.until.remove(tenant);
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
        cache.insert(10, tenant(1));
        assert!(cache.contains(9, &tenant(1)));
        assert!(!cache.contains(10, &tenant(1)));
    }

    #[test]
    fn a_hundred_thousand_invented_names_stay_within_the_bound() {
        let mut cache = NegativeCache::new();
        for n in 0..100_000 {
            cache.insert(10, tenant(n));
        }
        assert_eq!(cache.len(), CAPACITY);
        assert!(cache.contains(0, &tenant(99_999)));
    }

    #[test]
    fn a_name_that_comes_again_keeps_its_younger_entry() {
        let mut cache = NegativeCache::new();
        cache.insert(10, tenant(0));
        cache.insert(20, tenant(0));
        for n in 1..CAPACITY {
            cache.insert(10, tenant(n));
        }
        assert!(cache.contains(15, &tenant(0)));
    }
}
