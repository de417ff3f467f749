//! What the server goes through while clients wait: each gets one reply, and nothing is left.

use std::time::Duration;

use harness::{Artefacts, Client, FakeUpstream, Redis, RedisBuilder, assert_eventually, text};
use redis::Value;

use crate::states::key;

struct Scene {
    upstream: FakeUpstream,
    redis: Redis,
    waiting: Client,
    other: Client,
}

/// A client waits for a bundle that is not coming yet.
fn scene(builder: RedisBuilder) -> Scene {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = builder.upstream(&upstream).start();
    let (mut waiting, other) = (redis.client(), redis.client());
    waiting.send(&["DASHBOARD.GET", "acme"]);
    upstream.wait_for(1);
    Scene { upstream, redis, waiting, other }
}

impl Scene {
    fn is_answered(&mut self) {
        let bundle = text(&self.waiting.receive().unwrap());
        assert!(bundle.contains(r#""tenant_id":"acme""#), "{bundle}");
        assert_eq!(self.waiting.bytes(&["ECHO", "in step"]), b"in step");
    }

    fn nothing_left(&mut self) {
        let other = &mut self.other;
        assert_eventually!(other.figure("flights") == 0, "no flight is left");
        assert_eq!((other.figure("waiters"), other.figure("blocked_clients")), (0, 0));
        assert_eq!(other.blocked_clients(), 0);
        assert!(self.redis.is_alive());
    }

    fn is_stored(&mut self) -> bool {
        self.other.int(&["EXISTS", &key("acme")]) == 1
    }
}

fn unload(client: &mut Client) -> Result<Value, String> {
    client.call(&["MODULE", "UNLOAD", "dashboard"])
}

fn load(client: &mut Client, upstream: &FakeUpstream) {
    let module = Artefacts::get().module.display().to_string();
    client.ok(&["MODULE", "LOAD", &module, "sidecar", &upstream.url()]);
}

#[test]
fn an_unload_is_refused_while_somebody_waits_and_works_afterwards() {
    let mut scene = scene(Redis::builder().line("enable-module-command yes").setting("timeout", 60_000));
    let error = unload(&mut scene.other).unwrap_err();
    assert!(error.contains("blocked clients"), "{error}");
    assert!(scene.redis.is_alive());
    scene.upstream.release();
    scene.is_answered();
    scene.nothing_left();

    let other = &mut scene.other;
    assert_eventually!(unload(other).is_ok(), "nobody waits any more");
    let error = scene.waiting.error(&["DASHBOARD.GET", "acme"]);
    assert!(error.starts_with("ERR unknown command"), "{error}");
    load(&mut scene.other, &scene.upstream);
    let reply = scene.waiting.map(&["DASHBOARD.GET", "acme", "WITHMETA"]);
    assert_eq!(text(&reply[0].1), "hit");
    scene.waiting.json(&["DASHBOARD.GET", "another"]);
    assert!(scene.redis.is_alive());
}

#[test]
fn an_unload_during_a_refresh_that_nobody_waits_for_is_refused_or_ends_it() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let mut redis = Redis::builder().upstream(&upstream).line("enable-module-command yes").start();
    let mut client = redis.client();
    let script = "return redis.pcall('DASHBOARD.GET', KEYS[1])";
    client.error(&["EVAL", script, "1", "acme"]);
    upstream.wait_for(1);
    match unload(&mut client) {
        Ok(_) => load(&mut client, &upstream),
        Err(error) => assert!(error.starts_with("ERR "), "{error}"),
    }
    upstream.release();
    client.json(&["DASHBOARD.GET", "acme"]);
    assert_eventually!(unload(&mut client).is_ok(), "nothing is under way any more");
    load(&mut client, &upstream);
    client.json(&["DASHBOARD.GET", "another"]);
    assert!(redis.is_alive());
}

#[test]
fn the_module_can_be_unloaded_and_loaded_many_times() {
    let upstream = FakeUpstream::start();
    let mut redis = Redis::builder().upstream(&upstream).line("enable-module-command yes").start();
    let mut client = redis.client();
    for round in 0..20 {
        client.json(&["DASHBOARD.GET", &format!("t{round}")]);
        client.ok(&["DASHBOARD.WARM", &format!("w{round}")]);
        assert_eventually!(unload(&mut client).is_ok(), "nothing is under way");
        load(&mut client, &upstream);
    }
    assert_eq!(client.int(&["DBSIZE"]), 60);
    assert!(redis.is_alive());
}

#[test]
fn while_writes_are_paused_a_waiter_is_answered_and_nothing_is_written() {
    let mut scene = scene(Redis::builder());
    scene.other.ok(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    scene.upstream.release();
    scene.is_answered();
    assert!(!scene.is_stored());
    scene.waiting.json(&["DASHBOARD.GET", "acme"]);
    assert!(!scene.is_stored());
    scene.other.ok(&["CLIENT", "UNPAUSE"]);
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    assert!(scene.is_stored());
    scene.nothing_left();
}

#[test]
fn while_all_clients_are_paused_no_reply_is_lost() {
    let mut scene = scene(Redis::builder());
    let mut paused = scene.redis.client();
    paused.id();
    scene.other.ok(&["CLIENT", "PAUSE", "300", "ALL"]);
    paused.send(&["DASHBOARD.GET", "acme"]);
    scene.upstream.release();
    scene.is_answered();
    let bundle = text(&paused.receive().unwrap());
    assert!(bundle.contains(r#""tenant_id":"acme""#), "{bundle}");
    assert_eq!(paused.bytes(&["ECHO", "in step"]), b"in step");
    scene.nothing_left();
}

#[test]
fn a_shutdown_without_saving_is_prompt_and_clean() {
    let mut scene = scene(Redis::builder().setting("timeout", 60_000));
    let _ = scene.other.call(&["SHUTDOWN", "NOSAVE"]);
    let status = scene.redis.process().wait_exit_within(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    scene.waiting.receive().unwrap_err();
    assert!(!scene.redis.log().contains("REDIS BUG REPORT"), "{}", scene.redis.log());
    assert_eventually!(scene.upstream.abandoned() == 1, "the sidecar is told that nobody waits");
}

#[test]
fn a_flush_in_the_background_stores_nothing_that_was_under_way() {
    for flush in [&["FLUSHDB", "ASYNC"][..], &["FLUSHALL", "ASYNC"], &["FLUSHALL", "SYNC"]] {
        let mut scene = scene(Redis::builder());
        scene.other.ok(flush);
        scene.upstream.release();
        scene.is_answered();
        assert!(!scene.is_stored(), "{flush:?}");
        scene.other.json(&["DASHBOARD.GET", "acme"]);
        assert!(scene.is_stored(), "{flush:?}");
        scene.nothing_left();
    }
}

#[test]
fn becoming_the_replica_of_a_host_that_does_not_exist_ends_the_wait() {
    let mut scene = scene(Redis::builder());
    scene.other.ok(&["REPLICAOF", "192.0.2.1", "6379"]);
    let error = scene.waiting.receive().unwrap_err();
    assert!(!error.is_empty());
    scene.waiting = scene.redis.client();
    scene.upstream.release();
    scene.nothing_left();
    scene.waiting.json(&["DASHBOARD.GET", "acme"]);
    assert!(!scene.is_stored(), "a replica stores nothing");
    scene.other.ok(&["REPLICAOF", "NO", "ONE"]);
    scene.waiting.json(&["DASHBOARD.GET", "acme"]);
    assert!(scene.is_stored());
    scene.nothing_left();
}

#[test]
fn who_waits_on_a_replica_while_it_is_promoted_is_answered() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = Redis::with(&upstream);
    let (mut waiting, mut other) = (redis.client(), redis.client());
    other.ok(&["REPLICAOF", "127.0.0.1", "1"]);
    waiting.send(&["DASHBOARD.GET", "acme"]);
    upstream.wait_for(1);
    other.ok(&["REPLICAOF", "NO", "ONE"]);
    upstream.release();
    let mut scene = Scene { upstream, redis, waiting, other };
    scene.is_answered();
    assert!(!scene.is_stored(), "it was under way before this server could know of every clear");
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    assert!(scene.is_stored());
    scene.nothing_left();
}

#[test]
fn a_client_that_wants_no_replies_gets_none_and_stays_in_step() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut client, mut other) = (redis.client(), redis.client());
    for (round, replies) in [("a", &["SKIP"][..]), ("b", &["OFF", "ON"])] {
        upstream.hold();
        client.send(&["CLIENT", "REPLY", replies[0]]);
        client.send(&["DASHBOARD.GET", round]);
        assert_eventually!(other.figure("blocked_clients") == 1, "it waits");
        upstream.release();
        if let Some(on) = replies.get(1) {
            client.send(&["CLIENT", "REPLY", on]);
            assert_eq!(client.receive(), Ok(Value::Okay), "the first reply is that of ON");
        }
        assert_eq!(client.bytes(&["ECHO", "in step"]), b"in step", "{replies:?}");
        assert_eq!(other.int(&["EXISTS", &key(round)]), 1, "{replies:?}: computed all the same");
    }
}

#[test]
fn what_is_sent_behind_a_get_that_waits_is_answered_in_order() {
    let mut scene = scene(Redis::builder());
    scene.waiting.send(&["ECHO", "second"]);
    scene.waiting.send(&["DASHBOARD.GET", "other"]);
    scene.waiting.send(&["ECHO", "fourth"]);
    scene.upstream.release();
    let replies: Vec<String> = (0..4).map(|_| text(&scene.waiting.receive().unwrap())).collect();
    assert!(replies[0].contains(r#""tenant_id":"acme""#) && replies[2].contains(r#""tenant_id":"other""#));
    assert_eq!((replies[1].as_str(), replies[3].as_str()), ("second", "fourth"));
    scene.nothing_left();
}
