//! Signs, seen while changes are followed, that something has been missed: the feed's position has gone back, as the tables were made anew from
//! a dump; or the clock of Postgres has been set, by which each bundle counts its days.

use std::time::Instant;

use super::gap::Gap;
use super::reading::Reading;

/// A clock that differs by more has been set. Others are corrected little by little, and an answer takes its time.
const LARGEST_DRIFT: f64 = 10.0;

/// What this process has seen; it outlives the lease.
pub(super) struct Signs {
    /// The furthest position that this process knows of, or that Redis has been told.
    heard: i64,
    /// Redis has heard of this position, which is further. Whether these tables are older, or another sidecar has told it meanwhile, they
    /// themselves say, to whoever holds the lease.
    told: Option<i64>,
    began: Instant,
    /// By how much the database's clock is ahead of ours, in seconds.
    ahead: Option<f64>,
    gap: Option<Gap>,
}

impl Signs {
    pub(super) fn new() -> Self {
        Self { heard: 0, told: None, began: Instant::now(), ahead: None, gap: None }
    }

    /// How far the feed has come, as far as is known.
    pub(super) fn heard(&self) -> i64 {
        self.heard
    }

    /// The tables say, to the holder of the lease, that they are at this position.
    pub(super) fn is_at(&mut self, position: i64) {
        self.heard = self.heard.max(self.told.take().unwrap_or_default());
        if position < self.heard {
            self.gap = Some(Gap::Restored);
        }
        self.heard = self.heard.max(position);
    }

    /// The tables have come to this position by one more step.
    pub(super) fn has_come_to(&mut self, position: i64) {
        if position <= self.heard {
            self.gap = Some(Gap::Restored);
        }
        self.heard = self.heard.max(position);
    }

    /// Redis was told before that the feed had come this far.
    pub(super) fn redis_has_heard(&mut self, position: Option<i64>) {
        self.told = self.told.max(position.filter(|position| *position > self.heard));
    }

    /// Whether the tables have to be asked again where they are.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.told.is_some()
    }

    /// Everything is announced, and this is the position from then on.
    pub(super) fn begins_at(&mut self, position: i64) {
        self.heard = position;
        self.told = None;
    }

    /// The database's clock has been read.
    pub(super) fn clock(&mut self, reading: Reading) {
        let Some(ahead) = reading.ahead_since(self.began) else { return };
        if self.ahead.is_some_and(|before| (ahead - before).abs() > LARGEST_DRIFT) {
            self.gap = self.gap.or(Some(Gap::Clock));
        }
        self.ahead = Some(ahead);
    }

    /// What has been seen and was not taken yet.
    pub(super) fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// It has been taken care of.
    pub(super) fn forget(&mut self) {
        self.gap = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_position_that_goes_back_is_a_gap() {
        let mut signs = Signs::new();
        signs.is_at(7);
        signs.is_at(7);
        signs.has_come_to(8);
        signs.redis_has_heard(Some(8));
        signs.redis_has_heard(None);
        assert_eq!(signs.gap(), None);
        signs.is_at(3);
        assert_eq!((signs.gap(), signs.heard()), (Some(Gap::Restored), 8));
        signs.forget();
        signs.begins_at(9);
        signs.redis_has_heard(Some(12));
        assert!(signs.is_in_doubt());
        assert_eq!(signs.gap(), None, "another sidecar may have told it");
        signs.is_at(11);
        assert_eq!((signs.gap(), signs.heard()), (Some(Gap::Restored), 12));
        assert!(!signs.is_in_doubt());
    }

    #[test]
    fn tables_that_have_come_as_far_as_redis_has_heard_are_no_gap() {
        let mut signs = Signs::new();
        signs.is_at(7);
        signs.redis_has_heard(Some(12));
        signs.is_at(12);
        assert_eq!((signs.gap(), signs.heard(), signs.is_in_doubt()), (None, 12, false));
    }

    #[test]
    fn a_step_that_leads_nowhere_is_a_gap() {
        let mut signs = Signs::new();
        signs.is_at(7);
        signs.has_come_to(7);
        assert_eq!(signs.gap(), Some(Gap::Restored), "the one before was undone");
    }

    #[test]
    fn a_clock_that_is_set_is_a_gap_and_one_that_drifts_is_none() {
        let mut signs = Signs::new();
        let now = Instant::now();
        let at_once = |shows| Reading { asked: now, answered: now, shows };
        for reading in [1000.0, 1001.0, 1009.0].map(at_once) {
            signs.clock(reading);
        }
        assert_eq!(signs.gap(), None);
        signs.clock(at_once(1600.0));
        assert_eq!(signs.gap(), Some(Gap::Clock));
        signs.forget();
        signs.clock(at_once(1601.0));
        assert_eq!(signs.gap(), None, "once for each time that it is set");
    }

    #[test]
    fn a_clock_that_was_read_before_this_process_stood_still_is_none_either() {
        let mut signs = Signs::new();
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        for reading in [
            Reading { asked: after(0), answered: after(0), shows: 1000.0 },
            Reading { asked: after(1), answered: after(31), shows: 1001.0 },
            Reading { asked: after(32), answered: after(32), shows: 1032.0 },
        ] {
            signs.clock(reading);
            assert_eq!(signs.gap(), None, "{reading:?}");
        }
    }
}
