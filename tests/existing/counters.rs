//! Counters on such a CRM: enabled by its owner, exact whatever is written by whom and through what, and computed from and
//! fed by roles with the rights that are documented and no others.

use harness::{Sidecar, assert_eventually, run_ok};
use postgres::Client;

use super::crm::Crm;
use crate::figures::{EMPTY, ONE, OTHER, assert_every_figure, bundle};

/// What `migrations/V2__dashboard.sql` and `V6__counters.sql` grant to a role that computes.
const COMPUTES: &str = "
    GRANT USAGE ON SCHEMA dashboard, crm TO @; GRANT SELECT ON dashboard.schema_history TO @;
    GRANT SELECT ON tenant, contacts, accounts, leads, opportunities, activities TO @;
    GRANT SELECT ON dashboard.delta, dashboard.counter, dashboard.uncounted, dashboard.counters, dashboard.feed TO @;
    ALTER ROLE @ BYPASSRLS;";

/// What `V6__counters.sql` and `V7__locks.sql` grant to a role that feeds.
const FEEDS: &str = "
    GRANT USAGE ON SCHEMA dashboard TO @; GRANT SELECT ON dashboard.schema_history TO @;
    GRANT SELECT, INSERT, UPDATE, DELETE ON dashboard.delta, dashboard.counter, dashboard.uncounted, dashboard.pending, dashboard.counters,
        dashboard.feed, dashboard.lease TO @;
    GRANT SELECT, UPDATE ON dashboard.lock TO @;";

fn with_counters() -> Crm {
    let crm = Crm::start();
    for arguments in [&["migrate"][..], &["counters", "enable"]] {
        let done = crm.run(&crm.owner, arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }
    crm
}

/// A role of this database's own with these rights.
fn role(crm: &Crm, name: &str, rights: &str) -> String {
    let role = format!("{name}_of_{}", crm.postgres.value::<String>("SELECT current_database()::text"));
    crm.postgres.execute(&format!("CREATE ROLE {role} LOGIN; {}", rights.replace('@', &role)));
    role
}

/// The counted bundles of everybody and all together, with test data and without, against the tables, byte for byte.
#[track_caller]
fn assert_exact(client: &mut Client, after: &str) {
    let ready: bool = client.query_one("SELECT ready FROM dashboard.counters", &[]).unwrap().get(0);
    assert!(ready, "the counters are in use");
    let rows = client
        .query(
            "SELECT name, flag, dashboard.bundle(name, flag)::text, dashboard.bundle_from_tables(name, flag)::text
             FROM (SELECT id::text FROM crm.tenant UNION SELECT unnest($1::text[])) AS names(name),
                  unnest(ARRAY[true, false]) AS flag",
            &[&vec![ONE, OTHER, EMPTY, "SUPERADMIN_GLOBAL", "nobody"]],
        )
        .unwrap();
    for row in rows {
        let (name, flag): (String, bool) = (row.get(0), row.get(1));
        let (counted, direct): (Option<String>, Option<String>) = (row.get(2), row.get(3));
        assert_eq!(counted, direct, "{name} include={flag} after {after}");
    }
}

/// Does each of these, and merges after every other; exact after each, before and after merging.
fn assert_exact_after_each(crm: &Crm, role: &str, statements: &[&str]) {
    let mut writer = crm.client(role);
    writer.batch_execute(&format!("SET app.tenant = '{ONE}'")).unwrap();
    let mut owner = crm.client(&crm.owner);
    let recorded = "SELECT count(*) FROM dashboard.delta WHERE kind <> 'H'";
    for statement in statements {
        let before: i64 = owner.query_one(recorded, &[]).unwrap().get(0);
        writer.batch_execute(statement).unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        let after: i64 = owner.query_one(recorded, &[]).unwrap().get(0);
        assert!(after > before, "nothing was recorded of {statement}");
        assert_exact(&mut owner, statement);
        owner.batch_execute("SELECT dashboard.compact()").unwrap();
        assert_exact(&mut owner, &format!("{statement}, merged"));
    }
}

fn assert_verified(crm: &Crm) {
    let verified = crm.run(&crm.owner, &["counters", "verify", "--check"]);
    assert!(verified.status.success(), "{verified:?}");
}

const HALF_THE_LEADS: &str =
    "tenant_id = '11111111-1111-4111-8111-111111111111' AND id < '80000000-0000-4000-8000-000000000000'";

#[test]
fn the_owner_enables_counters_and_they_are_what_the_tables_say() {
    let crm = with_counters();
    let mut owner = crm.client(&crm.owner);
    assert_exact(&mut owner, "enabling");
    let sidecar = Sidecar::on(&crm.url(&crm.owner));
    let mut client = crm.postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    for tenant in [ONE, OTHER, EMPTY, "SUPERADMIN_GLOBAL"] {
        for include in [true, false] {
            assert_every_figure(&mut client, &bundle(&sidecar, tenant, include), tenant, include);
        }
    }
    let triggers = "SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgname !~ '^dashboard_'";
    let theirs: String = crm.postgres.value(triggers);
    let disabled = crm.run(&crm.owner, &["counters", "disable"]);
    assert!(disabled.status.success(), "{disabled:?}");
    assert_eq!(crm.postgres.value::<String>(triggers), theirs, "nothing but ours was removed");
    let ours = "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^dashboard_'";
    assert_eq!(crm.postgres.value::<i64>(ours), 0);
}

#[test]
fn counters_stay_exact_through_whatever_the_owner_writes() {
    let crm = with_counters();
    assert_exact_after_each(
        &crm,
        &crm.owner,
        &[
            // A BEFORE trigger stores another source and another status than these.
            &format!(
                "INSERT INTO leads (tenant_id, source, status, created_date) SELECT '{ONE}', 'Web', s, now() \
                      FROM unnest(ARRAY['dead', 'new', NULL]) AS s"
            ),
            &format!("UPDATE leads SET status = 'dead' WHERE {HALF_THE_LEADS}"),
            // And another does not store some rows.
            &format!(
                "INSERT INTO contacts (tenant_id, first_name) VALUES ('{ONE}', 'spam'), ('{ONE}', 'Ann'), (NULL, 'Bob')"
            ),
            // An AFTER trigger of theirs writes activities.
            &format!(
                "UPDATE opportunities SET stage = 'won' WHERE tenant_id = '{OTHER}' AND stage = 'proposal'"
            ),
            "UPDATE opportunities SET amount = -amount, is_test_data = NOT is_test_data WHERE amount <> 'NaN'",
            "UPDATE opportunities SET stage = NULL, amount = NULL WHERE stage = 'WON'",
            &format!(
                "UPDATE accounts SET tenant_id = CASE WHEN tenant_id IS NULL THEN '{ONE}'::uuid END WHERE id < '80000000-0000-4000-8000-000000000000'"
            ),
            &format!(
                "INSERT INTO contacts (tenant_id, email) VALUES ('{ONE}', 'a'), ('{OTHER}', 'b') ON CONFLICT (email) DO NOTHING"
            ),
            &format!(
                "INSERT INTO contacts (tenant_id, email) VALUES ('{EMPTY}', 'a'), ('{OTHER}', 'c') \
                      ON CONFLICT (email) DO UPDATE SET tenant_id = EXCLUDED.tenant_id, is_test_data = true"
            ),
            &format!(
                "WITH gone AS (DELETE FROM leads WHERE {HALF_THE_LEADS} AND source = 'ä' RETURNING *) \
                      INSERT INTO leads (tenant_id, source) SELECT '{OTHER}', source FROM gone"
            ),
            "BEGIN; DELETE FROM accounts; SAVEPOINT s; DELETE FROM contacts; ROLLBACK TO s; COMMIT",
            // A rename moves no counter, and the list shows it.
            &format!("UPDATE leads SET first_name = 'Renamed' WHERE tenant_id = '{OTHER}'"),
            "TRUNCATE contacts",
            &format!("DELETE FROM tenant WHERE id = '{ONE}'"),
            "TRUNCATE tenant CASCADE",
        ],
    );
    assert_verified(&crm);
}

#[test]
fn counters_stay_exact_whichever_way_a_partition_is_written_to() {
    let crm = with_counters();
    let value = |moment: &str| format!("('{ONE}', 'call', '{moment}', now())");
    let columns = "(tenant_id, type, created_at, created_date)";
    assert_exact_after_each(
        &crm,
        &crm.owner,
        &[
            &format!(
                "INSERT INTO activities {columns} VALUES {}, {}, {}",
                value("2024-05-05"),
                value("2026-05-05"),
                value("infinity")
            ),
            &format!("INSERT INTO activities_now {columns} VALUES {}", value("2026-06-06")),
            &format!("INSERT INTO activities_other {columns} VALUES {}", value("2150-01-01")),
            "UPDATE activities SET created_date = created_date - interval '1 day'",
            "UPDATE activities_now SET created_date = now(), is_test_data = NOT is_test_data",
            // Rows move from partition to partition, and change on the way.
            "UPDATE activities SET created_at = created_at - interval '10 years', is_test_data = true \
             WHERE created_at BETWEEN '2025-01-01' AND '2090-01-01'",
            "UPDATE activities SET created_at = '2026-02-02', created_date = now() WHERE created_at IS NULL OR created_at = 'infinity'",
            &format!(
                "MERGE INTO activities AS a USING (VALUES ('{ONE}'::uuid, '{OTHER}'::uuid)) AS v(old, new) ON a.tenant_id = v.old \
                      WHEN MATCHED AND a.is_test_data THEN UPDATE SET tenant_id = v.new \
                      WHEN MATCHED AND a.subject IS NULL THEN DELETE"
            ),
            &format!(
                "MERGE INTO activities AS a USING (VALUES ('{EMPTY}'::uuid)) AS v(id) ON a.tenant_id = v.id AND false \
                      WHEN NOT MATCHED THEN INSERT {columns} VALUES (v.id, 'merged', '2026-04-04', now())"
            ),
            "DELETE FROM activities_past WHERE created_date < now() - interval '10 days'",
            "DELETE FROM activities WHERE is_test_data",
            "TRUNCATE activities_now",
            &format!(
                "INSERT INTO activities {columns} VALUES {}, {}",
                value("2024-05-05"),
                value("2026-05-05")
            ),
            "TRUNCATE activities_past, activities_other",
            &format!(
                "INSERT INTO activities {columns} VALUES {}, {}, {}",
                value("2024-05-05"),
                value("2026-05-05"),
                value("infinity")
            ),
            "TRUNCATE activities",
        ],
    );
    assert_verified(&crm);
}

#[test]
fn counters_stay_exact_when_merge_moves_rows_to_other_partitions() {
    let crm = with_counters();
    let merge = format!(
        "MERGE INTO activities AS a USING (VALUES ('{ONE}'::uuid, '{OTHER}'::uuid)) AS v(old, new) ON a.tenant_id = v.old"
    );
    assert_verified(&crm);
    assert_exact_after_each(
        &crm,
        &crm.owner,
        &[
            &format!("{merge} WHEN MATCHED THEN UPDATE SET created_at = '2024-03-03'"),
            &format!(
                "{merge} WHEN MATCHED THEN UPDATE SET tenant_id = v.new, created_at = '2026-03-03', created_date = now()"
            ),
            &format!(
                "{merge} WHEN MATCHED AND a.is_test_data THEN DELETE \
                 WHEN MATCHED THEN UPDATE SET tenant_id = v.new, created_at = '2026-03-03' \
                 WHEN NOT MATCHED THEN INSERT (tenant_id, type, created_date) VALUES (v.new, 'merged', now())"
            ),
        ],
    );
}

#[test]
fn a_partition_that_is_made_later_is_counted_by_itself_too() {
    let crm = with_counters();
    let values = "(tenant_id, type, created_at, created_date) VALUES";
    assert_exact_after_each(
        &crm,
        &crm.owner,
        &[
            &format!(
                "CREATE TABLE activities_later PARTITION OF activities FOR VALUES FROM ('2100-01-01') TO ('2101-01-01'); \
                      INSERT INTO activities_later {values} ('{ONE}', 'call', '2100-02-02', now())"
            ),
            &format!("INSERT INTO activities {values} ('{ONE}', 'call', '2100-02-02', now())"),
            "UPDATE activities_later SET is_test_data = true",
            "DELETE FROM activities_later",
        ],
    );
    // What a TRUNCATE takes away is told by a trigger that no partition gets by itself.
    let rebuilt = crm.run(&crm.owner, &["counters", "rebuild"]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert_exact_after_each(
        &crm,
        &crm.owner,
        &[
            &format!("INSERT INTO activities_later {values} ('{ONE}', 'call', '2100-02-02', now())"),
            "TRUNCATE activities_later",
        ],
    );
    assert_verified(&crm);
}

#[test]
fn counters_stay_exact_through_copies_into_a_table_its_parent_and_a_partition() {
    use std::io::Write as _;
    let crm = with_counters();
    let mut owner = crm.client(&crm.owner);
    for (table, line) in [
        (
            "leads (tenant_id, source, status, created_date)",
            format!("{ONE}\tWeb\tdead\t2026-01-01\n{OTHER}\t\\N\t\\N\tinfinity\n"),
        ),
        (
            "activities (tenant_id, type, created_at, created_date)",
            format!("{ONE}\tcall\t2024-01-01\t2026-01-01\n{ONE}\tcall\t2026-01-01\tinfinity\n"),
        ),
        (
            "activities_now (tenant_id, type, created_at, created_date)",
            "\\N\tcall\t2026-01-01\tinfinity\n".to_owned(),
        ),
    ] {
        let mut copy = owner.copy_in(&format!("COPY {table} FROM STDIN")).unwrap();
        copy.write_all(line.as_bytes()).unwrap();
        copy.finish().unwrap();
        assert_exact(&mut owner, table);
    }
}

#[test]
fn an_application_role_that_policies_confine_is_counted_without_a_right_in_our_schema() {
    let crm = with_counters();
    let mut application = crm.client(&crm.application);
    let refused = application.batch_execute("SELECT FROM dashboard.delta").unwrap_err();
    assert!(format!("{refused:?}").contains("permission denied"), "{refused:?}");
    assert_exact_after_each(
        &crm,
        &crm.application,
        &[
            &format!("INSERT INTO leads (tenant_id, source) VALUES ('{ONE}', 'Web')"),
            // Of the tables only its own tenant's rows, though it names none.
            "UPDATE leads SET status = 'lost'",
            "UPDATE opportunities SET stage = 'won'",
            "UPDATE activities SET created_at = '2026-02-02', created_date = now()",
            "DELETE FROM activities_now WHERE type = 'follow-up'",
            &format!(
                "MERGE INTO contacts AS c USING (VALUES (1)) AS v(x) ON c.tenant_id = '{ONE}' \
                      WHEN MATCHED THEN UPDATE SET is_test_data = NOT COALESCE(is_test_data, false)"
            ),
            "DELETE FROM accounts",
            "TRUNCATE activities_past",
            "TRUNCATE leads CASCADE",
        ],
    );
    assert_verified(&crm);
    let others: i64 =
        crm.postgres.value(&format!("SELECT count(*) FROM contacts WHERE tenant_id = '{OTHER}'"));
    assert!(others > 0, "it was confined");
}

#[test]
fn a_role_that_only_reads_computes_from_counters() {
    let crm = with_counters();
    let computes = role(&crm, "computes", COMPUTES);
    crm.client(&crm.owner)
        .batch_execute(&format!("UPDATE leads SET source = 'changed' WHERE {HALF_THE_LEADS}"))
        .unwrap();
    let mut client = crm.client(&computes);
    assert_exact(&mut client, "an update");
    assert!(client.batch_execute("DELETE FROM dashboard.counter").is_err());
    assert!(
        client.query("SELECT * FROM dashboard.bundles(ARRAY[$1])", &[&ONE]).unwrap()[0]
            .get::<_, Option<String>>("version")
            .is_some()
    );
    assert!(
        client
            .query_one("SELECT dashboard.version($1)", &[&ONE])
            .unwrap()
            .get::<_, Option<String>>(0)
            .is_some()
    );

    let sidecar = Sidecar::on(&crm.url(&computes));
    let mut client = crm.postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    for tenant in [ONE, "SUPERADMIN_GLOBAL"] {
        assert_every_figure(&mut client, &bundle(&sidecar, tenant, true), tenant, true);
    }
}

#[test]
fn a_role_that_touches_only_our_schema_merges() {
    let crm = with_counters();
    let feeds = role(&crm, "feeds", FEEDS);
    crm.client(&crm.owner).batch_execute("UPDATE leads SET source = 'changed'").unwrap();
    let mut client = crm.client(&feeds);
    assert!(client.batch_execute("SELECT FROM crm.leads").is_err());
    let merged: i64 = client.query_one("SELECT merged FROM dashboard.compact(1000)", &[]).unwrap().get(0);
    assert!(merged > 0);
    let waiting: i64 = client.query_one("SELECT count(*) FROM dashboard.pending", &[]).unwrap().get(0);
    assert_eq!(waiting, 4, "three tenants, and all together");
    assert_exact(&mut crm.client(&crm.owner), "merging");
}

#[test]
fn policies_that_are_forced_on_the_owner_are_an_error_and_not_wrong_counters() {
    let crm = Crm::start();
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    crm.postgres.execute("ALTER TABLE opportunities FORCE ROW LEVEL SECURITY");
    let refused = crm.run(&crm.owner, &["counters", "enable"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("row-level security"), "{said}");
    assert!(!crm.postgres.value::<bool>("SELECT ready FROM dashboard.counters"));
    crm.postgres.execute(&format!("ALTER ROLE {} BYPASSRLS", crm.owner));
    let enabled = crm.run(&crm.owner, &["counters", "enable"]);
    assert!(enabled.status.success(), "{enabled:?}");
    assert_exact(&mut crm.client(&crm.owner), "enabling");
}

#[test]
fn enabling_does_not_keep_writers_waiting_behind_a_long_transaction() {
    let crm = Crm::start();
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    let (mut long, mut other) = (crm.client(&crm.owner), crm.client(&crm.owner));
    let insert = format!("INSERT INTO %s (tenant_id, type) VALUES ('{ONE}', 'call')");
    // A partition: the lock on it is one of many that the whole table takes.
    long.batch_execute(&format!("BEGIN; {}", insert.replace("%s", "activities_now"))).unwrap();
    let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                 WHERE application_name = 'dashboard-sidecar counters' AND NOT granted
                   AND relation = 'crm.activities_now'::regclass)";
    // Behind somebody who waits for as long as it takes, this would not come to an end.
    other.batch_execute("SET statement_timeout = '10s'").unwrap();
    std::thread::scope(|scope| {
        let enabling = scope.spawn(|| crm.run(&crm.owner, &["counters", "enable"]));
        for _ in 0..3 {
            assert_eventually!(crm.postgres.value::<bool>(waits), "it wants the partition");
            other.batch_execute(&insert.replace("%s", "activities_now")).unwrap();
            other
                .batch_execute(
                    &insert
                        .replace("%s", "activities_past")
                        .replace("type", "created_at, type")
                        .replace("'call'", "'2020-01-01', 'call'"),
                )
                .unwrap();
        }
        long.batch_execute("COMMIT").unwrap();
        let enabled = enabling.join().unwrap();
        assert!(enabled.status.success(), "{enabled:?}");
    });
    assert_exact(&mut other, "enabling among writers");
}

/// Undoes the migration of the counters, so far that it can be applied again.
pub(crate) const WITHOUT_COUNTERS: &str = "
    DELETE FROM dashboard.schema_history WHERE version >= 6;
    DROP TABLE dashboard.lock, dashboard.delta, dashboard.counter, dashboard.uncounted, dashboard.pending, dashboard.counters, dashboard.feed CASCADE;
    DROP FUNCTION dashboard.bundle(text, boolean), dashboard.bundles(text[]);
    ALTER FUNCTION dashboard.bundle_from_tables RENAME TO bundle;
    ALTER FUNCTION dashboard.bundles_from_tables RENAME TO bundles;
    DO $$
    DECLARE
        newer regprocedure;
    BEGIN
        FOR newer IN SELECT oid FROM pg_proc WHERE pronamespace = 'dashboard'::regnamespace
                     AND proname NOT IN ('bundle', 'bundles', 'active_tenants', 'tenants', 'cron_job_table') LOOP
            EXECUTE format('DROP FUNCTION %s', newer);
        END LOOP;
    END
    $$;";

#[test]
fn a_role_that_was_set_up_before_there_were_counters_goes_on_computing() {
    let crm = Crm::start();
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    crm.postgres.execute(WITHOUT_COUNTERS);
    let before = COMPUTES.lines().filter(|line| !line.contains("dashboard.counters")).collect::<String>();
    let computes = role(&crm, "computed", &before);
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    let mut client = crm.client(&computes);
    client.query_one("SELECT dashboard.bundle($1, true)", &[&ONE]).unwrap();
    run_ok(&mut Sidecar::command(&["counters", "enable"], &crm.url(&crm.owner)));
    assert_exact(&mut client, "enabling");
}

#[test]
fn a_bundle_that_somebody_has_changed_by_a_word_is_left_alone_and_has_no_counters() {
    let crm = Crm::start();
    let text = "SELECT prosrc FROM pg_proc WHERE oid = 'dashboard.bundle(text, boolean)'::regprocedure";
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    crm.postgres.execute(WITHOUT_COUNTERS);
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    assert!(crm.postgres.value::<String>(text).contains("bundle_from_tables"), "ours is replaced");

    crm.postgres.execute(WITHOUT_COUNTERS);
    crm.postgres.execute(
        "DO $$BEGIN EXECUTE replace(pg_get_functiondef('dashboard.bundle(text, boolean)'::regprocedure),
                                    'converted', 'CONVERTED'); END$$",
    );
    let own: String = crm.postgres.value(text);
    let checked = crm.run(&crm.owner, &["migrate", "--check"]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("would leave dashboard.bundle(text, boolean) alone"), "{said}");
    run_ok(&mut Sidecar::command(&["migrate"], &crm.url(&crm.owner)));
    assert_eq!(crm.postgres.value::<String>(text), own);
    let refused = crm.run(&crm.owner, &["counters", "enable"]);
    assert!(!refused.status.success(), "{refused:?}");
}
