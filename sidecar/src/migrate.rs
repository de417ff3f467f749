//! Brings a database to the state that this version needs: the CRM tables where they are missing, the schema
//! `dashboard`, and the indexes. Knows the SQL only as files of `migrations/`; what it says is theirs to say.
//!
//! The versioned files and the record of them ([`HISTORY`]) are one transaction: all or nothing. The indexes come
//! after it and one by one, see [`indexes`]. Any number of sidecars may start at once: one works, the others wait
//! and then find nothing to do.

mod check;
mod error;
mod history;
mod indexes;
mod lock;

use std::fmt;

use refinery::Migration;

pub use self::check::{Plan, Verdict, check};
pub use self::error::Error;
use self::history::Recorded;
use self::lock::Turns;
use crate::pg::{self, Client, Queries as _};

/// The table that records what was applied: in a schema of our own, so that it is not taken for (or mixed up with)
/// the `refinery_schema_history` of an application that uses the same migrator.
const HISTORY: &str = "dashboard.schema_history";

/// `trim_scale` came with this version of Postgres, `server_version_num` as the server counts.
const MINIMUM_SERVER_VERSION: i32 = 130_000;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// What [`run`] did. Its `Display` is one line for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Migrations applied now, in order, as `V1__crm_tables`.
    pub migrations: Vec<String>,
    /// Names of the indexes built now, in order.
    pub indexes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.migrations.is_empty() && self.indexes.is_empty() {
            return f.write_str("nothing to do: the database is up to date");
        }
        let mut parts = Vec::new();
        if !self.migrations.is_empty() {
            parts.push(format!("applied {}", self.migrations.join(", ")));
        }
        if !self.indexes.is_empty() {
            parts.push(format!("built the indexes {}", self.indexes.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Applies what is missing and reports it; a second call does nothing.
///
/// The client must own the CRM tables, or be allowed to index them, and may create a schema. `holder` is another session of
/// the same role: it keeps others from building indexes meanwhile.
///
/// # Errors
/// When the server is too old, another session migrates for longer than five minutes, a newer version has migrated, a
/// recorded migration differs from this version's, or Postgres refuses a statement. Of the migrations none is kept then; of the indexes those
/// that could be built: one that cannot is reported after the others have been.
pub fn run(client: &mut Client, holder: &mut Client) -> Result<Report, Error> {
    check_server_version(client)?;
    let mut turns = Turns::begin();
    let migrations = turns.wait(|| apply(client))?;
    let indexes = turns.wait(|| {
        pg::holding(holder, "migrate", || Ok(indexes::build_missing(client))).map_err(Error::lock)
    })??;
    Ok(Report { migrations, indexes })
}

/// Whether every migration of this version is recorded as applied. Indexes are not asked for: without one a bundle
/// is slow, not wrong. A database that a newer version has migrated is current.
///
/// # Errors
/// When Postgres does not answer, or does not let the role read [`HISTORY`].
pub fn is_current(client: &mut Client) -> Result<bool, Error> {
    if !history::exists(client)? {
        return Ok(false);
    }
    let applied: Vec<i32> = client
        .query(&format!("SELECT version FROM {HISTORY}"), &[])
        .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
        .map_err(|source| Error::database("reading the migration history", source))?;
    Ok(embedded::migrations::runner().get_migrations().iter().all(|m| applied.contains(&m.version())))
}

fn check_server_version(client: &mut Client) -> Result<(), Error> {
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .and_then(|row| row.try_get(0))
        .map_err(|source| Error::database("asking for the server's version", source))?;
    if version < MINIMUM_SERVER_VERSION {
        return Err(Error::server_too_old(version));
    }
    Ok(())
}

/// Applies the versioned migrations in one transaction and names those that were missing; none while another session is at it.
fn apply(client: &mut Client) -> Result<Option<Vec<String>>, Error> {
    let transaction =
        client.transaction().map_err(|source| Error::database("starting a transaction", source))?;
    let mut recorded = Recorded::new(transaction);
    if !recorded.lock()? {
        return Ok(None);
    }
    refuse_newer(&recorded.applied()?)?;

    let mut runner = embedded::migrations::runner()
        .set_abort_divergent(true)
        // Those of a newer version have been refused already, in words of ours.
        .set_abort_missing(false);
    runner.set_migration_table_name(HISTORY);
    let report = runner.run(&mut recorded).map_err(|error| {
        let under_way = runner.get_migrations().iter().find(|m| m.sql() == Some(recorded.last()));
        Error::migration(under_way.map(ToString::to_string), error)
    })?;
    recorded.commit()?;
    Ok(Some(report.applied_migrations().iter().map(ToString::to_string).collect()))
}

/// A newer version's functions are not to be taken for ours.
fn refuse_newer(applied: &[Migration]) -> Result<(), Error> {
    let newest = embedded::migrations::runner().get_migrations().iter().map(Migration::version).max();
    match applied.iter().max_by_key(|migration| migration.version()) {
        Some(last) if Some(last.version()) > newest => Err(Error::newer(last, newest.unwrap_or_default())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_migrations_are_numbered_without_a_gap() {
        let versions: Vec<i32> =
            embedded::migrations::runner().get_migrations().iter().map(|m| m.version()).collect();
        let expected: Vec<i32> = (1..).take(versions.len()).collect();
        assert!(!versions.is_empty());
        assert_eq!(versions, expected);
    }

    #[test]
    fn a_report_names_what_was_done() {
        assert_eq!(Report::default().to_string(), "nothing to do: the database is up to date");
        let report = Report {
            migrations: vec!["V1__a".into(), "V2__b".into()],
            indexes: vec!["i".into(), "j".into()],
        };
        assert_eq!(report.to_string(), "applied V1__a, V2__b; built the indexes i, j");
    }
}
