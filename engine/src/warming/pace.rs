//! The pace of warming: how many batches at a time, and how much of the database's time.

use crate::units::Millis;
use std::time::Duration;

/// A share of the database's time is spent in portions of so many to the second.
const PORTIONS: u64 = 10;
/// Under a share, a batch has at most so many times the tenants of the one before: what one costs is learned from
/// small batches, and so is that others cost more.
const GROWTH: usize = 2;

/// What batches have taken beyond twice what was expected of them pauses warming for at most so long, however many they
/// were: one server that stands still delays all that are under way. Such a time is often nobody's work. Where batches
/// have become so slow, that is learned within a few of them, and then all of their time is charged.
pub(super) const LONGEST_SURPRISE: Millis = 5_000;

/// The settings, as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Batches under way at a time; each occupies a connection to the database.
    pub concurrency: usize,
    /// Milliseconds of query time a second, of all batches together; 0: no ceiling.
    pub share: u64,
}

/// Query time that was used, or is expected of what is under way, and is not paid off yet: it is paid off at the
/// rate of the share, and nothing new is begun before.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owed: Duration,
    at: Millis,
    /// Expected of all batches that are under way.
    reserved: Duration,
    /// The batch that has ended last: how many tenants it had, and what one of them took.
    last: Option<(usize, Duration)>,
}

impl Ledger {
    /// A batch of so many tenants begins: what it is expected to take, owed from now on.
    pub(super) fn reserve(&mut self, now: Millis, pace: Pace, tenants: usize) -> Duration {
        let tenant = self.last.map(|(_, tenant)| tenant).unwrap_or_default();
        let expected = tenant.saturating_mul(u32::try_from(tenants).unwrap_or(u32::MAX));
        let expected = if pace.share == 0 { Duration::ZERO } else { expected };
        self.owe(now, pace, expected, Duration::ZERO);
        self.reserved = self.reserved.saturating_add(expected);
        expected
    }

    /// A batch of so many tenants, for which so much was reserved, has taken so long. How much of that is charged.
    pub(super) fn spend(
        &mut self,
        now: Millis,
        pace: Pace,
        query: Duration,
        reserved: Duration,
        tenants: usize,
    ) -> Duration {
        // A millisecond a second is a microsecond a millisecond.
        let surprise = Duration::from_micros(pace.share.saturating_mul(LONGEST_SURPRISE));
        let most = |expected: Duration| expected.saturating_mul(2).saturating_add(surprise);
        let charged = if pace.share == 0 { query } else { query.min(most(reserved)) };
        self.owe(now, pace, charged, reserved);
        // With those that are still under way: one surprise for all of them, not one for each.
        self.owed = self.owed.min(most(self.reserved.max(reserved)));
        self.reserved = self.reserved.saturating_sub(reserved);
        let tenant = u32::try_from(tenants).ok().and_then(|tenants| charged.checked_div(tenants));
        self.last = tenant.map(|tenant| (tenants, tenant));
        charged
    }

    /// Whether what a tenant costs is still to be learned, so that there is one batch at a time.
    pub(super) fn is_learning(&self, pace: Pace) -> bool {
        pace.share > 0 && self.last.is_none()
    }

    fn owe(&mut self, now: Millis, pace: Pace, more: Duration, less: Duration) {
        let owed = (self.owed(now, pace) + more).saturating_sub(less);
        self.owed = if pace.share == 0 { Duration::ZERO } else { owed };
        self.at = now;
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
        let Some((tenants, tenant)) = self.last else { return 1 };
        let fitting = usize::try_from(portion.as_nanos() / tenant.as_nanos().max(1)).unwrap_or(most);
        fitting.min(tenants.saturating_mul(GROWTH)).clamp(1, most)
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
        ledger.spend(1_000, share(100), Duration::from_millis(20), Duration::ZERO, 10);
        assert_eq!(ledger.ready_at(1_000, share(100)), 1_200);
        ledger.spend(1_100, share(100), Duration::from_millis(20), Duration::ZERO, 10);
        assert_eq!(ledger.ready_at(1_100, share(100)), 1_400, "what is owed adds up");
        assert_eq!(ledger.ready_at(1_100, share(200)), 1_250, "a setting applies at once");
        assert_eq!(ledger.ready_at(1_100, share(0)), 1_100);
        assert_eq!(ledger.ready_at(9_000, share(100)), 9_000, "and nothing is saved up");
    }

    #[test]
    fn a_batch_takes_a_portion_of_a_second() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.tenants(share(0), 64), 64);
        assert_eq!(ledger.tenants(share(100), 64), 1);
        ledger.spend(0, share(100), Duration::from_millis(8), Duration::ZERO, 8);
        assert_eq!(ledger.tenants(share(100), 64), 10);
        assert_eq!(ledger.tenants(share(1_000), 64), 16, "it grows step by step");
        ledger.spend(0, share(100), Duration::from_secs(8), Duration::ZERO, 8);
        assert_eq!(ledger.tenants(share(100), 64), 1, "never none");
    }

    #[test]
    fn what_is_under_way_is_owed_already() {
        let mut ledger = Ledger::default();
        assert!(ledger.is_learning(share(100)) && !ledger.is_learning(share(0)));
        ledger.spend(0, share(100), Duration::from_millis(10), Duration::ZERO, 10);
        assert!(!ledger.is_learning(share(100)));
        let reserved = ledger.reserve(100, share(100), 20);
        assert_eq!((reserved, ledger.ready_at(100, share(100))), (Duration::from_millis(20), 300));
        ledger.spend(150, share(100), Duration::from_millis(30), reserved, 20);
        assert_eq!(ledger.ready_at(150, share(100)), 400, "what it took beyond that is owed, too");
        let reserved = ledger.reserve(400, share(100), 20);
        ledger.spend(400, share(100), Duration::from_millis(5), reserved, 20);
        assert_eq!(ledger.ready_at(400, share(100)), 450, "and no more than it took");
    }

    proptest! {
        /// However long the batches take that stood still meanwhile, how many they are, and whatever came before: the
        /// next one begins after what was expected, twice, and the longest surprise, once.
        #[test]
        fn batches_that_stood_still_delay_the_next_one_by_no_more_than_the_longest_surprise(
            share_ms in 1_u64..4_000,
            usual_ms in 0_u64..500,
            still_ms in 0_u64..10_000_000,
            batches in 0_usize..20,
            several in 1_usize..40,
        ) {
            let (mut ledger, pace) = (Ledger::default(), share(share_ms));
            let mut now = 0;
            for _ in 0..batches {
                now = ledger.ready_at(now, pace);
                let reserved = ledger.reserve(now, pace, 1);
                now += usual_ms;
                ledger.spend(now, pace, Duration::from_millis(usual_ms), reserved, 1);
            }
            let mut under_way = Vec::new();
            for _ in 0..several {
                now = ledger.ready_at(now, pace);
                under_way.push(ledger.reserve(now, pace, 1));
            }
            now += still_ms;
            while let Some(reserved) = under_way.pop() {
                let expected: Duration = under_way.iter().sum::<Duration>() + reserved;
                ledger.spend(now, pace, Duration::from_millis(still_ms), reserved, 1);
                let expected = u64::try_from(2 * expected.as_micros()).unwrap() / share_ms;
                prop_assert!(ledger.ready_at(now, pace) - now <= expected + LONGEST_SURPRISE + 1);
            }
        }

        /// What takes long each time is no surprise for long.
        #[test]
        fn what_is_always_slow_is_charged_in_full_after_a_few_batches(
            share_ms in 1_u64..4_000, query_ms in 1_u64..60_000,
        ) {
            let (mut ledger, pace) = (Ledger::default(), share(share_ms));
            let query = Duration::from_millis(query_ms);
            let mut charged = Duration::ZERO;
            for _ in 0..14 {
                let reserved = ledger.reserve(0, pace, 1);
                charged = ledger.spend(0, pace, query, reserved, 1);
            }
            prop_assert_eq!(charged, query);
        }

        /// With several at a time, and all as long as expected: no more is used than the share and one batch.
        #[test]
        fn several_at_a_time_use_no_more_than_one_after_the_other(
            share_ms in 100_u64..4_000, query_ms in 1_u64..500, batches in 1_u64..100,
        ) {
            let (mut ledger, pace) = (Ledger::default(), share(share_ms));
            let query = Duration::from_millis(query_ms);
            let mut now = query_ms;
            ledger.spend(now, pace, query, Duration::ZERO, 1);
            for begun in 1..=batches {
                now = ledger.ready_at(now, pace);
                prop_assert!(begun * query_ms * 1_000 <= now * share_ms, "{begun} batches within {now} ms");
                ledger.reserve(now, pace, 1);
            }
        }

        /// However long batches take, within a surprise: over any stretch from the first beginning on, no more is used
        /// than the share of it and what was under way at its end.
        #[test]
        fn no_more_than_the_share_is_used(
            share_ms in 100_u64..4_000,
            queries in prop::collection::vec(0_u64..500_000, 1..200),
        ) {
            let (mut ledger, pace) = (Ledger::default(), share(share_ms));
            let (mut now, mut used) = (0, 0);
            for query_us in queries {
                now = ledger.ready_at(now, pace);
                prop_assert!(used <= now * share_ms, "{used} microseconds within {now} ms");
                let reserved = ledger.reserve(now, pace, 1);
                now += query_us / 1_000;
                used += query_us;
                ledger.spend(now, pace, Duration::from_micros(query_us), reserved, 1);
            }
        }
    }
}
