//! A network that says nothing, answers that come late, and a Redis that refuses.

use std::os::unix::fs::symlink;

use harness::{Relay, Sidecar, assert_eventually};
use tempfile::TempDir;

use super::crm::{ALL, name};
use super::{Scene, follower, lines_with, lists, url};

/// A scene whose changes are followed through a relay in front of Redis.
fn behind_a_relay() -> (Scene, Relay, Sidecar) {
    let scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    let feed = follower(&scene.crm.url, &url(&relay)).start();
    scene.fill();
    (scene, relay, feed)
}

#[test]
fn what_is_committed_while_redis_cannot_be_reached_waits_and_is_seen_when_it_can() {
    let (scene, relay, feed) = behind_a_relay();
    let mut client = scene.client();
    relay.hold();
    scene.crm.rename(0, 0, "first");
    assert_eventually!(relay.holds_something(), "the feed waits for Redis");
    assert_eventually!(scene.crm.is_pending(0), "it is to be announced");
    // It has given the connection up, and gone on.
    assert_eventually!(lines_with(&feed, "Redis cannot be told of changes") == 1, "the feed says so");
    scene.crm.rename(0, 1, "second");
    assert_eventually!(scene.crm.is_pending(1), "so is the other");
    assert!(scene.crm.is_pending(0) && scene.crm.is_pending(1), "nothing is forgotten");
    assert!(!lists(&mut client, &name(1), true, "second"), "Redis knows nothing of it");
    relay.release();
    for (tenant, lead) in [(0, "first"), (1, "second")] {
        assert_eventually!(lists(&mut client, &name(tenant), true, lead), "{lead} is seen");
        assert_eventually!(lists(&mut client, ALL, true, lead), "{lead} is seen among all");
    }
    scene.assert_all_is_seen();
    assert_eq!(
        lines_with(&feed, "may have been missed"),
        1,
        "as it was the same Redis, only at the beginning"
    );
}

#[test]
fn a_change_that_redis_has_not_acknowledged_outlives_the_sidecar_that_was_about_to_announce_it() {
    let (scene, relay, mut feed) = behind_a_relay();
    relay.hold();
    scene.crm.rename(0, 0, "held back");
    assert_eventually!(scene.crm.is_merged() && relay.holds_something(), "it is on its way to Redis");
    feed.process().kill();
    let _other = scene.follower().start();
    assert_eventually!(lists(&mut scene.client(), &name(0), true, "held back"), "another announces it");
    scene.assert_all_is_seen();
}

#[test]
fn an_acknowledgement_that_comes_late_is_not_one_of_a_later_change() {
    let (scene, relay, feed) = behind_a_relay();
    let mut client = scene.client();
    // Not that of a word about the lag, which would keep the change back.
    relay.hold_replies_to("DASHBOARD.CLEAR");
    scene.crm.rename(0, 0, "first");
    assert_eventually!(lists(&mut client, &name(0), true, "first"), "Redis has been told");
    assert_eventually!(relay.holds_a_reply() && scene.crm.is_pending(0), "the feed has not heard");
    let merge = format!("SELECT merged_by::text FROM dashboard.pending WHERE owner = '{}'", name(0));
    let before: String = scene.crm.value(&merge);
    scene.crm.rename(0, 0, "second");
    scene.crm.execute("SELECT dashboard.compact()");
    assert_ne!(scene.crm.value::<String>(&merge), before, "another merge has found the second");
    relay.release_replies();
    assert_eventually!(lists(&mut client, &name(0), true, "second"), "the second is announced too");
    scene.assert_all_is_seen();
    assert_eq!(lines_with(&feed, "Redis cannot be told"), 0, "the answer came in time");
}

#[test]
fn what_redis_refuses_to_hear_is_not_taken_for_acknowledged() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    client.ok(&["ACL", "SETUSER", "feed", "on", ">secret", "~*", "&*", "+@all"]);
    let url = format!("{}?user=feed&pass=secret", scene.redis.url());
    let feed = follower(&scene.crm.url, &url).start();
    scene.fill();
    client.ok(&["ACL", "SETUSER", "feed", "-dashboard.clear"]);
    scene.crm.rename(0, 0, "refused");
    assert_eventually!(lines_with(&feed, "Redis cannot be told of changes") == 1, "the feed says so");
    assert!(scene.crm.is_pending(0));
    assert!(!lists(&mut client, &name(0), true, "refused"));
    client.ok(&["ACL", "SETUSER", "feed", "+dashboard.clear"]);
    assert_eventually!(lists(&mut client, &name(0), true, "refused"), "it is announced once it may be");
    scene.assert_all_is_seen();
}

/// Whoever cannot ask Postgres any more cannot keep the lease either.
#[test]
fn a_feed_whose_postgres_says_nothing_is_replaced_and_does_no_harm_when_it_comes_back() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    let socket: String = scene.crm.value("SELECT current_setting('unix_socket_directories')");
    let relay = Relay::to(&std::path::Path::new(&socket).join(".s.PGSQL.5432"));
    // Where a client of Postgres looks for it.
    let directory = TempDir::with_prefix("dashboard-freshness-").unwrap();
    symlink(relay.socket(), directory.path().join(".s.PGSQL.5432")).unwrap();
    let here = |path: &str| path.replace('/', "%2F");
    let through = scene.crm.url.replace(&here(&socket), &here(directory.path().to_str().unwrap()));
    assert_ne!(through, scene.crm.url);
    let stalled = scene.follower().env("DASHBOARD_FEED_DATABASE_URL", through).start();
    scene.fill();
    let holder = scene.crm.holder();
    relay.hold();
    scene.crm.rename(0, 0, "first");
    let other = scene.follower().start();
    assert_eventually!(lists(&mut client, &name(0), true, "first"), "another announces it");
    assert_ne!(scene.crm.holder(), holder);
    relay.release();
    for n in 0..20 {
        let lead = format!("then-{n}");
        scene.crm.rename(0, n % 5, &lead);
        assert_eventually!(lists(&mut client, &name(n % 5), true, &lead), "{lead} is seen");
    }
    assert_eventually!(lines_with(&stalled, "this sidecar feeds no more") == 1, "the first one notices");
    assert_eq!(lines_with(&other, "this sidecar feeds no more"), 0);
    scene.assert_all_is_seen();
}
