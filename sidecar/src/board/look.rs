//! What the database says of the tables that boards name, and what the role may do with them.

use std::collections::{BTreeMap, BTreeSet};

use ::board::definition::{Active, Content, Whose};
use ::board::expression::Expression;
use ::board::path::{Column, Table};
use compiler::Facts;
use compiler::facts::{COLUMNS, TableFacts, Type};
use compiler::indexes::{EXISTING, Existing};

use super::files::Defined;
use crate::pg::{Client, Queries};

const ROLE: &str = "
    SELECT quote_ident(current_user), quote_ident(current_database()), has_database_privilege(current_database(), 'CREATE'),
           nsp.oid IS NOT NULL, has_schema_privilege(nsp.oid, 'CREATE'), quote_ident(pg_get_userbyid(nspowner))
    FROM (VALUES ('dashboard')) AS wanted(name) LEFT JOIN pg_namespace AS nsp ON nspname = name";

const SCHEMA: &str = "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1";

/// The table `$1`; of its columns `$2`, those that the role may not read.
const TABLE: &str = "
    SELECT format('%I.%I', nspname, relname), relkind::text, quote_ident(pg_get_userbyid(relowner)), pg_has_role(relowner, 'USAGE'),
           has_table_privilege(place.oid, 'TRIGGER'), row_security_active(place.oid), quote_ident(nspname),
           has_schema_privilege(nsp.oid, 'CREATE'),
           ARRAY(SELECT quote_ident(attname) FROM pg_attribute
                 WHERE attrelid = place.oid AND attname = ANY ($2) AND attnum > 0 AND NOT attisdropped
                   AND NOT has_column_privilege(place.oid, attnum, 'SELECT') ORDER BY attnum),
           ARRAY(SELECT format('%I.%I', beside.nspname, part.relname)
                 FROM pg_partition_tree(place.oid) AS tree JOIN pg_class AS part ON part.oid = tree.relid
                      JOIN pg_namespace AS beside ON beside.oid = part.relnamespace
                 WHERE tree.relid <> place.oid ORDER BY 1)
    FROM pg_class AS place JOIN pg_namespace AS nsp ON nsp.oid = relnamespace
    WHERE place.oid = to_regclass($1)";

/// What is known of the tables of some boards.
pub(super) struct Database {
    /// As SQL.
    pub(super) role: String,
    pub(super) facts: Facts,
    /// What the role may not do of what `apply` and every read need, each with a way out.
    pub(super) obstacles: Vec<String>,
    /// What keeps a table from being part of a board.
    pub(super) problems: Vec<String>,
    pub(super) indexes: Vec<Existing>,
    tables: BTreeMap<String, Found>,
}

/// A table.
struct Found {
    /// None: it is not partitioned.
    partitions: Option<Vec<String>>,
    is_readable: bool,
}

/// What boards want of a table.
#[derive(Default)]
struct Wanted<'a> {
    columns: BTreeSet<&'a Column>,
    /// Its changes are followed, by triggers.
    followed: bool,
    /// Which files name it.
    files: BTreeSet<&'a str>,
}

impl Database {
    /// Asks, in one snapshot.
    pub(super) fn look(client: &mut Client, defined: &[Defined]) -> Result<Self, postgres::Error> {
        let mut transaction = client.transaction_at(postgres::IsolationLevel::RepeatableRead, true)?;
        let mut database = Self::of_role(&mut transaction)?;
        for (table, wanted) in wanted(defined) {
            database.look_at(&mut transaction, table, &wanted)?;
        }
        Ok(database)
    }

    fn of_role(client: &mut impl Queries) -> Result<Self, postgres::Error> {
        let row = client.query_one(ROLE, &[])?;
        let (role, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (may_create_schemas, is_there): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
        let may_create = row.try_get::<_, Option<bool>>(4)?.unwrap_or_default();
        let owner: Option<String> = row.try_get(5)?;
        let mut obstacles = Vec::new();
        if is_there && !may_create {
            obstacles.push(format!(
                "create functions in the schema dashboard: GRANT CREATE ON SCHEMA dashboard TO {role}, or use its owner, {}",
                owner.unwrap_or_default()
            ));
        } else if !is_there && !may_create_schemas {
            obstacles.push(format!(
                "create the schema dashboard, which is not there yet: GRANT CREATE ON DATABASE {name} TO {role}"
            ));
        }
        Ok(Self {
            role,
            facts: Facts::default(),
            obstacles,
            problems: Vec::new(),
            indexes: Vec::new(),
            tables: BTreeMap::new(),
        })
    }

    /// A table that is not there is left out: what needs it says so.
    fn look_at(
        &mut self,
        client: &mut impl Queries,
        table: &Table,
        wanted: &Wanted<'_>,
    ) -> Result<(), postgres::Error> {
        let role = &self.role;
        if let Some(schema) = &table.schema
            && let Some(row) = client.query_opt(SCHEMA, &[schema])?
            && !row.try_get::<_, bool>(0)?
        {
            // Who may not look into a schema is refused even the question whether something is in it.
            let files: Vec<&str> = wanted.files.iter().copied().collect();
            self.problems.push(format!(
                "{}: {role} may not use the schema of {table}: GRANT USAGE ON SCHEMA {schema} TO {role}",
                files.join(", ")
            ));
            return Ok(());
        }
        let name = table.sql();
        let columns: Vec<&str> = wanted.columns.iter().map(|column| column.as_str()).collect();
        let Some(row) = client.query_opt(TABLE, &[&name, &columns])? else { return Ok(()) };
        let (qualified, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (owner, is_owner, may_trigger): (String, bool, bool) =
            (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        let (hides_rows, schema, may_create): (bool, String, bool) =
            (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
        let (unreadable, partitions): (Vec<String>, Vec<String>) = (row.try_get(8)?, row.try_get(9)?);
        let is_table = matches!(kind.as_str(), "r" | "p");

        if wanted.followed && !is_table {
            let files: Vec<&str> = wanted.files.iter().copied().collect();
            self.problems.push(format!(
                "{}: {qualified} is not a table, and only tables have triggers that tell what a statement has changed; name the tables behind it",
                files.join(", ")
            ));
        }
        if !unreadable.is_empty() {
            self.obstacles.push(format!(
                "read {qualified} ({}): GRANT SELECT ON {qualified} TO {role}",
                unreadable.join(", ")
            ));
        }
        if hides_rows {
            self.obstacles.push(format!(
                "read all rows of {qualified}, which has row-level security: ALTER ROLE {role} BYPASSRLS, or use its owner, {owner}"
            ));
        }
        if wanted.followed && is_table && !is_owner {
            let trigger = if may_trigger { "let triggers of" } else { "create triggers on" };
            let always = if may_trigger { " fire for replicated rows, too (ENABLE ALWAYS)" } else { "" };
            self.obstacles.push(format!("{trigger} {qualified}{always}: use its owner, {owner}"));
        }
        if is_table && (!is_owner || !may_create) {
            let way = if is_owner {
                format!("GRANT CREATE ON SCHEMA {schema} TO {role}")
            } else {
                format!("use its owner, {owner}")
            };
            self.obstacles.push(format!("create indexes on {qualified}: {way}"));
        }

        let columns = client.query(COLUMNS, &[&name])?;
        let columns = columns.iter().map(|row| {
            let letter = |text: String| text.chars().next().unwrap_or_default();
            let of = Type::of(row.try_get(2)?, letter(row.try_get(3)?), letter(row.try_get(4)?));
            Ok(Column::parse(row.try_get(1)?).ok().map(|column| (column, of)))
        });
        // A column whose name no definition can have is nobody's.
        let columns = columns.filter_map(Result::transpose).collect::<Result<_, postgres::Error>>()?;
        self.facts.note(table.clone(), TableFacts { qualified: qualified.clone(), columns });
        for row in client.query(EXISTING, &[&name])? {
            let (names, options): (Vec<Option<String>>, Vec<i32>) = (row.try_get(1)?, row.try_get(2)?);
            self.indexes.push(Existing::of(&qualified, &names, &options));
        }
        let found = Found {
            partitions: (kind == "p").then_some(partitions),
            is_readable: unreadable.is_empty() && !hides_rows,
        };
        self.tables.insert(qualified, found);
        Ok(())
    }

    /// All tables below a partitioned one; None of any other.
    pub(super) fn partitions(&self, table: &str) -> Option<&[String]> {
        self.tables.get(table)?.partitions.as_deref()
    }

    /// Whether the role may read what boards want of it, every row.
    pub(super) fn is_readable(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|found| found.is_readable)
    }

    /// Whether it may do so with every table.
    pub(super) fn all_readable(&self) -> bool {
        self.tables.values().all(|found| found.is_readable)
    }
}

/// Each table that boards name, once.
fn wanted(defined: &[Defined]) -> BTreeMap<&Table, Wanted<'_>> {
    let mut tables = BTreeMap::new();
    for Defined { file, board } in defined {
        let tenants = &board.tenants;
        let active = match &tenants.active {
            Active::All => &[],
            Active::Where(condition) => std::slice::from_ref(condition),
            Active::WhereKnown(conditions) => conditions.as_slice(),
        };
        let of_tenants = std::iter::once(&tenants.key).chain(&tenants.name).chain(&tenants.slug);
        let of_tenants = of_tenants.chain(active.iter().flat_map(Expression::columns));
        want(&mut tables, file, &tenants.table, true, of_tenants);
        for follow in &board.follow {
            let own = match &follow.whose {
                Whose::Everybody => None,
                Whose::Column(column) => Some(column),
                Whose::Through { column, table, key, tenant } => {
                    want(&mut tables, file, table, false, [key, tenant]);
                    Some(column)
                }
            };
            want(&mut tables, file, &follow.table, true, own);
        }
        if let Content::Declared(declared) = &board.content {
            for (id, source) in declared.sources() {
                want(&mut tables, file, &source.table, true, declared.columns(id));
            }
        }
    }
    tables
}

fn want<'a>(
    tables: &mut BTreeMap<&'a Table, Wanted<'a>>,
    file: &'a str,
    table: &'a Table,
    followed: bool,
    columns: impl IntoIterator<Item = &'a Column>,
) {
    let wanted = tables.entry(table).or_default();
    wanted.columns.extend(columns);
    wanted.followed |= followed;
    wanted.files.insert(file);
}
