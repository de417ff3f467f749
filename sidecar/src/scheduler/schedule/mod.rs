//! What a job's `schedule` says, and when that is next. Pure: no clock, no I/O, bounded time on any text.
//!
//! | form | such as |
//! |---|---|
//! | `cron:` and 5 fields, or 6 with seconds first; `cron:` may be left out | `cron:0 0 * * *` |
//! | a word, with or without `@` | `hourly`, `daily`, `@weekly` |
//! | every so many, counted from the epoch, so that no sidecar's start shifts them | `every_5_minutes` |
//!
//! Times are UTC, unless a time zone of the IANA database stands behind the text (`daily Europe/Berlin`) or
//! before the fields (`cron:CRON_TZ=Europe/Berlin 0 0 * * *`). Where clocks change, what has a fixed time of
//! day comes once: a time that is left out at the first moment after it, one that comes twice the first time.

mod error;
mod interval;

use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

pub use error::ScheduleError;
use interval::Interval;

/// The longest text that is looked at, in bytes.
pub const MAX_BYTES: usize = 200;

/// Words that stand for fields.
const WORDS: [(&str, &str); 7] = [
    ("hourly", "0 * * * *"),
    ("daily", "0 0 * * *"),
    ("midnight", "0 0 * * *"),
    ("weekly", "0 0 * * 0"),
    ("monthly", "0 0 1 * *"),
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
];

/// What croner calls the fields, first to last.
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];

/// A schedule that was understood.
#[derive(Clone, Debug)]
pub struct Schedule {
    rule: Rule,
    zone: Tz,
}

#[derive(Clone, Debug)]
enum Rule {
    Fields(Box<Cron>),
    Every(Interval),
}

impl Schedule {
    /// Reads a schedule. `zone` is the time zone for a text that names none; without it, UTC.
    ///
    /// # Errors
    /// Names the part that cannot be understood.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        if text.len() > MAX_BYTES {
            return Err(ScheduleError::too_long(text.len()));
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() && !c.is_ascii_whitespace()) {
            return Err(ScheduleError::odd_character(odd));
        }
        let mut parts: Vec<&str> = strip(text.trim(), "cron:").unwrap_or(text).split_whitespace().collect();
        let mut named = match parts.first().and_then(|first| strip(first, "CRON_TZ=").or(strip(first, "TZ=")))
        {
            Some(zone) => {
                parts.remove(0);
                Some(zone)
            }
            None => None,
        };
        // Before a zone is looked for: a day of the week would be taken for one.
        if let [first, rest @ ..] = parts.as_slice()
            && first.eq_ignore_ascii_case("every")
            && !rest.is_empty()
        {
            return Err(ScheduleError::phrase(&parts.join(" "), form_of(rest)));
        }
        if let Some(last) = parts.last().copied()
            && parts.len() > 1
            && is_meant_as_zone(last, parts.len())
        {
            if named.is_some() {
                return Err(ScheduleError::two_zones(last));
            }
            parts.pop();
            named = Some(last);
        }
        let found =
            |name: &str| Tz::from_str_insensitive(name.trim()).map_err(|_| ScheduleError::unknown_zone(name));
        let named = named.map(|name| found(name).map(|zone| (name, zone))).transpose()?;
        let rule = match *parts.as_slice() {
            [] => return Err(ScheduleError::empty()),
            [word] => Self::word(word)?,
            [..] if (5..=6).contains(&parts.len()) => Rule::Fields(Box::new(fields(&parts)?)),
            _ => return Err(ScheduleError::number_of_fields(parts.len())),
        };
        let zone = match (&rule, named, zone) {
            (Rule::Every(_), Some((name, _)), _) => return Err(ScheduleError::zone_without_meaning(name)),
            (Rule::Fields(_), Some((_, zone)), _) => zone,
            (Rule::Fields(_), None, Some(beside)) => found(beside)?,
            (Rule::Every(_), None, _) | (Rule::Fields(_), None, None) => Tz::UTC,
        };
        Ok(Self { rule, zone })
    }

    fn word(word: &str) -> Result<Rule, ScheduleError> {
        let name = word.strip_prefix('@').unwrap_or(word).to_ascii_lowercase();
        if let Some((_, pattern)) = WORDS.iter().find(|(known, _)| *known == name) {
            return fields(&pattern.split(' ').collect::<Vec<_>>()).map(|cron| Rule::Fields(Box::new(cron)));
        }
        match name.strip_prefix("every_") {
            Some(rest) => Interval::parse(rest).map(Rule::Every).ok_or_else(|| match form_of(&[rest]) {
                Some(form) => ScheduleError::phrase(word, Some(form)),
                None => ScheduleError::interval(word),
            }),
            None => Err(ScheduleError::unknown_word(word)),
        }
    }

    /// The first moment after `now` that the schedule names.
    ///
    /// # Errors
    /// If there is none, as for the 30th of February.
    pub fn next_after(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, ScheduleError> {
        match &self.rule {
            Rule::Every(interval) => interval.next_after(now).ok_or_else(ScheduleError::never),
            Rule::Fields(cron) => {
                let here = now.trunc_subsecs(0).with_timezone(&self.zone);
                let next = cron.find_next_occurrence(&here, false).map_err(|_| ScheduleError::never())?;
                Ok(next.with_timezone(&Utc))
            }
        }
    }
}

/// How a person would say it back: the fields or the interval, and the time zone.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Fields(cron) => write!(f, "{} {}", cron.pattern.as_str(), self.zone),
            Rule::Every(interval) => interval.fmt(f),
        }
    }
}

/// How 'every' and these words are written as a schedule, where that can be guessed.
fn form_of(words: &[&str]) -> Option<String> {
    const WEEKDAYS: [&str; 7] =
        ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    if let [day] = words.as_slice()
        && let Some(number) = WEEKDAYS.iter().position(|known| {
            day.strip_suffix('s').unwrap_or(day) == *known
                || (day.len() == 3 && known.starts_with(day.as_str()))
        })
    {
        return Some(format!("cron:0 0 * * {number}"));
    }
    let interval = words.join("_");
    Interval::parse(&interval).map(|_| format!("every_{interval}"))
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether the last part is a time zone, or was meant as one, rather than a day of the week.
fn is_meant_as_zone(last: &str, parts: usize) -> bool {
    if parts == 2 || parts > 6 || Tz::from_str_insensitive(last).is_ok() {
        return true;
    }
    const LETTERS_OF_FIELDS: [&str; 10] = ["", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L", "W"];
    parts == 6
        && last
            .split(|c: char| !c.is_ascii_alphabetic())
            .any(|word| !LETTERS_OF_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(word)))
}

fn fields(parts: &[&str]) -> Result<Cron, ScheduleError> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(&parts.join(" ")).map_err(|whole| {
        // croner does not say which field it means, so each is tried among others that are right.
        let names = &FIELDS[FIELDS.len() - parts.len()..];
        for (place, (part, name)) in parts.iter().zip(names).enumerate() {
            let mut alone = vec!["*"; parts.len()];
            alone[place] = part;
            if let Err(error) = parser.parse(&alone.join(" ")) {
                return ScheduleError::field(name, part, &error);
            }
        }
        ScheduleError::fields(&parts.join(" "), &whole)
    })
}

#[cfg(test)]
mod tests;
