//! Why a migration did not happen, in words for the person who started it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use postgres::error::SqlState;
use refinery::Migration;
use refinery::error::Kind as Refinery;

use super::{HISTORY, MINIMUM_SERVER_VERSION};

/// An error of [`super::run`] or [`super::is_current`]. `Display` says what failed, why, and what to do.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ServerTooOld { version: i32 },
    Busy { waited: Duration },
    Newer { applied: String, newest: i32 },
    Limited { millis: String },
    Database { doing: &'static str, source: postgres::Error },
    Migration { name: String, source: Box<refinery::Error> },
    Diverged { name: String },
    History { source: HistoryError },
    Indexes { failed: Vec<FailedIndex>, of: usize },
}

/// An index that could not be built.
#[derive(Debug)]
pub(super) struct FailedIndex {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) source: postgres::Error,
}

/// What refinery may meet in the transaction that it is given.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    /// Postgres refused a statement of a migration or of the history.
    #[error("{}", reason(.0))]
    Postgres(#[source] postgres::Error),
    /// A row of the history that refinery did not write.
    #[error(
        "the record of version {version} in {HISTORY} is damaged: restore the row or delete it to apply the version again"
    )]
    Unreadable { version: i32 },
}

impl Error {
    pub(super) fn server_too_old(version: i32) -> Self {
        Self { kind: Kind::ServerTooOld { version } }
    }

    pub(super) fn busy(waited: Duration) -> Self {
        Self { kind: Kind::Busy { waited } }
    }

    /// A newer version has applied `last`; `newest` is the last that this one knows.
    pub(super) fn newer(last: &Migration, newest: i32) -> Self {
        Self { kind: Kind::Newer { applied: last.to_string(), newest } }
    }

    /// Indexes cannot be built within so many milliseconds.
    pub(super) fn limited(millis: String) -> Self {
        Self { kind: Kind::Limited { millis } }
    }

    /// The row that keeps others from building indexes.
    pub(super) fn lock(source: postgres::Error) -> Self {
        Self::database("taking the migration lock", source)
    }

    /// What Postgres said, if it did.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match &self.kind {
            Kind::Database { source, .. } => source.code(),
            _ => None,
        }
    }

    pub(super) fn database(doing: &'static str, source: postgres::Error) -> Self {
        Self { kind: Kind::Database { doing, source } }
    }

    /// The history cannot be read.
    pub(super) fn history(source: HistoryError) -> Self {
        Self { kind: Kind::History { source } }
    }

    /// `applied` is not what this version has of that number.
    pub(super) fn diverged(applied: &Migration) -> Self {
        Self { kind: Kind::Diverged { name: applied.to_string() } }
    }

    /// `of` indexes in all.
    pub(super) fn indexes(failed: Vec<FailedIndex>, of: usize) -> Self {
        Self { kind: Kind::Indexes { failed, of } }
    }

    /// `name` is the migration under way, if it came to one.
    pub(super) fn migration(name: Option<String>, source: refinery::Error) -> Self {
        if let Refinery::DivergentVersion(applied, _) = source.kind() {
            return Self::diverged(applied);
        }
        let name = name.map_or_else(|| format!("reading {HISTORY}"), |name| format!("migration {name}"));
        Self { kind: Kind::Migration { name, source: Box::new(source) } }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::ServerTooOld { version } => write!(
                f,
                "Postgres {} or newer is needed, this server is {}: upgrade it, or point DATABASE_URL elsewhere",
                MINIMUM_SERVER_VERSION / 10_000,
                version / 10_000
            ),
            Kind::Busy { waited } => write!(
                f,
                "another session has been migrating this database for {} s: wait for it (pg_stat_activity shows \
                 what it does), then run migrate again",
                waited.as_secs()
            ),
            Kind::Newer { applied, newest } => write!(
                f,
                "a newer version of the sidecar has migrated this database ({applied}; this version knows migrations up to V{newest}): \
                 run the newer version's migrate"
            ),
            Kind::Limited { millis } => write!(
                f,
                "statement_timeout is {millis} ms for this role, and behind a connection pooler it cannot be lifted for building indexes; \
                 everything else is done. Run migrate again with DATABASE_URL set to Postgres itself"
            ),
            Kind::Database { doing, source } => write!(f, "{doing} failed: {}", reason(source)),
            Kind::Migration { name, source } => {
                write!(f, "{name} failed and nothing of it was kept: {}", refinery_reason(source))
            }
            Kind::Diverged { name } => write!(
                f,
                "{name} was applied from other text than this version's: run the sidecar version that applied it, \
                 or restore its row in {HISTORY}"
            ),
            Kind::History { source } => write!(f, "reading {HISTORY} failed: {source}"),
            Kind::Indexes { failed, of } => {
                write!(
                    f,
                    "{} of {of} indexes could not be built; everything else is done. Bundles are right without them, \
                     but slower to compute, the more rows the slower. Run migrate again once this is solved, or \
                     have the tables' owner run migrations/indexes.sql:",
                    failed.len()
                )?;
                for FailedIndex { name, table, source } in failed {
                    write!(f, "\n  {name} on {table}: {}", reason(source))?;
                }
                Ok(())
            }
        }
    }
}

// No `source`: Display tells the causes already, and whoever appends sources would say them twice.
impl std::error::Error for Error {}

/// What Postgres itself said, its hint included: `postgres::Error` alone says "db error".
fn reason(error: &postgres::Error) -> String {
    let Some(db) = error.as_db_error() else { return error.to_string() };
    let mut text = db.message().to_owned();
    for more in [db.detail(), db.hint()].into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = write!(text, "; {more}");
    }
    text
}

fn refinery_reason(error: &refinery::Error) -> String {
    match error.kind() {
        Refinery::Connection(_, source) => source.to_string(),
        other => other.to_string(),
    }
}
