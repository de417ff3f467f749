//! A clock of Postgres that is set: no day is lost, nobody stays out for it, and what was computed by a wrong clock is computed anew.

use std::time::Duration;

use harness::{PostgresServer, assert_eventually};

use super::crm::{TENANTS, every_bundle, name};
use super::{Scene, cache, lines_with, read};

const HOUR: Duration = Duration::from_secs(3600);
const FEEDS: &str = "this sidecar feeds Redis";

/// Leads and activities on each of many days, so that windows have an edge.
fn start() -> (PostgresServer, Scene) {
    let postgres = PostgresServer::with_clock();
    let mut scene = Scene::on(&postgres.url(), cache());
    for tenant in (0..TENANTS).map(name) {
        scene.crm.execute(&format!(
            "INSERT INTO leads (tenant_id, first_name, created_date)
             SELECT '{tenant}', 'of a day', now() - n * interval '1 day' FROM generate_series(0, 45) AS n;
             INSERT INTO activities (tenant_id, type, created_date)
             SELECT '{tenant}', 'call', now() - n * interval '1 day' FROM generate_series(0, 45) AS n"
        ));
    }
    scene.follow();
    scene.fill();
    (postgres, scene)
}

fn is_healthy(scene: &Scene) -> bool {
    let health = scene.sidecar.public().get("/api/system/health");
    health.status == 200 && health.json().to_string().contains(r#""name":"change-feed","status":"ok""#)
}

/// Merges several times, and has everything computed, by whatever the clock shows.
fn work(scene: &Scene, words: &str) {
    for round in 0..4 {
        (0..TENANTS).for_each(|tenant| scene.crm.rename(0, tenant, &format!("{words} {round}")));
        assert_eventually!(scene.crm.is_merged(), "it is merged");
    }
    let mut client = scene.client();
    for (tenant, include) in every_bundle() {
        assert_eventually!(
            read(&mut client, &tenant, include).is_ok_and(|(status, _)| status != "error"),
            "read"
        );
    }
}

#[test]
fn a_clock_that_is_two_months_ahead_for_a_moment_costs_no_days() {
    let (postgres, scene) = start();
    let first_day = "SELECT first_day FROM dashboard.counters";
    let before: i32 = scene.crm.value(first_day);
    for _ in 0..2 {
        postgres.clock().set_ahead(60 * 24 * HOUR);
        work(&scene, "ahead");
        postgres.clock().set_right();
        work(&scene, "right again");
    }
    assert!(
        scene.crm.value::<i32>(first_day) <= before + 2,
        "a day each time, of those that nobody is shown"
    );
    assert_eventually!(
        lines_with(&scene.sidecar, "the clock of Postgres has been set") > 0,
        "the log says it"
    );
    scene.assert_all_is_seen();
    assert!(scene.crm.counters("verify").contains("are right"), "{}", scene.crm.counters("verify"));
}

#[test]
fn counters_that_lack_days_after_all_are_not_used() {
    let (_postgres, scene) = start();
    // As after weeks by a wrong clock.
    scene.crm.execute(
        "DELETE FROM dashboard.counter WHERE figure IN ('n', 'v');
         UPDATE dashboard.counters SET first_day = (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' + 20",
    );
    (0..TENANTS).for_each(|tenant| scene.crm.rename(0, tenant, "from the tables"));
    scene.assert_all_is_seen();
}

#[test]
fn a_version_by_a_clock_that_was_ahead_does_not_hold_once_it_is_right() {
    let (postgres, scene) = start();
    let version = || scene.crm.value::<String>(&format!("SELECT dashboard.version('{}')", name(0)));
    let holds = |version: &str| {
        let sql = format!("SELECT (dashboard.unchanged(ARRAY['{}'], ARRAY['{version}']))[1]", name(0));
        scene.crm.value::<bool>(&sql)
    };
    postgres.clock().set_ahead(60 * 24 * HOUR);
    let ahead = version();
    assert!(holds(&ahead));
    postgres.clock().set_right();
    let right = version();
    assert_eq!((holds(&ahead), holds(&right)), (false, true), "{ahead} {right}");
}

#[test]
fn the_lease_of_a_dead_sidecar_ends_although_the_clock_is_set_back_by_an_hour() {
    let (postgres, mut scene) = start();
    scene.sidecar.process().kill();
    postgres.clock().set_back(HOUR);
    let other = scene.follower().start();
    assert_eventually!(lines_with(&other, FEEDS) == 1, Duration::from_secs(15), "another takes it");
    scene.crm.rename(0, 0, "by the other");
    assert_eventually!(scene.crm.is_all_announced(), "and announces what has changed");
}

#[test]
fn a_sidecar_that_lives_keeps_its_lease_although_the_clock_is_set_ahead_by_an_hour() {
    let (postgres, mut scene) = start();
    scene.sidecar.process().terminate();
    scene.sidecar.process().wait_exit();
    scene.sidecar = scene.follower().env("DASHBOARD_FEED_LEASE_MS", "60000").start();
    assert_eventually!(lines_with(&scene.sidecar, FEEDS) == 1, "it has the lease for a minute");
    let other = scene.follower().start();
    let holder: String = scene.crm.value("SELECT owner FROM dashboard.lease");
    let position = "SELECT position FROM dashboard.feed";
    postgres.clock().set_ahead(HOUR);
    // Some seconds, in which the other looks several times.
    let before: i64 = scene.crm.value(position);
    assert_eventually!(scene.crm.value::<i64>(position) > before + 6, "it goes on");
    assert_eq!(scene.crm.value::<String>("SELECT owner FROM dashboard.lease"), holder);
    assert_eq!(lines_with(&other, FEEDS), 0);
}

#[test]
fn after_ten_minutes_ahead_and_back_changes_are_followed_and_it_is_said_so() {
    let (postgres, scene) = start();
    for _ in 0..3 {
        postgres.clock().set_ahead(HOUR / 6);
        work(&scene, "ahead");
        postgres.clock().set_right();
        work(&scene, "right again");
    }
    assert_eventually!(is_healthy(&scene), "health says that changes are followed");
    assert_eventually!(scene.crm.says().1, "and so does the database");
    scene.assert_all_is_seen();
}
