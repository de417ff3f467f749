//! Spans of time: the last 30 days, a point a week, at most every 30 seconds; and the zone whose days are meant.

use crate::error::{Fault, nearest, quoted};
use chrono_tz::Tz;
use std::time::Duration;

/// Most points of a series.
pub const MAX_POINTS: u32 = 400;

/// A unit of [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// 60 minutes.
    Hours,
    /// 24 hours. In a series: a day of the calendar.
    Days,
    /// 7 days. In a series: from Monday on.
    Weeks,
    /// A month of the calendar.
    Months,
}

impl Unit {
    /// Its name in a definition and in Postgres.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Weeks => "weeks",
            Self::Months => "months",
        }
    }

    fn of(word: &str) -> Option<Self> {
        match word.strip_suffix('s').unwrap_or(word) {
            "hour" => Some(Self::Hours),
            "day" => Some(Self::Days),
            "week" => Some(Self::Weeks),
            "month" => Some(Self::Months),
            _ => None,
        }
    }

    /// The most of them that a window may have: three years, and a month in hours.
    fn most(self) -> u32 {
        match self {
            Self::Hours => 744,
            Self::Days => 1096,
            Self::Weeks => 156,
            Self::Months => 36,
        }
    }
}

/// A span that ends now: `30 days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

impl Window {
    /// Reads a number and a unit.
    ///
    /// # Errors
    /// A [`Fault`] that says which spans there are.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let remedy = "Write a whole number and hours, days, weeks or months, for example: last = \"30 days\"";
        let (number, unit) = amount(text)
            .ok_or_else(|| Fault::new(0, format!("{} is no span of time", quoted(text)), remedy))?;
        let unit = Unit::of(unit)
            .ok_or_else(|| Fault::new(0, format!("{} is no span of time", quoted(text)), remedy))?;
        match number.parse() {
            Ok(count) if (1..=unit.most()).contains(&count) => Ok(Self { count, unit }),
            _ => Err(Fault::new(
                0,
                format!("{} is out of bounds", quoted(text)),
                format!("Write 1 to {} {}.", unit.most(), unit.name()),
            )),
        }
    }

    /// As Postgres writes an interval, for example `30 days`. Of days, in UTC, each has 24 hours.
    pub fn interval(self) -> String {
        format!("{} {}", self.count, self.unit.name())
    }
}

/// What a point of a series stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Per {
    /// A day of the calendar.
    Day,
    /// A week, Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
}

impl Per {
    /// Its name in a definition, in a bundle, and for `date_trunc` in Postgres.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        [Self::Day, Self::Week, Self::Month].into_iter().find(|per| per.name() == text).ok_or_else(|| {
            Fault::new(
                0,
                format!("{} is no step of time", quoted(text)),
                "Write \"day\", \"week\" or \"month\".",
            )
        })
    }

    fn unit(self) -> Unit {
        match self {
            Self::Day => Unit::Days,
            Self::Week => Unit::Weeks,
            Self::Month => Unit::Months,
        }
    }

    /// How many points a series over `window` has, the one that is not over yet included.
    pub(crate) fn points(self, window: Window) -> Result<u32, Fault> {
        let unit = self.unit();
        if window.unit != unit {
            return Err(Fault::new(
                0,
                format!("a series per {} cannot go over `{}`", self.name(), window.interval()),
                format!("Count in {}, for example: last = \"12 {}\"", unit.name(), unit.name()),
            ));
        }
        if !(2..=MAX_POINTS).contains(&window.count) {
            return Err(Fault::new(
                0,
                format!("a series of {} points is out of bounds", window.count),
                format!("Write 2 to {} {}.", MAX_POINTS.min(unit.most()), unit.name()),
            ));
        }
        Ok(window.count)
    }
}

/// Reads the name of a time zone as the IANA database has it, for example `Europe/Berlin`.
///
/// # Errors
/// A [`Fault`] that names the nearest zone.
pub fn zone(text: &str) -> Result<Tz, Fault> {
    text.parse().map_err(|_| {
        let meant = if text.len() <= 40 {
            nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
        } else {
            None
        };
        Fault::new(
            0,
            format!("{} is no time zone", quoted(text)),
            match meant {
                Some(meant) => format!("Did you mean: zone = \"{meant}\"?"),
                None => "Write the name of a zone or UTC, for example: zone = \"Europe/Berlin\"".to_owned(),
            },
        )
    })
}

/// Reads the shortest time between two computations, for example `30 s`: one second to one day.
///
/// # Errors
/// A [`Fault`] that says which there are.
pub fn interval(text: &str) -> Result<Duration, Fault> {
    let remedy =
        "Write a whole number and s, min or h, from 1 s to 24 h, for example: at_most_every = \"30 s\"";
    let seconds = amount(text).and_then(|(number, unit)| {
        let unit = match unit.strip_suffix('s').filter(|unit| !unit.is_empty()).unwrap_or(unit) {
            "s" | "sec" | "second" => 1,
            "min" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    });
    match seconds {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Fault::new(0, format!("{} is out of bounds", quoted(text)), remedy)),
        None => Err(Fault::new(0, format!("{} is no span of time", quoted(text)), remedy)),
    }
}

/// Splits `30 days` or `30days` into its two parts.
fn amount(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_matches(' ');
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    (!number.is_empty()).then_some((number, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_and_a_unit_within_bounds() {
        assert_eq!(Window::parse("30 days"), Ok(Window { count: 30, unit: Unit::Days }));
        assert_eq!(Window::parse("1 month").unwrap().interval(), "1 months");
        for bad in
            ["", "days", "30", "0 days", "-1 days", "1.5 days", "30 years", "1097 days", "99999999999 days"]
        {
            assert!(Window::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_series_counts_in_its_own_unit() {
        let days = Window::parse("90 days").unwrap();
        assert_eq!(Per::Day.points(days), Ok(90));
        assert!(Per::Month.points(days).is_err());
        assert!(Per::Day.points(Window::parse("401 days").unwrap()).is_err());
        assert!(Per::Day.points(Window::parse("1 day").unwrap()).is_err());
    }

    #[test]
    fn a_zone_has_the_name_that_the_database_of_zones_has() {
        assert_eq!(zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
        assert_eq!(zone("europe/berlin").unwrap_err().remedy, "Did you mean: zone = \"Europe/Berlin\"?");
        assert!(zone("Mars/Olympus Mons").is_err());
    }

    #[test]
    fn at_most_every_is_a_second_to_a_day() {
        assert_eq!(interval("30 s"), Ok(Duration::from_secs(30)));
        assert_eq!(interval("5 minutes"), Ok(Duration::from_secs(300)));
        assert_eq!(interval("24 h"), Ok(Duration::from_secs(86_400)));
        for bad in ["0 s", "25 h", "30", "30 days", "s", "99999999999999999999 s"] {
            assert!(interval(bad).is_err(), "{bad:?}");
        }
    }
}
