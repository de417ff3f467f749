//! What chance would take long to find: known interleavings, and what every change must do to a version.

use std::thread;

use harness::{Sidecar, assert_eventually, run};

use super::tables::{self, Variant};
use crate::figures::{EMPTY, ONE, OTHER};

/// A table that has been truncated is empty for a snapshot from before, too; the change that says so is not in it.
#[test]
fn a_truncate_that_verify_or_rebuild_has_waited_for_is_counted_once() {
    for command in ["verify", "rebuild"] {
        let postgres = tables::create(Variant::Plain);
        let mut writer = postgres.client();
        writer.batch_execute("BEGIN; TRUNCATE leads").unwrap();
        let url = postgres.url();
        let running = thread::spawn(move || run(&mut Sidecar::command(&["counters", command], &url)));
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                       (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eventually!(postgres.value::<i64>(waiting) > 0, "it waits for the table");
        writer.batch_execute("COMMIT").unwrap();
        let output = running.join().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        for tenant in [ONE, "SUPERADMIN_GLOBAL"] {
            let leads = format!("(dashboard.bundle('{tenant}', true) #>> '{{stats,totalLeads}}')::int");
            assert_eq!(postgres.value::<i32>(&format!("SELECT {leads}")), 0, "{command}, {tenant}");
        }
    }
}

#[test]
fn a_tenant_that_is_gone_or_never_was_has_not_stayed_the_same() {
    let postgres = tables::create(Variant::Plain);
    let version: String = postgres.value(&format!("SELECT dashboard.version('{EMPTY}')"));
    let unchanged = |tenant: &str| -> Vec<bool> {
        postgres.value(&format!("SELECT dashboard.unchanged(ARRAY['{tenant}'], ARRAY['{version}'])"))
    };
    assert_eq!(unchanged(EMPTY), [true]);
    assert_eq!(unchanged("no tenant at all"), [false]);
    postgres.execute(&format!("DELETE FROM tenant WHERE id = '{EMPTY}'"));
    assert_eq!(unchanged(EMPTY), [false]);
}

/// Statements that change rows of the tenant `@`, whether or not a figure or a list shows it.
const CHANGES: [&str; 12] = [
    "UPDATE leads SET first_name = 'another' WHERE tenant_id = '@'",
    "UPDATE leads SET first_name = first_name WHERE tenant_id = '@'",
    "INSERT INTO contacts (tenant_id) VALUES ('@')",
    "UPDATE contacts SET created_date = now() WHERE tenant_id = '@'",
    "DELETE FROM contacts WHERE tenant_id = '@'",
    "INSERT INTO activities (tenant_id, type) VALUES ('@', 'call')",
    "UPDATE activities SET tenant_id = NULL WHERE tenant_id = '@'",
    "UPDATE activities SET tenant_id = '@' WHERE tenant_id IS NULL",
    "UPDATE opportunities SET amount = amount + 1 WHERE tenant_id = '@'",
    "UPDATE tenant SET name = 'another' WHERE id = '@'",
    "TRUNCATE leads",
    "WITH gone AS (DELETE FROM opportunities WHERE tenant_id = '@') SELECT 1",
];

#[test]
fn every_committed_change_changes_its_tenants_version_and_nobody_elses() {
    let postgres = tables::create(Variant::Plain);
    let mut client = postgres.client();
    let mut rows_of = |tenant: &str| -> String {
        let version: String = client.query_one("SELECT dashboard.version($1)", &[&tenant]).unwrap().get(0);
        version.rsplit_once('.').expect("rows, then time").0.to_owned()
    };
    for change in CHANGES {
        let change = change.replace('@', ONE);
        let before = [ONE, "SUPERADMIN_GLOBAL", OTHER].map(&mut rows_of);
        postgres.execute(&format!("BEGIN; {change}; ROLLBACK"));
        assert_eq!([ONE, "SUPERADMIN_GLOBAL", OTHER].map(&mut rows_of), before, "rolled back: {change}");
        postgres.execute(&change);
        let after = [ONE, "SUPERADMIN_GLOBAL", OTHER].map(&mut rows_of);
        assert!(before[0] != after[0] && before[1] != after[1] && before[2] == after[2], "{change}");
        postgres.execute("SELECT dashboard.compact(1000)");
        assert_eq!([ONE, "SUPERADMIN_GLOBAL", OTHER].map(&mut rows_of), after, "merged: {change}");
    }
}
