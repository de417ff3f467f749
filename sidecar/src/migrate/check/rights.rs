//! What the role lacks for what is to be done, each with who could give it.

use super::crm::{Place, Table};
use super::{Plan, functions};
use crate::migrate::HISTORY;
use crate::pg::Queries;

/// The migration that comments on the schema, which only its owner may.
const SCHEMA_DESCRIBED_BY: i32 = 2;

/// What about the schema `dashboard` matters to who migrates.
struct Schema {
    may_create_schemas: bool,
    /// `None` where there is no such schema.
    owner: Option<String>,
    is_own: Option<bool>,
    may_create: Option<bool>,
    /// `None` where there is no history.
    may_record: Option<bool>,
}

/// A sentence for each thing that `migrate` would be refused.
pub(super) fn obstacles(client: &mut impl Queries, plan: &Plan) -> Result<Vec<String>, postgres::Error> {
    let Plan { place, tables, indexes, .. } = plan;
    let mut obstacles = in_our_schema(client, plan)?;
    obstacles.extend(in_theirs(client, place, &plan.created())?);
    for Table { name, found } in tables {
        let Some(found) = found.as_ref().filter(|_| indexes.iter().any(|index| index.table == *name)) else {
            continue;
        };
        if !found.is_own {
            obstacles.push(format!(
                "{} belongs to {}, and only its owner may index it: run migrate as that role, or have it run \
                 migrations/indexes.sql",
                found.qualified, found.owner
            ));
        } else if !found.may_create {
            obstacles.push(format!(
                "an index lies in its table's schema: GRANT CREATE ON SCHEMA {} TO {} for {}",
                found.schema, place.role, found.qualified
            ));
        }
    }
    Ok(obstacles)
}

fn in_our_schema(client: &mut impl Queries, plan: &Plan) -> Result<Vec<String>, postgres::Error> {
    let Place { database, role, .. } = &plan.place;
    let schema = Schema::look(client)?;
    let mut obstacles = Vec::new();
    let Some(owner) = &schema.owner else {
        if !schema.may_create_schemas {
            obstacles.push(format!(
                "{role} may not create the schema dashboard: GRANT CREATE ON DATABASE {database} TO {role}, or \
                 CREATE SCHEMA dashboard AUTHORIZATION {role}"
            ));
        }
        return Ok(obstacles);
    };
    if schema.is_own == Some(false) && plan.is_pending(SCHEMA_DESCRIBED_BY) {
        obstacles.push(format!("the schema dashboard belongs to {owner}: run migrate as that role"));
    } else if schema.may_create == Some(false) {
        // Asked for even where nothing is made: that the history is there is made sure of each time.
        obstacles.push(format!(
            "{role} may not create anything in the schema dashboard: run migrate as its owner, {owner}, or GRANT CREATE \
             ON SCHEMA dashboard TO {role}"
        ));
    }
    if schema.may_record == Some(false) && !plan.migrations.is_empty() {
        obstacles.push(format!("{role} may not write {HISTORY}: run migrate as its owner"));
    }
    for (function, owner) in functions::out_of_hand(client, plan)? {
        obstacles.push(format!(
            "{function} belongs to {owner}, and only its owner may replace it: run migrate as that role"
        ));
    }
    Ok(obstacles)
}

/// What the CRM tables that are missing need.
fn in_theirs(
    client: &mut impl Queries,
    Place { role, search_path, home, .. }: &Place,
    created: &[&str],
) -> Result<Vec<String>, postgres::Error> {
    if created.is_empty() {
        return Ok(Vec::new());
    }
    let tables = created.join(", ");
    let Some(home) = home else {
        return Ok(vec![format!(
            "no schema for {tables}: search_path ({search_path}) names none that exists; set it for this role or in the \
             connection string, e.g. options=-csearch_path=public"
        )]);
    };
    let may: bool = client
        .query_one("SELECT has_schema_privilege(to_regnamespace($1)::oid, 'CREATE')", &[home])?
        .try_get(0)?;
    Ok(if may {
        Vec::new()
    } else {
        vec![format!(
            "{role} may not create {tables} in {home}: GRANT CREATE ON SCHEMA {home} TO {role}, or, where the CRM's tables \
             lie elsewhere, set search_path"
        )]
    })
}

impl Schema {
    fn look(client: &mut impl Queries) -> Result<Self, postgres::Error> {
        let row = client.query_one(
            "SELECT has_database_privilege(current_database(), 'CREATE'),
                    quote_ident(pg_get_userbyid(nspowner)), pg_has_role(nspowner, 'USAGE'),
                    has_schema_privilege(nsp.oid, 'CREATE'),
                    has_table_privilege(to_regclass($1)::oid, 'INSERT')
             FROM (VALUES ('dashboard')) AS wanted(name) LEFT JOIN pg_namespace AS nsp ON nspname = name",
            &[&HISTORY],
        )?;
        Ok(Self {
            may_create_schemas: row.try_get(0)?,
            owner: row.try_get(1)?,
            is_own: row.try_get(2)?,
            may_create: row.try_get(3)?,
            may_record: row.try_get(4)?,
        })
    }
}
