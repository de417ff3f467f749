//! How a run ended: as `metadata` keeps it, and as the log and a person read it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::job::RETRY_AT;
use crate::cache::{FailedTenant, Warmed};

/// More failed tenants are counted, not named: `metadata` stays small.
const MOST_NAMED: usize = 100;
/// How many of them an error names.
const NAMED_IN_ERROR: usize = 5;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// `success`, `partial` or `failed`.
    pub(crate) outcome: &'static str,
    pub(crate) error: Option<String>,
    pub(crate) warning: Option<String>,
    /// Whether it is to be run again without a pause, as nothing was wrong with it.
    pub(crate) again_at_once: bool,
    warmed: Option<Arc<Warmed>>,
}

impl Report {
    /// The cache has warmed what it could.
    pub(crate) fn warmed(warmed: Warmed, warning: Option<String>) -> Self {
        let outcome = match (warmed.failed, warmed.warmed + warmed.fresh) {
            (0, _) => "success",
            (_, 0) => "failed",
            _ => "partial",
        };
        let error = (warmed.failed > 0).then(|| summary_of_failed(&warmed));
        Self { outcome, error, warning, again_at_once: false, warmed: Some(Arc::new(warmed)) }
    }

    /// It could not be run.
    pub(crate) fn failed(error: impl Into<String>) -> Self {
        Self {
            outcome: "failed",
            error: Some(error.into()),
            warning: None,
            again_at_once: false,
            warmed: None,
        }
    }

    /// The sidecar ends before the run does.
    pub(crate) fn stopped() -> Self {
        let error = "the process was stopped while this ran: the next sidecar that follows the schedule runs it again";
        Self { again_at_once: true, ..Self::failed(error) }
    }

    /// What was warmed, if the cache could be asked.
    pub(crate) fn counts(&self) -> Option<&Warmed> {
        self.warmed.as_deref()
    }

    /// Members of `metadata`. What is not known is null.
    pub(crate) fn metadata(&self) -> Map<String, Value> {
        let warmed = self.warmed.as_deref();
        let named =
            warmed.map(|warmed| warmed.failures.iter().take(MOST_NAMED).map(named).collect::<Vec<_>>());
        let members = [
            ("outcome", json!(self.outcome)),
            ("tenants", json!(warmed.map(|w| w.tenants))),
            ("warmed", json!(warmed.map(|w| w.warmed))),
            ("fresh", json!(warmed.map(|w| w.fresh))),
            ("failed", json!(warmed.map(|w| w.failed))),
            ("failed_tenants", json!(named)),
            ("error", json!(self.error)),
            ("warning", json!(self.warning)),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What `metadata` says of the last run is no longer so.
    pub(crate) fn begun() -> Map<String, Value> {
        let names = [
            "finished_at",
            "duration_ms",
            "tenants",
            "warmed",
            "fresh",
            "failed",
            "failed_tenants",
            "error",
            "warning",
            RETRY_AT,
        ];
        names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect()
    }

    /// A line of the log: information, or a warning unless all went well.
    pub(crate) fn log(&self, job: &str, duration_ms: i64, attempt: i64) {
        let (outcome, error) = (self.outcome, self.error.as_deref());
        let counts = self.warmed.as_ref().map(ToString::to_string);
        if outcome == "success" {
            tracing::info!(job, outcome, duration_ms, attempt, counts, "a scheduled run has ended");
        } else {
            tracing::warn!(job, outcome, duration_ms, attempt, counts, error, "a scheduled run has ended");
        }
        if let Some(warning) = &self.warning {
            tracing::warn!(job, warning, "mornings would be cold");
        }
    }
}

/// Lines for a person.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome)?;
        if let Some(warmed) = &self.warmed {
            write!(f, ": {warmed}")?;
            for FailedTenant { tenant, reason } in &warmed.failures {
                write!(f, "\n  {tenant}: {reason}")?;
            }
        } else if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        match &self.warning {
            Some(warning) => write!(f, "\nwarning: {warning}"),
            None => Ok(()),
        }
    }
}

fn named(FailedTenant { tenant, reason }: &FailedTenant) -> Value {
    json!({ "tenant": tenant, "reason": reason })
}

fn summary_of_failed(warmed: &Warmed) -> String {
    let mut text = format!("{} of {} tenants could not be warmed", warmed.failed, warmed.tenants);
    for (place, FailedTenant { tenant, reason }) in warmed.failures.iter().take(NAMED_IN_ERROR).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {tenant} ({reason})", if place == 0 { ":" } else { "," });
    }
    if !warmed.failures.is_empty() && warmed.failed > NAMED_IN_ERROR as u64 {
        text.push_str(" and others");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn warmed(warmed: u64, failed: u64) -> Warmed {
        let failure = |n| FailedTenant { tenant: format!("t{n}"), reason: "timeout".into() };
        Warmed {
            tenants: warmed + failed,
            warmed,
            fresh: 0,
            failed,
            elapsed: Duration::from_millis(7),
            failures: (0..failed).map(failure).collect(),
        }
    }

    #[test]
    fn a_run_succeeds_in_part_only_if_some_tenant_is_warm() {
        let outcome = |ok, failed| Report::warmed(warmed(ok, failed), None).outcome;
        assert_eq!(
            [outcome(2, 0), outcome(0, 0), outcome(1, 1), outcome(0, 1)],
            ["success", "success", "partial", "failed"]
        );
    }

    #[test]
    fn failed_tenants_are_named_up_to_a_bound() {
        let report = Report::warmed(warmed(1, 200), None);
        assert_eq!(report.metadata()["failed_tenants"].as_array().unwrap().len(), MOST_NAMED);
        assert_eq!(report.metadata()["failed_tenants"][0], json!({"tenant": "t0", "reason": "timeout"}));
        let error = report.error.unwrap();
        assert!(
            error.starts_with("200 of 201 tenants") && error.ends_with("t4 (timeout) and others"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_known_is_null_and_not_zero() {
        let metadata = Report::failed("Redis is away").metadata();
        assert_eq!((&metadata["tenants"], &metadata["error"]), (&Value::Null, &json!("Redis is away")));
        assert_eq!(Report::warmed(warmed(1, 0), None).metadata()["error"], Value::Null);
    }
}
