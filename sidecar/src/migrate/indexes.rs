//! Builds the indexes of `migrations/indexes.sql` that are missing, each in a statement of its own and outside of
//! any transaction, which is what CREATE INDEX CONCURRENTLY demands. The statements and their reasons are the
//! file's; this decides only whether one is to be run.

use super::error::{Error, FailedIndex};
use crate::pg::{Client, Queries};

const STATEMENTS: &str = include_str!("../../../migrations/indexes.sql");

/// How each statement of the file begins.
const PREFIX: &str = "CREATE INDEX CONCURRENTLY IF NOT EXISTS ";

/// One statement of the file, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Index {
    name: String,
    table: String,
    /// From `USING` on, spelled as Postgres itself prints an index, so that equals can be found.
    definition: String,
}

/// An index that is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) name: String,
    /// As the file names it, without a schema.
    pub(super) table: String,
    /// Whether writers go on while it is built: Postgres cannot index a partitioned table without blocking them.
    pub(super) concurrently: bool,
    /// Whether an interrupted attempt has left one that no read uses: it is removed first.
    pub(super) invalid: bool,
}

/// What the database says about an index of the file.
struct Found {
    /// `pg_class.relkind` of its table.
    table_kind: String,
    /// Whether an index of its name is valid; `None` when there is none of its name.
    valid: Option<bool>,
    /// Whether an equal index is there under whatever name.
    has_equal: bool,
    /// The statement that removes the one of its name.
    removal: String,
}

impl Found {
    /// Whether the index is to be built, and then whether without blocking writers.
    fn is_missing(&self) -> Option<bool> {
        let concurrently = match self.table_kind.as_str() {
            "r" | "m" => true,
            "p" => false,
            // A view or a foreign table in a CRM table's place: it has its indexes elsewhere.
            _ => return None,
        };
        (self.valid != Some(true) && !self.has_equal).then_some(concurrently)
    }
}

/// What [`build_missing`] would build now, in the file's order, if the tables named in `created` were there and empty.
pub(super) fn missing(client: &mut impl Queries, created: &[&str]) -> Result<Vec<Missing>, postgres::Error> {
    let mut missing = Vec::new();
    for index in parse(STATEMENTS) {
        let (concurrently, invalid) = match look(client, &index)? {
            Some(found) => (found.is_missing(), found.valid == Some(false)),
            None => (created.contains(&index.table.as_str()).then_some(true), false),
        };
        if let Some(concurrently) = concurrently {
            missing.push(Missing { name: index.name, table: index.table, concurrently, invalid });
        }
    }
    Ok(missing)
}

/// Builds what is missing and names it, in the file's order. One that cannot be built does not keep the others
/// from being built.
pub(super) fn build_missing(client: &mut Client) -> Result<Vec<String>, Error> {
    lift_timeout(client)?;
    let indexes = parse(STATEMENTS);
    let of = indexes.len();
    let (mut built, mut failed) = (Vec::new(), Vec::new());
    for index in indexes {
        match build_if_missing(client, &index) {
            Ok(true) => built.push(index.name),
            Ok(false) => {}
            Err(source) => {
                tracing::warn!(index = %index.name, table = %index.table, "an index could not be built");
                drop_invalid(client, &index);
                failed.push(FailedIndex { name: index.name, table: index.table, source });
            }
        }
    }
    if failed.is_empty() { Ok(built) } else { Err(Error::indexes(failed, of)) }
}

/// An index takes as long as it takes, and is built outside of any transaction, where only a session's own setting counts. Behind a pooler
/// there is no session of ours.
fn lift_timeout(client: &mut Client) -> Result<(), Error> {
    let failed = |source| Error::database("lifting the statement timeout", source);
    if !client.is_pooled() {
        return client.execute_alone("SET statement_timeout = 0").map_err(failed);
    }
    let sql = "SELECT reset_val FROM pg_settings WHERE name = 'statement_timeout'";
    let millis: String = client.query_one(sql, &[]).and_then(|row| row.try_get(0)).map_err(failed)?;
    if millis == "0" || missing(client, &[]).map_err(failed)?.is_empty() {
        return Ok(());
    }
    Err(Error::limited(millis))
}

/// Removes what a failed attempt has left: every write would keep it up, and no read could use it.
fn drop_invalid(client: &mut Client, index: &Index) {
    let outcome = look(client, index).and_then(|found| match found {
        Some(Found { valid: Some(false), removal, .. }) => client.execute_alone(&removal),
        _ => Ok(()),
    });
    if let Err(error) = outcome {
        tracing::warn!(index = %index.name, %error, "an invalid index could not be dropped");
    }
}

/// Whether it was missing.
fn build_if_missing(client: &mut Client, index: &Index) -> Result<bool, postgres::Error> {
    let Some(found) = look(client, index)? else { return Ok(false) };
    let Some(concurrently) = found.is_missing() else { return Ok(false) };
    tracing::info!(index = %index.name, table = %index.table, "building an index");
    if found.valid == Some(false) {
        // An interrupted attempt leaves an index that every write keeps up and no read uses.
        client.execute_alone(&found.removal)?;
    }
    let concurrently = if concurrently { "CONCURRENTLY " } else { "" };
    let Index { name, table, definition } = index;
    client
        .execute_alone(&format!("CREATE INDEX {concurrently}IF NOT EXISTS {name} ON {table} {definition}"))?;
    Ok(true)
}

/// `None` when the table is out of reach: then the functions are somebody's own, and so are their tables.
fn look(client: &mut impl Queries, index: &Index) -> Result<Option<Found>, postgres::Error> {
    let row = client.query_opt(
        "SELECT crm.relkind::text,
                (SELECT indisvalid FROM pg_index JOIN pg_class AS named ON named.oid = indexrelid
                 WHERE named.relname = $2 AND named.relnamespace = crm.relnamespace),
                EXISTS (SELECT FROM pg_index WHERE indrelid = crm.oid AND indisvalid
                        AND right(pg_get_indexdef(indexrelid), length($3)) = $3),
                format('DROP INDEX CONCURRENTLY %I.%I', nspname, $2)
         FROM pg_class AS crm JOIN pg_namespace ON pg_namespace.oid = crm.relnamespace
         WHERE crm.oid = to_regclass($1)",
        &[&index.table, &index.name, &index.definition],
    )?;
    row.map(|row| {
        Ok(Found {
            table_kind: row.try_get(0)?,
            valid: row.try_get(1)?,
            has_equal: row.try_get(2)?,
            removal: row.try_get(3)?,
        })
    })
    .transpose()
}

/// Takes the file apart. A statement that does not have the file's one form is left out; a test counts them.
fn parse(sql: &str) -> Vec<Index> {
    let code: String = sql
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|line| [line, " "])
        .collect();
    code.split(';').filter_map(parse_statement).collect()
}

fn parse_statement(statement: &str) -> Option<Index> {
    let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let (name, rest) = words.strip_prefix(PREFIX)?.split_once(" ON ")?;
    let (table, definition) = rest.split_once(' ')?;
    definition.starts_with("USING ").then(|| Index {
        name: name.to_owned(),
        table: table.to_owned(),
        definition: definition.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_statement_of_the_file_is_understood() {
        let indexes = parse(STATEMENTS);
        let statements = STATEMENTS.lines().filter(|line| line.trim_end().ends_with(';')).count();
        assert_eq!(indexes.len(), statements);
        assert_eq!(
            indexes[2],
            Index {
                name: "dashboard_leads_figures".into(),
                table: "leads".into(),
                definition: "USING btree (tenant_id, is_test_data, status, source)".into(),
            }
        );
    }

    #[test]
    fn index_names_are_ours_and_different() {
        let indexes = parse(STATEMENTS);
        let names: BTreeSet<_> = indexes.iter().map(|index| index.name.as_str()).collect();
        assert_eq!(names.len(), indexes.len());
        assert!(names.iter().all(|name| name.starts_with("dashboard_") && name.len() < 64), "{names:?}");
    }

    #[test]
    fn comments_are_not_statements() {
        assert_eq!(parse("-- CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON b USING btree (c);\n"), Vec::new());
    }
}
