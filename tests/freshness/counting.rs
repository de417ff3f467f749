//! The feed while somebody is at the counters.

use harness::assert_eventually;

use super::burst::Burst;
use super::crm::{ALL, KEEP_FROM_MERGING, TENANTS, name};
use super::{Scene, follower, lines_with, lists};

#[test]
fn what_is_committed_while_somebody_else_keeps_it_from_being_merged_is_seen_all_the_same() {
    let scene = Scene::start();
    scene.fill();
    let mut client = scene.client();
    let mut session = scene.crm.client();
    let mut transaction = session.transaction().unwrap();
    transaction.execute(KEEP_FROM_MERGING, &[]).unwrap();
    for n in 0..10 {
        let (tenant, lead) = (name(n % TENANTS), format!("peeked-{n}"));
        scene.crm.rename(0, n % TENANTS, &lead);
        assert_eventually!(lists(&mut client, &tenant, true, &lead), "{lead} is seen");
        assert_eventually!(lists(&mut client, ALL, false, &lead), "{lead} is seen among all");
    }
    let (says, well) = scene.crm.says();
    assert!(well, "the lag is not longer for it:\n{says}");
    assert!(scene.crm.value::<bool>("SELECT EXISTS (SELECT FROM dashboard.delta WHERE kind <> 'H')"));
    transaction.rollback().unwrap();
    scene.assert_all_is_seen();
}

#[test]
fn what_was_found_then_and_redis_refused_to_hear_is_said_again() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    client.ok(&["ACL", "SETUSER", "feed", "on", ">secret", "~*", "&*", "+@all"]);
    let url = format!("{}?user=feed&pass=secret", scene.redis.url());
    let feed = follower(&scene.crm.url, &url).start();
    scene.fill();
    let mut session = scene.crm.client();
    let mut transaction = session.transaction().unwrap();
    transaction.execute(KEEP_FROM_MERGING, &[]).unwrap();
    client.ok(&["ACL", "SETUSER", "feed", "-dashboard.clear"]);
    scene.crm.rename(0, 0, "peeked");
    assert_eventually!(lines_with(&feed, "Redis cannot be told of changes") == 1, "it is not heard");
    client.ok(&["ACL", "SETUSER", "feed", "+dashboard.clear"]);
    assert_eventually!(lists(&mut client, &name(0), true, "peeked"), "it is seen");
    transaction.rollback().unwrap();
    scene.assert_all_is_seen();
}

#[test]
fn nothing_is_missed_while_the_counters_are_counted_anew_and_compared() {
    let scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    for what in ["rebuild", "verify", "rebuild", "verify"] {
        scene.crm.counters(what);
        burst.go_on();
    }
    scene.crm.counters("rebuild");
    burst.end();
    scene.assert_all_is_seen();
    assert_no_error(&scene);
}

#[test]
fn where_the_counters_are_disabled_there_is_nothing_to_follow_until_they_are_enabled_again() {
    let scene = Scene::start();
    scene.fill();
    let mut client = scene.client();
    let burst = Burst::begin(&scene);
    scene.crm.counters("disable");
    burst.go_on();
    let (says, well) = scene.crm.says();
    assert!(!well && says.contains("not enabled"), "{says}");
    assert_eventually!(lines_with(&scene.sidecar, "the counters have been disabled") == 1, "the log says so");
    assert_eventually!(super::lag::change_feed(&scene.sidecar).is_none(), "which is well");
    // From the tables.
    for (tenant, include) in super::crm::every_bundle() {
        client.ok(&["DASHBOARD.GET", &tenant, "INCLUDE", &include.to_string(), "REFRESH"]);
    }
    scene.crm.counters("enable");
    burst.go_on();
    assert_eventually!(scene.crm.says().1, "it is followed again");
    burst.go_on();
    burst.end();
    scene.assert_all_is_seen();
    assert_no_error(&scene);
}

fn assert_no_error(scene: &Scene) {
    assert_eq!(lines_with(&scene.sidecar, "\"level\":\"ERROR\""), 0, "{}", scene.sidecar.log());
    assert_eq!(lines_with(&scene.sidecar, "the feed cannot go on"), 0, "{}", scene.sidecar.log());
}

#[test]
fn nobody_stops_merging_by_taking_an_advisory_lock() {
    let scene = Scene::start();
    scene.fill();
    scene.crm.client().batch_execute("CREATE ROLE passer_by LOGIN").unwrap();
    let mut passer_by =
        postgres::Client::connect(&scene.crm.url.replace("postgres@", "passer_by@"), postgres::NoTls)
            .unwrap();
    // The numbers that were ours.
    for key in [7_164_775_482_013_344_114_i64, 7_164_775_482_013_344_115, 7_161_129_034_254_905_970] {
        passer_by.execute("SELECT pg_advisory_lock($1)", &[&key]).unwrap();
    }
    let refused = passer_by.batch_execute("SELECT FROM dashboard.lock FOR UPDATE").unwrap_err();
    assert_eq!(refused.code(), Some(&postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{refused:?}");
    scene.crm.rename(0, 0, "merged");
    let unmerged = "SELECT EXISTS (SELECT FROM dashboard.delta WHERE kind <> 'H')";
    assert_eventually!(!scene.crm.value::<bool>(unmerged), "it is merged");
    for what in ["rebuild", "verify"] {
        scene.crm.counters(what);
    }
    scene.assert_all_is_seen();
    drop(passer_by);
    scene.crm.client().batch_execute("DROP ROLE passer_by").unwrap();
}
