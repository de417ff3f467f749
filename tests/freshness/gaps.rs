//! Where something that was acknowledged or committed is lost, or was never recorded, everything is announced.

use std::fs;
use std::path::Path;

use harness::{PostgresServer, assert_eventually, run_ok};

use super::crm::{ALL, TENANTS, name, renaming};
use super::{Scene, cache, lines_with, lists};

/// Where Redis keeps what it has been told.
const FILES: &str = "appendonlydir";

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    run_ok(std::process::Command::new("cp").arg("-r").arg(from).arg(to));
}

fn rename_everywhere(scene: &Scene, to: &str) {
    (0..TENANTS).for_each(|tenant| scene.crm.rename(0, tenant, to));
}

fn assert_listed_everywhere(scene: &Scene, lead: &str) {
    let mut client = scene.client();
    for tenant in (0..TENANTS).map(name).chain([ALL.to_owned()]) {
        assert_eventually!(lists(&mut client, &tenant, true, lead), "{lead} is shown by {tenant}");
        assert_eventually!(lists(&mut client, &tenant, false, lead), "{lead} is shown by {tenant}");
    }
}

#[test]
fn a_redis_that_has_lost_what_it_had_acknowledged_is_told_everything() {
    let mut scene = Scene::start();
    scene.fill();
    let files = scene.redis.socket().parent().unwrap().join(FILES);
    let older = scene.directory.path().join(FILES);
    copy(&files, &older);
    rename_everywhere(&scene, "acknowledged");
    assert_listed_everywhere(&scene, "acknowledged");
    assert_eventually!(scene.crm.is_all_announced(), "Redis has acknowledged all of it");
    scene.redis.process().kill();
    copy(&older, &files);
    scene.redis.start_again();
    assert_listed_everywhere(&scene, "acknowledged");
    assert_eventually!(lines_with(&scene.sidecar, "Redis has been restarted") == 1, "the log says why");
    assert_eventually!(scene.crm.is_followed(), "the gap is closed");
    scene.assert_all_is_seen();
}

#[test]
fn so_it_is_where_that_happened_while_no_sidecar_ran() {
    let mut scene = Scene::start();
    scene.fill();
    let files = scene.redis.socket().parent().unwrap().join(FILES);
    let older = scene.directory.path().join(FILES);
    copy(&files, &older);
    rename_everywhere(&scene, "acknowledged");
    assert_listed_everywhere(&scene, "acknowledged");
    assert_eventually!(scene.crm.is_all_announced(), "Redis has acknowledged all of it");
    scene.sidecar.process().kill();
    scene.redis.process().kill();
    copy(&older, &files);
    scene.redis.start_again();
    scene.follow();
    assert_listed_everywhere(&scene, "acknowledged");
    scene.assert_all_is_seen();
}

/// Writers that do not wait for their commits may lose them in a crash, after a bundle has shown them.
#[test]
fn a_postgres_that_has_lost_what_it_had_committed_is_shown_as_it_is() {
    let mut postgres = PostgresServer::with(&["wal_writer_delay=10s"]);
    let mut scene = Scene::on(&postgres.url(), cache());
    scene.follow();
    scene.fill();
    let mut hasty = scene.crm.client();
    hasty.batch_execute("SET synchronous_commit = off").unwrap();
    for tenant in 0..TENANTS {
        hasty.batch_execute(&renaming(0, tenant, "lost")).unwrap();
    }
    assert_listed_everywhere(&scene, "lost");
    postgres.stop_immediately();
    postgres.start_again();
    // If its log was written just then, nothing is lost: then this is shown as it is.
    scene.assert_all_is_seen();
    // That everything was announced at the beginning may be lost, too: then it is announced for that reason.
    assert_eventually!(lines_with(&scene.sidecar, "may have been missed") >= 2, "it was announced again");
    assert_eventually!(scene.crm.is_followed(), "the gap is closed");
}

#[test]
fn what_has_changed_while_the_counters_were_disabled_is_seen_once_they_are_enabled_again() {
    let scene = Scene::start();
    scene.fill();
    scene.crm.counters("disable");
    rename_everywhere(&scene, "not recorded");
    scene.crm.counters("enable");
    assert_listed_everywhere(&scene, "not recorded");
    scene.assert_all_is_seen();
}

#[test]
fn what_has_changed_while_a_trigger_was_off_is_seen_once_it_is_all_counted_anew() {
    let scene = Scene::start();
    scene.fill();
    scene.crm.execute("ALTER TABLE leads DISABLE TRIGGER dashboard_count_update");
    assert!(!scene.crm.says().1, "the database knows");
    rename_everywhere(&scene, "not recorded");
    scene.crm.counters("rebuild");
    assert_listed_everywhere(&scene, "not recorded");
    scene.assert_all_is_seen();
}
