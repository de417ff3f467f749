//! `dashboard.*`: defaults, bounds, changes at run time, and `redis.conf` agreeing with the module.

use std::collections::BTreeMap;
use std::fs;

use harness::{FakeUpstream, Redis, repository_root, text};

const DEFAULTS: &[(&str, &str)] = &[
    ("feed-lag-limit", "5000"),
    ("hash-tag", "no"),
    ("hot-window", "300"),
    ("jitter", "10"),
    ("max-bundle-bytes", "1048576"),
    ("max-flights", "64"),
    ("max-waiters", "10000"),
    ("negative-ttl", "10"),
    ("sidecar", "unix:/run/redis-dashboard/sidecar.sock"),
    ("soft-timeout", "250"),
    ("stale-ttl", "86400"),
    ("timeout", "5000"),
    ("token", ""),
    ("ttl", "300"),
    ("warm-concurrency", "2"),
    ("warm-share", "0"),
];

fn settings(redis: &Redis) -> BTreeMap<String, String> {
    let pairs = redis.client().map(&["CONFIG", "GET", "dashboard.*"]);
    pairs.into_iter().map(|(name, value)| (name, text(&value))).collect()
}

#[test]
fn every_setting_has_its_default() {
    let redis = Redis::builder().start();
    let expected: BTreeMap<_, _> =
        DEFAULTS.iter().map(|(name, value)| (format!("dashboard.{name}"), (*value).to_owned())).collect();
    assert_eq!(settings(&redis), expected);
}

/// The file is what people copy, so it must neither miss a setting nor lie about one.
#[test]
fn redis_conf_lists_every_setting_at_its_default() {
    let file = fs::read_to_string(repository_root().join("redis.conf")).unwrap();
    let mut builder = Redis::builder();
    let mut listed = BTreeMap::new();
    for line in file.lines().filter(|line| line.starts_with("dashboard.")) {
        let name = line.split(' ').next().unwrap().to_owned();
        assert!(listed.insert(name, line).is_none(), "{line} is there twice");
        builder = builder.line(line);
    }
    let from_file = settings(&builder.start());
    let defaults = settings(&Redis::builder().start());
    assert_eq!(listed.keys().collect::<Vec<_>>(), defaults.keys().collect::<Vec<_>>());
    assert_eq!(from_file, defaults);
}

#[test]
fn redis_conf_itself_starts_a_persistent_bounded_loopback_server() {
    let conf = fs::read_to_string(repository_root().join("redis.conf")).unwrap();
    let mut builder = Redis::builder();
    // Two servers cannot share port 6380; everything else is taken as it stands.
    for line in conf.lines().filter(|line| !line.starts_with("port ") && !line.starts_with('#')) {
        builder = builder.line(line);
    }
    let redis = builder.start();
    for (name, value) in [
        ("appendonly", "yes"),
        ("aof-use-rdb-preamble", "yes"),
        ("maxmemory", "536870912"),
        ("maxmemory-policy", "allkeys-lru"),
        ("bind", "127.0.0.1 -::1"),
        ("protected-mode", "yes"),
        ("save", "3600 1 300 100 60 10000"),
    ] {
        assert_eq!(text(&redis.client().map(&["CONFIG", "GET", name])[0].1), value, "{name}");
    }
    assert!(conf.lines().any(|line| line == "port 6380"));
}

#[test]
fn load_arguments_set_settings_too() {
    let redis = Redis::builder()
        .load_argument("sidecar")
        .load_argument("unix:/tmp/nowhere.sock")
        .load_argument("ttl")
        .load_argument("60")
        .start();
    let settings = settings(&redis);
    assert_eq!(settings["dashboard.sidecar"], "unix:/tmp/nowhere.sock");
    assert_eq!(settings["dashboard.ttl"], "60");
}

#[test]
fn every_setting_can_be_changed_at_run_time() {
    let redis = Redis::builder().start();
    let mut client = redis.client();
    for (name, value) in [
        ("sidecar", "http://127.0.0.1:4002"),
        ("sidecar", "unix:/tmp/a.sock unix:/tmp/b.sock"),
        ("ttl", "60"),
        ("stale-ttl", "600"),
        ("jitter", "0"),
        ("timeout", "1000"),
        ("soft-timeout", "100"),
        ("negative-ttl", "0"),
        ("max-flights", "1"),
        ("max-waiters", "1"),
        ("hot-window", "0"),
        ("warm-concurrency", "4"),
        ("warm-share", "100"),
        ("token", "a-token-of-some-length"),
        ("hash-tag", "yes"),
    ] {
        client.ok(&["CONFIG", "SET", &format!("dashboard.{name}"), value]);
        assert_eq!(settings(&redis)[&format!("dashboard.{name}")], value);
    }
    client.ok(&["CONFIG", "SET", "dashboard.max-bundle-bytes", "2mb"]);
    assert_eq!(settings(&redis)["dashboard.max-bundle-bytes"], "2097152");
}

#[test]
fn a_changed_sidecar_is_asked_from_then_on() {
    let (one, other) = (FakeUpstream::start(), FakeUpstream::start());
    let redis = Redis::with(&one);
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "a"]);
    client.ok(&["CONFIG", "SET", "dashboard.sidecar", &other.url()]);
    client.bytes(&["DASHBOARD.GET", "b"]);
    assert_eq!((one.total(), other.total()), (1, 1));
}

#[test]
fn with_several_sidecars_one_that_is_down_is_passed_over() {
    let (mut one, other) = (FakeUpstream::start(), FakeUpstream::start());
    one.refuse();
    let redis = Redis::builder().setting("sidecar", format!("{} {}", one.url(), other.url())).start();
    let mut client = redis.client();
    for i in 0..10 {
        client.bytes(&["DASHBOARD.GET", &format!("t{i}")]);
    }
    assert_eq!(other.total(), 10);
}

const OUT_OF_RANGE: &[(&str, &str)] = &[
    ("ttl", "0"),
    ("ttl", "-1"),
    ("ttl", "soon"),
    ("ttl", "99999999999999999999"),
    ("stale-ttl", "-1"),
    ("jitter", "-1"),
    ("jitter", "101"),
    ("warm-concurrency", "0"),
    ("warm-concurrency", "33"),
    ("warm-share", "-1"),
    ("warm-share", "32001"),
    ("timeout", "0"),
    ("timeout", "-5"),
    ("soft-timeout", "-1"),
    ("negative-ttl", "-1"),
    ("max-flights", "0"),
    ("max-waiters", "0"),
    ("max-bundle-bytes", "0"),
    ("max-bundle-bytes", "1tb"),
    ("hot-window", "-1"),
    ("hash-tag", "maybe"),
    ("sidecar", ""),
    ("sidecar", "nonsense"),
    ("sidecar", "unix:"),
    ("sidecar", "unix:relative.sock"),
    ("sidecar", "http://"),
    ("sidecar", "http://127.0.0.1:99999"),
    ("sidecar", "ftp://127.0.0.1:1"),
];

#[test]
fn a_setting_out_of_range_is_refused_by_name_at_run_time_and_changes_nothing() {
    let redis = Redis::builder().start();
    let before = settings(&redis);
    let mut client = redis.client();
    for (name, value) in OUT_OF_RANGE {
        let error = client.error(&["CONFIG", "SET", &format!("dashboard.{name}"), value]);
        assert!(error.starts_with("ERR ") && error.contains(name), "{name} {value:?}: {error}");
    }
    assert_eq!(settings(&redis), before);
}

#[test]
fn a_setting_out_of_range_in_the_file_or_an_argument_keeps_the_server_from_starting() {
    for (name, value) in [("ttl", "0"), ("jitter", "101"), ("sidecar", "nonsense"), ("hash-tag", "maybe")] {
        let log = Redis::builder().setting(name, value).start_refused();
        assert!(log.contains(name), "{name} {value}: {log}");
        let log = Redis::builder().load_argument(name).load_argument(value).start_refused();
        assert!(log.contains(name), "{name} {value} as an argument: {log}");
    }
    let log = Redis::builder().load_argument("bogus").load_argument("1").start_refused();
    assert!(log.contains("bogus"), "{log}");
    let log = Redis::builder().load_argument("ttl").start_refused();
    assert!(log.contains("ttl"), "{log}");
}
