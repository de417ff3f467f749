//! A transaction of several statements. Dropped before it is committed, it is rolled back.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use postgres::{Error, Portal, Row, Statement};
use tokio_postgres::CopyInSink;

use super::link::Link;
use super::param::{Param, typed, values};
use super::queries::Queries;

/// A transaction under way.
pub(crate) struct Transaction<'a> {
    // Some until it has ended.
    inner: Option<tokio_postgres::Transaction<'a>>,
    link: &'a mut Link,
    patience: Option<Duration>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        inner: tokio_postgres::Transaction<'a>,
        link: &'a mut Link,
        patience: Option<Duration>,
    ) -> Self {
        Self { inner: Some(inner), link, patience }
    }

    /// Keeps what it has done.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        self.inner.take().map_or(Ok(()), |inner| self.link.wait(self.patience, inner.commit()))
    }

    /// Undoes it.
    pub(crate) fn rollback(mut self) -> Result<(), Error> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), Error> {
        self.inner.take().map_or(Ok(()), |inner| self.link.wait(self.patience, inner.rollback()))
    }

    /// Binds a prepared statement, whose rows then come by [`Transaction::query_portal`].
    pub(crate) fn bind(&mut self, statement: &Statement, parameters: &[&dyn Param]) -> Result<Portal, Error> {
        let values = values(parameters);
        self.ask(async |inner| inner.bind(statement, &values).await)
    }

    /// The next rows, at most so many.
    pub(crate) fn query_portal(&mut self, portal: &Portal, most: i32) -> Result<Vec<Row>, Error> {
        self.ask(async |inner| inner.query_portal(portal, most).await)
    }

    /// Begins a `COPY … FROM STDIN`.
    pub(crate) fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>, Error> {
        let sink = self.ask(async |inner| inner.copy_in(sql).await)?;
        Ok(CopyIn { sink: Box::pin(sink), link: self.link, patience: self.patience })
    }

    fn ask<T>(
        &mut self,
        work: impl AsyncFnOnce(&tokio_postgres::Transaction<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { inner, link, patience } = self;
        link.wait(*patience, async {
            match inner {
                Some(inner) => work(inner).await,
                // Ending it takes it by value: nothing can be asked afterwards.
                None => std::future::pending().await,
            }
        })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.inner.is_some()
            && !self.link.is_closed()
            && let Err(error) = self.undo()
        {
            tracing::debug!(%error, "a transaction goes with its connection");
        }
    }
}

impl Queries for Transaction<'_> {
    fn query(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Vec<Row>, Error> {
        let typed = typed(parameters);
        self.ask(async |inner| inner.query_typed(sql, &typed).await)
    }

    fn query_one(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Row, Error> {
        let typed = typed(parameters);
        self.ask(async |inner| inner.query_typed_one(sql, &typed).await)
    }

    fn query_opt(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Option<Row>, Error> {
        let typed = typed(parameters);
        self.ask(async |inner| inner.query_typed_opt(sql, &typed).await)
    }

    fn execute(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<u64, Error> {
        let typed = typed(parameters);
        self.ask(async |inner| inner.execute_typed(sql, &typed).await)
    }

    fn batch_execute(&mut self, sql: &str) -> Result<(), Error> {
        self.ask(async |inner| inner.batch_execute(sql).await)
    }
}

/// Rows on their way into a table.
pub(crate) struct CopyIn<'a> {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    link: &'a mut Link,
    patience: Option<Duration>,
}

impl CopyIn<'_> {
    /// Sends some.
    pub(crate) fn write(&mut self, rows: &[u8]) -> Result<(), Error> {
        let rows = Bytes::copy_from_slice(rows);
        self.link.wait(self.patience, self.sink.send(rows))
    }

    /// How many rows there were.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        self.link.wait(self.patience, self.sink.as_mut().finish())
    }
}
