//! One compute connection: its set-up, its prepared statements, and how the pool makes and checks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postgres::{Error, Row, Statement};

use super::failure::classify;
use super::many::Many;
use super::target::{Target, chain};
use crate::descriptors;
use crate::error::ApiError;
use crate::pg::{self, Client, Param, Terms};

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar compute";

// Text in and text out: the JSON passes through untouched, unless it is too large to leave Postgres. OFFSET 0
// keeps the planner from computing it once for each mention.
const ONE: &str =
    "SELECT now(), octet_length(json)::bigint, CASE WHEN octet_length(json) <= $3::bigint THEN json END, version, $1::text
                   FROM (SELECT dashboard.bundle($1::text, $2::boolean)::text AS json,
                                dashboard.version($1::text) AS version OFFSET 0) AS computed";
const UNCHANGED: &str = "SELECT dashboard.unchanged($1::text[], $2::text[])";
const TENANTS: &str = "SELECT t::text FROM dashboard.active_tenants() AS t";
const DIRECTORY: &str = "SELECT tenant_id, name, slug FROM dashboard.directory()";
/// Before a statement that reads the CRM's tables by a function, which would otherwise wait for a table with a snapshot from before it was
/// written anew, and find it empty.
pub(super) const LOCK_FOR_BUNDLES: &str = "SELECT dashboard.lock_for_bundles()";
const LOCK_FOR_TENANTS: &str = "SELECT dashboard.lock_for_tenants()";
const PROBE: &str = "SELECT to_regprocedure('dashboard.bundle(text, boolean)') IS NOT NULL
                        AND to_regprocedure('dashboard.bundles(text[])') IS NOT NULL
                        AND to_regprocedure('dashboard.active_tenants()') IS NOT NULL
                        AND to_regprocedure('dashboard.version(text)') IS NOT NULL
                        AND to_regprocedure('dashboard.unchanged(text[], text[])') IS NOT NULL
                        AND to_regprocedure('dashboard.lock_for_bundles()') IS NOT NULL
                        AND to_regprocedure('dashboard.lock_for_tenants()') IS NOT NULL";

/// Said here because a database's own setting may be shorter than a reader of a batch may pause between two rows.
const SETTINGS: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL idle_in_transaction_session_timeout = '120s'";

/// How long a connection that has been idle may take to say that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The statements that a session runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Query {
    /// Database time, bytes, bundle, version and name of one tenant; parameters tenant, include_test_data, most bytes.
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

impl Query {
    /// What it asks, for messages.
    fn function(self) -> &'static str {
        match self {
            Self::One => "dashboard.bundle",
            Self::Tenants => "dashboard.active_tenants",
            Self::Directory => "dashboard.directory",
            Self::Probe => "the Postgres probe",
            Self::Unchanged => "dashboard.unchanged",
        }
    }

    /// What comes before it in its transaction.
    fn first(self) -> Option<&'static str> {
        match self {
            Self::One | Self::Unchanged => Some(LOCK_FOR_BUNDLES),
            Self::Tenants | Self::Directory => Some(LOCK_FOR_TENANTS),
            Self::Probe => None,
        }
    }
}

/// A connection in a pool.
pub(super) struct Session {
    pub(super) client: Client,
    prepared: [Option<Statement>; 5],
    many: Option<Arc<Many>>,
    broken: bool,
    made: Instant,
}

impl Session {
    /// Runs a statement: prepared on first use, as planning costs more than running it does, unless a pooler may hand the next
    /// transaction to another server process, which would know nothing of that.
    pub(super) fn query(&mut self, query: Query, parameters: &[&dyn Param]) -> Result<Vec<Row>, Error> {
        let (slot, sql) = match query {
            Query::One => (0, ONE),
            Query::Tenants => (1, TENANTS),
            Query::Probe => (2, PROBE),
            Query::Directory => (3, DIRECTORY),
            Query::Unchanged => (4, UNCHANGED),
        };
        if self.client.is_pooled() {
            return self.client.query_after(query.first(), sql, parameters);
        }
        let statement = match &self.prepared[slot] {
            Some(statement) => statement.clone(),
            None => self.prepared[slot].insert(self.client.prepare(sql)?).clone(),
        };
        self.client.query_prepared(query.first(), &statement, parameters)
    }

    /// The same for a statement that returns one row.
    pub(super) fn query_one(&mut self, query: Query, parameters: &[&dyn Param]) -> Result<Row, ApiError> {
        let function = query.function();
        let rows = self.query(query, parameters).map_err(|error| classify(function, &error))?;
        rows.into_iter().next().ok_or_else(|| ApiError::internal(function))
    }

    /// The statement for many tenants, likewise; none where it cannot be kept.
    pub(super) fn many(&mut self) -> Result<Option<Arc<Many>>, ApiError> {
        if self.client.is_pooled() {
            return Ok(None);
        }
        if let Some(many) = &self.many {
            return Ok(Some(many.clone()));
        }
        let many = Arc::new(Many::prepare(&mut self.client)?);
        self.many = Some(many.clone());
        Ok(Some(many))
    }

    /// Has the statement for many tenants prepared anew: the function, or the types of its lists, may be others by now.
    pub(super) fn forget_many(&mut self) {
        self.many = None;
        self.client.clear_type_cache();
    }

    /// Sets how long the next statements may take.
    pub(super) fn limit_statements_to(&mut self, timeout: Duration) {
        self.client.limit_statements_to(timeout);
    }

    /// The connection is not to be used again, whatever else becomes of it.
    pub(super) fn give_up(&mut self) {
        self.client.close();
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

/// Whether the last attempt to connect, of one pool, found no descriptor free: then nothing is known of Postgres. Others may have been
/// luckier.
#[derive(Clone, Default)]
pub(super) struct Shortage(Arc<AtomicBool>);

impl Shortage {
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note<T>(&self, attempt: &Result<T, Error>) {
        let is_short = attempt.as_ref().is_err_and(|error| descriptors::is_shortage(error));
        self.0.store(is_short, Ordering::Relaxed);
    }
}

/// Makes and checks sessions for a pool.
pub(super) struct Manager {
    short: Shortage,
    target: Target,
    terms: Terms,
}

impl Manager {
    pub(super) fn new(target: &Target, statement_timeout: Duration, short: Shortage) -> Self {
        Self { short, target: target.clone(), terms: Terms::read_only(statement_timeout, SETTINGS) }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Session;
    type Error = Error;

    fn connect(&self) -> Result<Session, Error> {
        let attempt = pg::attempt(|| {
            let mut client = self.target.connect_to_compute(APPLICATION_NAME, self.terms.clone())?;
            if let Err(error) = client.watch_for_disconnects() {
                tracing::debug!(error = chain(&error), "client_connection_check_interval is not available");
            }
            Ok(Session {
                client,
                prepared: [const { None }; 5],
                many: None,
                broken: false,
                made: Instant::now(),
            })
        });
        self.short.note(&attempt);
        attempt
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), Error> {
        let outcome = pg::attempt(|| session.client.is_valid(SIGN_OF_LIFE));
        if outcome.is_err() {
            self.target.suspect();
        }
        outcome
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.broken || session.client.is_closed() || self.target.is_suspect(session.made)
    }
}
