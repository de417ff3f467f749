//! `every_5_minutes`, `every_hour`: multiples of a length since the epoch.

use std::fmt;

use chrono::{DateTime, Utc};

const YEAR_IN_SECONDS: i64 = 366 * 86_400;

/// A length of time, in whole seconds, from a minute to a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    seconds: i64,
}

impl Interval {
    /// Reads what stands behind `every_`, in lower case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = match text.split_once('_') {
            Some((number, unit)) => (number.parse::<u32>().ok()?, unit.strip_suffix('s').unwrap_or(unit)),
            None => (1, text),
        };
        let unit = match unit {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return None,
        };
        let seconds = i64::from(number) * unit;
        (1..=YEAR_IN_SECONDS).contains(&seconds).then_some(Self { seconds })
    }

    /// The first multiple after `now`.
    pub(super) fn next_after(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let passed = now.timestamp().div_euclid(self.seconds);
        DateTime::from_timestamp(passed.checked_add(1)?.checked_mul(self.seconds)?, 0)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {} s since the epoch", self.seconds)
    }
}
