//! Why a schedule cannot be followed: the offending part, and what would be right.

use croner::errors::CronError;

use super::MAX_BYTES;

/// What was wrong with a schedule. `Display` is for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{problem}; write for example 'cron:0 0 * * *' (minute hour day month weekday), 'daily' or 'every_5_minutes'"
)]
pub struct ScheduleError {
    problem: String,
}

impl ScheduleError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }

    pub(super) fn empty() -> Self {
        Self::new("the schedule is empty")
    }

    pub(super) fn too_long(bytes: usize) -> Self {
        Self::new(format!("the schedule has {bytes} bytes, more than {MAX_BYTES}"))
    }

    pub(super) fn odd_character(odd: char) -> Self {
        Self::new(format!("the schedule holds the character {odd:?}, which no schedule has"))
    }

    pub(super) fn number_of_fields(number: usize) -> Self {
        Self::new(format!("the schedule has {number} fields, and must have 5, or 6 with seconds"))
    }

    pub(super) fn field(name: &str, part: &str, error: &CronError) -> Self {
        Self::new(format!("the {name} cannot be '{part}' ({error})"))
    }

    pub(super) fn fields(parts: &str, error: &CronError) -> Self {
        Self::new(format!("the fields '{parts}' cannot be understood ({error})"))
    }

    pub(super) fn unknown_word(word: &str) -> Self {
        Self::new(format!("'{word}' is no schedule that is known here"))
    }

    pub(super) fn interval(word: &str) -> Self {
        Self::new(format!(
            "'{word}' is no interval: after 'every_' comes minute, hour or day, or a number from 1 and minutes, \
             hours or days, a year at most"
        ))
    }

    /// Words as people say them, and the form that is meant.
    pub(super) fn phrase(said: &str, form: Option<String>) -> Self {
        Self::new(match form {
            Some(form) => format!("'{said}' is no schedule: write '{form}'"),
            None => format!("'{said}' is no schedule: an interval is one word, such as 'every_5_minutes'"),
        })
    }

    pub(super) fn unknown_zone(name: &str) -> Self {
        Self::new(format!("'{name}' is no time zone of the IANA database, such as Europe/Berlin"))
    }

    pub(super) fn two_zones(second: &str) -> Self {
        Self::new(format!("the schedule names two time zones; leave out '{second}'"))
    }

    pub(super) fn zone_without_meaning(name: &str) -> Self {
        Self::new(format!("an interval is the same in every time zone; leave out '{name}'"))
    }

    pub(super) fn never() -> Self {
        Self::new("the schedule names a moment that never comes")
    }
}
