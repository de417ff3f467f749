//! `INFO dashboard` tells what was done: every counter, after a known sequence of everything.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};

/// All counters that are not 0.
fn counters(client: &mut Client) -> Vec<(String, String)> {
    let info = String::from_utf8(client.bytes(&["INFO", "dashboard"])).unwrap();
    let fields = info.lines().filter_map(|line| line.strip_prefix("dashboard_")?.split_once(':'));
    fields
        .filter(|(_, value)| *value != "0")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Sizes, times, names and states.
const OF_THE_MOMENT: [&str; 6] =
    ["stored_bytes", "feed_state", "warm_by", "warm_started", "warm_elapsed_ms", "warm_tenants_per_sec"];

fn assert_counters(client: &mut Client, expected: &[(&str, &str)]) {
    let given = counters(client);
    let given: Vec<(&str, &str)> = given
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !OF_THE_MOMENT.contains(name))
        .collect();
    assert_eq!(given, expected);
}

fn quiet(client: &mut Client) {
    assert_eventually!(client.figure("flights") == 0, "no flight is left");
}

/// At rest, each flight was computed, has failed, or was broken off.
fn every_flight_has_one_end(client: &mut Client) {
    let ends: i64 = counters(client)
        .iter()
        .filter(|(name, _)| {
            ["computed", "unchanged", "cancelled"].contains(&name.as_str()) || name.starts_with("failed_")
        })
        .map(|(_, value)| value.parse::<i64>().unwrap())
        .sum();
    assert_eq!(client.figure("flights_total"), ends);
    let [computed, unchanged, stored, uncached, discarded] =
        ["computed", "unchanged", "stored", "uncached", "discarded"].map(|name| client.figure(name));
    assert_eq!(computed + unchanged, stored + uncached + discarded);
}

#[test]
fn a_flight_that_ends_just_as_it_is_broken_off_is_counted_once() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut client, mut sleeper) = (redis.client(), redis.client());
    for n in 0..50 {
        let mut reader = redis.client();
        upstream.hold();
        reader.send(&["DASHBOARD.GET", &format!("t{n}")]);
        upstream.wait_for(n + 1);
        // While the server sleeps, the answer comes and the client goes.
        sleeper.send(&["DEBUG", "SLEEP", "0.01"]);
        upstream.release();
        drop(reader);
        sleeper.receive().unwrap();
        quiet(&mut client);
    }
    every_flight_has_one_end(&mut client);
}

const CLOSED: (&str, &str) = ("sidecar_breaker", "closed");

#[test]
fn hits_misses_and_refreshes_are_counted_as_they_were_answered() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    assert_counters(&mut client, &[CLOSED]);
    client.ok(&["DASHBOARD.GET", "a"]);
    client.ok(&["DASHBOARD.GET", "a"]);
    client.error(&["DASHBOARD.GET", "a", "UNKNOWN"]);
    let etag = client.json(&["DASHBOARD.GET", "a", "REFRESH"])["meta"]["etag"].as_str().unwrap().to_owned();
    client.ok(&["DASHBOARD.GET", "a", "IFNONEMATCH", &etag]);
    let expected = [
        ("hits", "2"),
        ("misses", "1"),
        ("refreshed", "1"),
        // The refresh brought other content.
        ("invalidations", "1"),
        CLOSED,
        ("flights_total", "2"),
        ("computed", "2"),
        ("stored", "2"),
    ];
    assert_counters(&mut client, &expected);
}

#[test]
fn reads_that_fail_are_counted_with_their_reason() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("unknown", Answer::NO_TENANT);
    upstream.answer_for("broken", Answer::Error(500, "internal"));
    upstream.answer_for("hangs", Answer::Hang);
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 200).start();
    let mut client = redis.client();
    client.error(&["DASHBOARD.GET", "unknown"]);
    client.error(&["DASHBOARD.GET", "unknown"]);
    client.error(&["DASHBOARD.GET", "broken"]);
    client.error(&["DASHBOARD.GET", "hangs"]);
    client.ok(&["SET", "dashboard:bundle:other:include=true", "x"]);
    client.ok(&["LPUSH", "dashboard:bundle:list:include=true", "x"]);
    client.error(&["DASHBOARD.GET", "list"]);
    quiet(&mut client);
    let given = counters(&mut client);
    let of = |name: &str| given.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!(of("errors"), Some("5"));
    assert_eq!((of("negative_hits"), of("unknown_tenants")), (Some("1"), Some("1")));
    assert_eq!((of("failed_no_tenant"), of("failed_sidecar_error")), (Some("1"), Some("1")));
    assert_eq!(of("flights_total"), Some("3"));
    // Whichever came first at the deadline, the flight's own end or its client's.
    assert_eq!((of("failed_timeout"), of("cancelled")), (Some("1"), None));
}

#[test]
fn clears_count_flights_that_they_orphan_and_bundles_that_they_take_away() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("hot-window", 0).start();
    let (mut client, mut reader) = (redis.client(), redis.client());
    client.ok(&["DASHBOARD.WARM", "a", "b"]);
    upstream.hold();
    reader.send(&["DASHBOARD.GET", "c"]);
    upstream.wait_for(5);
    client.int(&["DASHBOARD.CLEAR", "c"]);
    upstream.release();
    reader.receive().unwrap();
    client.int(&["DASHBOARD.CLEAR", "a"]);
    client.int(&["DASHBOARD.CLEAR", "b", "SOFT"]);
    client.int(&["DASHBOARD.CLEAR"]);
    quiet(&mut client);
    let expected = [
        ("misses", "1"),
        ("cleared", "4"),
        ("marked_changed", "2"),
        // One for each tenant named, and one for each bundle that the last one found.
        ("invalidations", "5"),
        CLOSED,
        ("flights_total", "5"),
        ("orphaned", "1"),
        ("computed", "5"),
        ("stored", "4"),
        ("discarded", "1"),
        ("fences", "4"),
        ("warm_run", "1"),
        ("warm_tenants", "2"),
        ("warm_done", "2"),
        ("warm_warmed", "2"),
    ];
    assert_counters(&mut client, &expected);
}

#[test]
fn every_read_is_counted_once_however_it_ended() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder()
        .upstream(&upstream)
        .setting("max-waiters", 3)
        .setting("soft-timeout", 50)
        .setting("hot-window", 0)
        .start();
    let (mut client, mut first, mut second, mut third) =
        (redis.client(), redis.client(), redis.client(), redis.client());
    client.ok(&["DASHBOARD.GET", "changed"]); // a miss
    client.ok(&["DASHBOARD.GET", "changed"]); // a hit
    client.int(&["DASHBOARD.CLEAR", "changed", "SOFT"]);
    upstream.hold();
    client.ok(&["DASHBOARD.GET", "changed"]); // stale: soft-timeout
    upstream.release();
    quiet(&mut client);
    upstream.hold();
    first.send(&["DASHBOARD.GET", "slow"]); // a miss
    second.send(&["DASHBOARD.GET", "slow"]); // a miss that joined
    third.send(&["DASHBOARD.GET", "slow"]); // leaves
    assert_eventually!(client.figure("waiters") == 3, "they wait");
    client.error(&["DASHBOARD.GET", "other"]); // an error: no room
    drop(third);
    assert_eventually!(client.figure("waiters") == 2, "one has left");
    client.ok(&["MULTI"]);
    client.ok(&["DASHBOARD.GET", "another"]); // an error: MISS
    client.ok(&["EXEC"]);
    upstream.release();
    first.receive().unwrap();
    second.receive().unwrap();
    quiet(&mut client);
    let [hits, stale, misses, refreshed, errors, left] =
        ["hits", "stale", "misses", "refreshed", "errors", "left"].map(|name| client.figure(name));
    assert_eq!([hits, stale, misses, refreshed, errors, left], [1, 1, 3, 0, 2, 1]);
    let [joined, overloaded, soft] =
        ["joined", "overloaded_waiters", "soft_timeouts"].map(|name| client.figure(name));
    assert_eq!([joined, overloaded, soft], [2, 1, 1]);
    assert_eq!(client.figure("flights_total"), i64::try_from(upstream.total()).unwrap());
    every_flight_has_one_end(&mut client);
}
