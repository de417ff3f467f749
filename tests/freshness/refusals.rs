//! A Redis that is there and refuses: it is asked ever more rarely until it acknowledges something, and the log has one line when that
//! begins, with what to do, and one when it ends.

use std::fs;
use std::time::{Duration, Instant};

use harness::{Client, Redis, Relay, Sidecar, assert_eventually};

use super::crm::name;
use super::{DAY, Scene, cache, follower, lines_with, lists};

const BEGINS: &str = "Redis cannot be told of changes";
const ENDS: &str = "Redis is told of changes again";
/// So many times Redis refuses,
const TRIES: u64 = 6;
/// which takes so long at least: the pauses between them double, from 50 ms on, give or take a quarter.
const AT_LEAST: Duration = Duration::from_millis(1_100);

/// Clears that Redis has refused.
fn refusals(client: &mut Client) -> u64 {
    let line = client.info("commandstats", "cmdstat_dashboard.clear").unwrap_or_default();
    let rejected = line.split(',').find_map(|part| part.strip_prefix("rejected_calls="));
    rejected.map_or(0, |count| count.parse().unwrap())
}

/// Waits until Redis has refused several times, and looks that they are ever further apart.
fn assert_tries_ever_more_rarely(mut count: impl FnMut() -> u64) {
    let (began, before) = (Instant::now(), count());
    assert_eventually!(count() >= before + TRIES, "it goes on trying");
    assert!(began.elapsed() >= AT_LEAST, "{TRIES} tries in {:?}", began.elapsed());
}

fn assert_told_once(feed: &Sidecar, code: &str, remedy: &str) {
    assert_eq!((lines_with(feed, BEGINS), lines_with(feed, ENDS)), (1, 1), "{}", feed.log());
    let log = feed.log();
    let line = log.lines().find(|line| line.contains(BEGINS)).unwrap();
    assert!(line.contains(code) && line.contains(remedy), "{line}");
}

fn named(client: &mut Client, scene: &Scene, rights: &[&str]) -> String {
    let user = ["ACL", "SETUSER", "feed", "on", ">secret", "~*", "&*", "+@all"];
    client.ok(&[&user[..], rights].concat());
    format!("{}?user=feed&pass=secret", scene.redis.url())
}

#[test]
fn a_redis_whose_acl_refuses_is_asked_ever_more_rarely_until_it_acknowledges_a_change() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    let url = named(&mut client, &scene, &[]);
    let feed = follower(&scene.crm.url, &url).start();
    scene.fill();
    client.ok(&["ACL", "SETUSER", "feed", "-dashboard.clear"]);
    scene.crm.rename(0, 0, "refused");
    assert_tries_ever_more_rarely(|| refusals(&mut client));
    assert_eq!((lines_with(&feed, BEGINS), lines_with(&feed, ENDS)), (1, 0));
    assert!(scene.crm.is_pending(0));
    client.ok(&["ACL", "SETUSER", "feed", "+dashboard.clear"]);
    assert_eventually!(lists(&mut client, &name(0), true, "refused"), "it is announced once it may be");
    assert_eventually!(lines_with(&feed, ENDS) == 1, "that is said");
    assert_told_once(&feed, "NOPERM", "ACL SETUSER");
    scene.assert_all_is_seen();
}

#[test]
fn so_it_is_with_announcing_everything() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    let url = named(&mut client, &scene, &["-dashboard.clear"]);
    let feed = follower(&scene.crm.url, &url).start();
    assert_tries_ever_more_rarely(|| refusals(&mut client));
    assert_eq!(lines_with(&feed, "may have been missed"), 1);
    client.ok(&["ACL", "SETUSER", "feed", "+dashboard.clear"]);
    scene.fill();
    assert_told_once(&feed, "NOPERM", "ACL SETUSER");
    assert_eq!(lines_with(&feed, "may have been missed"), 1, "one gap");
}

#[test]
fn a_redis_that_cannot_save_takes_no_changes_and_the_log_says_what_to_do() {
    let store = Redis::builder()
        .setting("ttl", DAY)
        .setting("stale-ttl", DAY)
        .line("save 86400 1000000")
        .line("stop-writes-on-bgsave-error yes");
    let scene = Scene::on(&harness::Postgres::start().url(), store);
    let feed = scene.follower().start();
    scene.fill();
    let mut client = scene.client();
    // The file cannot be put in the place of a directory that is not empty.
    let file = scene.redis.socket().with_file_name("dump.rdb");
    let _ = fs::remove_file(&file);
    fs::create_dir_all(file.join("not-empty")).unwrap();
    let saved = |client: &mut Client, how: &str| {
        client.ok(&["BGSAVE"]);
        assert_eventually!(
            client.info("persistence", "rdb_last_bgsave_status").as_deref() == Some(how)
                && client.info("persistence", "rdb_bgsave_in_progress").as_deref() == Some("0"),
            "it is saved: {how}"
        );
    };
    saved(&mut client, "err");
    scene.crm.rename(0, 0, "refused");
    assert_tries_ever_more_rarely(|| refusals(&mut client));
    fs::remove_dir_all(&file).unwrap();
    saved(&mut client, "ok");
    assert_eventually!(lists(&mut client, &name(0), true, "refused"), "it is announced once it may be");
    assert_eventually!(lines_with(&feed, ENDS) == 1, "that is said");
    assert_told_once(&feed, "MISCONF", "BGSAVE");
}

#[test]
fn a_redis_that_has_become_a_replica_is_connected_to_ever_more_rarely_until_it_is_a_primary_again() {
    let scene = Scene::on(&harness::Postgres::start().url(), cache());
    let relay = Relay::to(&scene.redis.socket());
    let feed = follower(&scene.crm.url, &super::url(&relay)).start();
    scene.fill();
    let mut client = scene.client();
    // Of somebody who is not there.
    client.ok(&["REPLICAOF", "127.0.0.1", "1"]);
    scene.crm.rename(0, 0, "refused");
    assert_eventually!(lines_with(&feed, BEGINS) == 1, "the feed says so");
    assert_tries_ever_more_rarely(|| relay.accepted());
    client.ok(&["REPLICAOF", "NO", "ONE"]);
    assert_eventually!(lists(&mut client, &name(0), true, "refused"), "it is announced");
    assert_eventually!(lines_with(&feed, ENDS) == 1, "that is said");
    assert_told_once(&feed, "replica", "primary");
    scene.assert_all_is_seen();
}

#[test]
fn a_user_who_may_not_ask_info_is_told_which_right_the_feed_needs() {
    let scene = Scene::without_feed();
    let mut client = scene.client();
    let url = named(&mut client, &scene, &["-info"]);
    let feed = follower(&scene.crm.url, &url).start();
    assert_eventually!(lines_with(&feed, "grant +info to the user of REDIS_URL") == 1, "the feed says so");
    client.ok(&["ACL", "SETUSER", "feed", "+info"]);
    scene.fill();
}
