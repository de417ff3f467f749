//! The database of somebody who had a CRM long before: its roles, its tables, its rows.

use std::process::Output;

use harness::{Postgres, Sidecar, run};
use postgres::{Client, NoTls};

use crate::figures::NASTY;

const TABLES: &str = include_str!("crm.sql");

/// A CRM in the schema `crm` with its rows in it, not migrated.
pub(super) struct Crm {
    pub(super) postgres: Postgres,
    /// Owns the tables, and may create a schema; reaches them through its search_path. No superuser.
    pub(super) owner: String,
    /// Reads and writes the tables, confined by policies to the tenant that `app.tenant` names.
    pub(super) application: String,
}

impl Crm {
    pub(super) fn start() -> Self {
        let postgres = Postgres::start_unmigrated();
        let database: String = postgres.value("SELECT current_database()::text");
        // Roles are shared by all databases of the server.
        let (owner, application) = (format!("owner_of_{database}"), format!("application_of_{database}"));
        postgres.execute(&format!(
            "CREATE ROLE {owner} LOGIN; CREATE ROLE {application} LOGIN;
             ALTER ROLE {owner} IN DATABASE {database} SET search_path = crm, public;
             ALTER ROLE {application} IN DATABASE {database} SET search_path = crm;
             ALTER ROLE postgres IN DATABASE {database} SET search_path = crm;
             GRANT CREATE ON DATABASE {database} TO {owner};
             CREATE SCHEMA crm AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA crm TO {application}"
        ));
        let crm = Self { postgres, owner, application };
        let mut client = crm.client(&crm.owner);
        client.batch_execute(TABLES).unwrap();
        client.batch_execute(&rows()).unwrap();
        client
            .batch_execute(&format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA crm TO {0};
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA crm TO {0}",
                crm.application
            ))
            .unwrap();
        crm
    }

    /// How a role reaches the database.
    pub(super) fn url(&self, role: &str) -> String {
        self.postgres.url().replacen("postgres@", &format!("{role}@"), 1)
    }

    pub(super) fn client(&self, role: &str) -> Client {
        Client::connect(&self.url(role), NoTls).unwrap()
    }

    /// Runs a subcommand as a role.
    pub(super) fn run(&self, role: &str, arguments: &[&str]) -> Output {
        run(&mut Sidecar::command(arguments, &self.url(role)))
    }

    /// Everything that `migrate` could change: what the catalogue says, and how many rows every table has.
    pub(super) fn state(&self) -> Vec<String> {
        let lines = self.postgres.client().query(
            "WITH schema AS (SELECT * FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)')
             SELECT concat_ws(' ', 'schema', nspname, nspowner, nspacl) AS line FROM schema
             UNION ALL SELECT concat_ws(' ', 'relation', c.oid::regclass, relkind, relowner, relacl, relrowsecurity, relnatts,
                 CASE relkind WHEN 'r' THEN query_to_xml('SELECT count(*) FROM ' || c.oid::regclass, false, true, '')::text END)
                 FROM pg_class AS c JOIN schema ON schema.oid = relnamespace
             UNION ALL SELECT concat_ws(' ', 'index', indexrelid::regclass, indisvalid)
                 FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid JOIN schema ON schema.oid = relnamespace
             UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname, tgenabled)
                 FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid JOIN schema ON schema.oid = relnamespace
             UNION ALL SELECT concat_ws(' ', 'function', p.oid::regprocedure, proowner, p.xmin)
                 FROM pg_proc AS p JOIN schema ON schema.oid = pronamespace
             UNION ALL SELECT concat_ws(' ', 'type', t.oid::regtype) FROM pg_type AS t JOIN schema ON schema.oid = typnamespace
             ORDER BY line",
            &[],
        );
        lines.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// What the figures are tried on, as far as foreign keys and this CRM's columns let it in.
fn rows() -> String {
    NASTY
        .replace("(id, tenant_id, name, status)", "(id, tenant_id, name, is_active)")
        .replace("'active')", "true)")
        .replace("'Other', NULL)", "'Other', true)")
        .replace("'suspended')", "false)")
        .replace("'44444444-4444-4444-8444-444444444444'", "'33333333-3333-4333-8333-333333333333'")
}
