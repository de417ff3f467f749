//! Tables that are written anew while a bundle waits for them: TRUNCATE and some kinds of ALTER TABLE leave them empty for every snapshot
//! from before, and what is computed from such a snapshot would be zeros, or a tenant that does not exist.

use std::thread;

use harness::{Postgres, Response, Sidecar, assert_eventually, run_ok};
use serde_json::{Value, json};

const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const ETAG: &str = "00112233445566778899aabbccddeeff";

const ROWS: &str = "
    INSERT INTO tenant (id, tenant_id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'one', 'One');
    INSERT INTO contacts (tenant_id) SELECT id FROM tenant, generate_series(1, 3);
    INSERT INTO leads (tenant_id, first_name, source, created_date)
        SELECT id, 'Lead ' || n, 'website', now() - n * interval '12 hours' FROM tenant, generate_series(1, 100) AS n;
    INSERT INTO opportunities (tenant_id, name, stage, amount) SELECT id, 'Deal', 'won', n FROM tenant, generate_series(1, 9) AS n;
    INSERT INTO activities (tenant_id, type, created_date) SELECT id, 'call', now() FROM tenant, generate_series(1, 20)";

/// What writes each of the tables anew without changing what a bundle shows.
const REWRITES: [&str; 6] = [
    "ALTER TABLE leads ALTER COLUMN company TYPE varchar(500)",
    "ALTER TABLE opportunities SET UNLOGGED",
    "CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE activities; TRUNCATE activities; INSERT INTO activities TABLE kept",
    "CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE leads; TRUNCATE leads; INSERT INTO leads TABLE kept",
    "ALTER TABLE tenant ALTER COLUMN tenant_id TYPE varchar(100)",
    // Another table takes the place of this one.
    "CREATE TABLE newer (LIKE contacts INCLUDING ALL); INSERT INTO newer TABLE contacts; ALTER TABLE contacts RENAME TO older; \
     ALTER TABLE newer RENAME TO contacts; DROP TABLE older",
];

fn start(counted: bool) -> (Postgres, Sidecar) {
    let postgres = Postgres::start();
    postgres.execute(ROWS);
    if counted {
        run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
    }
    let sidecar = Sidecar::on(&postgres.url());
    (postgres, sidecar)
}

/// Asks while a table is written anew, and returns what is answered once that has been committed.
fn ask_while_rewriting<T: Send>(postgres: &Postgres, rewrite: &str, ask: impl FnOnce() -> T + Send) -> T {
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'dashboard-sidecar compute' AND wait_event_type = 'Lock')";
    let mut owner = postgres.client();
    owner.batch_execute(&format!("BEGIN; {rewrite}")).unwrap_or_else(|e| panic!("{rewrite}: {e:?}"));
    thread::scope(|scope| {
        let asked = scope.spawn(ask);
        assert_eventually!(postgres.value(waits), "what is asked waits for the table");
        owner.batch_execute("COMMIT").unwrap();
        asked.join().unwrap()
    })
}

fn alone(sidecar: &Sidecar) -> Response {
    sidecar.internal().get(&format!("/internal/v1/bundle?tenant={TENANT}&include_test_data=true"))
}

fn batch(sidecar: &Sidecar, known: Option<&str>) -> Value {
    let mut bundle = json!({"tenant_id": TENANT, "include_test_data": true});
    if let Some(version) = known {
        bundle["known"] = json!({"etag": ETAG, "version": version});
    }
    let body = json!({ "bundles": [bundle] }).to_string();
    sidecar.internal().post("/internal/v1/bundles", &body).lines().swap_remove(0)
}

fn content(mut bundle: Value) -> Value {
    bundle.as_object_mut().unwrap_or_else(|| panic!("no bundle")).remove("meta");
    bundle
}

fn assert_a_rewrite_changes_nothing(counted: bool) {
    let (postgres, sidecar) = start(counted);
    let before = content(alone(&sidecar).json());
    assert_eq!(before["lists"]["recentLeads"].as_array().map(Vec::len), Some(50), "{before}");
    for rewrite in REWRITES {
        // A table that has come in the place of another has no triggers: counters know nothing of it.
        if counted && rewrite.contains("RENAME") {
            continue;
        }
        let during = ask_while_rewriting(&postgres, rewrite, || alone(&sidecar));
        assert_eq!(during.status, 200, "{rewrite}: {}", during.text());
        assert_eq!(content(during.json()), before, "{rewrite}");
        let during = ask_while_rewriting(&postgres, &again(rewrite), || batch(&sidecar, None));
        assert_eq!(content(during), before, "{rewrite}, in a batch");
    }
}

/// The same in the other direction, where it can be done once only.
fn again(rewrite: &str) -> String {
    rewrite
        .replace("TYPE varchar(500)", "TYPE text")
        .replace("TYPE varchar(100)", "TYPE text")
        .replace("UNLOGGED", "LOGGED")
}

#[test]
fn a_bundle_from_the_tables_shows_what_is_in_a_table_that_was_written_anew_meanwhile() {
    assert_a_rewrite_changes_nothing(false);
}

#[test]
fn a_bundle_from_counters_shows_what_is_in_a_table_that_was_written_anew_meanwhile() {
    assert_a_rewrite_changes_nothing(true);
}

#[test]
fn no_tenant_is_missing_from_the_lists_of_tenants_while_their_table_is_written_anew() {
    let rewrite = "ALTER TABLE tenant ALTER COLUMN name TYPE varchar(500)";
    let (postgres, sidecar) = start(false);
    let listed =
        ask_while_rewriting(&postgres, rewrite, || sidecar.internal().get("/internal/v1/tenants").json());
    assert!(listed.to_string().contains(TENANT), "{listed}");
    let found = ask_while_rewriting(&postgres, &again(rewrite), || {
        sidecar.public().get("/api/tenants?search=One").json()
    });
    assert!(found.to_string().contains(TENANT), "{found}");
}

#[test]
fn what_has_left_a_window_is_a_change_also_while_the_table_is_written_anew() {
    let (postgres, sidecar) = start(true);
    let version = alone(&sidecar).json()["meta"]["version"].as_str().expect("a version").to_owned();
    assert_eq!(batch(&sidecar, Some(&version))["unchanged"], ETAG, "as long as nothing has left it");
    // As if computed a day ago: leads have left the 30 days since.
    let (state, micros) = version.rsplit_once('.').unwrap();
    let day_ago = format!("{state}.{}", micros.parse::<i64>().unwrap() - 86_400_000_000);
    let line =
        ask_while_rewriting(&postgres, "ALTER TABLE leads SET UNLOGGED", || batch(&sidecar, Some(&day_ago)));
    assert!(line["unchanged"].is_null(), "{line}");
}

#[test]
fn a_migration_that_takes_the_tables_in_another_order_is_not_ended_as_a_deadlock() {
    let (postgres, sidecar) = start(false);
    let mut migration = postgres.client();
    migration.batch_execute("BEGIN; LOCK TABLE leads IN ACCESS EXCLUSIVE MODE").unwrap();
    let waits = "SELECT count(*) > 3 FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'dashboard-sidecar compute' AND wait_event_type = 'Lock'";
    thread::scope(|scope| {
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(|| alone(&sidecar).status)).collect();
        assert_eventually!(postgres.value(waits), "bundles wait for one table, and hold others");
        for table in ["accounts", "contacts", "activities", "tenant", "opportunities"] {
            let taken = migration.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
            assert!(taken.is_ok(), "{table}: {taken:?}");
        }
        migration.batch_execute("COMMIT").unwrap();
        for status in asked {
            assert_eq!(status.join().unwrap(), 200);
        }
    });
}

/// Neither can be locked, and both can be read.
#[test]
fn materialized_views_in_the_place_of_tables_are_read_as_they_are_found() {
    let (postgres, sidecar) = start(false);
    let before = content(alone(&sidecar).json());
    postgres.execute(
        "ALTER TABLE contacts RENAME TO contacts_now; CREATE MATERIALIZED VIEW contacts AS TABLE contacts_now;
         ALTER TABLE tenant RENAME TO tenant_now; CREATE MATERIALIZED VIEW tenant AS TABLE tenant_now",
    );
    let now = alone(&sidecar);
    assert_eq!(now.status, 200, "{}", now.text());
    assert_eq!(content(now.json()), before);
    assert_eq!(
        sidecar.internal().get("/internal/v1/tenants").json(),
        json!({"tenants": [TENANT, "SUPERADMIN_GLOBAL"]})
    );
    // The others are waited for as ever.
    let during = ask_while_rewriting(&postgres, REWRITES[0], || alone(&sidecar));
    assert_eq!(content(during.json()), before);
}
