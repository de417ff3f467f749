//! A row of `cron_job`, and what is to be done with it. Pure: the rows and the time come from the database.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::schedule::{Schedule, ScheduleError};
use crate::lease::Lease;
use crate::tenant::Tenant;

/// What the row for nightly warming is called.
pub(crate) const WARM_NAME: &str = "Warm Dashboard Bundle Cache";
/// The one function that is known here.
pub(crate) const WARM_FUNCTION: &str = "warmDashboardBundleCache";
/// When warming happens, unless somebody says otherwise.
pub(crate) const WARM_SCHEDULE: &str = "cron:0 0 * * *";

/// The member of `metadata` that says for when the next try was announced.
pub(crate) const RETRY_AT: &str = "retry_at";
/// The member that says which next time was computed here, as a person may choose another.
pub(crate) const NEXT_RUN: &str = "next_run";
/// How an error begins that is about the function's name.
const UNKNOWN_FUNCTION: &str = "the sidecar knows no function";
/// The longest pause before a run is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);
/// How often a run is repeated of which some tenants failed.
const MOST_RETRIES_OF_PART: i64 = 3;
/// More of a foreign text is not repeated.
const MOST_CHARACTERS: usize = 100;

/// A row, with its lease.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) schedule: String,
    pub(crate) function: String,
    /// The tenant's key, where the job is about one only.
    pub(crate) tenant: Option<String>,
    pub(crate) active: bool,
    pub(crate) last_run: Option<DateTime<Utc>>,
    pub(crate) next_run: Option<DateTime<Utc>>,
    /// Empty where the column holds no object.
    pub(crate) metadata: Map<String, Value>,
    pub(crate) lease: Option<Lease>,
}

/// What is to be done with a job now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Nothing before this moment; without one, nothing until somebody changes the row.
    Wait(Option<DateTime<Utc>>),
    /// Run it.
    Run(Due),
    /// Change what the row says, and run nothing.
    Note(Change),
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Due {
    /// The next regular time.
    pub(crate) next_run: Option<DateTime<Utc>>,
    /// How often this has been begun since its regular time, this time included.
    pub(crate) attempt: i64,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    /// Where `next_run` is to change: to what.
    pub(crate) next_run: Option<Option<DateTime<Utc>>>,
    /// Members of `metadata`; the others stay as they are.
    pub(crate) metadata: Map<String, Value>,
    /// What the log is told.
    pub(crate) complaint: Option<String>,
}

impl Job {
    /// What its lease is called.
    pub(crate) fn lease_name(&self) -> String {
        format!("cron_job:{}", self.id)
    }

    /// Whether it runs a function that is known here.
    pub(crate) fn is_ours(&self) -> bool {
        self.function == WARM_FUNCTION
    }

    /// Who runs it.
    pub(crate) fn holder(&self) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| !lease.ended)
    }

    /// What a person is told who has to wait because this lease is in doubt.
    pub(crate) fn waits_for(&self, lease: &Lease) -> String {
        format!(
            "'{}' may still be run by {}: waiting up to {} s to see whether that process renews its lease or has died",
            shorten(&self.name),
            lease.owner,
            lease.lasts.as_secs_f64().ceil()
        )
    }

    /// How its latest run ended, in the word of `metadata`.
    pub(crate) fn outcome(&self) -> Option<&str> {
        self.text("outcome")
    }

    /// How its latest run ended, for who looks at it: `interrupted` where nobody is at it any more.
    pub(crate) fn shown_outcome(&self) -> Option<&str> {
        match self.outcome() {
            Some("running") if self.holder().is_none() => Some("interrupted"),
            outcome => outcome,
        }
    }

    /// What was wrong with it last.
    pub(crate) fn error(&self) -> Option<&str> {
        self.text("error")
    }

    /// What its latest run warned of.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.text("warning")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Value::as_str)
    }

    /// Its schedule.
    pub(crate) fn parsed(&self) -> Result<Schedule, ScheduleError> {
        Schedule::parse(&self.schedule, self.text("timezone"))
    }

    /// What `next_run` depends on, to be kept beside it: a row that says otherwise has been edited since.
    pub(crate) fn computed_for(&self) -> String {
        let zone = self.text("timezone").map(|zone| format!(" ({zone})")).unwrap_or_default();
        format!("{}{zone}", self.schedule)
    }

    /// The tenants to warm; none means all.
    pub(crate) fn tenants(&self) -> Result<Vec<Tenant>, String> {
        let parse = |name: &String| {
            Tenant::parse(name).map_err(|reason| format!("tenant_id '{}': {reason}", shorten(name)))
        };
        self.tenant.iter().map(parse).collect()
    }

    /// What is to be done with it at this time of the database.
    pub(crate) fn assess(&self, now: DateTime<Utc>) -> Action {
        if !self.active {
            return Action::Wait(None);
        }
        if !self.is_ours() {
            return self.complain_of_function();
        }
        match self.holder() {
            Some(_) => Action::Wait(None),
            None => self.follow_schedule(now).unwrap_or_else(|error| self.complain_of_schedule(&error)),
        }
    }

    /// The run that a person has asked for, whatever the schedule says.
    pub(crate) fn run_by_hand(&self, now: DateTime<Utc>) -> Due {
        let next = self.parsed().and_then(|schedule| self.next_regular(&schedule, now));
        Due { next_run: next.ok().filter(|_| self.active).or(self.next_run), attempt: 1 }
    }

    /// The change to this next time, with all that was wrong with the schedule taken back.
    pub(crate) fn rescheduled(&self, next_run: Option<DateTime<Utc>>) -> Change {
        let mut change = Change { next_run: Some(next_run), ..self.note(next_run).unwrap_or_default() };
        // A run whose owner has died is not taken over: the next time has been chosen.
        if self.outcome() == Some("running") && self.holder().is_none() {
            change.metadata.insert("outcome".into(), Value::Null);
        }
        change
    }

    fn follow_schedule(&self, now: DateTime<Utc>) -> Result<Action, ScheduleError> {
        let schedule = self.parsed()?;
        // Under way, and nobody is at it: its owner has died.
        if self.outcome() == Some("running") {
            let next_run = Some(self.next_regular(&schedule, now)?);
            return Ok(Action::Run(Due { next_run, attempt: self.attempt() + 1 }));
        }
        match self.next_run {
            Some(at) if at <= now => {
                let next_run = Some(self.next_regular(&schedule, now)?);
                let attempt = if self.is_retry(&schedule, now) { self.attempt() + 1 } else { 1 };
                Ok(Action::Run(Due { next_run, attempt }))
            }
            Some(at) if !self.was_edited() => {
                let next = self.next_regular(&schedule, now)?;
                // Further away than the schedule has it: a person's choice, or a clock's that was ahead.
                let moved = if at > next && self.is_computed(at) { Some(next) } else { None };
                Ok(self.note(moved).map_or(Action::Wait(Some(at)), Action::Note))
            }
            // A job that is new or was edited begins at its next time, not now.
            _ => {
                let next = schedule.next_after(now)?;
                Ok(self.note(Some(next)).map_or(Action::Wait(Some(next)), Action::Note))
            }
        }
    }

    /// Its next regular time, but not one that has run already, which a clock that was set back comes to again. A run that is further ahead
    /// than half of the way between two of them counts for nothing: leaving one out would be the longer pause.
    fn next_regular(&self, schedule: &Schedule, now: DateTime<Utc>) -> Result<DateTime<Utc>, ScheduleError> {
        let next = schedule.next_after(now)?;
        let Some(ran) = self.last_run.filter(|ran| *ran >= next) else { return Ok(next) };
        let following = schedule.next_after(next)?;
        Ok(if ran - now < (following - next) / 2 { following } else { next })
    }

    /// Whether what is due is the next try that was announced when a run had ended badly, rather than the next regular
    /// time, or one that a person has set.
    fn is_retry(&self, schedule: &Schedule, now: DateTime<Utc>) -> bool {
        let Some(last_run) = self.last_run else { return false };
        let announced = self.text(RETRY_AT).and_then(|text| text.parse::<DateTime<Utc>>().ok());
        announced.is_some()
            && announced == self.next_run
            && schedule.next_after(last_run).is_ok_and(|regular| regular > now)
    }

    fn attempt(&self) -> i64 {
        self.metadata.get("attempt").and_then(Value::as_i64).unwrap_or(1).clamp(1, i64::from(u16::MAX))
    }

    /// Whether a next time is one that was computed here.
    fn is_computed(&self, at: DateTime<Utc>) -> bool {
        let computed = [NEXT_RUN, RETRY_AT].into_iter().filter_map(|name| self.text(name)?.parse().ok());
        computed.into_iter().any(|known: DateTime<Utc>| known == at)
    }

    /// A row that was never looked at counts as not edited: who has set its `next_run` meant it.
    fn was_edited(&self) -> bool {
        self.text("next_run_for").is_some_and(|text| text != self.computed_for())
    }

    /// Remembers what `next_run` belongs to, and takes back what was said of a row that has been mended.
    fn note(&self, next_run: Option<DateTime<Utc>>) -> Option<Change> {
        let mut metadata = Map::new();
        let computed_for = self.computed_for();
        if self.text("next_run_for") != Some(&computed_for) {
            metadata.insert("next_run_for".into(), computed_for.into());
        }
        if let Some(next_run) = next_run {
            metadata.insert(NEXT_RUN.into(), written(next_run).into());
        }
        if self.outcome() == Some("invalid") {
            metadata.insert("outcome".into(), Value::Null);
            metadata.insert("error".into(), Value::Null);
        } else if self.error().is_some_and(|error| error.starts_with(UNKNOWN_FUNCTION)) {
            metadata.insert("error".into(), Value::Null);
        }
        if metadata.is_empty() && next_run.is_none() {
            return None;
        }
        Some(Change { next_run: next_run.map(Some), metadata, complaint: None })
    }

    /// Another program may run it, so nothing but the error changes.
    fn complain_of_function(&self) -> Action {
        let error = format!(
            "{UNKNOWN_FUNCTION} '{}', only '{WARM_FUNCTION}': correct function_name, unless another program runs \
             this job",
            shorten(&self.function)
        );
        if self.error() == Some(&error) {
            return Action::Wait(None);
        }
        let metadata = Map::from_iter([("error".to_owned(), json!(error))]);
        Action::Note(Change { next_run: None, metadata, complaint: Some(error) })
    }

    fn complain_of_schedule(&self, error: &ScheduleError) -> Action {
        let error = format!("schedule '{}': {error}", shorten(&self.schedule));
        if self.outcome() == Some("invalid") && self.error() == Some(&error) && self.next_run.is_none() {
            return Action::Wait(None);
        }
        let metadata = Map::from_iter([
            ("outcome".to_owned(), json!("invalid")),
            ("error".to_owned(), json!(error)),
            ("next_run_for".to_owned(), json!(self.computed_for())),
        ]);
        Action::Note(Change { next_run: Some(None), metadata, complaint: Some(error) })
    }
}

/// A time, as `metadata` has it.
pub(crate) fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// After which pause a run that ended so is tried again before its next regular time. `first` is doubled with
/// each attempt.
pub(crate) fn retry_after(outcome: &str, attempt: i64, first: Duration) -> Option<TimeDelta> {
    let again = match outcome {
        "failed" => true,
        "partial" => attempt <= MOST_RETRIES_OF_PART,
        _ => false,
    };
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = first.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_RETRY);
    again.then(|| TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX))
}

fn shorten(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).collect()
}

#[cfg(test)]
mod tests;
