//! Settings of the change feed: of the part of `serve` that follows it, and of `feed`.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, value_parser};

use super::{DatabaseArgs, Secret};

/// How changes are followed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Change feed")]
pub struct FeedArgs {
    /// Whether this sidecar tells Redis which tenants have changed, on or off. Any number of sidecars may: one of them
    /// does. Needs 'dashboard-sidecar counters enable'
    #[arg(long, value_name = "ON|OFF", env = "DASHBOARD_FEED", default_value = "on",
          action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub feed: bool,
    /// Postgres for the feed alone, as a URL, for a role that may touch nothing but the schema 'dashboard'; set it in the environment
    /// only [default: DATABASE_URL]
    #[arg(long, value_name = "URL", env = "DASHBOARD_FEED_DATABASE_URL", hide_env_values = true)]
    pub feed_database_url: Option<Secret>,
    /// How often Postgres is asked for changes, ms, 5 to 10000
    #[arg(long, value_name = "MS", env = "DASHBOARD_FEED_POLL_MS", default_value_t = 50,
          value_parser = value_parser!(u64).range(5..=10_000))]
    pub feed_poll_ms: u64,
    /// How long the feed stays with a sidecar that says nothing any more, ms, 300 to 60000; then another takes over.
    /// Give all sidecars the same
    #[arg(long, value_name = "MS", env = "DASHBOARD_FEED_LEASE_MS", default_value_t = 3_000,
          value_parser = value_parser!(u64).range(300..=60_000))]
    pub feed_lease_ms: u64,
    /// How late changes may be.
    #[command(flatten)]
    pub limit: FeedLimitArgs,
}

/// How late changes may be, for all who say how they are followed.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Change feed")]
pub struct FeedLimitArgs {
    /// Changes that are followed later than this are late: /api/system/health and 'feed status' say so, ms, 100 to 3600000
    #[arg(long, value_name = "MS", env = "DASHBOARD_FEED_LAG_LIMIT_MS", default_value_t = 10_000,
          value_parser = value_parser!(u64).range(100..=3_600_000))]
    pub feed_lag_limit_ms: u64,
}

impl FeedLimitArgs {
    /// As a duration.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.feed_lag_limit_ms)
    }
}

/// Settings of `feed status`.
#[derive(Debug, Args)]
pub struct FeedStatusArgs {
    /// How late changes may be.
    #[command(flatten)]
    pub limit: FeedLimitArgs,
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What can be asked of the feed.
#[derive(Debug, Subcommand)]
pub enum FeedCommand {
    /// Print who feeds Redis with changes, how far behind it is, and what it still has to announce; exit code 1 if
    /// changes are not followed
    Status(FeedStatusArgs),
}
