//! A database whose rows are older than what Redis has been told, as it was restored from a dump.

use std::path::{Path, PathBuf};

use harness::{PostgresServer, assert_eventually, run_ok};

use super::crm::TENANTS;
use super::{Scene, cache, lines_with};

/// On a database of its own, so that it can be replaced.
fn start() -> (PostgresServer, Scene) {
    let postgres = PostgresServer::start();
    postgres.client().batch_execute("CREATE DATABASE crm").unwrap();
    let url = postgres.url_of("crm");
    run_ok(&mut harness::Sidecar::command(&["migrate"], &url));
    let mut scene = Scene::on(&url, cache());
    scene.follow();
    scene.fill();
    (postgres, scene)
}

fn rename_everywhere(scene: &Scene, to: &str) {
    (0..TENANTS).for_each(|tenant| scene.crm.rename(0, tenant, to));
}

fn dump(postgres: &PostgresServer, scene: &Scene, options: &[&str]) -> PathBuf {
    let file = scene.directory.path().join("crm.dump");
    let mut dump = postgres.program("pg_dump");
    dump.args(["-Fc", "-d", &postgres.url_of("crm")]).args(options);
    let output = harness::run(&mut dump);
    assert!(output.status.success(), "{output:?}");
    std::fs::write(&file, output.stdout).unwrap();
    file
}

/// Likewise, with a dump that is older than what everybody has seen.
fn start_and_dump(options: &[&str]) -> (PostgresServer, Scene, PathBuf) {
    let (postgres, scene) = start();
    rename_everywhere(&scene, "in the dump");
    scene.assert_all_is_seen();
    let file = dump(&postgres, &scene, options);
    rename_everywhere(&scene, "after the dump");
    scene.assert_all_is_seen();
    (postgres, scene, file)
}

fn restore(postgres: &PostgresServer, file: &Path, database: &str, options: &[&str]) {
    let mut restore = postgres.program("pg_restore");
    restore.args(options).args(["--exit-on-error", "-d", &postgres.url_of(database)]).arg(file);
    run_ok(&mut restore);
}

/// Puts another database in the place of this one.
fn replace_by(postgres: &PostgresServer, other: &str) {
    let mut client = postgres.client();
    for sql in [
        "ALTER DATABASE crm ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'crm'",
        "ALTER DATABASE crm RENAME TO gone",
        &format!("ALTER DATABASE {other} RENAME TO crm"),
    ] {
        client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
}

#[test]
fn a_dump_that_is_restored_over_the_database_is_shown_as_it_is() {
    let (postgres, scene, file) = start_and_dump(&[]);
    restore(&postgres, &file, "crm", &["--clean", "--if-exists"]);
    assert_eventually!(lines_with(&scene.sidecar, "restored from a dump") > 0, "the log says it");
    scene.assert_all_is_seen();
}

#[test]
fn a_database_that_is_renamed_into_place_is_shown_as_it_is() {
    let (postgres, scene, file) = start_and_dump(&[]);
    postgres.client().batch_execute("CREATE DATABASE older TEMPLATE template0").unwrap();
    restore(&postgres, &file, "older", &[]);
    replace_by(&postgres, "older");
    assert_eventually!(lines_with(&scene.sidecar, "restored from a dump") > 0, "the log says it");
    scene.assert_all_is_seen();
}

/// Every table with its rows, in tables that are kept aside.
const KEEP: &str = "
    CREATE SCHEMA kept;
    CREATE TABLE kept.leads AS TABLE leads; CREATE TABLE kept.counter AS TABLE dashboard.counter;
    CREATE TABLE kept.counters AS TABLE dashboard.counters; CREATE TABLE kept.feed AS TABLE dashboard.feed";

/// The same tables with the rows of then, as `pg_restore --data-only` leaves them.
const BRING_BACK: &str = "
    BEGIN; ALTER TABLE leads DISABLE TRIGGER USER;
    DELETE FROM leads; INSERT INTO leads TABLE kept.leads;
    DELETE FROM dashboard.delta; DELETE FROM dashboard.pending;
    DELETE FROM dashboard.counter; INSERT INTO dashboard.counter TABLE kept.counter;
    DELETE FROM dashboard.counters; INSERT INTO dashboard.counters TABLE kept.counters;
    DELETE FROM dashboard.feed; INSERT INTO dashboard.feed TABLE kept.feed;
    ALTER TABLE leads ENABLE ALWAYS TRIGGER dashboard_count_insert; ALTER TABLE leads ENABLE ALWAYS TRIGGER dashboard_count_update;
    ALTER TABLE leads ENABLE ALWAYS TRIGGER dashboard_count_delete; ALTER TABLE leads ENABLE ALWAYS TRIGGER dashboard_count_truncate;
    COMMIT";

#[test]
fn older_rows_in_the_same_tables_are_noticed_by_how_far_the_feed_had_come() {
    let (_postgres, scene) = start();
    rename_everywhere(&scene, "kept");
    scene.assert_all_is_seen();
    scene.crm.execute(KEEP);
    rename_everywhere(&scene, "after that");
    scene.assert_all_is_seen();
    let beats = "SELECT feed.position > kept.position FROM dashboard.feed, kept.feed AS kept";
    assert_eventually!(scene.crm.value::<bool>(beats), "the feed has gone on");
    scene.crm.execute(BRING_BACK);
    assert_eventually!(
        lines_with(&scene.sidecar, "the tables are older than what Redis has been told") > 0,
        "the log says it"
    );
    scene.assert_all_is_seen();
}

#[test]
fn so_it_is_where_that_happened_while_no_sidecar_ran_as_redis_remembers_it() {
    let (_postgres, mut scene) = start();
    rename_everywhere(&scene, "kept");
    scene.assert_all_is_seen();
    scene.crm.execute(KEEP);
    rename_everywhere(&scene, "after that");
    scene.assert_all_is_seen();
    let beats = "SELECT feed.position > kept.position + 2 FROM dashboard.feed, kept.feed AS kept";
    assert_eventually!(scene.crm.value::<bool>(beats), "the feed has gone on, and has said so");
    scene.sidecar.process().kill();
    scene.crm.execute(BRING_BACK);
    scene.follow();
    assert_eventually!(
        lines_with(&scene.sidecar, "the tables are older than what Redis has been told") > 0,
        "the log says it"
    );
    scene.assert_all_is_seen();
}

/// Its counters are those of the rows from before.
#[test]
fn a_dump_of_the_crm_alone_that_is_restored_over_it_is_shown_as_it_is_and_counted_anew_when_asked() {
    let (postgres, scene, file) = start_and_dump(&["-n", "public"]);
    scene.crm.execute("DELETE FROM contacts");
    scene.assert_all_is_seen();
    restore(&postgres, &file, "crm", &["--clean", "--if-exists"]);
    assert_eventually!(lines_with(&scene.sidecar, "replaced by others") > 0, "the log says it");
    scene.assert_all_is_seen();
    let (says, _) = scene.crm.says();
    assert!(says.contains("other tables than those that were counted") && says.contains("rebuild"), "{says}");

    rename_everywhere(&scene, "recorded by triggers of the dump");
    scene.assert_all_is_seen();
    scene.crm.counters("rebuild");
    let (says, _) = scene.crm.says();
    assert!(says.contains("counters      enabled"), "{says}");
    scene.crm.execute("DELETE FROM contacts WHERE is_test_data");
    scene.assert_all_is_seen();
}

#[test]
fn a_table_that_takes_the_name_of_another_is_shown_as_it_is() {
    let (_postgres, scene) = start();
    scene.crm.execute(
        "BEGIN; ALTER TABLE contacts RENAME TO contacts_before;
         CREATE TABLE contacts (LIKE contacts_before INCLUDING ALL);
         INSERT INTO contacts SELECT * FROM contacts_before LIMIT 10; COMMIT",
    );
    assert_eventually!(lines_with(&scene.sidecar, "replaced by others") > 0, "the log says it");
    scene.assert_all_is_seen();
    let (says, followed) = scene.crm.says();
    assert!(says.contains("not recorded  changes of contacts") && !followed, "{says}");
    scene.crm.counters("rebuild");
    scene.crm.execute("DELETE FROM contacts");
    scene.assert_all_is_seen();
}
