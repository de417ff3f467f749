//! Why a subcommand of `counters` did not do what was asked.

use crate::db::chain;
use crate::error::Failure;

/// An error of `counters`. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum CountersError {
    #[error("the schema dashboard lacks the counters: run 'dashboard-sidecar migrate'")]
    NotMigrated,
    #[error(
        "dashboard.bundle is not the one that 'dashboard-sidecar migrate' creates: counters are of the CRM's own figures, and \
         bundles of one's own are computed without them"
    )]
    NotOurs,
    #[error(
        "{name} is not a table, and only tables have triggers that tell what a statement has changed: leave counters disabled"
    )]
    NotATable { name: String },
    #[error(
        "leads.source is of the type {type_}, of which different values may be equal; counters need text or varchar: leave them disabled"
    )]
    UnfitSource { type_: String },
    #[error("the counters are not enabled: 'dashboard-sidecar counters enable'")]
    NotEnabled,
    #[error(
        "{names} are other tables than those that were counted, as after a dump was restored: run 'dashboard-sidecar counters rebuild'"
    )]
    Replaced { names: String },
    #[error("another session is at the counters: wait until it has ended")]
    Busy,
    #[error(
        "{table} was in use by long transactions for {seconds} s, and its writers are not kept waiting for longer than 100 ms: try \
         again when they have ended (pg_stat_activity shows them); what is done is kept"
    )]
    Locked { table: String, seconds: u64 },
    #[error("{}", chain(.0))]
    Postgres(#[from] postgres::Error),
}

impl From<CountersError> for Failure {
    fn from(error: CountersError) -> Self {
        Self::run(&error)
    }
}
