//! Settings of `counters`.

use clap::{Args, Subcommand};

use super::{DatabaseArgs, FeedLimitArgs};

/// What can be done with the counters.
#[derive(Debug, Subcommand)]
pub enum CountersCommand {
    /// Count by triggers from now on, and compute bundles from the counts. Nobody is kept waiting for longer than
    /// 100 ms; needs the owner of the CRM's tables. May be run again
    Enable(DatabaseArgs),
    /// Remove the triggers: bundles are computed from the tables, and changes are no longer followed
    Disable(DatabaseArgs),
    /// Count everything anew, while writers go on; after partitions were attached or detached, or after a restore
    Rebuild(DatabaseArgs),
    /// Compare every tenant's counters with the tables, and correct those that differ, while everybody goes on
    Verify(VerifyArgs),
}

/// Settings of `counters verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Correct nothing; exit code 1 if something differs
    #[arg(long)]
    pub check: bool,
    /// How late changes may be.
    #[command(flatten)]
    pub limit: FeedLimitArgs,
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}
