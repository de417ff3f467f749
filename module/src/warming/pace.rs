//! The pace of warming: how many batches at a time, and how much of the database's time.

use crate::engine::Millis;
use std::time::Duration;

/// A share of the database's time is spent in portions of so many to the second.
const PORTIONS: u64 = 10;
/// Tenants of the first batch under a share, while it is not known what one costs.
const FIRST: usize = 8;

/// The settings, as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Batches under way at a time; each occupies a connection to the database.
    pub(crate) concurrency: usize,
    /// Milliseconds of query time a second, of all batches together; 0: no ceiling.
    pub(crate) share: u64,
}

/// Query time that was used and is not paid off yet: it is paid off at the rate of the share, and nothing new
/// is begun before.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owed: Duration,
    at: Millis,
    /// What a tenant of the last batch took.
    tenant: Option<Duration>,
}

impl Ledger {
    /// A batch of so many tenants has taken so long.
    pub(super) fn spend(&mut self, now: Millis, pace: Pace, query: Duration, tenants: usize) {
        self.owed = if pace.share == 0 { Duration::ZERO } else { self.owed(now, pace) + query };
        self.at = now;
        self.tenant = u32::try_from(tenants).ok().and_then(|tenants| query.checked_div(tenants));
    }

    /// When the next batch may begin.
    pub(super) fn ready_at(&self, now: Millis, pace: Pace) -> Millis {
        let owed = u64::try_from(self.owed(now, pace).as_micros()).unwrap_or(u64::MAX);
        // A millisecond a second is a microsecond a millisecond.
        now.saturating_add(if pace.share == 0 { 0 } else { owed.div_ceil(pace.share) })
    }

    /// How many tenants a batch may have: what would take longer than a portion is spread over more batches.
    pub(super) fn tenants(&self, pace: Pace, most: usize) -> usize {
        if pace.share == 0 {
            return most;
        }
        let portion = Duration::from_micros(pace.share * 1000 / PORTIONS);
        let fitting = match self.tenant {
            None => FIRST,
            Some(tenant) => usize::try_from(portion.as_nanos() / tenant.as_nanos().max(1)).unwrap_or(most),
        };
        fitting.clamp(1, most)
    }

    fn owed(&self, now: Millis, pace: Pace) -> Duration {
        let paid = Duration::from_micros(now.saturating_sub(self.at).saturating_mul(pace.share));
        if pace.share == 0 { Duration::ZERO } else { self.owed.saturating_sub(paid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn share(share: u64) -> Pace {
        Pace { concurrency: 2, share }
    }

    #[test]
    fn query_time_is_paid_off_at_the_rate_of_the_share() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.ready_at(0, share(100)), 0);
        ledger.spend(1_000, share(100), Duration::from_millis(20), 10);
        assert_eq!(ledger.ready_at(1_000, share(100)), 1_200);
        ledger.spend(1_100, share(100), Duration::from_millis(20), 10);
        assert_eq!(ledger.ready_at(1_100, share(100)), 1_400, "what is owed adds up");
        assert_eq!(ledger.ready_at(1_100, share(200)), 1_250, "a setting applies at once");
        assert_eq!(ledger.ready_at(1_100, share(0)), 1_100);
        assert_eq!(ledger.ready_at(9_000, share(100)), 9_000, "and nothing is saved up");
    }

    #[test]
    fn a_batch_takes_a_portion_of_a_second() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.tenants(share(0), 64), 64);
        assert_eq!(ledger.tenants(share(100), 64), FIRST);
        ledger.spend(0, share(100), Duration::from_millis(8), 8);
        assert_eq!(ledger.tenants(share(100), 64), 10);
        assert_eq!(ledger.tenants(share(1_000), 64), 64);
        ledger.spend(0, share(100), Duration::from_secs(8), 8);
        assert_eq!(ledger.tenants(share(100), 64), 1, "never none");
    }

    proptest! {
        /// However long batches take: over any stretch from the first beginning on, no more is used than the
        /// share of it and what was under way at its end.
        #[test]
        fn no_more_than_the_share_is_used(
            share_ms in 1_u64..4_000,
            queries in prop::collection::vec(0_u64..500_000, 1..200),
        ) {
            let (mut ledger, pace) = (Ledger::default(), share(share_ms));
            let (mut now, mut used) = (0, 0);
            for query_us in queries {
                now = ledger.ready_at(now, pace);
                prop_assert!(used <= now * share_ms, "{used} microseconds within {now} ms");
                now += query_us / 1_000;
                used += query_us;
                ledger.spend(now, pace, Duration::from_micros(query_us), 1);
            }
        }
    }
}
