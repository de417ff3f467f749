//! How far behind the feed is, as probes, `INFO` and the command line tell it.

use harness::{Relay, Sidecar, assert_eventually, http};
use serde_json::Value as Json;

use super::Scene;

/// What /api/system/health says of the change feed.
pub(super) fn health(sidecar: &Sidecar) -> Json {
    let response = http(sidecar.public(), "GET", "/api/system/health", None, b"").unwrap();
    let body: Json = serde_json::from_slice(&response.body).unwrap();
    let checks = body["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "change-feed").unwrap();
    let well = check["status"] != "unavailable";
    assert!(well || (response.status == 503 && body["status"] == "unavailable"), "{body}");
    check.clone()
}

/// What it says is wrong with it.
pub(super) fn change_feed(sidecar: &Sidecar) -> Option<String> {
    let check = health(sidecar);
    (check["status"] == "unavailable").then(|| check["message"].as_str().unwrap().to_owned())
}

/// The state that /metrics tells of, and what holds changes up.
pub(super) fn state(sidecar: &Sidecar) -> (String, String) {
    let page = http(sidecar.public(), "GET", "/metrics", None, b"").unwrap().text();
    let is = |line: &&str| line.starts_with("dashboard_feed_state{") && line.ends_with(" 1");
    let line = page.lines().find(is).unwrap_or_else(|| panic!("no state of the feed:\n{page}"));
    let label = |name: &str| line.split(&format!("{name}=\"")).nth(1)?.split('"').next().map(str::to_owned);
    (label("state").unwrap(), label("part").unwrap())
}

#[test]
fn a_sidecar_that_leaves_the_feed_to_others_is_ready() {
    let scene = Scene::without_feed();
    let sidecar = scene.follower().env("DASHBOARD_FEED", "off").start();
    assert_eventually!(
        http(sidecar.public(), "GET", "/readyz", None, b"").is_ok_and(|response| response.status == 200),
        "it is ready"
    );
    assert_eq!(change_feed(&sidecar), None);
    assert_eq!(scene.client().info("dashboard", "dashboard_feed_lag_ms"), None);
}

#[test]
fn a_feed_that_is_late_is_not_ready_until_it_has_caught_up() {
    let scene = Scene::without_feed();
    let relay = Relay::to(&scene.redis.socket());
    let builder = || {
        super::follower(&scene.crm.url, &format!("redis+unix://{}", relay.socket().display()))
            .env("DASHBOARD_FEED_LAG_LIMIT_MS", "2000")
    };
    let (holder, standby) = (builder().start(), builder().start());
    scene.fill();
    assert_eventually!(change_feed(&holder).is_none() && change_feed(&standby).is_none(), "both are ready");
    relay.hold();
    for sidecar in [&holder, &standby] {
        assert_eventually!(change_feed(sidecar).is_some(), "it is late");
    }
    relay.release();
    for sidecar in [&holder, &standby] {
        assert_eventually!(change_feed(sidecar).is_none(), "it has caught up");
    }
}

#[test]
fn the_lag_that_redis_tells_of_grows_while_the_feed_stands_still_and_falls_when_it_goes_on() {
    let mut scene = Scene::start();
    scene.fill();
    let mut client = scene.client();
    assert_eventually!(client.figure("feed_lag_ms") < 1_000, "it is followed");
    assert!(client.info("dashboard", "dashboard_feed_by").unwrap().contains("name=dashboard-sidecar-feed"));
    scene.sidecar.process().freeze();
    assert_eventually!(client.figure("feed_lag_ms") > 2_000, "it grows");
    assert_eventually!(client.figure("feed_lag_ms") > 3_000, "and grows");
    scene.sidecar.process().thaw();
    assert_eventually!(client.figure("feed_lag_ms") < 1_000, "it falls");
}

#[test]
fn the_command_line_tells_how_the_feed_is_and_by_its_exit_code_whether_changes_are_followed() {
    let mut scene = Scene::without_feed();
    let (says, well) = scene.crm.says();
    assert!(!well && says.contains("enabled") && says.contains("nobody"), "{says}");
    scene.follow();
    scene.fill();
    assert_eventually!(scene.crm.says().1, "changes are followed");
    let (says, _) = scene.crm.says();
    assert!(says.contains(" ms ago") && says.contains("0 tenants"), "{says}");
    scene.crm.execute("ALTER TABLE leads DISABLE TRIGGER dashboard_count_update");
    let (says, well) = scene.crm.says();
    assert!(!well && says.contains("not recorded") && says.contains("leads"), "{says}");
    scene.crm.counters("rebuild");
    assert_eventually!(scene.crm.says().1, "they are recorded again");
    scene.sidecar.process().freeze();
    assert_eventually!(!scene.crm.says().1, "nobody holds the lease any more");
    assert!(scene.crm.says().0.contains("nobody"));
    scene.sidecar.process().thaw();
    assert_eventually!(scene.crm.says().1, "it goes on");
    scene.crm.counters("disable");
    let (says, well) = scene.crm.says();
    assert!(!well && says.contains("counters enable"), "{says}");
}

#[test]
fn health_metrics_feed_status_and_verify_say_the_same_of_how_changes_are_followed() {
    let mut scene = Scene::without_feed();
    scene.follow();
    scene.fill();
    let says = |scene: &Scene| {
        let verify = Sidecar::command(&["counters", "verify", "--check"], &scene.crm.url).output().unwrap();
        let verify = String::from_utf8(verify.stdout).unwrap();
        let said = |text: &str, before: &str| {
            let line = text.lines().find(|line| line.starts_with(before));
            line.map(|line| line[before.len()..].trim().split(':').next().unwrap().to_owned())
        };
        (said(&scene.crm.says().0, "state"), said(&verify, "change feed:"), state(&scene.sidecar).0)
    };
    let all = |state: &str| (Some(state.to_owned()), Some(state.to_owned()), state.to_owned());
    assert_eventually!(says(&scene) == all("followed"), "all say that changes are followed");
    assert_eq!(health(&scene.sidecar)["status"], "ok");

    scene.crm.execute("ALTER TABLE leads DISABLE TRIGGER dashboard_count_update");
    assert_eventually!(says(&scene) == all("stuck"), "all say that changes are not followed");
    assert_eq!(state(&scene.sidecar).1, "triggers");
    assert!(change_feed(&scene.sidecar).unwrap().contains("leads"));

    scene.crm.counters("disable");
    assert_eventually!(state(&scene.sidecar).0 == "disabled", "there is nothing to follow");
    let check = health(&scene.sidecar);
    assert_eq!(check["status"], "disabled");
    assert!(check["message"].as_str().unwrap().contains("counters enable"), "{check}");
    assert!(scene.crm.says().0.contains("disabled:"));
    assert_eq!(super::lines_with(&scene.sidecar, "the counters are not enabled"), 1, "and it is said once");
}
