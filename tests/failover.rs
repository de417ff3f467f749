//! After a restart, on a replica and on a promoted replica: the same bundles, and the same verdicts on them.

use harness::{Client, FakeUpstream, Redis, assert_eventually, text};
use redis::Value;

use crate::states::{ABSENT, CHANGED, FRESH, STALE, get, key, prepare};

/// What is stored: each bundle's bytes and its key's expiry.
fn stored(client: &mut Client) -> Vec<(Vec<u8>, i64)> {
    [FRESH, STALE, CHANGED]
        .map(|tenant| (client.bytes(&["GET", &key(tenant)]), client.int(&["PEXPIRETIME", &key(tenant)])))
        .to_vec()
}

/// Status and age of a read.
fn verdict(client: &mut Client, tenant: &str) -> (String, i64) {
    let reply = client.map(&["DASHBOARD.GET", tenant, "WITHMETA"]);
    let Value::Int(age) = reply[1].1 else { panic!("{reply:?}") };
    (text(&reply[0].1), age)
}

/// A server with one bundle in each state; what is stored, and the age of the fresh one.
fn prepared(redis: &Redis) -> (Vec<(Vec<u8>, i64)>, i64) {
    let mut client = redis.client();
    prepare(&mut client);
    (stored(&mut client), verdict(&mut client, FRESH).1)
}

/// Another server holds the same, and judges it in the same way, whatever `ttl` says there.
fn holds_the_same(client: &mut Client, before: &(Vec<(Vec<u8>, i64)>, i64), what: &str) {
    client.ok(&["CONFIG", "SET", "dashboard.ttl", "100000"]);
    assert!(stored(client) == before.0, "{what}: the same bytes and expiries");
    let (status, age) = verdict(client, FRESH);
    assert_eq!(status, "hit", "{what}");
    assert!((before.1..before.1 + 60_000).contains(&age), "{what}: {age} after {}", before.1);
    let (status, age) = verdict(client, STALE);
    assert_eq!(status, "stale", "{what}");
    assert!(age > 1000, "{what}: {age}");
    assert_eq!(verdict(client, CHANGED).0, "refreshed", "{what}");
}

#[test]
fn a_restart_changes_no_bundle_and_no_verdict() {
    for lines in [
        &["appendonly yes"][..],
        &["appendonly yes", "aof-use-rdb-preamble no"],
        &["save 3600 1"],
        &["appendonly yes", "save 3600 1"],
    ] {
        let upstream = FakeUpstream::start();
        let builder = lines.iter().fold(Redis::builder().upstream(&upstream), |b, line| b.line(line));
        let redis = builder.start();
        let before = prepared(&redis);
        let redis = redis.restart();
        holds_the_same(&mut redis.client(), &before, &format!("{lines:?}"));
    }
}

#[test]
fn a_rewritten_append_only_file_changes_no_bundle_and_no_verdict() {
    for preamble in ["yes", "no"] {
        let upstream = FakeUpstream::start();
        let line = format!("aof-use-rdb-preamble {preamble}");
        let redis = Redis::builder().upstream(&upstream).line("appendonly yes").line(&line).start();
        let before = prepared(&redis);
        let mut client = redis.client();
        client.ok(&["BGREWRITEAOF"]);
        let rewriting = |client: &mut Client| client.info("persistence", "aof_rewrite_in_progress");
        assert_eventually!(rewriting(&mut client).as_deref() == Some("0"), "it is written");
        drop(client);
        holds_the_same(&mut redis.restart().client(), &before, preamble);
    }
}

struct Pair {
    primary: Redis,
    replica: Redis,
    upstream: FakeUpstream,
    upstream_of_replica: FakeUpstream,
}

fn pair() -> Pair {
    let (upstream, upstream_of_replica) = (FakeUpstream::start(), FakeUpstream::start());
    let primary = Redis::builder().upstream(&upstream).tcp().line("repl-diskless-sync-delay 0").start();
    let replica = Redis::builder().upstream(&upstream_of_replica).tcp().start();
    replica.follow(&primary);
    Pair { primary, replica, upstream, upstream_of_replica }
}

#[test]
fn a_replica_and_a_promoted_replica_hold_the_same_and_judge_it_in_the_same_way() {
    for promoted in [false, true] {
        let pair = pair();
        let before = prepared(&pair.primary);
        assert_eq!(pair.primary.client().int(&["WAIT", "1", "10000"]), 1);
        let mut client = pair.replica.client();
        if promoted {
            client.ok(&["REPLICAOF", "NO", "ONE"]);
        }
        holds_the_same(&mut client, &before, &format!("promoted: {promoted}"));
        let mut primary = pair.primary.client();
        assert_eq!(["hit", "stale"], [FRESH, STALE].map(|tenant| get(&mut primary, tenant)));
        if promoted {
            assert_eventually!(get(&mut client, STALE) == "hit", "it refreshes what is old");
            assert_eq!(get(&mut client, CHANGED), "hit", "it stores");
        }
    }
}

#[test]
fn a_replica_that_synchronises_late_holds_the_same() {
    let (upstream, upstream_of_replica) = (FakeUpstream::start(), FakeUpstream::start());
    let primary = Redis::builder().upstream(&upstream).tcp().line("repl-diskless-sync-delay 0").start();
    let before = prepared(&primary);
    for load in ["disabled", "swapdb"] {
        let replica = Redis::builder()
            .upstream(&upstream_of_replica)
            .line(&format!("repl-diskless-load {load}"))
            .start();
        replica.follow(&primary);
        holds_the_same(&mut replica.client(), &before, load);
    }
}

#[test]
fn a_clear_that_the_replica_has_acknowledged_holds_when_it_is_promoted() {
    for clear in [&["DASHBOARD.CLEAR", FRESH][..], &["DASHBOARD.CLEAR"], &["DASHBOARD.CLEAR", "SOFT"]] {
        let pair = pair();
        let mut primary = pair.primary.client();
        primary.json(&["DASHBOARD.GET", FRESH]);
        pair.upstream.answer(harness::Answer::UNAVAILABLE);
        assert_eq!(primary.int(clear), 1);
        assert_eq!(primary.int(&["WAIT", "1", "10000"]), 1);
        let Pair { primary, replica, upstream_of_replica, .. } = pair;
        drop(primary);
        let mut client = replica.client();
        client.ok(&["REPLICAOF", "NO", "ONE"]);
        let status = get(&mut client, FRESH);
        assert!(["miss", "refreshed"].contains(&status.as_str()), "{clear:?}: {status}");
        assert_eq!(upstream_of_replica.total(), 1, "{clear:?}");
    }
}

#[test]
fn what_a_replica_was_computing_when_it_was_promoted_is_not_stored() {
    let pair = pair();
    let (mut primary, mut waiting, mut client) =
        (pair.primary.client(), pair.replica.client(), pair.replica.client());
    pair.upstream_of_replica.hold();
    waiting.send(&["DASHBOARD.GET", ABSENT]);
    pair.upstream_of_replica.wait_for(1);
    // The replica hears of no fence: there is no key to remove.
    primary.int(&["DASHBOARD.CLEAR", ABSENT]);
    primary.int(&["WAIT", "1", "10000"]);
    client.ok(&["REPLICAOF", "NO", "ONE"]);
    let mut late = pair.replica.client();
    late.send(&["DASHBOARD.GET", ABSENT]);
    pair.upstream_of_replica.wait_for(2);
    pair.upstream_of_replica.release_one();
    waiting.receive().unwrap();
    assert_eq!(client.int(&["DBSIZE"]), 0);
    pair.upstream_of_replica.release();
    let bundle = text(&late.receive().unwrap());
    assert!(bundle.contains(r#""totalContacts":2"#), "who came after the promotion: {bundle}");
    assert_eq!(client.json(&["DASHBOARD.GET", ABSENT])["stats"]["totalContacts"], 2);
}

#[test]
fn what_a_primary_was_computing_when_it_was_demoted_is_not_stored() {
    let Pair { primary, replica, upstream, upstream_of_replica } = pair();
    upstream.hold();
    let (mut waiting, mut old) = (primary.client(), primary.client());
    waiting.send(&["DASHBOARD.GET", ABSENT]);
    upstream.wait_for(1);
    replica.client().ok(&["REPLICAOF", "NO", "ONE"]);
    primary.follow(&replica);
    waiting.receive().unwrap_err();
    upstream.release();
    assert_eventually!(old.figure("flights") == 0, "it has ended");
    let mut new = replica.client();
    new.json(&["DASHBOARD.GET", FRESH]);
    assert_eq!(new.int(&["WAIT", "1", "10000"]), 1);
    assert_eq!((old.int(&["DBSIZE"]), new.int(&["DBSIZE"])), (1, 1));
    assert_eq!(get(&mut old, FRESH), "hit");
    assert_eq!((upstream.total(), upstream_of_replica.total()), (1, 1));
}
