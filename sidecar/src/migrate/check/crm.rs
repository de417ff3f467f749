//! The CRM's side of a check: where its tables lie, and what about them will matter after the migration.

use super::Plan;
use crate::pg::Queries;

/// The migration that makes the tables that are missing.
pub(super) const MADE_BY: i32 = 1;

/// The migration that adds a row to `cron_job`.
const SCHEDULED_BY: i32 = 3;

/// The tables, and the columns without which no bundle can be computed.
const TABLES: [(&str, &[&str]); 7] = [
    ("tenant", &["id"]),
    ("contacts", &["tenant_id", "is_test_data"]),
    ("accounts", &["tenant_id", "is_test_data"]),
    (
        "leads",
        &[
            "id",
            "tenant_id",
            "first_name",
            "last_name",
            "company",
            "email",
            "phone",
            "created_date",
            "created_at",
            "status",
            "source",
            "is_test_data",
            "assigned_to",
        ],
    ),
    (
        "opportunities",
        &[
            "id",
            "tenant_id",
            "name",
            "amount",
            "stage",
            "probability",
            "updated_at",
            "is_test_data",
            "assigned_to",
        ],
    ),
    (
        "activities",
        &[
            "id",
            "tenant_id",
            "type",
            "subject",
            "status",
            "created_at",
            "created_date",
            "assigned_to",
            "is_test_data",
        ],
    ),
    ("cron_job", &[]),
];

/// The session's place: names are quoted where SQL would want them so.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) database: String,
    pub(super) role: String,
    pub(super) search_path: String,
    /// The schema in which missing tables would be made.
    pub(super) home: Option<String>,
}

/// A CRM table, found or not.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) found: Option<Found>,
}

/// Where and what it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) oid: u32,
    pub(super) qualified: String,
    pub(super) schema: String,
    pub(super) owner: String,
    /// Whether the role has the owner's rights.
    pub(super) is_own: bool,
    /// Whether the role may create something in its schema, as an index is.
    pub(super) may_create: bool,
    /// `pg_class.relkind`
    kind: String,
    /// Whether policies apply to this role.
    hides_rows: bool,
}

impl Found {
    /// What it is, where that is no plain table.
    pub(super) fn kind(&self) -> &'static str {
        match self.kind.as_str() {
            "r" => "",
            "p" => ", partitioned",
            "f" => ", a foreign table: gets no indexes",
            _ => ", a view: gets no indexes",
        }
    }
}

impl Place {
    pub(super) fn find(client: &mut impl Queries) -> Result<Self, postgres::Error> {
        // As V1 chooses the schema.
        let row = client.query_one(
            "SELECT quote_ident(current_database()), quote_ident(current_user), current_setting('search_path'),
                    (SELECT quote_ident(s) FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(s, n)
                     WHERE s <> 'dashboard' ORDER BY n LIMIT 1)",
            &[],
        )?;
        Ok(Self {
            database: row.try_get(0)?,
            role: row.try_get(1)?,
            search_path: row.try_get(2)?,
            home: row.try_get(3)?,
        })
    }
}

/// All of them, in V1's order.
pub(super) fn tables(client: &mut impl Queries) -> Result<Vec<Table>, postgres::Error> {
    TABLES.iter().map(|(name, _)| Ok(Table { name, found: find(client, name)? })).collect()
}

fn find(client: &mut impl Queries, name: &str) -> Result<Option<Found>, postgres::Error> {
    let row = client.query_opt(
        "SELECT crm.oid, format('%I.%I', nspname, relname), quote_ident(nspname),
                quote_ident(pg_get_userbyid(relowner)), pg_has_role(relowner, 'USAGE'),
                has_schema_privilege(nsp.oid, 'CREATE'), relkind::text, row_security_active(crm.oid)
         FROM pg_class AS crm JOIN pg_namespace AS nsp ON nsp.oid = relnamespace
         WHERE crm.oid = to_regclass($1)",
        &[&name],
    )?;
    row.map(|row| {
        Ok(Found {
            oid: row.try_get(0)?,
            qualified: row.try_get(1)?,
            schema: row.try_get(2)?,
            owner: row.try_get(3)?,
            is_own: row.try_get(4)?,
            may_create: row.try_get(5)?,
            kind: row.try_get(6)?,
            hides_rows: row.try_get(7)?,
        })
    })
    .transpose()
}

/// What does not keep `migrate` from its work, but is better known before.
pub(super) fn notes(client: &mut impl Queries, plan: &Plan) -> Result<Vec<String>, postgres::Error> {
    let mut notes = Vec::new();
    let Plan { place: Place { role, .. }, tables, .. } = plan;
    let hiding = |table: &&Table| table.found.as_ref().is_some_and(|found| found.hides_rows);
    let hidden: Vec<_> = tables.iter().filter(hiding).filter_map(|table| table.found.as_ref()).collect();
    if !hidden.is_empty() {
        let names: Vec<_> = hidden.iter().map(|found| found.qualified.as_str()).collect();
        notes.push(format!(
            "row-level security may hide rows of {} from {role}: whatever it would count is refused, bundles and counters; \
             ALTER ROLE {role} BYPASSRLS, or use another role for that",
            names.join(", ")
        ));
    }
    for (name, columns) in TABLES {
        let Some(found) =
            tables.iter().find(|table| table.name == name).and_then(|table| table.found.as_ref())
        else {
            continue;
        };
        for problem in unfit(client, found, columns)? {
            notes.push(format!(
                "{} {problem}: bundles fail unless dashboard.bundle is a function of your own",
                found.qualified
            ));
        }
        if name == "cron_job" && plan.is_pending(SCHEDULED_BY) {
            let insertable = !found.hides_rows && may_insert(client, found)?;
            if !insertable {
                notes.push(format!(
                    "{role} may not add a row to {}: without one nothing is warmed at night; see 'dashboard-sidecar cron \
                     enable'",
                    found.qualified
                ));
            }
        }
    }
    Ok(notes)
}

/// What is wrong with a table's columns.
fn unfit(client: &mut impl Queries, found: &Found, columns: &[&str]) -> Result<Vec<String>, postgres::Error> {
    // Tenants are compared as uuids; a domain over one will do.
    let rows = client.query(
        "SELECT CASE WHEN typ.oid IS NULL THEN format('has no column %I', name)
                     ELSE format('has %I of type %s, not uuid', name, format_type(atttypid, atttypmod)) END
         FROM unnest($2::text[]) WITH ORDINALITY AS wanted(name, place)
         LEFT JOIN pg_attribute ON attrelid = $1 AND attname = name AND NOT attisdropped
         LEFT JOIN pg_type AS typ ON typ.oid = atttypid
         WHERE typ.oid IS NULL
            OR (name = 'tenant_id' OR $2 = ARRAY['id'] AND name = 'id')
               AND COALESCE(NULLIF(typbasetype, 0), typ.oid) <> 'uuid'::regtype
         ORDER BY place",
        &[&found.oid, &columns],
    )?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn may_insert(client: &mut impl Queries, found: &Found) -> Result<bool, postgres::Error> {
    client
        .query_one(
            "SELECT has_table_privilege($1::oid, 'SELECT') AND has_table_privilege($1::oid, 'INSERT')",
            &[&found.oid],
        )?
        .try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_that_are_made_where_they_are_missing() {
        let sql = include_str!("../../../../migrations/V1__crm_tables.sql");
        let made: Vec<_> =
            sql.lines().filter_map(|line| line.trim().strip_prefix("['")?.strip_suffix("', $$")).collect();
        assert_eq!(made, TABLES.map(|(name, _)| name));
    }
}
