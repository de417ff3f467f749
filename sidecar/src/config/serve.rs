//! Settings of `serve`, and the rules between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, value_parser};

use super::{
    AuthArgs, CorsOrigins, DatabaseArgs, FeedArgs, InternalAddress, RedisArgs, SchedulerArgs, Secret,
    SecretVariable,
};
use crate::error::Failure;

/// The shortest internal token that is accepted, in bytes.
const MIN_TOKEN_BYTES: usize = 16;

/// Event streams that may be open, where nobody says how many.
const DEFAULT_STREAMS: u32 = 256;

/// Settings of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How bundles are computed.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Where Redis is.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Connections to Redis for bundles that have to be computed, 1 to 1024: one for each bundle that public reads wait
    /// for. What is in memory is read by another one
    #[arg(long, value_name = "N", env = "DASHBOARD_REDIS_POOL", default_value_t = 32,
          value_parser = value_parser!(u32).range(1..=1024), help_heading = "Redis")]
    pub redis_pool: u32,
    /// Longest wait for a reply of Redis to a public read, ms, 100 to 600000; keep it above the module's
    /// dashboard.timeout
    #[arg(long, value_name = "MS", env = "DASHBOARD_REDIS_TIMEOUT_MS", default_value_t = 10_000,
          value_parser = value_parser!(u64).range(100..=600_000), help_heading = "Redis")]
    pub redis_timeout_ms: u64,
    /// Age at which a connection to Redis is replaced, ms, 1000 to 3600000: behind an address that moves to another server,
    /// an old connection may stay open to the one that it has left
    #[arg(long, value_name = "MS", env = "DASHBOARD_REDIS_CONNECTION_AGE_MS", default_value_t = 60_000,
          value_parser = value_parser!(u64).range(1_000..=3_600_000), help_heading = "Redis")]
    pub redis_connection_age_ms: u64,
    /// Public reads that wait for bundles at once, 1 to 65536; one more is refused with 429 [default: three quarters of
    /// DASHBOARD_MAX_CONNECTIONS]
    #[arg(long, value_name = "N", env = "DASHBOARD_MAX_WAITING",
          value_parser = value_parser!(u32).range(1..=65_536), help_heading = "Redis")]
    pub max_waiting: Option<u32>,
    /// Of these, for bundles of one tenant, so that one tenant's slow bundle leaves room for the others [default: half of
    /// DASHBOARD_MAX_CONNECTIONS]
    #[arg(long, value_name = "N", env = "DASHBOARD_MAX_WAITING_PER_TENANT",
          value_parser = value_parser!(u32).range(1..=65_536), help_heading = "Redis")]
    pub max_waiting_per_tenant: Option<u32>,
    /// Log a line for each public read, on or off: '[dashboard-bundle] Cache HIT key=… (redis)' or 'Cache MISS key=…
    /// (compute from db)'. A line a minute with counts is logged anyway
    #[arg(long, value_name = "ON|OFF", env = "DASHBOARD_LOG_READS", default_value = "off",
          action = ArgAction::Set, value_parser = BoolishValueParser::new(), help_heading = "Log")]
    pub log_reads: bool,
    /// How scheduled jobs are run.
    #[command(flatten)]
    pub scheduler: SchedulerArgs,
    /// How changes are followed.
    #[command(flatten)]
    pub feed: FeedArgs,
    /// Who is let in.
    #[command(flatten)]
    pub auth: AuthArgs,
    /// Where and how to listen.
    #[command(flatten)]
    pub http: HttpArgs,
}

/// How bundles are computed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Computing")]
pub struct ComputeArgs {
    /// Postgres connections for single bundles (cache misses), 1 to 64; about twice the database's cores
    #[arg(long, value_name = "N", env = "DASHBOARD_POOL", default_value_t = 8,
          value_parser = value_parser!(u32).range(1..=64))]
    pub pool: u32,
    /// Postgres connections for warming, 1 to 32; about the database's cores
    #[arg(long, value_name = "N", env = "DASHBOARD_WARM_POOL", default_value_t = 2,
          value_parser = value_parser!(u32).range(1..=32))]
    pub warm_pool: u32,
    /// Tenants computed by one statement while warming, at most, 1 to 200; with more, a failed statement costs more
    #[arg(long, value_name = "N", env = "DASHBOARD_WARM_BATCH", default_value_t = 100,
          value_parser = value_parser!(u16).range(1..=200))]
    pub warm_batch: u16,
    /// Requests that may wait for a Postgres connection, 0 to 10000; one more is refused as overloaded
    #[arg(long, value_name = "N", env = "DASHBOARD_QUEUE", default_value_t = 128,
          value_parser = value_parser!(u32).range(0..=10_000))]
    pub queue: u32,
    /// Longest wait for a connection to be made, ms, 50 to 60000; then Postgres counts as unavailable
    #[arg(long, value_name = "MS", env = "DASHBOARD_ACQUIRE_TIMEOUT_MS", default_value_t = 1_000,
          value_parser = value_parser!(u64).range(50..=60_000))]
    pub acquire_timeout_ms: u64,
    /// Longest time for computing one bundle, ms, 100 to 600000; Postgres ends the statement then
    /// (statement_timeout)
    #[arg(long, value_name = "MS", env = "DASHBOARD_STATEMENT_TIMEOUT_MS", default_value_t = 5_000,
          value_parser = value_parser!(u64).range(100..=600_000))]
    pub statement_timeout_ms: u64,
    /// Longest time for one statement of many tenants, ms, 100 to 600000; past it, its tenants are computed
    /// one by one
    #[arg(long, value_name = "MS", env = "DASHBOARD_WARM_STATEMENT_TIMEOUT_MS", default_value_t = 30_000,
          value_parser = value_parser!(u64).range(100..=600_000))]
    pub warm_statement_timeout_ms: u64,
    /// Largest bundle that is taken from Postgres, bytes, 1024 to 268435456 (256 MiB); a larger one is an error
    /// of its tenant. The module has a bound of its own, dashboard.max-bundle-bytes
    #[arg(long, value_name = "BYTES", env = "DASHBOARD_MAX_BUNDLE_BYTES", default_value_t = 16 * 1024 * 1024,
          value_parser = value_parser!(u32).range(1024..=256 * 1024 * 1024))]
    pub max_bundle_bytes: u32,
}

/// Where and how to listen.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Listening")]
pub struct HttpArgs {
    /// Where the Redis module asks for bundles: unix:/path, or a loopback address such as 127.0.0.1:4002,
    /// which needs a token
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "DASHBOARD_INTERNAL",
        default_value = "unix:/run/redis-dashboard/sidecar.sock"
    )]
    pub internal: InternalAddress,
    /// Permissions of the Unix socket, 0600 (this user) or 0660 (also its group)
    #[arg(long, value_name = "MODE", env = "DASHBOARD_INTERNAL_SOCKET_MODE", default_value = "0660",
          value_parser = parse_socket_mode)]
    pub internal_socket_mode: u32,
    /// File that holds the token (16 bytes or more) which internal requests must bring; instead, the token
    /// itself may be in the environment variable DASHBOARD_INTERNAL_TOKEN [default: none on a Unix socket]
    #[arg(long, value_name = "FILE", env = "DASHBOARD_INTERNAL_TOKEN_FILE")]
    pub internal_token_file: Option<PathBuf>,
    /// The token itself. The environment only: a flag could be read by every local user.
    #[arg(skip = SecretVariable::read("DASHBOARD_INTERNAL_TOKEN"))]
    pub internal_token: Option<SecretVariable>,
    /// Where front ends, people and probes ask (IP address and port)
    #[arg(long, value_name = "ADDRESS", env = "DASHBOARD_LISTEN", default_value = "127.0.0.1:4001")]
    pub listen: SocketAddr,
    /// Let anyone who can reach the public listener do everything there, without a token; only on a loopback
    /// address, and instead of a key
    #[arg(long, env = "DASHBOARD_INSECURE_NO_AUTH", value_parser = BoolishValueParser::new())]
    pub insecure_no_auth: bool,
    /// Sites whose pages may read the public API from another origin (CORS), as browsers send them, with commas
    /// between, such as https://crm.example.com; or * for all [default: none]
    #[allow(rustdoc::bare_urls, reason = "--help shows this text as it stands")]
    #[arg(long, value_name = "ORIGINS", env = "DASHBOARD_CORS_ORIGINS", default_value = "", hide_default_value = true,
          value_parser = CorsOrigins::parse)]
    pub cors_origins: CorsOrigins,
    /// Connections that each listener serves at once, the internal and the public one, 1 to 65536. Beyond them the public
    /// listener answers probes and /metrics only, and the module's requests wait
    #[arg(long, value_name = "N", env = "DASHBOARD_MAX_CONNECTIONS", default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_connections: u32,
    /// Event streams (GET /api/reports/dashboard-events) open at once, 1 to 10000; one more is refused. Each takes a
    /// connection of DASHBOARD_MAX_CONNECTIONS, of which there must be more [default: 256, or half of those
    /// connections where that is less]
    #[arg(long, value_name = "N", env = "DASHBOARD_MAX_STREAMS",
          value_parser = value_parser!(u32).range(1..=10_000))]
    pub max_streams: Option<u32>,
    /// How long an idle keep-alive connection of the public listener stays open, ms, 1000 to 3600000. Keep it above the
    /// idle time-out of the proxy in front (mostly 60 s)
    #[arg(long, value_name = "MS", env = "DASHBOARD_KEEP_ALIVE_MS", default_value_t = 75_000,
          value_parser = value_parser!(u64).range(1_000..=3_600_000))]
    pub keep_alive_ms: u64,
    /// After SIGTERM, /readyz fails and requests are still served for so long, ms, 0 to 600000, so that a load balancer
    /// turns away in time. With DASHBOARD_DRAIN_TIMEOUT_MS it must fit into the orchestrator's grace period. SIGINT skips it
    #[arg(long, value_name = "MS", env = "DASHBOARD_LAME_DUCK_MS", default_value_t = 5_000,
          value_parser = value_parser!(u64).range(0..=600_000))]
    pub lame_duck_ms: u64,
    /// Time that requests under way get to finish after that, ms, 0 to 600000; a second signal ends at once
    #[arg(long, value_name = "MS", env = "DASHBOARD_DRAIN_TIMEOUT_MS", default_value_t = 10_000,
          value_parser = value_parser!(u64).range(0..=600_000))]
    pub drain_timeout_ms: u64,
}

impl HttpArgs {
    /// The internal API's token, from the file or the environment, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read, the token is too short, both sources are set, or a TCP listener has none.
    pub fn token(&self) -> Result<Option<Secret>, Failure> {
        const VARIABLE: &str = "DASHBOARD_INTERNAL_TOKEN";
        let (source, token) = match (&self.internal_token_file, &self.internal_token) {
            (Some(_), Some(_)) => {
                return Err(Failure::config(
                    "both DASHBOARD_INTERNAL_TOKEN and DASHBOARD_INTERNAL_TOKEN_FILE (--internal-token-file) are set: \
                     keep one",
                ));
            }
            (Some(file), None) => {
                ("--internal-token-file", Some(Secret::read("--internal-token-file", file)?))
            }
            (None, token) => {
                (VARIABLE, token.as_ref().map(|token| Secret::from_variable(VARIABLE, token)).transpose()?)
            }
        };
        match (&token, &self.internal) {
            (Some(token), _) if token.expose().len() < MIN_TOKEN_BYTES => Err(Failure::config(format!(
                "{source}: the token must have {MIN_TOKEN_BYTES} bytes or more, for example from 'openssl rand -hex 32'"
            ))),
            (None, InternalAddress::Tcp(address)) => Err(Failure::config(format!(
                "DASHBOARD_INTERNAL={address}: on TCP any local user could read every tenant, so a token is needed: set \
                 DASHBOARD_INTERNAL_TOKEN or --internal-token-file (and the module's dashboard.token), or use unix:/path"
            ))),
            _ => Ok(token),
        }
    }

    /// Checks that leaving out authentication reaches this machine's users only.
    ///
    /// # Errors
    /// If it would reach further.
    pub fn check_exposure(&self) -> Result<(), Failure> {
        if self.insecure_no_auth && !self.listen.ip().is_loopback() {
            return Err(Failure::config(format!(
                "DASHBOARD_INSECURE_NO_AUTH (--insecure-no-auth) is refused with DASHBOARD_LISTEN={}: anyone who reaches \
                 that address could read and clear every tenant; listen on 127.0.0.1 or [::1]",
                self.listen
            )));
        }
        if self.insecure_no_auth && self.cors_origins == CorsOrigins::All {
            return Err(Failure::config(
                "DASHBOARD_INSECURE_NO_AUTH (--insecure-no-auth) is refused with DASHBOARD_CORS_ORIGINS=*: every page that \
                 is open in a browser here could read every tenant; name the origins",
            ));
        }
        Ok(())
    }

    /// How many event streams may be open at once. They stay open, so they must leave connections for all else.
    ///
    /// # Errors
    /// If they could take every connection.
    pub fn streams(&self) -> Result<u32, Failure> {
        match self.max_streams {
            None => Ok(DEFAULT_STREAMS.min(self.max_connections / 2)),
            Some(streams) if streams < self.max_connections => Ok(streams),
            Some(streams) => Err(Failure::config(format!(
                "DASHBOARD_MAX_STREAMS (--max-streams) is {streams} and DASHBOARD_MAX_CONNECTIONS (--max-connections) {}: \
                 streams could take every connection, so that nothing else is answered, probes included; allow more \
                 connections or fewer streams",
                self.max_connections
            ))),
        }
    }

    /// How long an idle connection of the public listener stays open.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    /// How long requests are served after SIGTERM as if nothing had happened.
    pub fn lame_duck(&self) -> Duration {
        Duration::from_millis(self.lame_duck_ms)
    }

    /// Time that requests under way get once the listeners close.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

fn parse_socket_mode(text: &str) -> Result<u32, String> {
    match text {
        "0600" | "600" => Ok(0o600),
        "0660" | "660" => Ok(0o660),
        _ => Err("use 0600 or 0660: anyone who can open the socket can read every tenant".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        http: HttpArgs,
    }

    fn http(args: &[&str]) -> HttpArgs {
        let mut http = Line::parse_from(std::iter::once(&"x").chain(args)).http;
        http.internal_token = None;
        http
    }

    #[test]
    fn a_tcp_listener_without_a_token_is_refused() {
        let error = http(&["--internal", "127.0.0.1:4002"]).token().unwrap_err().to_string();
        assert!(error.contains("DASHBOARD_INTERNAL_TOKEN"), "{error}");
        assert!(http(&[]).token().unwrap().is_none());
    }

    #[test]
    fn a_short_token_is_refused_without_being_repeated() {
        let mut args = http(&[]);
        args.internal_token = Some("hunter2".into());
        let error = args.token().unwrap_err().to_string();
        assert!(error.contains("16 bytes") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_token_that_is_no_text_is_refused_rather_than_taken_for_none() {
        let mut args = http(&[]);
        args.internal_token = Some(OsStr::from_bytes(&[0xff; 32]).into());
        assert!(args.token().unwrap_err().to_string().contains("DASHBOARD_INTERNAL_TOKEN"));
    }

    #[test]
    fn a_token_file_loses_only_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " 0123456789abcdef \n").unwrap();
        let args = http(&["--internal-token-file", &file.path().display().to_string()]);
        assert_eq!(args.token().unwrap().unwrap().expose(), " 0123456789abcdef ");
    }

    #[test]
    fn no_authentication_is_for_loopback_only() {
        assert!(http(&["--insecure-no-auth", "--listen", "0.0.0.0:4001"]).check_exposure().is_err());
        assert!(http(&["--insecure-no-auth", "--listen", "[::1]:4001"]).check_exposure().is_ok());
        assert!(http(&["--listen", "0.0.0.0:4001"]).check_exposure().is_ok());
        assert!(http(&["--insecure-no-auth", "--cors-origins", "*"]).check_exposure().is_err());
        assert!(
            http(&["--insecure-no-auth", "--cors-origins", "http://localhost:3000"]).check_exposure().is_ok()
        );
    }

    #[test]
    fn streams_leave_connections_for_everything_else() {
        let streams = |args: &[&str]| http(args).streams();
        assert!(
            streams(&["--max-streams", "256", "--max-connections", "256"])
                .unwrap_err()
                .to_string()
                .contains("DASHBOARD_MAX_STREAMS")
        );
        assert_eq!(streams(&["--max-streams", "255", "--max-connections", "256"]).unwrap(), 255);
        assert_eq!(streams(&["--max-connections", "100"]).unwrap(), 50);
        assert_eq!(streams(&[]).unwrap(), 256);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for args in [
            ["x", "--max-connections", "0"],
            ["x", "--drain-timeout-ms", "600001"],
            ["x", "--internal-socket-mode", "0666"],
            ["x", "--internal", "0.0.0.0:1"],
        ] {
            assert!(Line::try_parse_from(args).is_err(), "{args:?}");
        }
    }
}
