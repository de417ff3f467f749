//! Client-side caching: a client hears exactly when its copy stops being right, by the tenant's name.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};
use redis::{PushKind, Value};

struct Scene {
    upstream: FakeUpstream,
    redis: Redis,
    tracking: Client,
    other: Client,
}

/// A client with these options of `CLIENT TRACKING ON`, and one without.
fn scene(options: &[&str]) -> Scene {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut tracking, other) = (redis.client_resp3(), redis.client());
    tracking.ok(&[&["CLIENT", "TRACKING", "ON"][..], options].concat());
    Scene { upstream, redis, tracking, other }
}

/// The names in an invalidation.
fn names(data: &[Value]) -> Vec<String> {
    match data {
        [Value::Array(names)] => names.iter().map(harness::text).collect(),
        other => panic!("not a list of names: {other:?}"),
    }
}

/// Everything that the client has been told by now.
fn told(client: &mut Client) -> Vec<String> {
    client.send(&["PING"]);
    let mut told = Vec::new();
    loop {
        match client.receive().unwrap() {
            Value::Push { kind: PushKind::Invalidate, data } => told.extend(names(&data)),
            Value::SimpleString(pong) if pong == "PONG" => return told,
            other => panic!("neither an invalidation nor PONG: {other:?}"),
        }
    }
}

const NOTHING: [&str; 0] = [];

/// What makes a copy of `acme` wrong.
const WRONG: [&[&str]; 5] = [
    &["DASHBOARD.CLEAR", "acme"],
    &["DASHBOARD.CLEAR", "acme", "SOFT"],
    &["DASHBOARD.CLEAR"],
    &["DASHBOARD.CLEAR", "SOFT"],
    &["DASHBOARD.GET", "acme", "REFRESH"],
];

#[test]
fn in_the_default_mode_a_reader_is_told_once_when_its_copy_stops_being_right() {
    for wrong in WRONG {
        let mut scene = scene(&[]);
        scene.tracking.json(&["DASHBOARD.GET", "acme"]);
        assert_eq!(told(&mut scene.tracking), NOTHING, "{wrong:?}");
        scene.other.ok(wrong);
        assert_eq!(told(&mut scene.tracking), ["acme"], "{wrong:?}");
        // It has no copy any more: there is nothing to be told.
        scene.other.ok(wrong);
        assert_eq!(told(&mut scene.tracking), NOTHING, "{wrong:?}");
    }
}

#[test]
fn a_reader_of_one_tenant_is_not_told_of_another() {
    let mut scene = scene(&[]);
    for tenant in ["acme", "other"] {
        scene.other.json(&["DASHBOARD.GET", tenant]);
    }
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    for command in [
        &["DASHBOARD.GET", "other", "REFRESH"][..],
        &["DASHBOARD.CLEAR", "other", "SOFT"],
        &["DASHBOARD.CLEAR", "other"],
        &["DASHBOARD.WARM", "other"],
    ] {
        scene.other.ok(command);
        assert_eq!(told(&mut scene.tracking), NOTHING, "{command:?}");
    }
}

#[test]
fn a_fill_and_the_same_content_again_tell_nobody() {
    let mut scene = scene(&[]);
    scene.upstream.answer(Answer::Unchanging);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    for command in [
        // The other bundle of this tenant was absent.
        &["DASHBOARD.GET", "acme", "INCLUDE", "false"][..],
        &["DASHBOARD.GET", "acme", "REFRESH"],
        &["DASHBOARD.GET", "acme", "MAXAGE", "0"],
        &["DASHBOARD.WARM", "acme", "FORCE"],
    ] {
        scene.other.ok(command);
        assert_eq!(told(&mut scene.tracking), NOTHING, "{command:?}");
    }
    assert_eq!(scene.upstream.total(), 6, "all of them were computed");
    scene.upstream.answer(Answer::Bundle);
    scene.other.ok(&["DASHBOARD.WARM", "acme", "FORCE"]);
    assert!(told(&mut scene.tracking).contains(&"acme".to_owned()), "other content");
}

#[test]
fn a_failed_refresh_tells_nobody_and_a_tenant_that_is_gone_everybody() {
    let mut scene = scene(&[]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.upstream.answer(Answer::Error(500, "internal"));
    scene.other.ok(&["DASHBOARD.GET", "acme", "REFRESH"]);
    assert_eq!(told(&mut scene.tracking), NOTHING);
    scene.upstream.answer(Answer::NO_TENANT);
    scene.other.error(&["DASHBOARD.GET", "acme", "REFRESH"]);
    assert_eq!(told(&mut scene.tracking), ["acme"]);
}

#[test]
fn a_reader_that_had_to_wait_for_its_copy_is_told_of_the_clear_after_it() {
    for wrong in WRONG {
        let mut scene = scene(&[]);
        scene.upstream.hold();
        scene.tracking.send(&["DASHBOARD.GET", "acme"]);
        scene.upstream.wait_for(1);
        scene.upstream.release();
        let reply = scene.tracking.receive().unwrap();
        assert!(matches!(reply, Value::BulkString(_)), "the fill tells nobody: {reply:?}");
        scene.other.ok(wrong);
        assert_eq!(told(&mut scene.tracking), ["acme"], "{wrong:?}");
    }
}

/// What it is then given was computed before the clear: it must know that it may not keep it.
#[test]
fn a_reader_that_waits_while_its_tenant_is_cleared_is_told_before_its_answer() {
    for clear in [&["DASHBOARD.CLEAR", "acme"][..], &["DASHBOARD.CLEAR", "acme", "SOFT"]] {
        let mut scene = scene(&[]);
        scene.upstream.hold();
        scene.tracking.send(&["DASHBOARD.GET", "acme"]);
        scene.upstream.wait_for(1);
        scene.other.ok(clear);
        scene.upstream.release();
        let first = scene.tracking.receive().unwrap();
        assert!(matches!(first, Value::Push { kind: PushKind::Invalidate, .. }), "{first:?}");
        assert!(matches!(scene.tracking.receive(), Ok(Value::BulkString(_))), "{clear:?}");
        assert_eq!(told(&mut scene.tracking), NOTHING, "{clear:?}");
    }
}

#[test]
fn with_bcast_a_client_hears_of_its_prefix_without_reading_and_not_of_fills() {
    let mut scene = scene(&["BCAST", "PREFIX", "acme"]);
    for tenant in ["acme", "other"] {
        scene.other.json(&["DASHBOARD.GET", tenant]);
    }
    scene.other.ok(&["DASHBOARD.WARM", "acme"]);
    assert_eq!(told(&mut scene.tracking), NOTHING, "fills");
    for wrong in [WRONG[4], WRONG[0]] {
        scene.other.ok(wrong);
        assert_eq!(told(&mut scene.tracking), ["acme"], "{wrong:?}");
    }
    scene.other.ok(&["DASHBOARD.CLEAR", "other"]);
    assert_eq!(told(&mut scene.tracking), NOTHING, "another tenant");
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    scene.upstream.hold();
    scene.other.ok(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    assert_eq!(told(&mut scene.tracking), ["acme"], "marked as changed");
    scene.upstream.release();
}

#[test]
fn with_optin_only_what_was_asked_to_be_cached_is_tracked() {
    let mut scene = scene(&["OPTIN"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eq!(told(&mut scene.tracking), NOTHING);
    // Once where it has to wait, once where it has not.
    for _ in 0..2 {
        scene.tracking.ok(&["CLIENT", "CACHING", "YES"]);
        scene.tracking.json(&["DASHBOARD.GET", "acme"]);
        scene.other.int(&["DASHBOARD.CLEAR", "acme"]);
        assert_eq!(told(&mut scene.tracking), ["acme"]);
        scene.other.json(&["DASHBOARD.GET", "acme"]);
    }
}

#[test]
fn with_optout_everything_is_tracked_but_what_was_asked_not_to_be() {
    let mut scene = scene(&["OPTOUT"]);
    scene.tracking.ok(&["CLIENT", "CACHING", "NO"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eq!(told(&mut scene.tracking), NOTHING);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eq!(told(&mut scene.tracking), ["acme"]);
}

#[test]
fn with_noloop_a_client_is_not_told_of_what_it_cleared_itself() {
    let mut scene = scene(&["NOLOOP"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.tracking.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eq!(told(&mut scene.tracking), NOTHING);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eq!(told(&mut scene.tracking), ["acme"]);
}

#[test]
fn an_older_client_is_told_over_the_connection_that_it_redirects_to() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (mut listening, mut reading, mut other) = (redis.client(), redis.client(), redis.client());
    let id = listening.id().to_string();
    listening.ok(&["SUBSCRIBE", "__redis__:invalidate"]);
    reading.ok(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]);
    // Once where it has to wait, once where it has not.
    for _ in 0..2 {
        reading.json(&["DASHBOARD.GET", "acme"]);
        other.json(&["DASHBOARD.GET", "other"]);
        other.int(&["DASHBOARD.CLEAR", "other"]);
        other.int(&["DASHBOARD.CLEAR", "acme"]);
        let message = listening.receive().unwrap();
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let names = Value::Array(vec![bulk("acme")]);
        assert_eq!(message, Value::Array(vec![bulk("message"), bulk("__redis__:invalidate"), names]));
        other.json(&["DASHBOARD.GET", "acme"]);
    }
    // In step: nothing else had been sent.
    let pong = listening.ok(&["PING"]);
    assert!(matches!(&pong, Value::Array(parts) if harness::text(&parts[0]) == "pong"), "{pong:?}");
}

#[test]
fn the_refresh_behind_a_stale_answer_tells_those_who_hold_the_old_one() {
    let mut scene = scene(&[]);
    scene.other.ok(&["CONFIG", "SET", "dashboard.ttl", "1"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    let stale = |client: &mut Client| client.map(&["DASHBOARD.GET", "acme", "WITHMETA"])[0].1.clone();
    assert_eventually!(harness::text(&stale(&mut scene.other)) == "stale", "a second passes");
    let mut all = Vec::new();
    assert_eventually!(
        {
            all.extend(told(&mut scene.tracking));
            !all.is_empty()
        },
        "the new content is announced"
    );
    assert_eq!(all, ["acme"]);
    assert!(scene.redis.is_alive());
}

#[test]
fn a_reader_of_a_replica_is_told_of_what_the_primary_does_and_not_of_its_fills() {
    let upstream = FakeUpstream::start();
    let primary = Redis::builder().upstream(&upstream).tcp().start();
    let replica = Redis::builder().upstream(&upstream).start();
    replica.follow(&primary);
    let (mut writer, mut tracking) = (primary.client(), replica.client_resp3());
    tracking.ok(&["CLIENT", "TRACKING", "ON"]);
    for wrong in WRONG {
        writer.json(&["DASHBOARD.GET", "acme"]);
        assert_eq!(writer.int(&["WAIT", "1", "10000"]), 1);
        tracking.json(&["DASHBOARD.GET", "acme"]);
        writer.json(&["DASHBOARD.GET", "other"]);
        writer.json(&["DASHBOARD.GET", "acme", "INCLUDE", "false"]);
        assert_eq!(writer.int(&["WAIT", "1", "10000"]), 1);
        assert_eq!(told(&mut tracking), NOTHING, "{wrong:?}");
        writer.ok(wrong);
        assert_eq!(writer.int(&["WAIT", "1", "10000"]), 1);
        assert_eq!(told(&mut tracking), ["acme"], "{wrong:?}");
        // What SOFT has computed at once, and the other tenant, are not for the next round.
        writer.int(&["DASHBOARD.CLEAR"]);
        assert_eq!(writer.int(&["WAIT", "1", "10000"]), 1);
        told(&mut tracking);
    }
}

#[test]
fn a_reader_is_told_when_a_person_deletes_or_changes_the_key() {
    let key = crate::states::key("acme");
    for command in [&["DEL", &key][..], &["UNLINK", &key], &["PERSIST", &key], &["RENAME", &key, "elsewhere"]]
    {
        let mut scene = scene(&[]);
        scene.tracking.json(&["DASHBOARD.GET", "acme"]);
        scene.other.ok(command);
        assert_eq!(told(&mut scene.tracking), ["acme"], "{command:?}");
    }
}

#[test]
fn who_waited_for_the_new_bundle_after_a_soft_clear_is_told_of_the_next_one() {
    let mut scene = scene(&[]);
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    scene.upstream.hold();
    scene.other.int(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    scene.tracking.send(&["DASHBOARD.GET", "acme"]);
    scene.upstream.wait_for(2);
    scene.upstream.release();
    let reply = scene.tracking.receive().unwrap();
    assert!(matches!(reply, Value::BulkString(_)), "the mark has told everybody already: {reply:?}");
    assert_eq!(told(&mut scene.tracking), NOTHING);
    scene.other.int(&["DASHBOARD.CLEAR", "acme"]);
    assert_eq!(told(&mut scene.tracking), ["acme"]);
}

#[test]
fn who_was_given_the_old_bundle_after_a_soft_clear_is_told_when_the_new_one_is_there() {
    let mut scene = scene(&[]);
    scene.other.ok(&["CONFIG", "SET", "dashboard.soft-timeout", "0"]);
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    scene.upstream.hold();
    scene.other.int(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    assert_eq!(scene.tracking.json(&["DASHBOARD.GET", "acme"])["stats"]["totalContacts"], 1);
    assert_eq!(told(&mut scene.tracking), NOTHING);
    scene.upstream.release();
    let other = &mut scene.other;
    assert_eventually!(other.figure("stored") == 2, "the new one is there");
    assert_eq!(told(&mut scene.tracking), ["acme"]);
}

/// Told before it, the client would not be told of what makes its answer wrong.
#[test]
fn who_refreshes_is_told_of_other_content_only_after_its_answer() {
    let mut scene = scene(&[]);
    let mut holder = scene.redis.client_resp3();
    holder.ok(&["CLIENT", "TRACKING", "ON"]);
    holder.json(&["DASHBOARD.GET", "acme"]);
    scene.tracking.send(&["DASHBOARD.GET", "acme", "REFRESH"]);
    let reply = scene.tracking.receive().unwrap();
    assert!(matches!(reply, Value::BulkString(_)), "{reply:?}");
    assert_eq!(told(&mut scene.tracking), ["acme"]);
    assert_eq!(told(&mut holder), ["acme"]);
}

#[test]
fn other_content_is_told_also_where_who_asked_for_it_has_gone() {
    let mut scene = scene(&[]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.upstream.hold();
    let mut gone = scene.redis.client();
    // In a transaction nobody waits, and the bundle is computed behind it; then somebody joins, and goes.
    let id = gone.id().to_string();
    scene.other.int(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    assert_eq!(told(&mut scene.tracking), ["acme"]);
    scene.other.ok(&["CONFIG", "SET", "dashboard.soft-timeout", "0"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.ok(&["CONFIG", "SET", "dashboard.soft-timeout", "5000"]);
    gone.send(&["DASHBOARD.GET", "acme"]);
    let other = &mut scene.other;
    assert_eventually!(other.figure("waiters") == 1, "somebody waits");
    other.ok(&["CLIENT", "KILL", "ID", &id]);
    scene.upstream.release();
    assert_eventually!(other.figure("stored") == 2, "the new one is there");
    let tracking = &mut scene.tracking;
    assert_eventually!(told(tracking) == ["acme"], "it is told");
}

#[test]
fn who_holds_what_could_not_be_stored_is_told_when_another_is() {
    let mut scene = scene(&[]);
    scene.other.ok(&["CONFIG", "SET", "maxmemory", "1"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    assert_eq!(scene.other.figure("uncached"), 1);
    scene.other.ok(&["CONFIG", "SET", "maxmemory", "0"]);
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    assert_eq!(told(&mut scene.tracking), ["acme"]);
}

/// Reads a bundle, whatever the client is told before its answer.
fn read_past_news(client: &mut Client) {
    client.send(&["DASHBOARD.GET", "acme"]);
    while !matches!(client.receive().unwrap(), Value::BulkString(_)) {}
}

#[test]
fn a_reader_is_told_when_its_bundle_expires() {
    let mut scene = scene(&[]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.int(&["PEXPIRE", "dashboard:bundle:acme:include=true", "1"]);
    assert_eq!(told(&mut scene.tracking), ["acme"], "another expiry is a mark");
    // If it expires only while this waits, that is told first.
    read_past_news(&mut scene.tracking);
    for (name, value) in [("ttl", "1"), ("stale-ttl", "0"), ("jitter", "0")] {
        scene.other.ok(&["CONFIG", "SET", &format!("dashboard.{name}"), value]);
    }
    scene.other.json(&["DASHBOARD.GET", "acme", "REFRESH"]);
    told(&mut scene.tracking);
    // On a busy machine it may expire before that: then it is filled, and expires again.
    read_past_news(&mut scene.tracking);
    let (tracking, other) = (&mut scene.tracking, &mut scene.other);
    assert_eventually!(other.int(&["EXISTS", "dashboard:bundle:acme:include=true"]) == 0, "it expires");
    assert_eventually!(told(tracking) == ["acme"], "it is told");
}

#[test]
fn other_content_is_told_also_where_all_who_asked_for_it_go_before_their_answer() {
    const CLIENTS: usize = 600;
    let mut scene = scene(&[]);
    scene.other.json(&["DASHBOARD.GET", "acme"]);
    scene.tracking.json(&["DASHBOARD.GET", "acme"]);
    scene.other.ok(&["CONFIG", "SET", "dashboard.soft-timeout", "60000"]);
    scene.upstream.hold();
    let mut asking: Vec<Client> = (0..CLIENTS).map(|_| scene.redis.client()).collect();
    asking.iter_mut().for_each(|client| client.send(&["DASHBOARD.GET", "acme", "MAXAGE", "1"]));
    let (tracking, other) = (&mut scene.tracking, &mut scene.other);
    assert_eventually!(other.figure("waiters") as usize == CLIENTS, "all of them wait");
    scene.upstream.release();
    assert_eventually!(other.figure("waiters") == 0, "they are being answered");
    drop(asking);
    assert_eventually!(told(tracking) == ["acme"], "it is told");
}
