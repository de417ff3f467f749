//! What the database says of the tables that a board reads.

use std::collections::{BTreeMap, BTreeSet};

use board::Board;
use board::definition::{Content, Whose};
use board::path::{Column, Table};

/// The columns of the table `$1`, as the search path finds it: the table as SQL, and of each column its name, type, category and sort of
/// type. A domain counts as what it is made of. No row where there is no such table, or no column.
pub const COLUMNS: &str = "
    WITH RECURSIVE base(attnum, attname, type) AS (
        SELECT attnum, attname, atttypid FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT attnum, attname, typbasetype FROM base JOIN pg_type ON pg_type.oid = type WHERE typtype = 'd')
    SELECT format('%I.%I', nspname, relname), attname::text, format_type(type, NULL), typcategory::text, typtype::text
    FROM base JOIN pg_type ON pg_type.oid = type AND typtype <> 'd'
         JOIN pg_class ON pg_class.oid = to_regclass($1) JOIN pg_namespace ON pg_namespace.oid = relnamespace
    ORDER BY attnum";

/// The tables of a database, as far as boards name them.
#[derive(Clone, Debug, Default)]
pub struct Facts(BTreeMap<Table, TableFacts>);

/// One table.
#[derive(Clone, Debug)]
pub struct TableFacts {
    /// With its schema, written as SQL.
    pub qualified: String,
    /// Its columns and their types.
    pub columns: BTreeMap<Column, Type>,
}

/// A column's type: that of its base, if it is a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// As SQL, without length or precision.
    pub name: String,
    /// What can be done with it.
    pub kind: Kind,
}

/// What can be done with a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compared as text: also enums, so that a column which becomes one, or gets another word, stays comparable.
    Text,
    /// A whole number or a truth: as it is.
    Plain,
    /// A number that may be NaN or infinite.
    Number,
    /// `timestamptz`.
    Moment,
    /// `timestamp`, which is read as UTC.
    LocalTime,
    /// `date`.
    Date,
    /// `json` or `jsonb`.
    Json,
    /// Anything else: shown as text.
    Other,
    /// An array or a row: nobody's name.
    Composite,
}

impl Type {
    /// The type of this name, category (`pg_type.typcategory`) and sort (`pg_type.typtype`).
    pub fn of(name: &str, category: char, sort: char) -> Self {
        let kind = match (name, category, sort) {
            ("timestamp with time zone", ..) => Kind::Moment,
            ("timestamp without time zone", ..) => Kind::LocalTime,
            ("date", ..) => Kind::Date,
            ("numeric" | "real" | "double precision", ..) => Kind::Number,
            ("json" | "jsonb", ..) => Kind::Json,
            ("uuid" | "interval" | "time without time zone" | "time with time zone", ..) => Kind::Plain,
            // A type that compares in a way of its own keeps it.
            ("citext", ..) => Kind::Other,
            (_, 'N' | 'B', _) if name != "money" => Kind::Plain,
            (_, 'S', _) | (_, _, 'e') => Kind::Text,
            (_, 'A', _) | (_, _, 'c' | 'p') => Kind::Composite,
            _ => Kind::Other,
        };
        Self { name: name.to_owned(), kind }
    }
}

impl Facts {
    /// All tables that a board names.
    pub fn tables(board: &Board) -> BTreeSet<&Table> {
        let mut tables: BTreeSet<&Table> = board.follow.iter().map(|follow| &follow.table).collect();
        tables.extend(board.follow.iter().filter_map(|follow| match &follow.whose {
            Whose::Through { table, .. } => Some(table),
            Whose::Everybody | Whose::Column(_) => None,
        }));
        tables.insert(&board.tenants.table);
        if let Content::Declared(declared) = &board.content {
            tables.extend(declared.sources.iter().map(|source| &source.table));
        }
        tables
    }

    /// Notes a table.
    pub fn note(&mut self, table: Table, facts: TableFacts) {
        self.0.insert(table, facts);
    }

    /// What is known of a table.
    pub fn table(&self, table: &Table) -> Option<&TableFacts> {
        self.0.get(table)
    }
}
