//! When not to ask for a bundle whose refresh has failed: not before its back-off has passed.

use crate::failure::Sign;
use crate::units::Millis;
use std::collections::HashMap;
use wire::key::BundleId;

/// The sidecar answers after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// There were too few to stop asking.
    Answered,
    BreakerClosed,
}

const FIRST_BACKOFF: Millis = 200;
const LONGEST_BACKOFF: Millis = 30_000;
/// Where what is stored is known to be wrong.
const LONGEST_FOR_WRONG: Millis = 2_000;
const BACKOFF_CAPACITY: usize = 4096;

/// Bundles whose last refresh failed, and when each may be tried again.
pub(crate) struct Backoffs {
    entries: HashMap<BundleId, Backoff>,
}

struct Backoff {
    delay: Millis,
    failed: Millis,
    until: Millis,
    /// Of its last failure.
    sign: Sign,
}

impl Backoffs {
    pub(crate) fn new() -> Self {
        Self { entries: HashMap::new() }
    }

    /// Whether `id` may be asked for again. What is stored may be `known_wrong`: then its readers want to know
    /// soon whether it can be had again.
    pub(crate) fn may_try(&self, now: Millis, id: &BundleId, known_wrong: bool) -> bool {
        self.entries.get(id).is_none_or(|backoff| {
            let soon = backoff.failed + LONGEST_FOR_WRONG;
            now >= if known_wrong { backoff.until.min(soon) } else { backoff.until }
        })
    }

    pub(crate) fn succeeded(&mut self, id: &BundleId) {
        self.entries.remove(id);
    }

    /// Doubles the delay of `id`, with a random quarter taken off, so that what failed together is not
    /// tried together.
    pub(crate) fn failed(&mut self, now: Millis, id: &BundleId, sign: Sign) {
        if self.entries.len() >= BACKOFF_CAPACITY {
            self.entries.retain(|_, backoff| backoff.until > now);
        }
        if self.entries.len() >= BACKOFF_CAPACITY && !self.entries.contains_key(id) {
            return; // So much is failing that the breaker is the one to act.
        }
        let first = Backoff { delay: FIRST_BACKOFF / 2, failed: now, until: 0, sign };
        let entry = self.entries.entry(id.clone()).or_insert(first);
        (entry.sign, entry.failed) = (sign, now);
        entry.delay = (entry.delay * 2).min(LONGEST_BACKOFF);
        entry.until = now + jittered(entry.delay);
    }

    /// The sidecar answers again: what failed for that reason may be tried again at once.
    pub(crate) fn recovered(&mut self, recovery: Recovery) {
        self.entries.retain(|_, backoff| match backoff.sign {
            Sign::Dead => false,
            // A tenant whose query is slow was silent for its own reasons, unless everything was.
            Sign::Silent => recovery != Recovery::BreakerClosed,
            _ => true,
        });
    }
}

pub(crate) fn jittered(delay: Millis) -> Millis {
    delay - fastrand::u64(0..=delay / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::tenant::Tenant;

    fn bundle(n: u64) -> BundleId {
        BundleId { db: 0, tenant: Tenant::new(format!("t{n}").as_bytes()).unwrap(), include: true }
    }

    #[test]
    fn the_back_off_of_a_bundle_grows_and_is_capped() {
        let id = bundle(0);
        let mut backoffs = Backoffs::new();
        let mut now = 0;
        for _ in 0..20 {
            assert!(backoffs.may_try(now, &id, false));
            backoffs.failed(now, &id, Sign::Unclear);
            assert!(!backoffs.may_try(now + FIRST_BACKOFF / 2, &id, false));
            now += LONGEST_BACKOFF;
        }
        backoffs.failed(now, &id, Sign::Unclear);
        backoffs.succeeded(&id);
        assert!(backoffs.may_try(now, &id, false));
    }

    #[test]
    fn what_failed_because_the_sidecar_was_away_is_tried_as_soon_as_it_is_back() {
        let (dead, silent, broken) = (bundle(0), bundle(1), bundle(2));
        let mut backoffs = Backoffs::new();
        backoffs.failed(0, &dead, Sign::Dead);
        backoffs.failed(0, &silent, Sign::Silent);
        backoffs.failed(0, &broken, Sign::Unclear);
        backoffs.recovered(Recovery::Answered);
        assert!(backoffs.may_try(0, &dead, false));
        assert!(!backoffs.may_try(0, &silent, false), "it may be slow by itself");
        backoffs.recovered(Recovery::BreakerClosed);
        assert!(backoffs.may_try(0, &silent, false));
        assert!(!backoffs.may_try(0, &broken, false));
    }

    #[test]
    fn what_is_known_to_be_wrong_is_tried_every_other_second_at_least() {
        let id = bundle(0);
        let mut backoffs = Backoffs::new();
        (0..20).for_each(|_| backoffs.failed(1_000, &id, Sign::Unclear));
        assert!(!backoffs.may_try(1_000 + LONGEST_FOR_WRONG, &id, false));
        assert!(!backoffs.may_try(999 + LONGEST_FOR_WRONG, &id, true));
        assert!(backoffs.may_try(1_000 + LONGEST_FOR_WRONG, &id, true));
    }
}
