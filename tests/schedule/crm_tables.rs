//! Databases that are not ours: wider tables, fewer rights, rows from before.

use harness::{Postgres, Sidecar, assert_eventually, run_ok};
use serde_json::Value;

use super::{Crm, OURS, job, lines_with};

fn migrate(postgres: &Postgres) {
    run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
}

/// The database of `crm`, as this role sees it. The role exists for all databases of the server.
fn url_of(crm: &Crm, role: &str) -> String {
    crm.postgres.url().replace("postgres@", &format!("{role}@"))
}

const RIGHTS: &str = "
    GRANT USAGE ON SCHEMA dashboard TO @; GRANT SELECT ON dashboard.schema_history TO @;
    GRANT SELECT ON tenant, contacts, accounts, leads, opportunities, activities TO @;
    GRANT SELECT, INSERT, UPDATE, DELETE ON dashboard.lease TO @;
    GRANT SELECT, UPDATE (last_run, next_run, metadata, updated_at) ON cron_job TO @;";

#[test]
fn a_wider_table_in_another_order_with_rows_of_others_is_used_as_it_is() {
    let crm = Crm { postgres: Postgres::start_unmigrated(), ..Crm::start() };
    let wide: String = (0..60).map(|n| format!(", extra_{n} text NOT NULL DEFAULT 'x'")).collect();
    crm.postgres.execute(&format!(
        "CREATE SCHEMA \"The CRM\";
         CREATE TABLE \"The CRM\".cron_job (
             updated_at timestamptz DEFAULT now(), metadata jsonb NOT NULL DEFAULT '[]', next_run timestamptz,
             last_run timestamptz, function_name text NOT NULL, schedule text NOT NULL, is_active boolean,
             name varchar(255) NOT NULL, tenant_id uuid, created_at timestamptz,
             id uuid PRIMARY KEY DEFAULT gen_random_uuid(){wide});
         INSERT INTO \"The CRM\".cron_job (name, schedule, function_name, is_active, next_run)
         SELECT 'theirs ' || n, 'every_5_minutes', 'theirs', n % 2 = 0, 'infinity' FROM generate_series(1, 30) AS n;
         ALTER DATABASE {} SET search_path = \"The CRM\", public",
        crm.postgres.value::<String>("SELECT current_database()::text")
    ));
    migrate(&crm.postgres);
    let _sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
    assert_eq!(crm.postgres.value::<i64>("SELECT count(*) FROM cron_job WHERE last_run IS NOT NULL"), 1);
    assert_eq!(crm.postgres.value::<i64>("SELECT count(*) FROM cron_job WHERE next_run = 'infinity'"), 30);
    let cron = crm.cron(&["list"]);
    assert!(String::from_utf8(cron.stdout).unwrap().contains("theirs 30"));
}

#[test]
fn a_table_with_times_that_have_no_zone_and_with_json_is_used_as_it_is() {
    let crm = Crm::start();
    crm.postgres.execute(
        "ALTER TABLE cron_job ALTER last_run TYPE timestamp, ALTER next_run TYPE timestamp,
             ALTER updated_at TYPE timestamp, ALTER metadata DROP DEFAULT, ALTER metadata TYPE json",
    );
    let _sidecar = crm.sidecar();
    crm.postgres.execute(&format!("UPDATE cron_job SET next_run = now() AT TIME ZONE 'UTC' WHERE {OURS}"));
    assert_eventually!(crm.outcome() == "success", "it has run");
    assert!(crm.postgres.value::<bool>(
        "SELECT abs(extract(epoch FROM last_run - now() AT TIME ZONE 'UTC')) < 600 FROM cron_job"
    ));
    let set = crm.cron(&["set", "hourly"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

#[test]
fn migrating_leaves_a_row_that_is_there_as_it_is() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(
        "CREATE TABLE cron_job (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, name text NOT NULL,
             schedule text NOT NULL, function_name text NOT NULL, is_active boolean DEFAULT true,
             last_run timestamptz, next_run timestamptz, metadata jsonb, created_at timestamptz,
             updated_at timestamptz);
         INSERT INTO cron_job (name, schedule, function_name, is_active)
         VALUES ('Nightly', 'every_6_hours', 'warmDashboardBundleCache', false)",
    );
    let before = job(&mut postgres.client(), OURS);
    migrate(&postgres);
    migrate(&postgres);
    assert_eq!(job(&mut postgres.client(), OURS), before);
}

#[test]
fn migrating_again_adds_no_second_row() {
    let crm = Crm::start();
    crm.postgres.execute("UPDATE cron_job SET is_active = false");
    let before = crm.job();
    migrate(&crm.postgres);
    assert_eq!(crm.job(), before);
}

#[test]
fn a_table_that_wants_more_of_a_row_does_not_keep_the_rest_from_being_migrated() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(
        "CREATE TABLE cron_job (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, name text NOT NULL,
             schedule text NOT NULL, function_name text NOT NULL, is_active boolean, last_run timestamptz,
             next_run timestamptz, metadata jsonb, created_at timestamptz, updated_at timestamptz,
             owner_email text NOT NULL)",
    );
    let mut command = Sidecar::command(&["migrate"], &postgres.url());
    let output = harness::run(&mut command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("owner_email") && said.contains("cron enable"), "{said}");
    assert_eq!(postgres.value::<i64>("SELECT count(*) FROM cron_job"), 0);
    assert!(postgres.value::<bool>("SELECT to_regprocedure('dashboard.bundle(text,boolean)') IS NOT NULL"));
}

#[test]
fn a_role_with_no_more_than_the_rights_named_runs_the_schedule() {
    let crm = Crm::start();
    crm.postgres.execute(&format!(
        "CREATE ROLE runs_the_schedule LOGIN;{}",
        RIGHTS.replace('@', "runs_the_schedule")
    ));
    let _sidecar = crm.builder().database(url_of(&crm, "runs_the_schedule")).start();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
}

#[test]
fn a_role_that_lacks_a_right_serves_without_the_schedule_and_says_once_what_it_lacks() {
    let crm = Crm::start();
    crm.postgres.execute(&format!(
        "CREATE ROLE only_reads LOGIN;{} REVOKE UPDATE (next_run) ON cron_job FROM only_reads;
         REVOKE DELETE ON dashboard.lease FROM only_reads",
        RIGHTS.replace('@', "only_reads")
    ));
    let sidecar = crm.builder().database(url_of(&crm, "only_reads")).start();
    crm.make_due();
    let complaint = "UPDATE (next_run) ON public.cron_job, DELETE ON dashboard.lease";
    assert_eventually!(lines_with(&sidecar, complaint) == 1, "it says so");
    crm.wait_for_looks(300);
    assert_eq!(sidecar.public().get("/readyz").status, 200, "it serves all the same");
    crm.postgres.execute(
        "GRANT UPDATE (next_run) ON cron_job TO only_reads; GRANT DELETE ON dashboard.lease TO only_reads",
    );
    assert_eventually!(crm.outcome() == "success", "with the right, it runs");
    assert_eq!((lines_with(&sidecar, complaint), lines_with(&sidecar, "the schedule runs")), (1, 1));
}

#[test]
fn a_policy_that_hides_rows_is_an_error_and_not_an_empty_schedule() {
    let crm = Crm::start();
    crm.postgres.execute(&format!(
        "CREATE ROLE sees_nothing LOGIN;{} ALTER TABLE cron_job ENABLE ROW LEVEL SECURITY",
        RIGHTS.replace('@', "sees_nothing")
    ));
    let sidecar = crm.builder().database(url_of(&crm, "sees_nothing")).start();
    crm.make_due();
    assert_eventually!(lines_with(&sidecar, "row-level security") == 1, "it says so");
    assert_eq!(lines_with(&sidecar, "grant the role BYPASSRLS"), 1);
    crm.postgres.execute("ALTER ROLE sees_nothing BYPASSRLS");
    assert_eventually!(crm.outcome() == "success", "with the right, it runs");
}

#[test]
fn a_database_that_was_not_migrated_is_named_and_then_followed() {
    let crm = Crm { postgres: Postgres::start_unmigrated(), ..Crm::start() };
    let sidecar = crm.sidecar();
    assert_eventually!(lines_with(&sidecar, "run 'dashboard-sidecar migrate'") == 1, "it says so");
    migrate(&crm.postgres);
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it runs");
}

#[test]
fn a_row_that_somebody_keeps_locked_does_not_keep_others_from_running() {
    let crm = Crm::start();
    crm.postgres.execute(
        "UPDATE cron_job SET next_run = now() - interval '1 minute';
         INSERT INTO cron_job (name, schedule, function_name, next_run)
         VALUES ('other', 'daily', 'warmDashboardBundleCache', now())",
    );
    let mut client = crm.postgres.client();
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("SELECT FROM cron_job WHERE name LIKE 'Warm%' FOR UPDATE").unwrap();
    let sidecar = crm.sidecar();
    let mut other = crm.postgres.client();
    assert_eventually!(job(&mut other, "name = 'other'")["metadata"]["outcome"] == "success", "it runs");
    assert_eq!(job(&mut other, "name LIKE 'Warm%'")["last_run"], Value::Null);
    assert_eq!(lines_with(&sidecar, "cannot be looked after"), 0, "it was not waited for");
    transaction.rollback().unwrap();
    assert_eventually!(
        job(&mut other, "name LIKE 'Warm%'")["metadata"]["outcome"] == "success",
        "then that one"
    );
}

#[test]
fn however_many_rows_are_others_our_own_is_run_and_found() {
    let crm = Crm::start();
    crm.postgres.execute(
        "INSERT INTO cron_job (name, schedule, function_name, is_active, next_run)
         SELECT 'theirs ' || n, 'daily', 'theirs', n % 2 = 0, CASE WHEN n % 3 = 0 THEN now() - interval '1 year' END
         FROM generate_series(1, 1200) AS n",
    );
    let _sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
    let enabled = crm.cron(&["enable"]);
    assert!(enabled.status.success(), "{enabled:?}");
    let ours = format!("SELECT count(*) FROM cron_job WHERE {OURS}");
    assert_eq!(crm.postgres.value::<i64>(&ours), 1, "none is added beside the one that is there");
}

#[test]
fn times_without_a_zone_and_text_for_metadata_are_used_as_they_are() {
    let crm = Crm { postgres: Postgres::start_unmigrated(), ..Crm::start() };
    crm.postgres.execute(
        "CREATE TABLE cron_job (id serial PRIMARY KEY, tenant_id text, name varchar(99) NOT NULL,
             schedule varchar(99) NOT NULL, function_name varchar(99) NOT NULL, is_active boolean DEFAULT true,
             last_run timestamp, next_run timestamp, metadata json, created_at timestamp DEFAULT now(),
             updated_at timestamp DEFAULT now())",
    );
    migrate(&crm.postgres);
    let _sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
    for arguments in [&["set", "hourly"][..], &["disable"], &["enable"], &["run"], &["list"]] {
        let said = crm.cron(arguments);
        assert!(said.status.success(), "{arguments:?}: {said:?}");
    }
}
