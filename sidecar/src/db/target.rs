//! Where Postgres is and how connections to it are made, from DATABASE_URL.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::config::Host;
use postgres::error::SqlState;
use tokio_postgres::Config;

use super::recovery;
use super::tls::{self, Connector};
use crate::config::DatabaseArgs;
use crate::error::Failure;
use crate::pg::{self, Client, Queries as _, Terms};

/// Longest wait for a TCP connection, unless DATABASE_URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sent data may stay unacknowledged: a vanished server is noticed without waiting for the kernel's
/// quarter of an hour.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Likewise for a server that vanishes while it computes, when nothing is sent: asked after so much silence,
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
/// again after so long without an answer,
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(3);
/// so many times.
const KEEPALIVES_RETRIES: u32 = 3;

/// Longest time for the statements of the check at start.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything needed to open a connection.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) connector: Connector,
    /// Host, database and user, for messages; never the password.
    pub(super) description: String,
    state: Arc<State>,
}

/// What is known about it, and said once.
#[derive(Default)]
struct State {
    down: AtomicBool,
    pooled: AtomicBool,
    standby: AtomicBool,
    suspect_before: Mutex<Option<Instant>>,
}

impl Target {
    /// Reads DATABASE_URL.
    pub(super) fn new(args: &DatabaseArgs) -> Result<Self, Failure> {
        let text = args.url()?.expose();
        // libpq knows stricter names for what require already means here.
        let text = text
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config: Config = text.parse().map_err(|error: postgres::Error| {
            // Parse errors quote parameter names and values only; still, a malformed URL could make a
            // password look like one, so what was given is not repeated.
            let reason = std::error::Error::source(&error).map_or_else(|| "malformed".to_owned(), |_| generic(&error));
            Failure::config(format!(
                "DATABASE_URL is not a Postgres address ({reason}): write postgres://user:password@host:5432/name or \
                 'host=… dbname=… user=…'"
            ))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Failure::config(
                "DATABASE_URL names no host: write postgres://user:password@host:5432/name, or host=/var/run/postgresql for \
                 a Unix socket",
            ));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        // Its default of two hours is no None, so the text has to tell whether it was asked for.
        if !text.contains("keepalives_idle") {
            config.keepalives_idle(KEEPALIVES_IDLE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVES_INTERVAL);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(KEEPALIVES_RETRIES);
        }
        let connector = tls::connector(config.get_ssl_mode(), args.database_ca_file.as_deref())?;
        let description = describe(&config);
        Ok(Self { config, connector, description, state: Arc::default() })
    }

    /// Opens a connection under the name that pg_stat_activity shows. Blocks.
    pub(super) fn connect(&self, name: &str, terms: Terms) -> Result<Client, postgres::Error> {
        let connect = || Client::connect(&self.config, self.connector.clone(), name, terms);
        let client = pg::attempt(connect)?;
        if client.is_pooled() && !self.state.pooled.swap(true, Ordering::Relaxed) {
            tracing::info!(
                postgres = self.description,
                "DATABASE_URL leads to a connection pooler: statements are not prepared in advance, and nothing is set for longer \
                 than a transaction"
            );
        }
        Ok(client)
    }

    /// The same for a pool, which tries for ever: logs once that Postgres is down, and once that it is back.
    pub(super) fn connect_again(&self, name: &str, terms: Terms) -> Result<Client, postgres::Error> {
        let outcome = self.connect(name, terms);
        let postgres = &self.description;
        match &outcome {
            Ok(_) if self.state.down.swap(false, Ordering::Relaxed) => {
                tracing::info!(postgres, "Postgres can be reached again");
            }
            Err(error) if !self.state.down.swap(true, Ordering::Relaxed) => {
                let error = chain(error);
                tracing::warn!(postgres, error, "Postgres (DATABASE_URL) cannot be reached; trying again");
            }
            _ => {}
        }
        outcome
    }

    /// The same for computing, which not every server does for.
    pub(super) fn connect_to_compute(&self, name: &str, terms: Terms) -> Result<Client, postgres::Error> {
        let mut client = self.connect_again(name, terms)?;
        let postgres = &self.description;
        if recovery::may_compute(&mut client)? {
            if self.state.standby.swap(false, Ordering::Relaxed) {
                tracing::info!(postgres, "bundles can be computed again");
            }
            return Ok(client);
        }
        if !self.state.standby.swap(true, Ordering::Relaxed) {
            tracing::error!(postgres, "nothing is computed by this Postgres: {}", recovery::REFUSAL);
        }
        Err(pg::failed(io::ErrorKind::Unsupported, recovery::REFUSAL))
    }

    /// One connection has fallen silent: those that were made before it was noticed are not to be used without having been asked, as what has
    /// swallowed that one has most often swallowed all.
    pub(super) fn suspect(&self) {
        *self.state.suspect_before.lock() = Some(Instant::now());
    }

    /// Whether a connection made then is such a one.
    pub(super) fn is_suspect(&self, made: Instant) -> bool {
        self.state.suspect_before.lock().is_some_and(|noticed| made <= noticed)
    }

    /// Whether the last attempt to connect, by whatever pool, failed.
    pub(super) fn is_down(&self) -> bool {
        self.state.down.load(Ordering::Relaxed)
    }

    /// Connects once; only an answer that the settings are wrong is an error. Blocks.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let postgres = &self.description;
        let outcome =
            self.connect("dashboard-sidecar", Terms::read_only(CHECK_TIMEOUT, "")).and_then(|mut client| {
                // A pooler may refuse transactions.
                client.batch_execute("SELECT 1")?;
                recovery::may_compute(&mut client)
            });
        match outcome {
            Ok(true) => tracing::info!(postgres, "Postgres answers"),
            Ok(false) => {
                return Err(Failure::config(format!(
                    "DATABASE_URL does not do for computing: Postgres at {postgres}: {}",
                    recovery::REFUSAL
                )));
            }
            Err(error) if is_statement_pooling(&error) => {
                return Err(Failure::config(format!(
                    "DATABASE_URL leads to a connection pooler that allows no transactions ({postgres}): {}. Set pool_mode to transaction \
                     or session for this database, or set DATABASE_URL to Postgres itself",
                    chain(&error)
                )));
            }
            Err(error) if is_misconfiguration(&error) => return Err(self.failure(&error)),
            Err(error) => {
                self.state.down.store(true, Ordering::Relaxed);
                let error = chain(&error);
                tracing::warn!(
                    postgres,
                    error,
                    "Postgres (DATABASE_URL) cannot be reached; starting without it"
                );
            }
        }
        Ok(())
    }

    /// Turns a failed connection into the reason why the process ends.
    pub(super) fn failure(&self, error: &postgres::Error) -> Failure {
        Failure::config(format!(
            "DATABASE_URL does not work: Postgres at {}: {}",
            self.description,
            chain(error)
        ))
    }
}

/// Whether trying again cannot help: Postgres answered, and the settings are wrong.
fn is_misconfiguration(error: &postgres::Error) -> bool {
    let wrong = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ];
    error.code().is_some_and(|code| wrong.contains(code))
}

/// Whether a pooler hands out server processes for single statements.
fn is_statement_pooling(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.message().contains("statement pooling mode"))
}

/// An error with its causes on one line, each said once.
pub(crate) fn chain(error: &postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail} [SQLSTATE {}]", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// A parse error without the part that might quote the URL.
fn generic(error: &postgres::Error) -> String {
    let text = chain(error);
    match text.rsplit(": ").next() {
        Some(last) if last.starts_with("unknown option") || last.starts_with("invalid value for option") => {
            last.into()
        }
        _ => "malformed".into(),
    }
}

fn describe(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .chain(config.get_hostaddrs().iter().map(ToString::to_string))
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(ToString::to_string).collect();
    let port = if ports.is_empty() { "5432".to_owned() } else { ports.join(",") };
    let user = config.get_user().unwrap_or("(this process's user)");
    format!("{} port {port}, database {}, user {user}", hosts.join(","), config.get_dbname().unwrap_or(user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn target(url: &str) -> Result<Target, Failure> {
        Target::new(&DatabaseArgs { database_url: Some(Secret::new(url)), database_ca_file: None })
    }

    #[test]
    fn a_wrong_url_is_named_and_not_repeated() {
        for url in [
            "postgres://u:hunter2@h:port/x",
            "host=h password=hunter2 nonsense",
            "postgres://u:hunter2@h/x?sslmode=hunter2",
            "mysql://u:hunter2@h/x",
            "hunter2",
            "user=hunter2",
        ] {
            let error = target(url).err().unwrap().to_string();
            assert!(error.starts_with("DATABASE_URL") && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn the_description_leaves_the_password_out() {
        let target = target("postgres://u:hunter2@db.example:5433/crm?sslmode=disable").unwrap();
        assert_eq!(target.description, "db.example port 5433, database crm, user u");
    }

    #[test]
    fn a_vanished_server_is_noticed_soon_unless_the_url_says_otherwise() {
        let config = target("postgres://u@h/x").unwrap().config;
        assert_eq!(config.get_keepalives_idle(), KEEPALIVES_IDLE);
        assert_eq!(config.get_keepalives_interval(), Some(KEEPALIVES_INTERVAL));
        assert_eq!(config.get_keepalives_retries(), Some(KEEPALIVES_RETRIES));
        let url = "postgres://u@h/x?keepalives_idle=7200&keepalives_interval=70&keepalives_retries=9";
        let config = target(url).unwrap().config;
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(7_200));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(70)));
        assert_eq!(config.get_keepalives_retries(), Some(9));
    }

    #[test]
    fn strict_names_of_sslmode_are_understood() {
        assert!(target("postgres://u@h/x?sslmode=prefer").is_ok());
        assert!(target("host=/tmp user=u sslmode=disable").is_ok());
    }
}
