//! `SWAPDB`, and bundles that go from place to place while everything is being cleared: what comes from where a clear has
//! not been is never called a hit.

use harness::{Answer, Client, FakeUpstream, Redis, RedisBuilder, assert_eventually, text};
use redis::Value;

use crate::states::key;

/// So many that a search takes several turns.
const MANY: usize = 300;

fn name(n: usize) -> String {
    format!("t{n}")
}

fn builder(upstream: &FakeUpstream) -> RedisBuilder {
    Redis::builder().upstream(upstream).setting("hot-window", 0)
}

/// Fills a database with the bundles of many tenants.
fn fill(client: &mut Client, db: &str) {
    client.ok(&["SELECT", db]);
    let tenants: Vec<String> = (0..MANY).map(name).collect();
    let warm: Vec<&str> = ["DASHBOARD.WARM"].into_iter().chain(tenants.iter().map(String::as_str)).collect();
    client.ok(&warm);
    assert_eq!(client.int(&["DBSIZE"]), 2 * i64::try_from(MANY).unwrap());
}

/// How a read of this tenant was answered, and the bundle's version.
fn read(client: &mut Client, tenant: &str) -> (String, i64) {
    seen(client.ok(&["DASHBOARD.GET", tenant, "WITHMETA"]))
}

fn seen(reply: Value) -> (String, i64) {
    let fields = harness::fields(reply).unwrap();
    let bundle: serde_json::Value = serde_json::from_str(&text(&fields[4].1)).unwrap();
    (text(&fields[0].1), bundle["stats"]["totalContacts"].as_i64().unwrap())
}

/// Sends these in one transaction, so that nothing is done in between; their replies.
fn transaction(client: &mut Client, commands: &[Vec<String>]) -> Vec<Value> {
    client.ok(&["MULTI"]);
    for command in commands {
        client.ok(command);
    }
    let Value::Array(replies) = client.ok(&["EXEC"]) else { panic!("EXEC replies with an array") };
    replies
}

fn words(command: &str) -> Vec<String> {
    command.split(' ').map(str::to_owned).collect()
}

fn get(tenant: &str) -> Vec<String> {
    words(&format!("DASHBOARD.GET {tenant} WITHMETA"))
}

fn nothing_is_searched(client: &mut Client) -> bool {
    client.figure("clears_running") == 0
}

#[test]
fn from_its_first_moment_a_swap_makes_no_bundle_of_either_database_a_hit() {
    let upstream = FakeUpstream::start();
    let redis = builder(&upstream).start();
    let mut client = redis.client();
    fill(&mut client, "3");
    fill(&mut client, "0");
    // They change while the others are elsewhere.
    assert_eq!(client.int(&["DASHBOARD.CLEAR"]), 2 * i64::try_from(MANY).unwrap());
    fill(&mut client, "0");
    let reads = (0..MANY).map(|n| get(&name(n)));
    let reads: Vec<_> = [words("SWAPDB 0 3")]
        .into_iter()
        .chain(reads.clone())
        .chain([words("SELECT 3")])
        .chain(reads)
        .collect();
    let statuses: Vec<String> = transaction(&mut client, &reads)
        .into_iter()
        .filter(|reply| !matches!(reply, Value::Okay))
        .map(|reply| seen(reply).0)
        .collect();
    assert_eq!(statuses.len(), 2 * MANY);
    assert!(statuses.iter().all(|status| status == "stale"), "{statuses:?}");
    assert_eventually!(nothing_is_searched(&mut client), "both have been searched");
    for db in ["0", "3"] {
        client.ok(&["SELECT", db]);
        for n in 0..MANY {
            let (status, _) = read(&mut client, &name(n));
            // What was read in the transaction is computed behind it.
            assert!(["refreshed", "hit"].contains(&status.as_str()), "{db} {n}: {status}");
        }
    }
    let versions = |n: usize| upstream.count(&name(n));
    assert!((0..MANY).all(|n| versions(n) >= 8), "both bundles, of both databases, before and after");
}

#[test]
fn what_was_swapped_in_is_computed_anew_and_serves_only_where_that_fails() {
    let upstream = FakeUpstream::start();
    let redis = builder(&upstream).start();
    let mut client = redis.client();
    client.ok(&["SELECT", "3"]);
    assert_eq!((read(&mut client, "a").1, read(&mut client, "b").1), (1, 1));
    client.ok(&["SELECT", "0"]);
    client.int(&["DASHBOARD.CLEAR", "a", "b"]);
    client.ok(&["SWAPDB", "3", "0"]);
    assert_eq!(read(&mut client, "a"), ("refreshed".to_owned(), 2));
    assert_eq!(read(&mut client, "a"), ("hit".to_owned(), 2));
    assert_eventually!(nothing_is_searched(&mut client), "it ends");
    assert_eq!(read(&mut client, "a"), ("hit".to_owned(), 2), "what was stored since is no older");
    upstream.answer(Answer::UNAVAILABLE);
    assert_eq!(read(&mut client, "b"), ("stale".to_owned(), 1), "a fallback, also once it has its mark");
}

#[test]
fn a_database_that_is_swapped_with_itself_or_with_others_keeps_its_hits() {
    let upstream = FakeUpstream::start();
    let redis = builder(&upstream).start();
    let mut client = redis.client();
    read(&mut client, "a");
    for swap in ["SWAPDB 0 0", "SWAPDB 4 5"] {
        let replies = transaction(&mut client, &[words(swap), get("a")]);
        assert_eq!(seen(replies[1].clone()).0, "hit", "{swap}");
    }
}

#[test]
fn a_database_that_is_swapped_again_and_again_is_searched_once_at_a_time() {
    let upstream = FakeUpstream::start();
    let redis = builder(&upstream).start();
    let mut client = redis.client();
    fill(&mut client, "3");
    let swaps = vec![words("SWAPDB 0 3"); 101];
    transaction(&mut client, &swaps);
    assert!(client.figure("clears_running") <= 2);
    client.ok(&["SELECT", "0"]);
    for n in 0..MANY {
        assert_eq!(read(&mut client, &name(n)).0, "refreshed");
    }
}

#[test]
fn what_is_flushed_in_between_stays_away_and_what_is_stored_then_is_a_hit() {
    for flush in ["FLUSHALL", "FLUSHDB"] {
        let upstream = FakeUpstream::start();
        let redis = builder(&upstream).start();
        let mut client = redis.client();
        fill(&mut client, "3");
        client.ok(&["SELECT", "0"]);
        transaction(&mut client, &[words("SWAPDB 0 3"), words(flush)]);
        assert_eq!(read(&mut client, "t1").0, "miss", "{flush}");
        assert_eq!(read(&mut client, "t1").0, "hit", "{flush}");
        assert_eventually!(nothing_is_searched(&mut client), "{flush}: it ends");
        assert_eq!((read(&mut client, "t1").0, client.int(&["DBSIZE"])), ("hit".to_owned(), 1), "{flush}");
    }
}

#[test]
fn a_client_that_keeps_copies_is_told_of_a_swap() {
    let upstream = FakeUpstream::start();
    let redis = builder(&upstream).start();
    let mut tracking = redis.client_resp3();
    tracking.ok(&["CLIENT", "TRACKING", "ON"]);
    tracking.json(&["DASHBOARD.GET", "a"]);
    redis.client().ok(&["SWAPDB", "0", "3"]);
    let Ok(Value::Push { kind: redis::PushKind::Invalidate, data }) = tracking.receive() else {
        panic!("it is told")
    };
    assert_eq!(data, [Value::Array(vec![Value::BulkString(b"a".to_vec())])]);
}

#[test]
fn what_others_put_in_place_while_a_search_goes_on_is_no_hit_wherever_it_goes() {
    let upstream = FakeUpstream::start();
    let redis = builder(&upstream).start();
    let mut client = redis.client();
    for tenant in ["moved", "copied", "renamed", "restored", "set"] {
        read(&mut client, tenant);
    }
    let dump = client.bytes(&["DUMP", &key("restored")]);
    let expires_at = client.json(&["GET", &key("restored")])["meta"]["expires_at_ms"].to_string();
    client.ok(&["RENAME", &key("renamed"), "elsewhere"]);
    client.int(&["MOVE", "elsewhere", "5"]);
    let value = client.bytes(&["GET", &key("set")]);
    client.ok(&["MULTI"]);
    client.ok(&["SWAPDB", "3", "4"]);
    client.ok(&["MOVE", &key("moved"), "5"]);
    client.ok(&["COPY", &key("copied"), &key("copied"), "DB", "5"]);
    client.ok(&["SELECT", "5"]);
    client.ok(&["RENAME", "elsewhere", &key("renamed")]);
    let (restored, set) = (key("restored"), key("set"));
    let expires_at = expires_at.as_bytes();
    client.ok(&[b"RESTORE", restored.as_bytes(), expires_at, &dump, b"ABSTTL"]);
    client.ok(&[b"SET", set.as_bytes(), &value, b"PXAT", expires_at]);
    let tenants = ["moved", "copied", "renamed", "restored", "set"];
    for tenant in tenants {
        client.ok(&get(tenant));
    }
    let Value::Array(replies) = client.ok(&["EXEC"]) else { panic!("EXEC replies with an array") };
    for (tenant, reply) in tenants.iter().zip(replies.into_iter().skip(7)) {
        assert_eq!(seen(reply).0, "stale", "{tenant}");
    }
    assert_eventually!(nothing_is_searched(&mut client), "it ends");
    client.ok(&["SELECT", "5"]);
    for tenant in tenants {
        assert_eq!(read(&mut client, tenant).1, 2, "{tenant} was computed anew");
    }
}

/// A primary that has swapped and may not write its marks yet, and its replica.
fn a_swap_that_is_not_marked(upstream: &FakeUpstream) -> (Redis, Redis) {
    let primary = builder(upstream).tcp().line("appendonly yes").line("appendfsync always").start();
    let replica = builder(upstream).start();
    let mut client = primary.client();
    fill(&mut client, "3");
    client.ok(&["SELECT", "0"]);
    replica.follow(&primary);
    transaction(&mut client, &[words("SWAPDB 0 3"), words("CLIENT PAUSE 600000 WRITE")]);
    (primary, replica)
}

#[test]
fn a_replica_calls_nothing_a_hit_that_was_swapped_in_until_its_primary_has_stored_it_anew() {
    let upstream = FakeUpstream::start();
    let (primary, replica) = a_swap_that_is_not_marked(&upstream);
    let (mut client, mut there) = (primary.client(), replica.client());
    assert_eventually!(there.int(&["DBSIZE"]) > 0, "the swap has come");
    let replies = transaction(&mut there, &(0..MANY).map(|n| get(&name(n))).collect::<Vec<_>>());
    assert!(replies.into_iter().all(|reply| seen(reply).0 == "stale"));
    assert!(there.figure("clears_running") > 0, "it waits for the marks");
    client.ok(&["CLIENT", "UNPAUSE"]);
    assert_eventually!(nothing_is_searched(&mut client), "the primary has marked all");
    assert_eventually!(nothing_is_searched(&mut there), "and so the replica has seen it");
    assert_eq!(seen(transaction(&mut there, &[get("t1")]).remove(0)).0, "stale", "by the mark");
    assert_eq!(read(&mut client, "t1").0, "refreshed");
    assert_eventually!(read(&mut there, "t1").0 == "hit", "what the primary has stored since is right");
}

#[test]
fn a_replica_that_takes_over_before_the_marks_have_come_sets_them_itself() {
    let upstream = FakeUpstream::start();
    let (mut primary, replica) = a_swap_that_is_not_marked(&upstream);
    let mut there = replica.client();
    assert_eventually!(there.int(&["DBSIZE"]) > 0, "the swap has come");
    primary.process().kill();
    there.ok(&["REPLICAOF", "NO", "ONE"]);
    assert_eventually!(nothing_is_searched(&mut there), "all is marked");
    for n in 0..MANY {
        assert_eq!(read(&mut there, &name(n)).0, "refreshed", "{n}");
    }
}

/// A primary without the module, which never marks anything, and its replica, to which a swap has come.
fn a_swap_that_nobody_marks(upstream: &FakeUpstream) -> (Redis, Redis) {
    let primary = Redis::builder().without_module().tcp().start();
    let (source, replica) = (builder(upstream).start(), builder(upstream).start());
    let mut there = source.client();
    fill(&mut there, "3");
    let mut client = primary.client();
    client.ok(&["SELECT", "3"]);
    let Value::Array(keys) = there.ok(&["KEYS", "*"]) else { panic!("KEYS replies with an array") };
    for key in keys.iter().map(text) {
        let (value, ttl) = (there.bytes(&["GET", &key]), there.int(&["PTTL", &key]).to_string());
        client.ok(&[b"SET", key.as_bytes(), &value, b"PX", ttl.as_bytes()]);
    }
    replica.follow(&primary);
    client.ok(&["SWAPDB", "0", "3"]);
    (primary, replica)
}

/// Marks a tenant's bundle as changed, as a primary with the module does.
fn mark(client: &mut Client, key: &str) {
    let expires_at = client.int(&["PEXPIRETIME", key]);
    client.ok(&["PEXPIREAT", key, &(expires_at + 60_000).to_string()]);
}

#[test]
fn a_replica_waits_for_each_mark_however_long_it_takes() {
    let upstream = FakeUpstream::start();
    let (primary, replica) = a_swap_that_nobody_marks(&upstream);
    let (mut client, mut there) = (primary.client(), replica.client());
    assert_eventually!(there.int(&["DBSIZE"]) > 0, "the swap has come");
    let Value::Array(keys) = client.ok(&["KEYS", "*"]) else { panic!("KEYS replies with an array") };
    let last = key("t7");
    keys.iter().map(text).filter(|key| *key != last).for_each(|key| mark(&mut client, &key));
    assert_eq!(client.int(&["WAIT", "1", "0"]), 1);
    assert!(there.figure("clears_running") > 0, "one mark is missing");
    assert_eq!(seen(transaction(&mut there, &[get("t7")]).remove(0)).0, "stale");
    mark(&mut client, &last);
    assert_eventually!(nothing_is_searched(&mut there), "all is marked");
}

#[test]
fn a_replica_of_a_primary_that_never_marks_does_so_when_it_takes_over() {
    let upstream = FakeUpstream::start();
    let (_primary, replica) = a_swap_that_nobody_marks(&upstream);
    let mut there = replica.client();
    assert_eventually!(there.int(&["DBSIZE"]) > 0, "the swap has come");
    there.ok(&["REPLICAOF", "NO", "ONE"]);
    assert_eventually!(nothing_is_searched(&mut there), "all is marked");
    for n in 0..MANY {
        assert_eq!(read(&mut there, &name(n)).0, "refreshed", "{n}");
    }
}

#[test]
fn what_a_replica_gets_in_a_full_synchronisation_is_a_hit() {
    let upstream = FakeUpstream::start();
    let (_primary, replica) = a_swap_that_nobody_marks(&upstream);
    let other = builder(&upstream).tcp().start();
    fill(&mut other.client(), "0");
    let mut there = replica.client();
    assert_eventually!(there.int(&["DBSIZE"]) > 0, "the swap has come");
    assert!(there.figure("clears_running") > 0);
    replica.follow(&other);
    assert!(nothing_is_searched(&mut there), "this is other data");
    assert_eq!(read(&mut there, "t1").0, "hit");
}

#[test]
fn a_server_that_is_killed_before_it_has_marked_all_does_so_when_it_is_back() {
    let upstream = FakeUpstream::start();
    let (mut primary, _replica) = a_swap_that_is_not_marked(&upstream);
    primary.process().kill();
    primary.start_again();
    let mut client = primary.client();
    let replies = transaction(&mut client, &(0..MANY).map(|n| get(&name(n))).collect::<Vec<_>>());
    let first: Vec<String> = replies.into_iter().map(|reply| seen(reply).0).collect();
    assert!(first.iter().all(|status| status == "stale"), "{first:?}");
    assert_eventually!(nothing_is_searched(&mut client), "all is marked");
    // What is stored from then on is not older than the swap, whatever the file repeats.
    assert_eventually!(read(&mut client, "t1").0 == "hit", "computed anew");
    primary.process().kill();
    primary.start_again();
    let mut client = primary.client();
    assert_eq!(seen(transaction(&mut client, &[get("t1")]).remove(0)).0, "hit");
}
