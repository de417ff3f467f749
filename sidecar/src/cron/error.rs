//! Why a subcommand of `cron` did not do what was asked.

use crate::error::Failure;
use crate::lease::Lease;
use crate::scheduler::StoreError;
use crate::scheduler::job::WARM_FUNCTION;
use crate::scheduler::runner::NotRun;
use crate::scheduler::schedule::ScheduleError;

/// An error of `cron`. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum CronError {
    #[error("there is no job with the id or name '{name}': 'dashboard-sidecar cron list' prints all")]
    NoSuchJob { name: String },
    #[error("several jobs are called '{name}': give the id of one, {}", ids.join(" or "))]
    Ambiguous { name: String, ids: Vec<String> },
    #[error("no job runs {WARM_FUNCTION}: 'dashboard-sidecar cron enable' adds one")]
    NoWarming,
    #[error(
        "'{name}' runs the function '{function}', and only {WARM_FUNCTION} is known here: leave it to the program \
         that runs it"
    )]
    NotOurs { name: String, function: String },
    #[error("{error}")]
    Schedule { error: ScheduleError },
    #[error(
        "'{name}' is being run by {}, whose lease lasts until {} unless it is renewed: wait for it, or for that time",
        lease.owner, super::time(Some(lease.expires_at))
    )]
    Held { name: String, lease: Lease },
    #[error(
        "'{name}' has just been taken by another session: 'dashboard-sidecar cron list' shows what became of it"
    )]
    Passed { name: String },
    #[error(
        "'{name}' was taken over by another sidecar: 'dashboard-sidecar cron list' shows what became of it"
    )]
    TakenOver { name: String },
    #[error("'{name}' was not run: the process was stopped while it waited")]
    Stopped { name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CronError {
    /// Why this job was not run to its end.
    pub(super) fn not_run(name: &str, why: NotRun) -> Self {
        let name = name.to_owned();
        match why {
            NotRun::Held(lease) => Self::Held { name, lease },
            NotRun::Passed => Self::Passed { name },
            NotRun::TakenOver => Self::TakenOver { name },
            NotRun::Stopped => Self::Stopped { name },
            NotRun::Store(error) => Self::Store(error),
        }
    }

    /// What was asked for is wrong, or it could not be done: scripts tell them apart.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::NoSuchJob { .. }
            | Self::Ambiguous { .. }
            | Self::NotOurs { .. }
            | Self::Schedule { .. } => Failure::config(self.to_string()),
            _ => Failure::run(&self),
        }
    }
}
