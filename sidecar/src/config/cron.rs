//! Settings of the schedule: of the part of `serve` that follows it, and of `cron`.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, value_parser};

use super::{DatabaseArgs, RedisArgs};

/// How scheduled jobs are run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Schedule")]
pub struct SchedulerArgs {
    /// Whether this sidecar runs the jobs of the table cron_job, on or off. Any number of sidecars may: one of
    /// them runs each job
    #[arg(long, value_name = "ON|OFF", env = "DASHBOARD_SCHEDULER", default_value = "on",
          action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub scheduler: bool,
    /// Longest time until a change of cron_job is noticed, ms, 50 to 60000
    #[arg(long, value_name = "MS", env = "DASHBOARD_SCHEDULER_POLL_MS", default_value_t = 5_000,
          value_parser = value_parser!(u64).range(50..=60_000))]
    pub scheduler_poll_ms: u64,
    /// How long a run is held.
    #[command(flatten)]
    pub lease: LeaseArgs,
}

/// How long a run is held, and when it is tried again.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Schedule")]
pub struct LeaseArgs {
    /// How long a run stays with a sidecar that says nothing any more, ms, 300 to 600000. If one dies in the
    /// middle of a run, another takes over within this and DASHBOARD_SCHEDULER_POLL_MS. Give all sidecars the same
    #[arg(long, value_name = "MS", env = "DASHBOARD_LEASE_MS", default_value_t = 15_000,
          value_parser = value_parser!(u64).range(300..=600_000))]
    pub lease_ms: u64,
    /// First pause before a run that failed is tried again, ms, 50 to 900000; it doubles up to 15 minutes, and
    /// ends with the next regular time
    #[arg(long = "scheduler-retry-ms", value_name = "MS", env = "DASHBOARD_SCHEDULER_RETRY_MS",
          default_value_t = 30_000, value_parser = value_parser!(u64).range(50..=900_000))]
    pub retry_ms: u64,
}

/// What can be done with the schedule.
#[derive(Debug, Subcommand)]
pub enum CronCommand {
    /// Print every job: when it ran, how that ended, when it runs next (times are UTC)
    List(DatabaseArgs),
    /// Let a job run at its times; adds the row for nightly warming where there is none
    Enable(JobArgs),
    /// Keep a job from running, until it is enabled
    Disable(JobArgs),
    /// Run a job now, in this process, whether it is enabled or not; exit code 1 unless it succeeds
    Run(Box<CronRunArgs>),
    /// Change when a job runs
    Set(CronSetArgs),
}

/// Which job.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The job's id or name, as 'cron list' prints them [default: those that warm (warmDashboardBundleCache)]
    #[arg(long, value_name = "ID|NAME")]
    pub job: Option<String>,
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `cron run`.
#[derive(Debug, Args)]
pub struct CronRunArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Where Redis is.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// How long the run is held.
    #[command(flatten)]
    pub lease: LeaseArgs,
}

/// Settings of `cron set`.
#[derive(Debug, Args)]
pub struct CronSetArgs {
    /// When: 'cron:0 0 * * *' (minute hour day month weekday; 6 fields begin with seconds), hourly, daily, weekly,
    /// monthly, every_5_minutes, every_2_hours and the like. UTC, unless a time zone follows: 'daily Europe/Berlin'
    #[arg(value_name = "SCHEDULE")]
    pub schedule: String,
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
}
