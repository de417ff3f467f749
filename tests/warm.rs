//! `DASHBOARD.WARM`: what it counts, skips and survives.

use std::time::Duration;

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually, fields, text};

/// `tenants`, `warmed`, `fresh`, `failed`: tenants, of which each is counted once, by its worse bundle.
pub(crate) fn warm(client: &mut Client, args: &[&str]) -> [i64; 4] {
    let mut command = vec!["DASHBOARD.WARM"];
    command.extend(args);
    let reply = client.map(&command);
    let names: Vec<_> = reply.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..5], ["tenants", "warmed", "fresh", "failed", "elapsed_ms"]);
    assert!(names[5..].iter().all(|name| *name == "failures"), "{names:?}");
    [0, 1, 2, 3].map(|i| text(&reply[i].1).parse().unwrap())
}

#[test]
fn warming_without_a_tenant_covers_every_active_one_with_both_include_values() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b", "SUPERADMIN_GLOBAL"]);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();

    assert_eq!(warm(&mut client, &[]), [3, 3, 0, 0]);
    assert_eq!(client.int(&["DBSIZE"]), 6);
    let before = upstream.total();
    client.bytes(&["DASHBOARD.GET", "SUPERADMIN_GLOBAL", "INCLUDE", "false"]);
    assert_eq!(upstream.total(), before, "what was warmed is a hit");
}

#[test]
fn fresh_bundles_are_skipped_unless_forced() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "a"]);

    assert_eq!(warm(&mut client, &["a", "b"]), [2, 2, 0, 0]);
    assert_eq!(warm(&mut client, &["a", "b"]), [2, 0, 2, 0]);
    assert_eq!(warm(&mut client, &["a", "b", "FORCE"]), [2, 2, 0, 0]);
}

#[test]
fn a_softly_cleared_bundle_is_not_fresh() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    warm(&mut client, &["a"]);
    client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    assert_eq!(warm(&mut client, &["a"]), [1, 1, 0, 0]);
}

#[test]
fn one_failing_tenant_does_not_keep_the_others_cold() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "bad", "gone", "z"]);
    upstream.answer_for("bad", Answer::Error(500, "internal"));
    upstream.answer_for("gone", Answer::NO_TENANT);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    assert_eq!(warm(&mut client, &[]), [4, 2, 0, 2]);
    assert_eq!(client.int(&["DBSIZE"]), 4);
}

#[test]
fn a_wrong_or_broken_line_fails_its_own_bundle_only() {
    // Not the wrong include value: both are asked for, so the two lines would only have changed places.
    for answer in [Answer::WrongTenant, Answer::Garbage, Answer::WrongShape, Answer::EmptyBody] {
        let upstream = FakeUpstream::start();
        upstream.answer_for("bad", answer.clone());
        let redis = Redis::with(&upstream);
        let mut client = redis.client();
        let [tenants, _, _, failed] = warm(&mut client, &["a", "bad"]);
        assert_eq!((tenants, failed >= 1), (2, true), "{answer:?}");
        assert_eq!(client.int(&["EXISTS", "dashboard:bundle:bad:include=true"]), 0, "{answer:?}");
        assert_eq!(client.int(&["EXISTS", "dashboard:bundle:bad-other:include=true"]), 0, "{answer:?}");
    }
}

#[test]
fn async_replies_at_once_and_info_tells_the_progress() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b"]);
    upstream.hold();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.ok(&["DASHBOARD.WARM", "ASYNC"]);
    upstream.wait_for(1);
    assert_eq!(client.int(&["DBSIZE"]), 0);
    upstream.release();
    assert_eventually!(client.int(&["DBSIZE"]) == 4, "everything is warmed");
    let info = String::from_utf8(client.bytes(&["INFO", "dashboard"])).unwrap();
    assert!(info.lines().any(|line| line.starts_with("dashboard_warm")), "{info}");
}

#[test]
fn warming_when_the_list_of_tenants_cannot_be_had_is_unavailable() {
    let mut upstream = FakeUpstream::start();
    upstream.refuse();
    let redis = Redis::with(&upstream);
    let error = redis.client().error(&["DASHBOARD.WARM"]);
    assert!(error.starts_with("UNAVAILABLE "), "{error}");
}

#[test]
fn a_clear_during_warming_is_not_undone_by_it() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = Redis::with(&upstream);
    let (mut warming, mut other) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM", "a"]);
    upstream.wait_for(1);
    other.int(&["DASHBOARD.CLEAR", "a"]);
    upstream.release();
    warming.receive().unwrap();
    // Whatever warming was computing when CLEAR came is not stored: version 1 is never seen again.
    let bundle = other.json(&["DASHBOARD.GET", "a"]);
    assert_ne!(bundle["stats"]["totalContacts"], 1, "{bundle}");
}

#[test]
fn gets_join_what_warming_is_computing() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = Redis::with(&upstream);
    let (mut warming, mut reading, mut observer) = (redis.client(), redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM", "a"]);
    upstream.wait_for(1);
    let first = upstream.requests()[0].clone();
    reading.send(&["DASHBOARD.GET", "a", "INCLUDE", if first.include_test_data { "true" } else { "false" }]);
    assert_eventually!(observer.blocked_clients() == 2, "the reader waits");
    upstream.release();
    reading.receive().unwrap();
    warming.receive().unwrap();
    assert_eq!(observer.figure("joined"), 1, "it took a seat in the flight of the batch");
}

#[test]
fn a_get_does_not_wait_for_a_slow_tenant_of_a_batch() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("slow", Answer::Hang);
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 60_000).start();
    let (mut warming, mut reading) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM", "slow", "b"]);
    upstream.wait_for(1);
    assert_eq!(reading.json(&["DASHBOARD.GET", "b"])["meta"]["tenant_id"], "b");
    assert_eq!(reading.figure("superseded"), 1, "it got a flight of its own");
    assert_eq!(upstream.count("b"), 1, "the batch has not come to it");
}

#[test]
fn who_finds_no_room_beside_a_slow_batch_gets_it_when_there_is_some() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("slow", Answer::Hang);
    upstream.answer_for("busy", Answer::Hang);
    let redis =
        Redis::builder().upstream(&upstream).setting("timeout", 60_000).setting("max-flights", 1).start();
    let (mut warming, mut busy, mut reading, mut other) =
        (redis.client(), redis.client(), redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM", "slow", "b"]);
    upstream.wait_for(1);
    busy.send(&["DASHBOARD.GET", "busy"]);
    upstream.wait_for(2);
    let asked = std::time::Instant::now();
    reading.send(&["DASHBOARD.GET", "b"]);
    assert_eventually!(asked.elapsed().as_millis() > 400, "it has looked for room in vain");
    assert_eq!((other.figure("waiters"), other.figure("superseded")), (2, 0));
    drop(busy);
    reading.receive().unwrap();
    assert_eq!(other.figure("superseded"), 1);
}

#[test]
fn what_is_cleared_while_it_is_warmed_is_computed_again_within_the_bound_of_warming() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("max-flights", 1).start();
    let (mut warming, mut other) = (redis.client(), redis.client());
    upstream.hold();
    let tenants: Vec<String> = (0..16).map(|n| format!("t{n}")).collect();
    let command: Vec<&str> =
        std::iter::once("DASHBOARD.WARM").chain(tenants.iter().map(String::as_str)).collect();
    warming.send(&command);
    assert_eventually!(other.figure("flights") == 32, "they are under way");
    other.int(&["DASHBOARD.CLEAR"]);
    upstream.release();
    warming.receive().unwrap();
    assert_eq!((other.figure("warm_warmed"), other.figure("warm_failed")), (16, 0));
    assert_eq!(other.int(&["DBSIZE"]), 32);
    assert_eq!(upstream.exchanges(), 2, "the batch, and one more: no request for each bundle");
}

#[test]
fn a_sidecar_that_only_says_that_it_is_at_work_is_given_up() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::SignsOfLife);
    let redis = Redis::builder().upstream(&upstream).setting("timeout", 100).start();
    let mut client = redis.client();
    assert_eq!(warm(&mut client, &["a"]), [1, 0, 0, 1]);
    assert_eq!(client.figure("failed_timeout"), 2);
}

#[test]
fn a_tenant_that_is_listed_twice_is_warmed_and_counted_once() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b", "a"]);
    let redis = Redis::with(&upstream);
    assert_eq!(warm(&mut redis.client(), &[]), [2, 2, 0, 0]);
}

#[test]
fn a_thousand_tenants_are_warmed_and_the_server_answers_meanwhile() {
    let upstream = FakeUpstream::start();
    let tenants: Vec<String> = (0..1_000).map(|i| format!("tenant-{i}")).collect();
    upstream.active_tenants(&tenants.iter().map(String::as_str).collect::<Vec<_>>());
    let redis = Redis::with(&upstream);
    let (mut warming, mut other) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM"]);
    assert_eq!(other.bytes(&["PING"]), b"PONG");
    warming.receive().unwrap();
    assert_eq!(other.int(&["DBSIZE"]), 2_000);
    assert_eq!(upstream.total(), 2_000);
}

#[test]
fn a_bundle_that_is_too_large_costs_only_its_own_tenant() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("b", Answer::Sized(2 << 20));
    let redis = Redis::with(&upstream);
    let report = redis.client().map(&["DASHBOARD.WARM", "a", "b", "c"]);
    let count = |name: &str| report.iter().find(|(n, _)| n == name).map(|(_, v)| text(v)).unwrap();
    assert_eq!((count("warmed"), count("failed")), ("2".into(), "1".into()));
}

#[test]
fn warming_stops_at_maxmemory_and_says_what_was_not_stored() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Sized(100_000));
    let redis = Redis::builder()
        .upstream(&upstream)
        .line("maxmemory 8mb")
        .line("maxmemory-policy noeviction")
        .start();
    let mut client = redis.client();
    let names: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    let command: Vec<&str> =
        std::iter::once("DASHBOARD.WARM").chain(names.iter().map(String::as_str)).collect();
    let report = client.map(&command);
    let count = |name: &str| -> i64 {
        report.iter().find(|(n, _)| n == name).map(|(_, v)| text(v).parse().unwrap()).unwrap()
    };
    assert!(count("failed") > 0 && count("warmed") > 0, "{report:?}");
    assert!(client.figure("uncached") > 0);
    let used: i64 = client.info("memory", "used_memory").unwrap().parse().unwrap();
    assert!(used < 9 << 20, "{used}");
}

/// `t0`, `t1`, …
fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("t{n}")).collect()
}

fn list(upstream: &FakeUpstream, names: &[String]) {
    upstream.active_tenants(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn failed_tenants_are_named_with_their_reasons_in_the_reply_in_info_and_in_the_log() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("slow", Answer::Error(504, "timeout"));
    upstream.answer_for("gone", Answer::NO_TENANT);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    let reply = client.map(&["DASHBOARD.WARM", "a", "slow", "gone"]);
    let (name, failures) = reply.last().unwrap();
    let mut failures: Vec<_> =
        fields(failures.clone()).unwrap().into_iter().map(|(tenant, why)| (tenant, text(&why))).collect();
    failures.sort();
    assert_eq!(name, "failures");
    assert_eq!(failures, [("gone".to_owned(), "no_tenant".to_owned()), ("slow".into(), "timeout".into())]);

    let mut shown = [0, 1].map(|n| client.info("dashboard", &format!("dashboard_warm_failure{n}")).unwrap());
    shown.sort();
    assert_eq!(shown, ["tenant=gone,reason=no_tenant", "tenant=slow,reason=timeout"]);
    assert!(redis.log().contains("not warmed: tenant slow: timeout"), "{}", redis.log());
}

#[test]
fn info_tells_who_warms_since_when_and_how_far_it_is() {
    let upstream = FakeUpstream::start();
    let names = names(3);
    list(&upstream, &names);
    upstream.hold();
    let redis = Redis::builder().upstream(&upstream).tcp().start();
    let (mut warming, mut other) = (redis.client(), redis.client());
    warming.ok(&["CLIENT", "SETNAME", "nightly"]);
    let id = warming.id();
    warming.send(&["DASHBOARD.WARM"]);
    upstream.wait_for(1);
    let by = other.info("dashboard", "dashboard_warm_by").unwrap();
    assert!(by.starts_with(&format!("id={id} addr=")) && by.ends_with(" name=nightly user=default"), "{by}");
    assert_eq!((other.figure("warm_running"), other.figure("warm_tenants")), (1, 3));
    let started = other.figure("warm_started");
    let now: i64 = other.info("server", "server_time_usec").unwrap().parse().unwrap();
    assert!((0..=60).contains(&(now / 1_000_000 - started)), "{started} in seconds, {now} in microseconds");
    // The first tenant, both of its bundles; the others are still to come.
    upstream.release_one();
    upstream.release_one();
    assert_eventually!(other.figure("warm_done") == 1, "one tenant is done");
    upstream.release();
    warming.receive().unwrap();
    assert_eq!((other.figure("warm_running"), other.figure("warm_done")), (0, 3));
    assert!(redis.log().contains("asked for by id="), "{}", redis.log());
}

#[test]
fn of_all_tenants_those_that_were_read_most_recently_are_warmed_first() {
    let upstream = FakeUpstream::start();
    let names = names(100);
    list(&upstream, &names);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    // What nobody has read counts as unread for longer than hot-window.
    warm(&mut client, &[]);
    for read in ["t97", "t5"] {
        client.bytes(&["DASHBOARD.GET", read, "INCLUDE", "false"]);
    }
    let before = upstream.total();
    warm(&mut client, &["FORCE"]);
    let order: Vec<String> =
        upstream.requests()[before..].iter().step_by(2).map(|request| request.tenant.clone()).collect();
    assert_eq!(order[..4], ["t5", "t97", "t0", "t1"]);
}

#[test]
fn a_list_of_tenants_is_warmed_in_its_own_order() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "c"]);
    client.ok(&["DASHBOARD.WARM", "b", "c", "a", "FORCE"]);
    let order: Vec<String> = upstream.requests()[1..].iter().step_by(2).map(|r| r.tenant.clone()).collect();
    assert_eq!(order, ["b", "c", "a"]);
}

#[test]
fn no_more_requests_are_under_way_than_warm_concurrency_says() {
    let upstream = FakeUpstream::start();
    let names = names(500);
    list(&upstream, &names);
    upstream.hold();
    let redis = Redis::builder().upstream(&upstream).setting("warm-concurrency", 3).start();
    let (mut warming, mut other) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM"]);
    upstream.wait_for(3);
    assert_eq!(other.figure("flights"), 3 * 64 * 2, "of three batches, and no more");
    upstream.release();
    warming.receive().unwrap();
    assert_eq!(other.figure("warm_warmed"), 500);
    assert_eq!(upstream.exchanges(), 500_usize.div_ceil(64));
}

#[test]
fn a_share_of_the_databases_time_makes_warming_pause_and_a_changed_one_applies_at_once() {
    let upstream = FakeUpstream::start();
    let names = names(100);
    list(&upstream, &names);
    upstream.query_time(Duration::from_secs(3_600));
    let redis = Redis::builder()
        .upstream(&upstream)
        .setting("warm-concurrency", 4)
        .setting("warm-share", 100)
        .start();
    let (mut warming, mut other) = (redis.client(), redis.client());
    warming.send(&["DASHBOARD.WARM"]);
    assert_eventually!(other.figure("warm_running") == 1, "it has begun");
    assert_eventually!(other.figure("warm_done") > 0, "the first batch is done");
    assert_eq!(upstream.exchanges(), 1, "what a batch costs is not learned from four");
    assert!(other.figure("warm_done") < 64, "under a share it is a small one");
    assert_eq!((other.figure("flights"), other.figure("warm_running")), (0, 1), "an hour is to be paid off");
    // A reader in the pause waits for nobody.
    other.bytes(&["DASHBOARD.GET", "t99"]);
    other.ok(&["CONFIG", "SET", "dashboard.warm-share", "0"]);
    warming.receive().unwrap();
    assert_eq!(other.figure("warm_done"), 100);
}
