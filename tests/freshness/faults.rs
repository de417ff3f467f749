//! Servers that die in the middle of it, and what befalls them: tables that are written anew, clocks, logs.

use std::io;
use std::time::Duration;

use harness::PostgresServer;

use super::burst::Burst;
use super::{Scene, cache};

/// How often each fault strikes.
const TIMES: usize = 3;

#[test]
fn nothing_is_missed_when_the_sidecar_is_killed() {
    let mut scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        scene.sidecar.process().kill();
        burst.commit_on();
        scene.follow();
        burst.go_on();
    }
    scene.sidecar.process().kill();
    burst.commit_on();
    burst.end();
    // What is committed last is announced by one that has seen none of it.
    scene.follow();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_when_postgres_is_restarted() {
    survives(PostgresServer::stop_fast);
}

#[test]
fn nothing_is_missed_when_postgres_crashes() {
    survives(PostgresServer::stop_immediately);
}

fn survives(stop: impl Fn(&mut PostgresServer)) {
    let mut postgres = PostgresServer::start();
    let mut scene = Scene::on(&postgres.url(), cache());
    scene.follow();
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        stop(&mut postgres);
        postgres.start_again();
        burst.go_on();
    }
    stop(&mut postgres);
    postgres.start_again();
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_when_the_sidecar_runs_out_of_file_descriptors() {
    let mut scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    for free in 0..TIMES as u64 {
        let process = scene.sidecar.process();
        // None at all; then as many as there are, without those of the connections that end.
        let most = if free == 0 { 3 } else { process.open_descriptors().saturating_sub(3 * free) };
        let limit = process.limit_descriptors(most);
        scene.crm.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'dashboard-sidecar%'",
        );
        scene.client().int(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        burst.commit_on();
        drop(limit);
        burst.go_on();
    }
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_when_redis_is_restarted() {
    let mut scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        scene.redis.restart_in_place();
        burst.go_on();
    }
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_when_redis_is_killed_and_is_away_for_a_while() {
    let mut scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        scene.redis.process().kill();
        burst.commit_on();
        scene.redis.start_again();
        burst.go_on();
    }
    scene.redis.process().kill();
    burst.commit_on();
    burst.end();
    scene.redis.start_again();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_when_all_of_them_die_at_once() {
    let mut postgres = PostgresServer::start();
    let mut scene = Scene::on(&postgres.url(), cache());
    scene.follow();
    scene.fill();
    let burst = Burst::begin(&scene);
    postgres.stop_immediately();
    scene.redis.process().kill();
    scene.sidecar.process().kill();
    scene.redis.start_again();
    postgres.start_again();
    burst.commit_on();
    scene.follow();
    burst.go_on();
    burst.end();
    scene.assert_all_is_seen();
}

/// Each table is another one to who comes later, and empty to who has looked before.
#[test]
fn nothing_is_missed_while_tables_are_written_anew() {
    let scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        for rewrite in [
            "ALTER TABLE leads ALTER COLUMN phone TYPE text USING phone || ''",
            "ALTER TABLE opportunities ALTER COLUMN name TYPE text USING name || ''",
            "ALTER TABLE activities SET UNLOGGED",
            "ALTER TABLE activities SET LOGGED",
            "ALTER TABLE tenant ALTER COLUMN name TYPE text USING name || ''",
            "LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE contacts;
             TRUNCATE contacts; INSERT INTO contacts SELECT * FROM kept",
        ] {
            scene.crm.execute(&format!("BEGIN; {rewrite}; COMMIT"));
            burst.commit_on();
        }
        burst.go_on();
    }
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_while_the_clock_of_postgres_is_set() {
    let postgres = PostgresServer::with_clock();
    let mut scene = Scene::on(&postgres.url(), cache());
    scene.follow();
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        postgres.clock().set_ahead(Duration::from_secs(60 * 24 * 3600));
        burst.go_on();
        postgres.clock().set_back(Duration::from_secs(3600));
        burst.go_on();
        postgres.clock().set_right();
        burst.go_on();
    }
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_while_nobody_takes_the_log() {
    let mut scene = Scene::without_feed();
    let (reader, writer) = io::pipe().unwrap();
    scene.sidecar.process().kill();
    let follower = scene.follower().env("DASHBOARD_LOG", "trace").standard_error(writer);
    scene.sidecar = follower.internal(scene.internal()).start();
    // It stands still, then it dies.
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..TIMES {
        burst.go_on();
    }
    drop(reader);
    burst.go_on();
    burst.end();
    scene.assert_all_is_seen();
}
