//! Connections to Redis that stay open and on which nothing comes any more, while new ones work.

use std::time::Duration;

use harness::{Relay, assert_eventually};

use super::crm::name;
use super::{Scene, follower, lines_with, lists};

#[test]
fn a_feed_whose_connection_falls_silent_goes_on_by_another_within_seconds() {
    let scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    let feed = follower(&scene.crm.url, &super::url(&relay)).start();
    scene.fill();
    let mut client = scene.client();
    for lead in ["first", "second"] {
        relay.silence_existing();
        scene.crm.rename(0, 0, lead);
        assert_eventually!(lists(&mut client, &name(0), true, lead), Duration::from_secs(10), "it is seen");
    }
    scene.assert_all_is_seen();
    assert_eq!(
        lines_with(&feed, "may have been missed"),
        1,
        "it is the same Redis, so only at the beginning"
    );
}

#[test]
fn announcing_everything_ends_though_the_connection_that_was_to_bring_the_answer_has_fallen_silent() {
    let mut scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    let feed = follower(&scene.crm.url, &super::url(&relay)).start();
    scene.fill();
    scene.redis.process().kill();
    scene.redis.start_again();
    let mut client = scene.client();
    // What writes waits, so the clear of everything does.
    client.ok(&["CLIENT", "PAUSE", "600000", "WRITE"]);
    let clears = "FROM dashboard.feed WHERE gap IS NOT NULL";
    assert_eventually!(scene.crm.value::<i64>(&format!("SELECT count(*) {clears}")) == 1, "the gap is found");
    let waits = |client: &mut harness::Client| {
        let list = String::from_utf8(client.bytes(&["CLIENT", "LIST"])).unwrap();
        let clears = |line: &str| line.contains("name=dashboard-sidecar-feed") && line.contains("flags=b");
        list.lines().any(clears) || client.info("clients", "blocked_clients").as_deref() != Some("0")
    };
    assert_eventually!(waits(&mut client), "the clear waits");
    relay.silence_existing();
    client.ok(&["CLIENT", "UNPAUSE"]);
    assert_eventually!(scene.crm.is_followed(), Duration::from_secs(40), "the gap is closed all the same");
    assert_eq!(lines_with(&feed, "may have been missed"), 2, "once for each gap");
    scene.assert_all_is_seen();
}
