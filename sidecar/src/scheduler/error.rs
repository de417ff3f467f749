//! Why the schedule cannot be read or written, in words for who runs the sidecar.

use std::error::Error as _;

use postgres::types::WrongType;

use crate::db::chain;

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

impl StoreError {
    /// Whether the connection is at fault, so that the same may work on another.
    pub(crate) fn is_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => match error.code() {
                Some(code) => ["08", "53", "57P"].iter().any(|class| code.code().starts_with(class)),
                // A column of another type than ours will be that on every connection.
                None => !error.source().is_some_and(|source| source.is::<WrongType>()),
            },
            Self::Thread => true,
            _ => false,
        }
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
