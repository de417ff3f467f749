//! What [`super::run`] would do to a database, found out by reading alone: everything here happens in one read-only
//! transaction and looks at nothing but the catalogue and the history.

mod counters;
mod crm;
mod functions;
mod rights;

use std::fmt;

use postgres::IsolationLevel;
use refinery::Migration;

use self::crm::{Place, Table};
use self::functions::Foreign;
use super::error::Error;
use super::indexes::{self, Missing};
use super::{check_server_version, embedded, history, refuse_newer};
use crate::pg::{Client, Queries};

/// What [`super::run`] would do, and what stands in its way. Its `Display` is a line for each thing and one for all.
#[derive(Debug, Default)]
pub struct Plan {
    place: Place,
    migrations: Vec<Step>,
    tables: Vec<Table>,
    functions: Vec<Foreign>,
    indexes: Vec<Missing>,
    obstacles: Vec<String>,
    notes: Vec<String>,
    counters: Vec<String>,
}

/// What a [`Plan`] comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The database is up to date.
    NothingToDo,
    /// There is something to do, and the role may do it.
    ToDo,
    /// There is something to do that the role may not do.
    Refused,
}

/// A versioned migration that is still to be applied.
#[derive(Debug)]
struct Step {
    version: i32,
    name: String,
    /// What it brings: the first sentence of its file.
    brings: String,
}

/// Finds out what [`super::run`] would do. Changes nothing, and takes no lock that any statement but one that drops or
/// rewrites what is read could wait for.
///
/// # Errors
/// When the server is too old, what was applied is not what this version has, or Postgres does not answer.
pub fn check(client: &mut Client) -> Result<Plan, Error> {
    check_server_version(client)?;
    let mut transaction = client
        .transaction_at(IsolationLevel::RepeatableRead, true)
        .map_err(|source| Error::database("starting a transaction", source))?;
    let migrations = pending(&mut transaction)?;
    let plan = look(&mut transaction, migrations)
        .map_err(|source| Error::database("reading the catalogue", source))?;
    transaction.rollback().map_err(|source| Error::database("ending the transaction", source))?;
    Ok(plan)
}

/// The migrations of this version that the history does not have.
fn pending(client: &mut impl Queries) -> Result<Vec<Step>, Error> {
    let applied = history::applied(client)?;
    refuse_newer(&applied)?;
    let mut pending = Vec::new();
    for migration in embedded::migrations::runner().get_migrations() {
        match applied.iter().find(|applied| applied.version() == migration.version()) {
            None => pending.push(Step::new(migration)),
            Some(applied) if applied != migration => return Err(Error::diverged(applied)),
            Some(_) => {}
        }
    }
    Ok(pending)
}

fn look(client: &mut impl Queries, migrations: Vec<Step>) -> Result<Plan, postgres::Error> {
    let mut plan =
        Plan { place: Place::find(client)?, migrations, tables: crm::tables(client)?, ..Plan::default() };
    plan.indexes = indexes::missing(client, &plan.created())?;
    plan.functions = functions::not_ours(client, &plan)?;
    plan.obstacles = rights::obstacles(client, &plan)?;
    plan.notes = crm::notes(client, &plan)?;
    plan.counters = counters::lines(client, &plan.tables)?;
    Ok(plan)
}

impl Step {
    fn new(migration: &Migration) -> Self {
        Self {
            version: migration.version(),
            name: migration.to_string(),
            brings: first_sentence(migration.sql().unwrap_or_default()),
        }
    }
}

/// The first sentence of the comment that a file begins with.
fn first_sentence(sql: &str) -> String {
    let lines = sql.lines().map_while(|line| line.strip_prefix("-- "));
    let comment = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let end = comment.find(". ").unwrap_or(comment.len());
    comment[..end].trim_end_matches(['.', ':']).to_owned()
}

impl Plan {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        if !self.obstacles.is_empty() {
            Verdict::Refused
        } else if self.migrations.is_empty() && self.indexes.is_empty() {
            Verdict::NothingToDo
        } else {
            Verdict::ToDo
        }
    }

    /// Whether a migration is still to be applied.
    fn is_pending(&self, version: i32) -> bool {
        self.migrations.iter().any(|step| step.version == version)
    }

    /// The tables that are to be made.
    fn created(&self) -> Vec<&'static str> {
        let are_made = self.is_pending(crm::MADE_BY);
        self.tables.iter().filter(|table| are_made && table.found.is_none()).map(|table| table.name).collect()
    }

    /// A table with its schema, as a person would look for it.
    fn qualified<'a>(&'a self, table: &'a str) -> String {
        let found =
            self.tables.iter().find(|known| known.name == table).and_then(|known| known.found.as_ref());
        match (found, &self.place.home) {
            (Some(found), _) => found.qualified.clone(),
            (None, Some(home)) => format!("{home}.{table}"),
            (None, None) => table.to_owned(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { database, role, search_path, .. } = &self.place;
        writeln!(f, "database {database}, role {role}, search_path {search_path}")?;
        for Step { name, brings, .. } in &self.migrations {
            writeln!(f, "would apply {name}: {brings}")?;
        }
        for table in &self.tables {
            let name = self.qualified(table.name);
            match &table.found {
                Some(found) => writeln!(f, "found {name}{}", found.kind())?,
                None if self.is_pending(crm::MADE_BY) => writeln!(f, "would create the table {name}")?,
                None => writeln!(
                    f,
                    "missing {}: search_path does not reach it, and what is applied already does not create it again",
                    table.name
                )?,
            }
        }
        for function in &self.functions {
            writeln!(f, "{function}")?;
        }
        for Missing { name, table, concurrently, invalid } in &self.indexes {
            let again = if *invalid { ", of which an attempt was interrupted," } else { "" };
            let how = if *concurrently {
                "CONCURRENTLY: writers go on"
            } else {
                "which is partitioned: blocks its writers meanwhile"
            };
            writeln!(f, "would build the index {name}{again} on {}, {how}", self.qualified(table))?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for obstacle in &self.obstacles {
            writeln!(f, "refused: {obstacle}")?;
        }
        for line in &self.counters {
            writeln!(f, "{line}")?;
        }
        match self.verdict() {
            Verdict::NothingToDo => f.write_str("nothing to do: the database is up to date"),
            Verdict::ToDo => write!(f, "to do: {}", self.amount()),
            Verdict::Refused => write!(f, "to do: {}; {role} may not do all of it", self.amount()),
        }
    }
}

impl Plan {
    fn amount(&self) -> String {
        let (migrations, indexes) = (self.migrations.len(), self.indexes.len());
        let plural = |n| if n == 1 { "" } else { "s" };
        format!(
            "{migrations} migration{}, {indexes} index{}",
            plural(migrations),
            if indexes == 1 { "" } else { "es" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_says_in_a_sentence_what_it_brings() {
        for migration in embedded::migrations::runner().get_migrations() {
            let brings = Step::new(migration).brings;
            assert!((20..250).contains(&brings.len()), "{migration}: {brings:?}");
        }
    }

    #[test]
    fn a_sentence_ends_where_its_comment_ends_or_the_next_begins() {
        assert_eq!(first_sentence("-- One, by a.b\n-- and two. Three.\n--\n-- Four."), "One, by a.b and two");
        assert_eq!(first_sentence("-- One.\n--\n-- Two."), "One");
        assert_eq!(first_sentence("SELECT 1"), "");
    }
}
