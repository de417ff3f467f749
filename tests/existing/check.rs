//! `migrate --check`: what it says, and that it changes nothing; and `migrate` by the tables' owner.

use std::process::Output;

use harness::{Postgres, Sidecar, run};

use super::crm::Crm;
use crate::figures::{EMPTY, ONE, OTHER, assert_every_figure, bundle};

/// What `migrate --check` says as a role, and its exit code.
fn check(crm: &Crm, role: &str) -> (String, i32) {
    let before = crm.state();
    let Output { status, stdout, stderr } = crm.run(role, &["migrate", "--check"]);
    assert_eq!(crm.state(), before, "something has changed");
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8_lossy(&stderr);
    (said, status.code().unwrap())
}

#[track_caller]
fn assert_said(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.lines().any(|said| said.starts_with(line)), "no line begins with {line:?}:\n{said}");
    }
}

#[test]
fn a_check_says_what_there_is_to_do_and_changes_nothing() {
    let crm = Crm::start();
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 1, "{said}");
    assert_said(
        &said,
        &[
            "would apply V1__crm_tables: The CRM tables that a bundle reads",
            "found crm.leads",
            "found crm.activities, partitioned",
            "would create the table crm.cron_job",
            "would build the index dashboard_leads_figures on crm.leads, CONCURRENTLY",
            "would build the index dashboard_activities_created on crm.activities, which is partitioned: blocks its writers",
            "to do: ",
        ],
    );
    assert!(!said.contains("refused") && !said.contains("row-level"), "{said}");
}

#[test]
fn the_owner_migrates_what_was_checked_and_then_nothing_is_left_to_do() {
    let crm = Crm::start();
    let migrated = crm.run(&crm.owner, &["migrate"]);
    assert!(migrated.status.success(), "{migrated:?}");
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("would") && said.contains("nothing to do: the database is up to date"), "{said}");

    let sidecar = Sidecar::on(&crm.url(&crm.owner));
    let mut client = crm.postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    for tenant in [ONE, OTHER, EMPTY, "SUPERADMIN_GLOBAL"] {
        for include in [true, false] {
            assert_every_figure(&mut client, &bundle(&sidecar, tenant, include), tenant, include);
        }
    }
    let tenants = sidecar.internal().get("/internal/v1/tenants").json();
    assert_eq!(tenants, serde_json::json!({"tenants": [ONE, OTHER, "SUPERADMIN_GLOBAL"]}));
}

#[test]
fn a_check_says_what_the_role_may_not_do() {
    let crm = Crm::start();
    let (said, code) = check(&crm, &crm.application);
    assert_eq!(code, 2, "{said}");
    let application = &crm.application;
    assert_said(
        &said,
        &[
            &format!("refused: {application} may not create the schema dashboard: GRANT CREATE ON DATABASE"),
            &format!("refused: {application} may not create cron_job in crm: GRANT CREATE ON SCHEMA crm TO"),
            &format!("refused: crm.leads belongs to {}, and only its owner may index it", crm.owner),
            "note: row-level security may hide rows of crm.contacts, crm.accounts, crm.leads",
            "to do: ",
        ],
    );
    assert!(!crm.run(application, &["migrate"]).status.success());
}

#[test]
fn a_check_names_the_tables_whose_policies_are_forced_on_their_owner() {
    let crm = Crm::start();
    crm.postgres.execute("ALTER TABLE leads FORCE ROW LEVEL SECURITY");
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 1, "{said}");
    assert_said(&said, &["note: row-level security may hide rows of crm.leads from"]);
    crm.postgres.execute(&format!("ALTER ROLE {} BYPASSRLS", crm.owner));
    assert!(!check(&crm, &crm.owner).0.contains("row-level security"));
}

#[test]
fn a_check_says_which_functions_are_somebodys_own() {
    let crm = Crm::start();
    assert!(crm.run(&crm.owner, &["migrate"]).status.success());
    crm.postgres.execute(
        "CREATE OR REPLACE FUNCTION dashboard.active_tenants() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT ''x'''",
    );
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 0, "{said}");
    assert_said(&said, &["would leave dashboard.active_tenants() alone, which is not this project's"]);
    assert_eq!(said.matches("not this project's").count(), 1, "{said}");
}

#[test]
fn no_function_of_ours_is_taken_for_somebodys_own_whatever_the_crm_is_like() {
    for columns in [
        "",
        ", status text",
        ", is_active boolean",
        ", is_active boolean, status text",
        ", status text, is_active boolean",
    ] {
        let postgres = Postgres::start_unmigrated();
        postgres.execute(&format!("CREATE TABLE tenant (id uuid{columns})"));
        postgres.execute(
            "CREATE TABLE leads AS SELECT NULL::uuid AS tenant_id, NULL::date AS created_at, NULL::char AS phone",
        );
        run(&mut Sidecar::command(&["migrate"], &postgres.url()));
        let checked = run(&mut Sidecar::command(&["migrate", "--check"], &postgres.url()));
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(
            said.contains("to do: 0 migrations") && !said.contains("project's"),
            "tenant (id uuid{columns}): {said}"
        );
    }
}

#[test]
fn a_function_that_is_there_before_its_migration_is_said_to_be_replaced() {
    let crm = Crm::start();
    crm.postgres.execute(&format!(
        "SET ROLE {0}; CREATE SCHEMA dashboard;
         CREATE FUNCTION dashboard.active_tenants() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT ''x''';
         RESET ROLE; ALTER FUNCTION dashboard.active_tenants() OWNER TO postgres",
        crm.owner
    ));
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 2, "{said}");
    assert_said(
        &said,
        &[
            "would replace dashboard.active_tenants(), which is not this project's",
            "refused: dashboard.active_tenants() belongs to postgres",
        ],
    );
    assert!(!crm.run(&crm.owner, &["migrate"]).status.success());
}

#[test]
fn a_check_finds_what_no_bundle_could_be_computed_from() {
    let crm = Crm::start();
    crm.postgres.execute("ALTER TABLE leads DROP phone; DROP TABLE accounts CASCADE; CREATE VIEW accounts AS SELECT 'a' AS tenant_id");
    let (said, _) = check(&crm, "postgres");
    assert_said(
        &said,
        &[
            "note: crm.leads has no column phone: ",
            "note: crm.accounts has tenant_id of type text, not uuid: ",
            "note: crm.accounts has no column is_test_data: ",
            "found crm.accounts, a view: gets no indexes",
        ],
    );
}

#[test]
fn an_index_that_an_interrupted_attempt_has_left_is_to_be_built_again() {
    let crm = Crm::start();
    assert!(crm.run(&crm.owner, &["migrate"]).status.success());
    crm.postgres.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'crm.dashboard_leads_figures'::regclass;
         DROP INDEX crm.dashboard_contacts_figures",
    );
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 1, "{said}");
    assert_said(
        &said,
        &[
            "would build the index dashboard_leads_figures, of which an attempt was interrupted, on crm.leads",
            "would build the index dashboard_contacts_figures on crm.contacts",
            "to do: 0 migrations, 2 indexes",
        ],
    );
}

#[test]
fn a_check_that_cannot_be_made_is_no_answer() {
    let crm = Crm::start();
    assert!(crm.run(&crm.owner, &["migrate"]).status.success());
    let (said, code) = check(&crm, &crm.application);
    assert_eq!(code, 2, "the history is not this role's to read: {said}");
    crm.postgres.execute("UPDATE dashboard.schema_history SET checksum = '1' WHERE version = 2");
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("V2__dashboard was applied from other text"), "{said}");
}

#[test]
fn a_check_says_whether_counters_are_enabled_and_what_it_takes() {
    let crm = Crm::start();
    let off = "counters: not enabled";
    assert_said(&check(&crm, &crm.owner).0, &[off]);
    assert!(crm.run(&crm.owner, &["migrate"]).status.success());
    let (said, code) = check(&crm, &crm.owner);
    assert!(code == 0 && !said.contains("takes the owner"), "{said}");
    assert_said(&said, &[off]);
    crm.postgres.execute(&format!(
        "GRANT USAGE ON SCHEMA dashboard TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA dashboard TO {0}",
        crm.application
    ));
    assert_said(
        &check(&crm, &crm.application).0,
        &[off, "counters: to enable them takes the owner of crm.tenant, "],
    );
    let enabled = crm.run(&crm.owner, &["counters", "enable"]);
    assert!(enabled.status.success(), "{enabled:?}");
    let (said, code) = check(&crm, &crm.owner);
    assert_eq!(code, 0, "{said}");
    assert_said(&said, &["counters: enabled"]);
    crm.client(&crm.owner)
        .batch_execute("CREATE TABLE activities_later PARTITION OF activities FOR VALUES FROM ('2100-01-01') TO ('2101-01-01')")
        .unwrap();
    assert_said(&check(&crm, &crm.owner).0, &["counters: changes of crm.activities_later are not recorded"]);
}

#[test]
fn a_version_that_is_older_than_the_schema_refuses_to_migrate_and_names_the_newer_one() {
    let crm = Crm::start();
    assert!(crm.run(&crm.owner, &["migrate"]).status.success());
    crm.postgres.execute(
        "INSERT INTO dashboard.schema_history (version, name, applied_on, checksum)
         SELECT 99, 'later', applied_on, '1' FROM dashboard.schema_history WHERE version = 1",
    );
    for arguments in [&["migrate"][..], &["migrate", "--check"]] {
        let Output { status, stderr, .. } = crm.run(&crm.owner, arguments);
        let said = String::from_utf8_lossy(&stderr);
        assert!(!status.success(), "{arguments:?}: {said}");
        assert!(
            said.contains("a newer version of the sidecar has migrated this database (V99__later"),
            "{said}"
        );
        assert!(said.contains("run the newer version's migrate"), "{said}");
    }
}
