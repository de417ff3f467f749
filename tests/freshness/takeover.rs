//! Several sidecars: one follows, another takes over.

use std::time::Duration;

use harness::{Relay, Sidecar, assert_eventually};

use super::burst::Burst;
use super::crm::name;
use super::{LEASE, Scene, follower, lines_with, lists, url};

const FEEDS: &str = "this sidecar feeds Redis";

/// Puts the one that holds the lease first.
fn holder_first(scene: &Scene, a: Sidecar, b: Sidecar) -> (Sidecar, Sidecar) {
    let (mut a, mut b) = (a, b);
    assert_eventually!(scene.crm.holder().is_some(), "one of them follows");
    let holder = scene.crm.holder().unwrap();
    let is = |sidecar: &mut Sidecar| holder.contains(&format!(":{}:", sidecar.process().pid()));
    match (is(&mut a), is(&mut b)) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        other => panic!("{holder} is one of them: {other:?}"),
    }
}

#[test]
fn when_the_one_that_follows_is_killed_another_goes_on_within_seconds_and_nothing_is_missed() {
    let scene = Scene::without_feed();
    let (mut holder, mut other) = holder_first(&scene, scene.follower().start(), scene.follower().start());
    scene.fill();
    let burst = Burst::begin(&scene);
    for _ in 0..2 {
        holder.process().kill();
        scene.crm.rename(0, 0, "nobody follows");
        let seconds = Duration::from_millis(u64::from(LEASE)) + Duration::from_secs(4);
        let new = format!(":{}:", other.process().pid());
        assert_eventually!(
            scene.crm.holder().is_some_and(|holder| holder.contains(&new)),
            seconds,
            "the other has taken over"
        );
        burst.go_on();
        (holder, other) = (other, scene.follower().start());
    }
    burst.end();
    scene.assert_all_is_seen();
    drop((holder, other));
}

#[test]
fn one_that_is_stopped_in_good_order_gives_the_lease_back_at_once() {
    let scene = Scene::without_feed();
    // It would outlast the test.
    let patient = || scene.follower().env("DASHBOARD_FEED_LEASE_MS", "60000");
    let mut first = patient().start();
    scene.fill();
    let burst = Burst::begin(&scene);
    first.process().terminate();
    assert!(first.process().wait_exit().success());
    assert_eq!(scene.crm.value::<i64>("SELECT count(*) FROM dashboard.lease"), 0);
    burst.commit_on();
    let _second = patient().start();
    burst.go_on();
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn only_one_follows_however_many_there_are() {
    let scene = Scene::without_feed();
    let sidecars = [scene.follower().start(), scene.follower().start(), scene.follower().start()];
    scene.fill();
    let holder = scene.crm.holder();
    let expires = "SELECT (extract(epoch FROM expires_at) * 1000)::int8 FROM dashboard.lease";
    let first: i64 = scene.crm.value(expires);
    let burst = Burst::begin(&scene);
    assert_eventually!(
        scene.crm.value::<i64>(expires) > first + 2 * i64::from(LEASE),
        "it is renewed past its length"
    );
    burst.end();
    assert_eq!(scene.crm.holder(), holder);
    let (says, well) = scene.crm.says();
    assert!(well && says.contains(&format!("fed by        {}\n", holder.unwrap())), "{says}");
    assert_eq!(sidecars.iter().map(|sidecar| lines_with(sidecar, FEEDS)).sum::<usize>(), 1);
    scene.assert_all_is_seen();
}

#[test]
fn one_that_was_frozen_takes_nothing_off_the_record_that_the_one_that_took_over_has_to_announce() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    let mut frozen = scene.follower().start();
    scene.fill();
    let burst = Burst::begin(&scene);
    frozen.process().freeze();
    let before = scene.crm.holder();
    let other = scene.follower().start();
    assert_eventually!(lines_with(&other, FEEDS) == 1, "the other has taken over");
    assert_ne!(scene.crm.holder(), before);
    burst.go_on();
    frozen.process().thaw();
    burst.go_on();
    assert_eventually!(lines_with(&frozen, "this sidecar feeds no more") == 1, "the first one notices");
    burst.end();
    scene.crm.rename(0, 0, "at last");
    assert_eventually!(lists(&mut client, &name(0), true, "at last"), "it is seen");
    scene.assert_all_is_seen();
}

#[test]
fn one_that_is_late_takes_what_the_one_that_took_over_has_told_redis_for_no_gap() {
    let scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    // So short that another takes over while the first one still waits for Redis.
    let hasty = |redis: &str| follower(&scene.crm.url, redis).env("DASHBOARD_FEED_LEASE_MS", "300");
    let late = hasty(&url(&relay)).start();
    scene.fill();
    let other = hasty(&scene.redis.url()).start();
    let epoch = "SELECT epoch FROM dashboard.counters";
    let position = "SELECT position FROM dashboard.feed";
    let before: String = scene.crm.value(epoch);
    relay.hold();
    assert_eventually!(relay.holds_something(), "it tells Redis its position, and is held up");
    assert_eventually!(lines_with(&other, FEEDS) == 1, "the other has taken over");
    let came_to: i64 = scene.crm.value(position);
    assert_eventually!(scene.crm.value::<i64>(position) > came_to + 1, "and has told Redis a larger one");
    relay.release();
    assert_eventually!(lines_with(&late, "this sidecar feeds no more") == 1, "the first one notices");
    for sidecar in [&late, &other] {
        assert_eq!(lines_with(sidecar, "older than what Redis has been told"), 0, "{}", sidecar.log());
    }
    assert_eq!(scene.crm.value::<String>(epoch), before, "versions still hold");
    scene.crm.rename(0, 0, "by the other");
    scene.assert_all_is_seen();
}
