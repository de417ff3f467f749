//! Lets refinery work inside one transaction of ours, its history table included. Of its own accord it would make
//! the table in one transaction, read it in another and migrate in a third, and not say which file failed.

use postgres::Row;
use postgres::error::SqlState;
use refinery::{Migrate, Migration, SchemaVersion};
use refinery_core::traits::sync;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::HISTORY;
use super::error::{Error, HistoryError};
use crate::pg::{Queries, Transaction};

/// What was applied, oldest first; nothing where there is no history yet.
pub(super) fn applied(client: &mut impl Queries) -> Result<Vec<Migration>, Error> {
    if !exists(client)? {
        return Ok(Vec::new());
    }
    client
        .query(&Recorded::get_applied_migrations_query(HISTORY), &[])
        .map_err(HistoryError::Postgres)
        .and_then(|rows| migrations(&rows))
        .map_err(Error::history)
}

/// Whether there is a history.
pub(super) fn exists(client: &mut impl Queries) -> Result<bool, Error> {
    client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&HISTORY])
        .and_then(|row| row.try_get(0))
        .map_err(|source| Error::database("looking for the migration history", source))
}

fn migrations(rows: &[Row]) -> Result<Vec<Migration>, HistoryError> {
    rows.iter()
        .map(|row| {
            let version: SchemaVersion = row.try_get(0).map_err(HistoryError::Postgres)?;
            let name: String = row.try_get(1).map_err(HistoryError::Postgres)?;
            let applied_on: String = row.try_get(2).map_err(HistoryError::Postgres)?;
            let checksum: String = row.try_get(3).map_err(HistoryError::Postgres)?;
            let applied_on = OffsetDateTime::parse(&applied_on, &Rfc3339)
                .map_err(|_| HistoryError::Unreadable { version })?;
            let checksum = checksum.parse().map_err(|_| HistoryError::Unreadable { version })?;
            Ok(Migration::applied(version, name, applied_on, checksum))
        })
        .collect()
}

/// A transaction in which refinery may read its history and apply migrations.
pub(super) struct Recorded<'a> {
    transaction: Transaction<'a>,
    /// What was executed last, so that an error can be traced to its file.
    last: String,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(transaction: Transaction<'a>) -> Self {
        Self { transaction, last: String::new() }
    }

    /// Keeps other sessions from migrating, until the transaction ends; false if one does. The history is what is locked: nobody who may only
    /// read it can lock it likewise. Where there is none yet, making it keeps out whoever makes it, too.
    pub(super) fn lock(&mut self) -> Result<bool, Error> {
        let taken = self.try_lock();
        let another_is_at_it = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::UNIQUE_VIOLATION,
            SqlState::DUPLICATE_SCHEMA,
            SqlState::DUPLICATE_TABLE,
        ];
        match taken {
            Ok(()) => Ok(true),
            Err(error) if error.code().is_some_and(|code| another_is_at_it.contains(code)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn try_lock(&mut self) -> Result<(), Error> {
        let failed = |source| Error::database("taking the migration lock", source);
        self.transaction.batch_execute("SET LOCAL lock_timeout = '100ms'").map_err(failed)?;
        self.ensure_schema()?;
        if !exists(&mut self.transaction)? {
            let create = Recorded::assert_migrations_table_query(HISTORY);
            self.transaction.batch_execute(&create).map_err(failed)?;
        }
        self.transaction
            .batch_execute(&format!(
                "LOCK TABLE {HISTORY} IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout TO DEFAULT"
            ))
            .map_err(failed)
    }

    /// What was applied before.
    pub(super) fn applied(&mut self) -> Result<Vec<Migration>, Error> {
        applied(&mut self.transaction)
    }

    /// Makes the schema that the history lies in. Not with IF NOT EXISTS, which asks for the right to create one
    /// even where it exists.
    fn ensure_schema(&mut self) -> Result<(), Error> {
        let exists: bool = self
            .transaction
            .query_one("SELECT to_regnamespace('dashboard') IS NOT NULL", &[])
            .and_then(|row| row.try_get(0))
            .map_err(|source| Error::database("looking for the schema dashboard", source))?;
        if exists {
            return Ok(());
        }
        self.transaction
            .batch_execute("CREATE SCHEMA dashboard")
            .map_err(|source| Error::database("creating the schema dashboard", source))
    }

    /// The text that refinery executed last.
    pub(super) fn last(&self) -> &str {
        &self.last
    }

    pub(super) fn commit(self) -> Result<(), Error> {
        self.transaction.commit().map_err(|source| Error::database("committing the migrations", source))
    }
}

impl sync::Transaction for Recorded<'_> {
    type Error = HistoryError;

    fn execute<'q, T: Iterator<Item = &'q str>>(&mut self, queries: T) -> Result<usize, Self::Error> {
        let mut count = 0;
        for query in queries {
            query.clone_into(&mut self.last);
            self.transaction.batch_execute(query).map_err(HistoryError::Postgres)?;
            count += 1;
        }
        Ok(count)
    }
}

impl sync::Query<Vec<Migration>> for Recorded<'_> {
    fn query(&mut self, query: &str) -> Result<Vec<Migration>, Self::Error> {
        migrations(&self.transaction.query(query, &[]).map_err(HistoryError::Postgres)?)
    }
}

impl Migrate for Recorded<'_> {}
