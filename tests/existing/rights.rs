//! What the triggers' functions, which run as somebody else, must not be good for.

use harness::{Sidecar, run_ok};

use super::crm::Crm;

/// A type that becomes a uuid by a function which makes the role `$role` a superuser, if whoever runs it may.
const CAST: &str = "
    CREATE TYPE @.evil AS ENUM ('x');
    CREATE FUNCTION @.escalate(@.evil) RETURNS uuid LANGUAGE plpgsql AS
        $$BEGIN EXECUTE 'ALTER ROLE $role SUPERUSER'; RETURN gen_random_uuid(); END$$;
    CREATE CAST (@.evil AS uuid) WITH FUNCTION @.escalate(@.evil) AS ASSIGNMENT;";

fn is_superuser(crm: &Crm, role: &str) -> bool {
    crm.postgres.value(&format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{role}'"))
}

/// As a superuser migrates, who may do more than anybody.
fn migrated() -> Crm {
    let crm = Crm::start();
    run_ok(&mut Sidecar::command(&["migrate"], &crm.postgres.url()));
    run_ok(&mut Sidecar::command(&["counters", "enable"], &crm.postgres.url()));
    crm
}

#[test]
fn nobody_but_a_tables_owner_can_hang_its_trigger_function_on_a_table_of_their_own() {
    let crm = migrated();
    let role = &crm.application;
    crm.postgres.execute(&format!(
        "GRANT USAGE ON SCHEMA dashboard TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA dashboard TO {role}"
    ));
    let mut client = crm.client(role);
    client.batch_execute(&CAST.replace('@', "pg_temp").replace("$role", role)).unwrap();
    client.batch_execute("CREATE TEMP TABLE own (tenant_id pg_temp.evil, is_test_data boolean)").unwrap();
    for function in ["count_contacts", "count_row_contacts", "count_truncated_contacts"] {
        let refused = client.batch_execute(&format!(
            "CREATE TRIGGER t AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION dashboard.{function}()"
        ));
        let error = refused.unwrap_err();
        assert!(
            error.as_db_error().unwrap().message().contains("permission denied for function"),
            "{error:?}"
        );
    }
    assert!(!is_superuser(&crm, role));
}

#[test]
fn a_tables_owner_gets_no_more_rights_by_its_triggers_than_its_own() {
    let crm = migrated();
    let owner = &crm.owner;
    let mut client = crm.client(owner);
    client.batch_execute(&CAST.replace('@', "crm").replace("$role", owner)).unwrap();
    client
        .batch_execute(
            "ALTER TABLE crm.contacts DROP COLUMN tenant_id CASCADE, ADD COLUMN tenant_id crm.evil",
        )
        .unwrap();
    let error = client.batch_execute("INSERT INTO crm.contacts (tenant_id) VALUES ('x')").unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("must be superuser"), "{error:?}");
    assert!(!is_superuser(&crm, owner));
}
