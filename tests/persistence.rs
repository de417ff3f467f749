//! The cache survives a restart, and its data survives the module.

use harness::{FakeUpstream, Redis};

const PERSISTENT: [&[&str]; 2] = [&["appendonly yes"], &["save 3600 1"]];

#[test]
fn after_a_restart_from_the_append_only_file_or_a_snapshot_a_get_is_still_a_hit() {
    for lines in PERSISTENT {
        let upstream = FakeUpstream::start();
        let builder = lines.iter().fold(Redis::builder().upstream(&upstream), |b, line| b.line(line));
        let redis = builder.start();
        let before = redis.client().bytes(&["DASHBOARD.GET", "acme"]);

        let redis = redis.restart();
        let mut client = redis.client();
        let reply = client.map(&["DASHBOARD.GET", "acme", "WITHMETA"]);
        assert_eq!(harness::text(&reply[0].1), "hit", "{lines:?}");
        assert_eq!(client.bytes(&["DASHBOARD.GET", "acme"]), before, "{lines:?}");
        assert_eq!(upstream.total(), 1, "{lines:?}");
        assert!(client.int(&["TTL", "dashboard:bundle:acme:include=true"]) > 70_000, "{lines:?}");
    }
}

#[test]
fn a_server_without_the_module_loads_the_data_and_reads_it() {
    for lines in PERSISTENT {
        let upstream = FakeUpstream::start();
        let builder = lines.iter().fold(Redis::builder().upstream(&upstream), |b, line| b.line(line));
        let redis = builder.start();
        let before = redis.client().bytes(&["DASHBOARD.GET", "acme"]);

        let redis = redis.restart_without_module();
        assert_eq!(redis.client().bytes(&["GET", "dashboard:bundle:acme:include=true"]), before, "{lines:?}");
    }
}

#[test]
fn a_softly_cleared_bundle_is_not_fresh_after_a_restart() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).line("appendonly yes").start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    client.int(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    drop(client);

    let redis = redis.restart();
    let reply = redis.client().json(&["DASHBOARD.GET", "acme"]);
    assert_ne!(reply["stats"]["totalContacts"], 1);
}

#[test]
fn a_replica_serves_what_its_primary_has_and_stores_nothing_itself() {
    let upstream = FakeUpstream::start();
    let primary = Redis::builder().upstream(&upstream).tcp().start();
    let replica = Redis::builder().upstream(&upstream).start();
    replica.follow(&primary);
    let (mut writer, mut reader) = (primary.client(), replica.client());

    let bundle = writer.bytes(&["DASHBOARD.GET", "acme"]);
    harness::assert_eventually!(reader.int(&["DBSIZE"]) == 1, "the bundle has been replicated");
    assert_eq!(reader.bytes(&["DASHBOARD.GET", "acme"]), bundle);
    reader.json(&["DASHBOARD.GET", "absent"]);
    assert_eq!(reader.int(&["DBSIZE"]), 1);
    assert_eq!(upstream.total(), 2);
}
