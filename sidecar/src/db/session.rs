//! One compute connection: its set-up, its prepared statements, and how the pool makes and checks it.

use std::sync::Arc;
use std::time::Duration;

use postgres::{Client, Error, Statement};

use super::many::Many;
use super::target::{Target, chain};
use crate::error::ApiError;

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar compute";

// Text in and text out: the JSON passes through untouched, unless it is too large to leave Postgres. OFFSET 0
// keeps the planner from computing it once for each mention.
const ONE: &str =
    "SELECT now(), octet_length(json)::bigint, CASE WHEN octet_length(json) <= $3::bigint THEN json END, version
                   FROM (SELECT dashboard.bundle($1::text, $2::boolean)::text AS json,
                                dashboard.version($1::text) AS version OFFSET 0) AS computed";
const UNCHANGED: &str = "SELECT dashboard.unchanged($1::text[], $2::text[])";
const TENANTS: &str = "SELECT t::text FROM dashboard.active_tenants() AS t";
const DIRECTORY: &str = "SELECT tenant_id, name, slug FROM dashboard.directory()";
const PROBE: &str = "SELECT to_regprocedure('dashboard.bundle(text, boolean)') IS NOT NULL
                        AND to_regprocedure('dashboard.bundles(text[])') IS NOT NULL
                        AND to_regprocedure('dashboard.active_tenants()') IS NOT NULL
                        AND to_regprocedure('dashboard.version(text)') IS NOT NULL
                        AND to_regprocedure('dashboard.unchanged(text[], text[])') IS NOT NULL";

/// How long a batch may wait for its reader between two rows. Said here because a database's own setting may be
/// shorter than a reader may pause.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(120);

const CHECK_CLIENT: &str = "SELECT set_config(name, '1000', false) FROM pg_settings
                            WHERE name = 'client_connection_check_interval'";

/// The statements that a session runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Query {
    /// Database time, bytes, bundle and version of one tenant; parameters tenant, include_test_data, most bytes.
    One,
    /// The tenants that warming covers.
    Tenants,
    /// Tenants with all that they are found by.
    Directory,
    /// Whether the schema is complete.
    Probe,
    /// Whether nothing has changed since; parameters tenants and their versions.
    Unchanged,
}

/// A connection in a pool.
pub(super) struct Session {
    pub(super) client: Client,
    prepared: [Option<Statement>; 5],
    many: Option<Arc<Many>>,
    statement_timeout: Duration,
    broken: bool,
}

impl Session {
    /// The prepared statement, prepared on first use: planning costs more than running it does.
    pub(super) fn statement(&mut self, query: Query) -> Result<Statement, Error> {
        let (slot, sql) = match query {
            Query::One => (0, ONE),
            Query::Tenants => (1, TENANTS),
            Query::Probe => (2, PROBE),
            Query::Directory => (3, DIRECTORY),
            Query::Unchanged => (4, UNCHANGED),
        };
        if let Some(statement) = &self.prepared[slot] {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.prepared[slot] = Some(statement.clone());
        Ok(statement)
    }

    /// The statement for many tenants, likewise.
    pub(super) fn many(&mut self) -> Result<Arc<Many>, ApiError> {
        if let Some(many) = &self.many {
            return Ok(many.clone());
        }
        let many = Arc::new(Many::prepare(&mut self.client)?);
        self.many = Some(many.clone());
        Ok(many)
    }

    /// Has the statement for many tenants prepared anew: the function, or the types of its lists, may be others by now.
    pub(super) fn forget_many(&mut self) {
        self.many = None;
        self.client.clear_type_cache();
    }

    /// Sets how long the next statements may take.
    pub(super) fn limit_statements_to(&mut self, timeout: Duration) -> Result<(), Error> {
        if self.statement_timeout != timeout {
            self.client.batch_execute(&format!("SET statement_timeout = {}", timeout.as_millis()))?;
            self.statement_timeout = timeout;
        }
        Ok(())
    }

    /// Keeps the connection from being used again, unless [`Session::keep`] follows.
    pub(super) fn discard(&mut self) {
        self.broken = true;
    }

    /// Lets the connection be used again.
    pub(super) fn keep(&mut self) {
        self.broken = false;
    }
}

/// Makes and checks sessions for a pool.
pub(super) struct Manager {
    target: Target,
    statement_timeout: Duration,
}

impl Manager {
    pub(super) fn new(target: &Target, statement_timeout: Duration) -> Self {
        Self { target: target.named(APPLICATION_NAME), statement_timeout }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Session;
    type Error = Error;

    fn connect(&self) -> Result<Session, Error> {
        let mut client = self.target.connect_again()?;
        client.batch_execute(&format!(
            "SET default_transaction_read_only = on; SET TimeZone = 'UTC';
             SET idle_in_transaction_session_timeout = {}; SET statement_timeout = {}",
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
            self.statement_timeout.as_millis()
        ))?;
        // Postgres 14 and later notice by themselves when this process dies in the middle of a statement.
        // Some systems cannot, and refuse; then statement_timeout has to do.
        if let Err(error) = client.batch_execute(CHECK_CLIENT) {
            tracing::debug!(error = chain(&error), "client_connection_check_interval is not available");
        }
        Ok(Session {
            client,
            prepared: [const { None }; 5],
            many: None,
            statement_timeout: self.statement_timeout,
            broken: false,
        })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), Error> {
        session.client.is_valid(Duration::from_secs(2))
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.broken || session.client.is_closed()
    }
}
