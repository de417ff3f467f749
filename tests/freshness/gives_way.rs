//! The lease is for who can do the job: one that cannot tell Redis gives it back.

use std::time::Duration;

use harness::{Relay, assert_eventually};

use super::crm::name;
use super::lag::state;
use super::{LEASE, Scene, follower, lines_with, lists};

/// In which time another follows: the holder's patience, a look of the other's and what a loaded machine adds.
const SECONDS: Duration = Duration::from_secs(10);

#[test]
fn when_only_the_holder_has_lost_redis_another_follows_within_seconds_and_the_first_stays_behind_it() {
    let scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    let mut first = follower(&scene.crm.url, &super::url(&relay)).start();
    scene.fill();
    let other = scene.follower().start();
    let mut client = scene.client();
    let pid = format!(":{}:", first.process().pid());
    assert!(scene.crm.holder().unwrap().contains(&pid), "the first one holds it");
    relay.cut();
    scene.crm.rename(0, 0, "cut off");
    assert_eventually!(lists(&mut client, &name(0), true, "cut off"), SECONDS, "another announces it");
    assert!(!scene.crm.holder().unwrap().contains(&pid), "which holds the lease");
    assert_eventually!(scene.crm.says().1, "and changes are followed");
    assert_eventually!(state(&first).0 == "followed" && state(&other).0 == "followed", "both know");
    assert_eq!(lines_with(&first, "the feed is given back"), 1);
    relay.mend();
    assert_eventually!(lines_with(&first, "seems to take changes from here again") == 1, "it notices");
    assert!(!scene.crm.holder().unwrap().contains(&pid), "it takes nothing away");
    scene.assert_all_is_seen();
}

#[test]
fn one_that_is_alone_goes_on_as_soon_as_redis_is_back_and_says_meanwhile_what_holds_changes_up() {
    let scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    let feed =
        follower(&scene.crm.url, &super::url(&relay)).env("DASHBOARD_FEED_LAG_LIMIT_MS", "2000").start();
    scene.fill();
    let mut client = scene.client();
    relay.cut();
    scene.crm.rename(0, 0, "cut off");
    assert_eventually!(state(&feed) == ("stuck".to_owned(), "redis".to_owned()), "it says so");
    // It has given the lease back and taken it again, more than once.
    let expires =
        "SELECT coalesce((extract(epoch FROM max(expires_at)) * 1000)::int8, 0) FROM dashboard.lease";
    let first: i64 = scene.crm.value(expires);
    assert_eventually!(
        scene.crm.value::<i64>(expires) > first + 4 * i64::from(LEASE) && scene.crm.is_pending(0),
        "it tries on"
    );
    relay.mend();
    assert_eventually!(lists(&mut client, &name(0), true, "cut off"), Duration::from_secs(5), "it is seen");
    assert_eventually!(state(&feed).0 == "followed", "and followed");
    for text in
        ["Redis cannot be told of changes", "the feed is given back", "Redis is told of changes again"]
    {
        assert_eq!(lines_with(&feed, text), 1, "{text}: {}", feed.log());
    }
    assert_eq!(lines_with(&feed, "this sidecar feeds no more"), 0, "nobody else does");
    scene.assert_all_is_seen();
}
