//! `DASHBOARD.FEED`: what the change feed says of itself, and what `INFO dashboard` makes of its silence.

use harness::{Client, FakeUpstream, Redis, assert_eventually};
use redis::Value;

fn field(client: &mut Client, name: &str) -> Option<String> {
    client.info("dashboard", &format!("dashboard_{name}"))
}

fn lag(client: &mut Client) -> Option<String> {
    field(client, "feed_lag_ms")
}

/// Longer than any test takes.
const HOUR: &str = "3600000";

#[test]
fn there_is_no_lag_before_the_feed_has_spoken_and_none_that_a_wrong_word_made() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    client.error(&["DASHBOARD.FEED", "1", "never"]);
    assert_eq!((lag(&mut client), field(&mut client, "feed_by")), (None, None));
}

#[test]
fn while_the_feed_speaks_in_time_its_own_lag_is_shown_and_who_it_is() {
    let redis = Redis::builder().upstream(&FakeUpstream::start()).tcp().start();
    let (mut feed, mut client) = (redis.client(), redis.client());
    feed.ok(&["CLIENT", "SETNAME", "the-feed"]);
    let id = feed.id();
    for told in ["40", "0", "123456789"] {
        assert_eq!(feed.ok(&["DASHBOARD.FEED", told, HOUR]), Value::Okay);
        assert_eq!(lag(&mut client).as_deref(), Some(told));
    }
    let by = field(&mut client, "feed_by").unwrap();
    assert!(by.starts_with(&format!("id={id} addr=")) && by.ends_with(" name=the-feed user=default"), "{by}");
}

#[test]
fn of_a_feed_that_is_overdue_the_lag_grows_until_it_speaks_again() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    client.ok(&["DASHBOARD.FEED", "40", "0"]);
    assert_eventually!(client.figure("feed_lag_ms") >= 140, "it counts from the feed's last word");
    assert_eventually!(client.figure("feed_lag_ms") >= 240, "and goes on");
    client.ok(&["DASHBOARD.FEED", "7", HOUR]);
    assert_eq!(client.figure("feed_lag_ms"), 7);
}

#[test]
fn the_feed_may_speak_in_a_transaction_and_in_a_script_and_nothing_is_written() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    let offset = |client: &mut Client| client.info("replication", "master_repl_offset").unwrap();
    let before = offset(&mut client);
    client.ok(&["MULTI"]);
    client.ok(&["DASHBOARD.FEED", "1", HOUR]);
    assert_eq!(client.ok(&["EXEC"]), Value::Array(vec![Value::Okay]));
    assert_eq!(lag(&mut client).as_deref(), Some("1"));
    for script in ["EVAL", "EVAL_RO"] {
        client.ok(&[script, "return redis.call('DASHBOARD.FEED', ARGV[1], ARGV[2])", "0", "2", HOUR]);
        assert_eq!(lag(&mut client).as_deref(), Some("2"), "{script}");
    }
    assert_eq!((client.int(&["DBSIZE"]), offset(&mut client)), (0, before));
}

#[test]
fn a_user_may_be_given_the_command_by_its_name_and_be_denied_it() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut admin = redis.client();
    admin.ok(&["ACL", "SETUSER", "app", "on", "nopass", "allkeys", "+@all", "-dashboard.feed"]);
    admin.ok(&["ACL", "SETUSER", "sidecar", "on", "nopass", "resetkeys", "+dashboard.feed"]);
    let (mut app, mut sidecar) = (redis.client(), redis.client());
    app.ok(&["AUTH", "app", "x"]);
    let error = app.error(&["DASHBOARD.FEED", "0", HOUR]);
    assert!(error.starts_with("NOPERM "), "{error}");
    sidecar.ok(&["AUTH", "sidecar", "x"]);
    sidecar.ok(&["DASHBOARD.FEED", "0", HOUR]);
    assert_eq!(lag(&mut admin).as_deref(), Some("0"));
}

/// How a read of this tenant was answered, and how far behind the feed is said to be.
fn read(client: &mut Client, tenant: &str) -> (String, Value) {
    let fields = client.map(&["DASHBOARD.GET", tenant, "WITHMETA"]);
    (harness::text(&fields[0].1), fields[5].1.clone())
}

#[test]
fn nothing_is_called_a_hit_while_the_feed_is_further_behind_than_the_limit() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    client.json(&["DASHBOARD.GET", "a"]);
    client.ok(&["DASHBOARD.FEED", "5000", HOUR]);
    assert_eq!(read(&mut client, "a"), ("hit".to_owned(), Value::Int(5000)), "at the limit");
    client.ok(&["DASHBOARD.FEED", "5001", HOUR]);
    let hits = client.figure("hits");
    assert_eq!(read(&mut client, "a"), ("stale".to_owned(), Value::Int(5001)));
    assert_eq!((client.figure("hits"), client.figure("stale_feed_behind")), (hits, 1));
    assert_eq!(upstream.total(), 1, "it was computed less than the limit ago");
    client.ok(&["CONFIG", "SET", "dashboard.feed-lag-limit", "0"]);
    assert_eq!(read(&mut client, "a").0, "hit", "the limit is off");
    client.ok(&["CONFIG", "SET", "dashboard.feed-lag-limit", "5000"]);
    client.ok(&["DASHBOARD.FEED", "0", HOUR]);
    assert_eq!(read(&mut client, "a"), ("hit".to_owned(), Value::Int(0)), "the feed is back");
}

#[test]
fn a_feed_that_has_gone_silent_turns_hits_into_stale_by_itself() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("feed-lag-limit", 200).start();
    let mut client = redis.client();
    client.json(&["DASHBOARD.GET", "a"]);
    client.ok(&["DASHBOARD.FEED", "0", "100"]);
    assert_eventually!(read(&mut client, "a").0 == "stale", "nobody has said anything");
}

#[test]
fn while_the_feed_is_behind_a_bundle_is_computed_anew_once_in_the_limit_however_often_it_is_read() {
    let upstream = FakeUpstream::start();
    let redis = Redis::builder().upstream(&upstream).setting("feed-lag-limit", 3_600_000).start();
    let mut client = redis.client();
    client.json(&["DASHBOARD.GET", "old"]);
    crate::states::age(&mut client, &crate::states::key("old"));
    // An hour old, within its ttl of a day.
    let value = String::from_utf8(client.bytes(&["GET", &crate::states::key("old")])).unwrap();
    let fresh_until = client.json(&["GET", &crate::states::key("old")])["meta"]["fresh_until_ms"].clone();
    let longer = value.replace(
        &format!("\"fresh_until_ms\":{fresh_until}"),
        &format!("\"fresh_until_ms\":{}", fresh_until.as_i64().unwrap() + 7_200_000),
    );
    client.ok(&["SET", &crate::states::key("old"), &longer, "KEEPTTL"]);
    client.ok(&["DASHBOARD.FEED", "3600001", HOUR]);
    for _ in 0..20 {
        assert_eq!(read(&mut client, "old").0, "stale");
    }
    upstream.wait_for(2);
    assert_eventually!(client.figure("flights") == 0, "it has landed");
    for _ in 0..20 {
        assert_eq!(read(&mut client, "old").0, "stale");
    }
    assert_eq!((client.figure("flights_total"), upstream.total()), (2, 2), "once");
}

#[test]
fn a_feed_that_says_that_it_stops_has_no_lag_until_it_speaks_again() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    for off in ["OFF", "off"] {
        client.ok(&["DASHBOARD.FEED", "40", "0"]);
        assert!(lag(&mut client).is_some());
        assert_eq!(client.ok(&["DASHBOARD.FEED", off]), Value::Okay);
        assert_eq!((lag(&mut client), field(&mut client, "feed_by")), (None, None));
        assert_eq!(field(&mut client, "feed_state").as_deref(), Some("not followed"));
    }
    for wrong in [&["OFF", "1"][..], &["1", "OFF"], &["OFF", "OFF"], &["1"], &[]] {
        client.ok(&["DASHBOARD.FEED", "7", HOUR]);
        let error = client.error(&[&["DASHBOARD.FEED"], wrong].concat());
        assert!(error.starts_with("ERR "), "{wrong:?}: {error}");
        assert_eq!(lag(&mut client).as_deref(), Some("7"), "{wrong:?}");
    }
}

#[test]
fn a_feed_that_says_how_far_it_has_come_is_told_what_it_said_before() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    let mut says = |position: &str| client.ok(&["DASHBOARD.FEED", "7", HOUR, "POSITION", position]);
    assert_eq!(says("12"), Value::Nil);
    assert_eq!(
        (says("13"), says("3"), says("9223372036854775807")),
        (Value::Int(12), Value::Int(13), Value::Int(3))
    );
    client.ok(&["DASHBOARD.FEED", "OFF"]);
    client.ok(&["DASHBOARD.FEED", "7", HOUR]);
    let mut client = redis.client();
    let asked = client.ok(&["DASHBOARD.FEED", "7", HOUR, "position", "4"]);
    assert_eq!(asked, Value::Int(i64::MAX), "neither stopping nor a word without it undoes it");
    for wrong in [
        &["POSITION"][..],
        &["POSITION", "-1"],
        &["POSITION", "9223372036854775808"],
        &["POSITION", "1", "2"],
    ] {
        let error = client.error(&[&["DASHBOARD.FEED", "7", HOUR], wrong].concat());
        assert!(error.starts_with("ERR "), "{wrong:?}: {error}");
    }
}

#[test]
fn a_replica_takes_no_word_of_a_feed_and_does_once_it_is_the_primary() {
    let upstream = FakeUpstream::start();
    let (primary, replica) =
        (Redis::builder().upstream(&upstream).tcp().start(), Redis::builder().upstream(&upstream).start());
    replica.follow(&primary);
    let mut client = replica.client();
    for word in [&["0", HOUR][..], &["OFF"]] {
        let error = client.error(&[&["DASHBOARD.FEED"], word].concat());
        assert!(error.starts_with("READONLY DASHBOARD.FEED "), "{word:?}: {error}");
    }
    assert_eq!((lag(&mut client), field(&mut client, "feed_by")), (None, None));
    client.ok(&["REPLICAOF", "NO", "ONE"]);
    client.ok(&["DASHBOARD.FEED", "3", HOUR]);
    assert_eq!(lag(&mut client).as_deref(), Some("3"));
}

#[test]
fn a_primary_that_becomes_a_replica_has_no_feed_that_is_late() {
    let upstream = FakeUpstream::start();
    let builder = || Redis::builder().upstream(&upstream).setting("feed-lag-limit", 200);
    let (primary, demoted) = (builder().tcp().start(), builder().start());
    let (mut client, mut replica) = (primary.client(), demoted.client());
    replica.ok(&["DASHBOARD.FEED", "0", "0"]);
    assert_eventually!(replica.figure("feed_lag_ms") > 200, "it is late");
    demoted.follow(&primary);
    let mut replica = demoted.client();
    client.json(&["DASHBOARD.GET", "a"]);
    assert_eventually!(replica.int(&["EXISTS", &crate::states::key("a")]) == 1, "it is replicated");
    assert_eq!(read(&mut replica, "a"), ("hit".to_owned(), Value::Nil), "as on every other replica");
    assert_eq!((lag(&mut replica), field(&mut replica, "feed_state").as_deref()), (None, Some("unknown")));
}
