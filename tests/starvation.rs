//! Changes that come faster than a bundle is computed.

use harness::{Client, FakeUpstream, Redis, assert_eventually};

use crate::states::key;

/// The computation that the stored bundle came from.
fn stored(client: &mut Client) -> i64 {
    client.json(&["GET", &key("a")])["stats"]["totalContacts"].as_i64().unwrap()
}

/// What a read with WITHMETA came to: its status, and the computation that its bundle came from.
fn read(client: &mut Client) -> (String, i64) {
    let fields = client.map(&["DASHBOARD.GET", "a", "WITHMETA"]);
    let bundle: serde_json::Value = serde_json::from_str(&harness::text(&fields[4].1)).unwrap();
    (harness::text(&fields[0].1), bundle["stats"]["totalContacts"].as_i64().unwrap())
}

#[test]
fn a_bundle_that_changes_faster_than_it_is_computed_is_never_older_than_two_computations() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("soft-timeout", 1).start();
    let mut client = redis.client();
    client.json(&["DASHBOARD.GET", "a"]);
    upstream.hold();
    client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    for computation in 2..8 {
        upstream.wait_for(computation);
        client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
        let before = i64::try_from(computation).unwrap() - 1;
        assert_eq!(read(&mut client), ("stale".to_owned(), before), "the one before is served meanwhile");
        assert_eq!(upstream.total(), computation, "one flight");
        upstream.release_one();
        assert_eventually!(
            stored(&mut client) == before + 1,
            "what has been overtaken is kept as a fallback"
        );
        // It is in use, so the next one begins by itself.
    }
    upstream.release();
    assert_eventually!(read(&mut client).0 == "hit", "the last change has been followed");
    assert_eq!(client.figure("cancelled"), 0);
    assert_eq!(client.figure("overtaken"), 6);
}

#[test]
fn a_change_during_a_cold_read_leaves_its_reader_an_answer_and_the_next_one_a_newer() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut first, mut second, mut feed) = (redis.client(), redis.client(), redis.client());
    upstream.hold();
    first.send(&["DASHBOARD.GET", "a"]);
    upstream.wait_for(1);
    feed.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    second.send(&["DASHBOARD.GET", "a"]);
    assert_eventually!(feed.figure("waiters") == 2, "both wait");
    assert_eq!(upstream.total(), 1, "one flight at a time");
    upstream.release();
    let version = |reply: harness::Reply| {
        let bundle: serde_json::Value = serde_json::from_str(&harness::text(&reply.unwrap())).unwrap();
        bundle["stats"]["totalContacts"].as_i64()
    };
    assert_eq!((version(first.receive()), version(second.receive())), (Some(1), Some(2)));
    assert_eq!(read(&mut feed), ("hit".to_owned(), 2));
}

#[test]
fn a_run_of_warming_ends_however_often_its_tenant_changes() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut warmer, mut feed) = (redis.client(), redis.client());
    upstream.hold();
    warmer.send(&["DASHBOARD.WARM", "a"]);
    upstream.wait_for(1);
    feed.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
    upstream.release();
    let report = harness::fields(warmer.receive().unwrap()).unwrap();
    let figure =
        |name: &str| report.iter().find(|(field, _)| field == name).map(|(_, value)| harness::text(value));
    assert_eq!((figure("warmed").as_deref(), figure("failed").as_deref()), (Some("1"), Some("0")));
    assert_eventually!(read(&mut feed).0 == "hit", "and what it brought is computed once more behind it");
}
