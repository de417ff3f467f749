//! `counters disable`: nothing is followed any more, on purpose. So nothing is late, and whoever asks is told so.

use harness::{Client, assert_eventually, text};
use redis::Value;

use super::crm::name;
use super::{Scene, lines_with};

fn field(client: &mut Client, name: &str) -> Option<String> {
    client.info("dashboard", &format!("dashboard_{name}"))
}

/// What Redis says of the feed, and how late it says that it is.
fn said(client: &mut Client) -> (String, Option<String>) {
    (field(client, "feed_state").unwrap_or_default(), field(client, "feed_lag_ms"))
}

fn off() -> (String, Option<String>) {
    ("not followed".to_owned(), None)
}

/// Changes were followed until now.
fn switched_off() -> Scene {
    let scene = Scene::start();
    scene.fill();
    assert_eq!(field(&mut scene.client(), "feed_state").as_deref(), Some("followed"));
    scene.crm.counters("disable");
    assert_eventually!(said(&mut scene.client()) == off(), "Redis has been told");
    scene
}

/// As a sidecar that hung says it when it goes on.
fn say_that_it_is_late(client: &mut Client) {
    client.ok(&["DASHBOARD.FEED", "999999", "0"]);
}

#[test]
fn what_is_not_followed_on_purpose_is_not_late_whatever_a_sidecar_says_that_hung_meanwhile() {
    let scene = switched_off();
    let mut client = scene.client();
    say_that_it_is_late(&mut client);
    assert_eventually!(said(&mut client) == off(), "it is told again");
    let reply = client.map(&["DASHBOARD.GET", &name(0), "WITHMETA"]);
    let value = |at: usize| reply[at].1.clone();
    assert_eq!(
        (text(&value(0)), value(5)),
        ("hit".to_owned(), Value::Nil),
        "as where no feed has ever spoken"
    );
    let check = super::lag::health(&scene.sidecar);
    let message = check["message"].as_str().unwrap();
    assert_eq!(check["status"], "disabled");
    assert!(message.contains("not followed") && message.contains("counters enable"), "{message}");
    assert_eq!(super::lag::state(&scene.sidecar).0, "disabled");
}

#[test]
fn a_redis_that_has_been_restarted_or_promoted_is_told_that_nothing_is_followed() {
    let mut scene = switched_off();
    scene.redis.restart_in_place();
    assert_eventually!(said(&mut scene.client()) == off(), "after a restart");
    let mut client = scene.client();
    client.ok(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(field(&mut client, "feed_state").as_deref(), Some("unknown"), "a replica is told nothing");
    client.ok(&["REPLICAOF", "NO", "ONE"]);
    assert_eventually!(said(&mut scene.client()) == off(), "after a promotion");
}

#[test]
fn a_redis_that_refuses_to_hear_it_hears_it_once_it_does_not() {
    let scene = Scene::start();
    scene.fill();
    let mut client = scene.client();
    client.ok(&["ACL", "SETUSER", "default", "-dashboard.feed"]);
    scene.crm.counters("disable");
    assert_eventually!(
        lines_with(&scene.sidecar, "Redis cannot be told that changes are not followed") == 1,
        "the log says why"
    );
    assert_eventually!(client.figure("feed_lag_ms") > 2_000, "Redis does not know");
    client.ok(&["ACL", "SETUSER", "default", "+dashboard.feed"]);
    assert_eventually!(said(&mut client) == off(), "it does now");
    assert_eq!(lines_with(&scene.sidecar, "Redis cannot be told that changes are not followed"), 1, "once");
}

#[test]
fn of_several_sidecars_any_says_so_and_none_writes_to_postgres_for_it() {
    let mut scene = Scene::start();
    let _other = scene.follower().start();
    scene.fill();
    scene.crm.counters("disable");
    assert_eventually!(said(&mut scene.client()) == off(), "Redis has been told");
    assert_eventually!(scene.crm.holder().is_none(), "nobody renews a lease");
    scene.sidecar.process().kill();
    let mut client = scene.client();
    say_that_it_is_late(&mut client);
    assert_eventually!(said(&mut client) == off(), "the one that is left says so");
}

#[test]
fn what_is_enabled_again_is_followed_again_and_what_has_changed_meanwhile_is_announced() {
    let scene = switched_off();
    let gaps = lines_with(&scene.sidecar, "changes may have been missed");
    scene.crm.rename(0, 0, "meanwhile");
    scene.crm.counters("enable");
    let mut client = scene.client();
    assert_eventually!(field(&mut client, "feed_state").as_deref() == Some("followed"), "it is followed");
    assert_eventually!(super::lists(&mut client, &name(0), true, "meanwhile"), "it is seen");
    assert_eq!(lines_with(&scene.sidecar, "changes may have been missed"), gaps + 1);
    scene.assert_all_is_seen();
}
