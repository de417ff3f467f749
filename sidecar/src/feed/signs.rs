//! Signs, seen while changes are followed, that something has been missed: the feed's position has gone back, as the tables were made anew from
//! a dump; or the clock of Postgres has been set, by which each bundle counts its days.

use std::time::Instant;

use super::gap::Gap;

/// A clock that differs by more has been set. Others are corrected little by little, and an answer takes its time.
const LARGEST_DRIFT: f64 = 10.0;

/// What this process has seen; it outlives the lease.
pub(super) struct Signs {
    /// The furthest position that this process knows of, or that Redis has been told.
    heard: i64,
    began: Instant,
    /// By how much the database's clock is ahead of ours, in seconds.
    ahead: Option<f64>,
    gap: Option<Gap>,
}

impl Signs {
    pub(super) fn new() -> Self {
        Self { heard: 0, began: Instant::now(), ahead: None, gap: None }
    }

    /// How far the feed has come, as far as is known.
    pub(super) fn heard(&self) -> i64 {
        self.heard
    }

    /// The tables say that they are at this position.
    pub(super) fn is_at(&mut self, position: i64) {
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
        if let Some(position) = position.filter(|position| *position > self.heard) {
            self.heard = position;
            self.gap = Some(Gap::Restored);
        }
    }

    /// Everything is announced, and this is the position from then on.
    pub(super) fn begins_at(&mut self, position: i64) {
        self.heard = position;
    }

    /// The database's clock shows this, in seconds.
    pub(super) fn clock(&mut self, shows: f64) {
        let ahead = shows - self.began.elapsed().as_secs_f64();
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
        assert_eq!((signs.gap(), signs.heard()), (Some(Gap::Restored), 12));
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
        for shows in [1000.0, 1001.0, 1009.0] {
            signs.clock(shows);
        }
        assert_eq!(signs.gap(), None);
        signs.clock(1600.0);
        assert_eq!(signs.gap(), Some(Gap::Clock));
        signs.forget();
        signs.clock(1601.0);
        assert_eq!(signs.gap(), None, "once for each time that it is set");
    }
}
