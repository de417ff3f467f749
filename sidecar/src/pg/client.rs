//! A blocking client of Postgres: each statement is a transaction of its own with the session's [`Terms`], in one round trip,
//! and each answer has a deadline.

use std::time::Duration;

use postgres::{Error, IsolationLevel, Row, Statement};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::canceller::Canceller;
use super::link::Link;
use super::param::{Param, typed, values};
use super::queries::Queries;
use super::stand_in;
use super::terms::Terms;
use super::transaction::Transaction;

/// From the first byte on, TLS and the login included, for all hosts of the address together.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Whether the process that a connection names is the one that answers.
const WHO: &str = "SELECT pg_backend_pid(), pg_is_in_recovery()";

/// How often Postgres looks whether its client is still there, ms.
const WATCH: &str = "client_connection_check_interval = 1000";

/// A session. It must not be used, nor dropped, on a thread that runs async code.
pub struct Client {
    // Before the link, which must outlive what it drives for.
    inner: tokio_postgres::Client,
    link: Link,
    terms: Terms,
    /// How each transaction begins.
    begin: String,
    /// For pg_stat_activity, where each transaction has to say it.
    name: Option<String>,
    in_recovery: bool,
    /// Each transaction says so.
    watched: bool,
}

impl Client {
    /// Connects, and finds out whether the server itself is at the other end. Blocks.
    pub(crate) fn connect(
        config: &Config,
        connector: MakeRustlsConnect,
        name: &str,
        terms: Terms,
    ) -> Result<Self, Error> {
        let mut link = Link::new()?;
        let (inner, connection) = link.make(CONNECT_DEADLINE, config.connect(connector))?;
        link.drive(connection);
        let who = link.wait(Some(CONNECT_DEADLINE), inner.query_typed_one(WHO, &[]))?;
        let process: i32 = who.try_get(0)?;
        // A pooler gives each of its clients a key of its own making: any of many processes may answer.
        let is_pooled = stand_in::process_of(&inner.cancel_token()) != Some(process);
        let name = if is_pooled {
            Some(name.to_owned())
        } else {
            // Nobody else will ever have this session, and people look for it by its name.
            let set = format!("SET application_name = '{name}'");
            link.wait(Some(CONNECT_DEADLINE), inner.batch_execute(&set))?;
            None
        };
        let begin = terms.begin(name.as_deref());
        Ok(Self { inner, link, terms, begin, name, in_recovery: who.try_get(1)?, watched: false })
    }

    /// Whether a pooler is in between, so that the next transaction may be another server process's.
    pub fn is_pooled(&self) -> bool {
        self.name.is_some()
    }

    /// Whether the server was a standby when it was connected to.
    pub(crate) fn is_in_recovery(&self) -> bool {
        self.in_recovery
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.link.is_closed() || self.inner.is_closed()
    }

    /// Asks for a sign of life.
    pub(crate) fn is_valid(&mut self, patience: Duration) -> Result<(), Error> {
        self.link.wait(Some(patience), self.inner.check_connection())
    }

    /// How long the next statements may take.
    pub(crate) fn limit_statements_to(&mut self, timeout: Duration) {
        let terms = self.terms.limited_to(timeout);
        if terms != self.terms {
            self.begin = terms.begin(self.name.as_deref());
            if self.watched {
                self.begin.push_str("; SET LOCAL ");
                self.begin.push_str(WATCH);
            }
            self.terms = terms;
        }
    }

    /// Ends what this session runs.
    pub(crate) fn canceller(&self) -> Canceller {
        if self.is_pooled() {
            Canceller::Close(self.link.closer())
        } else {
            Canceller::Ask(self.inner.cancel_token())
        }
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        self.link.closer().cancel();
    }

    /// Has Postgres look, in the middle of a statement, whether its client is still there: this process, or a pooler that lets go when this
    /// process does. Postgres 14 and later can; on some systems they cannot, and refuse. Then statement_timeout has to do.
    pub(crate) fn watch_for_disconnects(&mut self) -> Result<(), Error> {
        if self.is_pooled() {
            self.batch_execute(&format!("SET LOCAL {WATCH}"))?;
            self.begin.push_str("; SET LOCAL ");
            self.begin.push_str(WATCH);
            self.watched = true;
            return Ok(());
        }
        // The session is ours alone, and this does nothing to anybody's statements.
        self.execute_alone(&format!("SET {WATCH}"))
    }

    /// Forgets types, which may be others by now.
    pub(crate) fn clear_type_cache(&self) {
        self.inner.clear_type_cache();
    }

    /// Prepares a statement, which is the session's: not for one that [is pooled](Self::is_pooled).
    pub(crate) fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        self.link.wait(self.terms.patience(1), self.inner.prepare(sql))
    }

    /// Runs a prepared one after `first`, if there is such a statement: so its snapshot is younger than what that has waited for.
    pub(crate) fn query_prepared(
        &mut self,
        first: Option<&str>,
        statement: &Statement,
        parameters: &[&dyn Param],
    ) -> Result<Vec<Row>, Error> {
        let values = values(parameters);
        self.in_transaction(first, async |inner| inner.query(statement, &values).await)
    }

    /// The same without preparing it.
    pub(crate) fn query_after(
        &mut self,
        first: Option<&str>,
        sql: &str,
        parameters: &[&dyn Param],
    ) -> Result<Vec<Row>, Error> {
        let typed = typed(parameters);
        self.in_transaction(first, async |inner| inner.query_typed(sql, &typed).await)
    }

    /// Runs a statement that refuses to be part of a transaction. What limits it is the role's, or the database's, own.
    pub(crate) fn execute_alone(&mut self, sql: &str) -> Result<(), Error> {
        self.link.wait(None, self.inner.batch_execute(sql))
    }

    /// Begins a transaction, on the session's terms.
    pub(crate) fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        self.transaction_at(IsolationLevel::ReadCommitted, self.terms.is_read_only())
    }

    /// Begins one of another kind.
    pub(crate) fn transaction_at(
        &mut self,
        isolation: IsolationLevel,
        read_only: bool,
    ) -> Result<Transaction<'_>, Error> {
        let settings = self.terms.settings(self.name.as_deref());
        let patience = self.terms.patience(1);
        let builder = self.inner.build_transaction().isolation_level(isolation).read_only(read_only);
        let begun = self.link.wait(patience, builder.start())?;
        let mut transaction = Transaction::new(begun, &mut self.link, patience);
        transaction.batch_execute(&settings)?;
        Ok(transaction)
    }

    /// All at once, so that it takes one round trip: what is sent first is done first.
    fn in_transaction<'a, T: 'a>(
        &'a mut self,
        first: Option<&str>,
        work: impl AsyncFnOnce(&'a tokio_postgres::Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { inner, link, terms, begin, .. } = self;
        let inner = &*inner;
        let with_first = first.map(|first| format!("{begin}; {first}"));
        // One that waits for a lock may take as long as the one that it is for. Given up any sooner, the connection would end without a word
        // from Postgres, and all that was to be computed over it would fail.
        let statements = if first.is_some() { 2 } else { 1 };
        link.wait(terms.patience(statements), async {
            let (begun, done, ended) = tokio::join!(
                biased;
                inner.batch_execute(with_first.as_ref().unwrap_or(begin)),
                work(inner),
                inner.batch_execute("COMMIT")
            );
            begun?;
            let done = done?;
            ended?;
            Ok(done)
        })
    }
}

impl Queries for Client {
    fn query(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Vec<Row>, Error> {
        self.query_after(None, sql, parameters)
    }

    fn query_one(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Row, Error> {
        let typed = typed(parameters);
        self.in_transaction(None, async |inner| inner.query_typed_one(sql, &typed).await)
    }

    fn query_opt(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Option<Row>, Error> {
        let typed = typed(parameters);
        self.in_transaction(None, async |inner| inner.query_typed_opt(sql, &typed).await)
    }

    fn execute(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<u64, Error> {
        let typed = typed(parameters);
        self.in_transaction(None, async |inner| inner.execute_typed(sql, &typed).await)
    }

    fn batch_execute(&mut self, sql: &str) -> Result<(), Error> {
        self.in_transaction(None, async |inner| inner.batch_execute(sql).await)
    }
}
