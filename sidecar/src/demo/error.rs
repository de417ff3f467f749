//! Why a demonstration was not loaded, in words for the person who asked for it.

use std::fmt;

use crate::migrate;

/// An error of [`super::load`]. `Display` says what failed and what to do; the cause is its `source`.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    NotMigrated,
    Migrations(migrate::Error),
    Foreign { tenants: i64 },
    Incomplete { found: i64, expected: usize },
    Database { doing: &'static str, source: postgres::Error },
    Copy { table: &'static str, source: postgres::Error },
}

impl Error {
    pub(super) fn not_migrated() -> Self {
        Self { kind: Kind::NotMigrated }
    }

    pub(super) fn migrations(source: migrate::Error) -> Self {
        Self { kind: Kind::Migrations(source) }
    }

    pub(super) fn foreign(tenants: i64) -> Self {
        Self { kind: Kind::Foreign { tenants } }
    }

    pub(super) fn incomplete(found: i64, expected: usize) -> Self {
        Self { kind: Kind::Incomplete { found, expected } }
    }

    pub(super) fn database(doing: &'static str, source: postgres::Error) -> Self {
        Self { kind: Kind::Database { doing, source } }
    }

    pub(super) fn copy(table: &'static str, source: postgres::Error) -> Self {
        Self { kind: Kind::Copy { table, source } }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::NotMigrated => f.write_str(
                "the database is not migrated: run 'dashboard-sidecar migrate' first, then this again",
            ),
            Kind::Migrations(source) => source.fmt(f),
            Kind::Foreign { tenants } => write!(
                f,
                "the database holds a CRM that is not this demonstration ({tenants} other tenants): point \
                 DATABASE_URL at an empty database, or add --force to load it beside what is there"
            ),
            Kind::Incomplete { found, expected } => write!(
                f,
                "only {found} of this demonstration's {expected} tenants are left in the database: load it into an \
                 empty database, or take another --seed with --force"
            ),
            Kind::Database { doing, source } => {
                let reason =
                    source.as_db_error().map_or_else(|| source.to_string(), |db| db.message().to_owned());
                write!(f, "{doing} failed: {reason}")
            }
            Kind::Copy { table, source } => write!(f, "writing the rows of {table} failed: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::NotMigrated | Kind::Foreign { .. } | Kind::Incomplete { .. } => None,
            Kind::Migrations(source) => Some(source),
            Kind::Database { source, .. } => Some(source),
            Kind::Copy { source, .. } => Some(source),
        }
    }
}
