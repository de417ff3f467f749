//! Why the schedule cannot be read or written, in words for who runs the sidecar.

use crate::db::{KeptError, chain, is_of_connection};

/// An error of the schedule's store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// `migrate` has not been run, or not by this version.
    #[error("the schema dashboard lacks the schedule: run 'dashboard-sidecar migrate'")]
    NotMigrated,
    /// The table is not where it was.
    #[error(
        "the table cron_job is not where 'dashboard-sidecar migrate' found it: put it back, or let the function \
         dashboard.cron_job_table() return where it is"
    )]
    NoTable,
    /// The role may not do all that running jobs takes.
    #[error("the role '{role}' may not run the schedule: grant it {}", missing.join(", "))]
    Rights {
        /// Who.
        role: String,
        /// What it lacks.
        missing: Vec<String>,
    },
    /// Postgres refused or is away.
    #[error("{}", said(.0))]
    Postgres(#[from] postgres::Error),
    /// A row has something else in a column than the column is for.
    #[error("a row of cron_job cannot be read: {}", chain(.0))]
    Unreadable(postgres::Error),
    /// A defect of ours.
    #[error("the thread that talks to Postgres ended abnormally")]
    Thread,
}

impl KeptError for StoreError {
    fn is_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => is_of_connection(error),
            Self::Thread => true,
            _ => false,
        }
    }

    fn thread() -> Self {
        Self::Thread
    }
}

fn said(error: &postgres::Error) -> String {
    let text = chain(error);
    // What Postgres says when row_security is off, with what to do about it.
    if text.contains("row-level security") {
        return format!("{text}: grant the role BYPASSRLS, or let it own cron_job");
    }
    text
}
