//! SQL of the definitions of boards.
//!
//! From [`board::Board`] and what the database says of its tables ([`facts`]) to the statements that create what counts, and what answers
//! a read. There is no connection here, and nothing is read: the same input gives the same text.
//!
//! - [`catalogue`]: what is counted, for all boards together: feeds, their dimensions, units
//! - `row`: what is computed of one row
//! - `vector`: a row's dimensions as a delta carries them, and what a delta counts for
//! - [`plan`]: which units, windows and statements a board's figures need
//! - [`query`]: a board of one's own SQL
//! - [`triggers`]: what appends the deltas
//! - [`fan_out`]: what takes deltas apart, and what counts a table anew
//! - [`attach`]: which triggers a table gets
//! - [`bundle`]: the bundle, from counters and from the tables
//! - [`indexes`]: the indexes by which a board is read
//! - [`report`]: what a board costs to read and to write
//! - [`trial`]: what of a definition can fail on its tables, and how to see it
//!
//! Imports run from `trial` to `row`. What all boards share (tables, the compactor) is not made here: `shared.sql` is as the migrations are to
//! have it.
#![forbid(unsafe_code)]

use std::fmt;

pub mod attach;
pub mod bundle;
pub mod catalogue;
pub mod facts;
pub mod fan_out;
pub mod indexes;
pub mod plan;
pub mod query;
pub mod report;
mod row;
#[cfg(test)]
mod sample;
mod text;
pub mod trial;
pub mod triggers;
mod vector;

pub use catalogue::Catalogue;
pub use facts::Facts;
pub use plan::Plan;

/// Why a definition does not fit the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A table is missing.
    #[error(
        "{part}: there is no table {table} that this role can see; write its schema, too, or create it first"
    )]
    NoTable {
        /// What names it.
        part: String,
        /// The table.
        table: String,
    },
    /// A column is missing.
    #[error("{part}: {table} has no column {column}; write the name as the database has it")]
    NoColumn {
        /// What names it.
        part: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Windows and series need a column of time.
    #[error(
        "{part}: {table}.{column} is of type {type_name}, which is no time; use a column of type timestamptz, timestamp or date"
    )]
    NoTime {
        /// What names it.
        part: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
    },
    /// A tenant is named by one value.
    #[error(
        "{part}: {table}.{column} is of type {type_name}, and a tenant is named by one text or number; use such a column"
    )]
    CompositeTenant {
        /// What names it.
        part: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
    },
    /// A delta has one bit for each.
    #[error(
        "{part}: {table} has more than 62 different conditions, over all boards; use by or steps instead of many where"
    )]
    TooManyConditions {
        /// What has the one too many.
        part: String,
        /// The table.
        table: String,
    },
    /// Figures are counted, and have no statement.
    #[error("board {board} has figures: it has no statement of its own")]
    NotAQuery {
        /// The board.
        board: String,
    },
    /// A board of one's own SQL has no figures.
    #[error("board {board} has a statement of its own: there is nothing to count")]
    NothingToCount {
        /// The board.
        board: String,
    },
}

/// A part of a definition, as an error names it.
pub(crate) enum Part<'a> {
    Tenants,
    Source(&'a str),
    Figure(&'a str),
    List(&'a str),
    Follow(&'a str),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenants => f.write_str("[tenants]"),
            Self::Source(name) => write!(f, "[sources.{name}]"),
            Self::Figure(path) => write!(f, "[figures.\"{path}\"]"),
            Self::List(name) => write!(f, "[lists.{name}]"),
            Self::Follow(table) => write!(f, "follow of {table}"),
        }
    }
}
