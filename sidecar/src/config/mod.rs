//! The command line and the environment, as typed structs: read once, at the edge.
//!
//! Each setting has a flag and an environment variable; `--help` tells unit, range, default and effect.
//! Nothing else in the program reads the environment.

mod address;
mod auth;
mod board;
mod cors;
mod counters;
mod cron;
mod feed;
mod secret;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use address::InternalAddress;
pub use auth::{AuthArgs, TokenArgs};
pub use board::{BoardCommand, BoardPlanArgs};
pub use cors::CorsOrigins;
pub use counters::{CountersCommand, VerifyArgs};
pub use cron::{CronCommand, CronRunArgs, CronSetArgs, JobArgs, LeaseArgs, SchedulerArgs};
pub use feed::{FeedArgs, FeedCommand, FeedLimitArgs, FeedStatusArgs};
pub use secret::{Secret, SecretVariable};
pub use serve::{ComputeArgs, HttpArgs, ServeArgs};

use crate::demo;
use crate::error::Failure;

/// Computes dashboard bundles from Postgres for the Redis module, and serves them over HTTP
#[derive(Debug, Parser)]
#[command(name = "dashboard-sidecar", version, max_term_width = 110)]
pub struct Cli {
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar until SIGTERM or SIGINT; starts (and recovers by itself) while Postgres or Redis is down
    Serve(Box<ServeArgs>),
    /// Create or update the schema 'dashboard' and, where they are missing, the CRM tables; may be run again. With
    /// --check, say what it would do
    Migrate(MigrateArgs),
    /// Compute bundles into the cache (DASHBOARD.WARM) and print what was done; exit code 1 if any failed
    Warm(WarmArgs),
    /// The schedule: what runs when, without anybody asking for it (table cron_job)
    Cron {
        /// What to do with it.
        #[command(subcommand)]
        command: CronCommand,
    },
    /// Boards: dashboards that are declared in files
    Board {
        /// What to do with them.
        #[command(subcommand)]
        command: BoardCommand,
    },
    /// Counters that make a bundle cost the same for a tenant of any size, and the record of changes that bundles follow
    Counters {
        /// What to do with them.
        #[command(subcommand)]
        command: CountersCommand,
    },
    /// The change feed: what has changed in Postgres stops being fresh in Redis
    Feed {
        /// What to ask of it.
        #[command(subcommand)]
        command: FeedCommand,
    },
    /// Print a token for the public API, signed with the secret of DASHBOARD_JWT_SECRET or --jwt-secret-file: for
    /// trying out, for scripts and for operators
    Token(TokenArgs),
    /// Demonstration data
    Demo {
        /// Which.
        #[command(subcommand)]
        command: DemoCommand,
    },
}

/// What can be done with demonstration data.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Fill the CRM tables with a made-up business
    Load(DemoLoadArgs),
}

/// Settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Change nothing: print what there is to do, a line each, and what the role may not do of it. Exit code 0 if
    /// there is nothing to do, 1 if there is something, 2 if the role may not do it or it cannot be found out
    #[arg(long)]
    pub check: bool,
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `demo load`.
#[derive(Debug, Args)]
pub struct DemoLoadArgs {
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// What to make up.
    #[command(flatten)]
    pub demo: demo::Args,
}

/// Settings of `warm`.
#[derive(Debug, Args)]
pub struct WarmArgs {
    /// Tenants to warm, both with and without test data [default: every active one]
    #[arg(value_name = "TENANT")]
    pub tenants: Vec<String>,
    /// Compute bundles that are still fresh as well
    #[arg(long)]
    pub force: bool,
    /// Show how far it is: a bar with rate and time left, or a line a second where standard error is no terminal
    #[arg(long)]
    pub progress: bool,
    /// Where Redis is.
    #[command(flatten)]
    pub redis: RedisArgs,
}

/// Where Postgres is.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// Postgres, as a URL (postgres://user:password@host:5432/name) or key=value text; required. sslmode:
    /// 'disable', 'prefer' (the default: encrypted if the server can, its certificate unchecked) or 'require'
    /// ('verify-full' means the same: certificate and host name are checked). Other local users can read
    /// flags: set a password in the environment only
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, help_heading = "Postgres")]
    pub database_url: Option<Secret>,
    /// File of PEM certificates to trust for sslmode=require [default: the system's]
    #[arg(long, value_name = "FILE", env = "DATABASE_CA_FILE", help_heading = "Postgres")]
    pub database_ca_file: Option<PathBuf>,
}

/// Where Redis is.
#[derive(Clone, Debug, Args)]
pub struct RedisArgs {
    /// The Redis that has the dashboard module loaded: redis://user:password@host:port/db (user, password
    /// and db may be left out) or unix:///path. Other local users can read flags: set a password in the
    /// environment only
    #[arg(
        long,
        value_name = "URL",
        env = "REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6380",
        help_heading = "Redis"
    )]
    pub redis_url: Secret,
}

/// How to log; to standard error.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// What to log: error, warn, info, debug or trace, or per part such as 'info,dashboard_sidecar::db=debug'
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "DASHBOARD_LOG",
        // Without what the migrator says about its own transactions: it works within one of ours.
        default_value = "info,refinery_core=warn",
        help_heading = "Log"
    )]
    pub log: String,
    /// Lines for people, or one JSON object a line
    #[arg(
        long,
        global = true,
        value_enum,
        env = "DASHBOARD_LOG_FORMAT",
        default_value_t = LogFormat::Pretty,
        help_heading = "Log"
    )]
    pub log_format: LogFormat,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

impl DatabaseArgs {
    /// The URL.
    ///
    /// # Errors
    /// If it is missing or empty.
    pub fn url(&self) -> Result<&Secret, Failure> {
        self.database_url.as_ref().filter(|url| !url.expose().trim().is_empty()).ok_or_else(|| {
            Failure::config(
                "DATABASE_URL is not set: give Postgres as postgres://user:password@host:5432/name in the \
                 environment variable DATABASE_URL (or --database-url)",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_declared_consistently() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_missing_database_url_is_named() {
        let args = DatabaseArgs { database_url: Some(Secret::new(" ")), database_ca_file: None };
        assert!(args.url().unwrap_err().to_string().starts_with("DATABASE_URL is not set"));
    }
}
