//! `GET /api/reports/dashboard-events`: who listens is told when a bundle stops being right, and only then.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::jwt::{SECRET, now, token};
use harness::{EventStream, Redis, Relay, Sidecar, assert_eventually, http, run_ok};
use serde_json::json;

use super::{OTHER, Stack, TENANT, message, path};

const EVENTS: &str = "/api/reports/dashboard-events";

fn listen(sidecar: &Sidecar, tenant: &str) -> EventStream {
    EventStream::open(sidecar.public(), &format!("{EVENTS}?tenant_id={tenant}"), &[])
}

/// A stream that Redis feeds already.
fn ready(sidecar: &Sidecar, tenant: &str) -> EventStream {
    let mut stream = listen(sidecar, tenant);
    assert_eq!(stream.next_name(), "ready");
    stream
}

/// The sidecar's connections to Redis for this.
fn connections(redis: &Redis) -> usize {
    let list = redis.client().bytes(&["CLIENT", "LIST"]);
    String::from_utf8(list).unwrap().matches("name=dashboard-sidecar-events").count()
}

/// How many names have been read so that Redis tells of them.
fn names_read(redis: &Redis) -> u64 {
    let line = redis.client().info("commandstats", "cmdstat_exists").unwrap();
    line.trim_start_matches("calls=").split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_stream_begins_as_browsers_expect_it_and_is_never_compressed() {
    let stack = Stack::start();
    let path = format!("{EVENTS}?tenant_id={TENANT}");
    let mut stream =
        EventStream::open(stack.sidecar.public(), &path, &[("accept-encoding", "gzip, br, zstd")]);
    assert_eq!(stream.status, 200);
    for (name, value) in [
        ("content-type", Some("text/event-stream")),
        ("cache-control", Some("no-store")),
        ("x-accel-buffering", Some("no")),
        ("content-encoding", None),
        ("content-length", None),
    ] {
        assert_eq!(stream.header(name), value, "{name}");
    }
    assert!(stream.header("x-request-id").is_some());
    assert_eq!(stream.next_block().unwrap(), "retry: 2000");
    let event = stream.next().unwrap();
    assert_eq!((event.name.as_str(), event.data), ("ready", json!({"tenant_id": TENANT})));

    let head = stack.ask("HEAD", &path, &[], "");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
}

#[test]
fn whatever_makes_a_bundle_wrong_is_told() {
    let stack = Stack::start();
    for command in [
        &["DASHBOARD.CLEAR", TENANT][..],
        &["DASHBOARD.CLEAR", TENANT, "SOFT"],
        &["DASHBOARD.CLEAR"],
        &["DASHBOARD.GET", TENANT, "REFRESH"],
        &["DASHBOARD.WARM", TENANT, "FORCE"],
        &["DASHBOARD.WARM", "FORCE"],
        &["FLUSHALL"],
    ] {
        assert_eventually!(
            stack.get(&path(TENANT)).header("x-cache") == Some("HIT"),
            "the bundle is there and nothing is computed"
        );
        let mut stream = ready(&stack.sidecar, TENANT);
        stack.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{TENANT}')"));
        stack.redis.client().ok(command);
        let event = stream.next().unwrap();
        assert_eq!(
            (event.name.as_str(), event.data),
            ("changed", json!({"tenant_id": TENANT})),
            "{command:?}"
        );
    }
}

#[test]
fn a_row_that_is_inserted_by_sql_is_told_of_without_any_clear_and_only_to_whom_it_concerns() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_FEED", "on"));
    run_ok(&mut Sidecar::command(&["counters", "enable"], &stack.postgres.url()));
    // With a Redis that it has not met before, the feed announces everything.
    assert_eventually!(
        stack.postgres.value::<bool>("SELECT redis IS NOT NULL AND gap IS NULL FROM dashboard.feed"),
        "changes are followed"
    );
    let mut streams = [TENANT, OTHER, "SUPERADMIN_GLOBAL"].map(|tenant| ready(&stack.sidecar, tenant));
    let contacts = |tenant: &str| stack.get(&path(tenant)).json()["data"]["stats"]["totalContacts"].clone();
    assert_eq!(contacts("SUPERADMIN_GLOBAL"), 0);
    let mut client = stack.postgres.client();
    for n in 1..=3 {
        assert_eq!(contacts(TENANT), n - 1);
        let before = names_read(&stack.redis);
        let insert = format!("INSERT INTO contacts (tenant_id) VALUES ('{TENANT}')");
        let mut transaction = client.transaction().unwrap();
        transaction.batch_execute(&insert).unwrap();
        transaction.commit().unwrap();
        let committed = Instant::now();
        assert_eq!(streams[0].next_name(), "changed");
        println!("from COMMIT to the event: {:.0?}", committed.elapsed());
        assert_eq!(contacts(TENANT), n);
        println!("from COMMIT to having read the bundle: {:.0?}", committed.elapsed());
        assert_eq!(streams[2].next_name(), "changed");
        assert_eq!(contacts("SUPERADMIN_GLOBAL"), n);
        // Had Redis told of the other tenant, its name would have been read, too.
        assert_eq!(names_read(&stack.redis), before + 2);
    }
    client.batch_execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{OTHER}')")).unwrap();
    assert_eq!(streams[1].next_name(), "changed");
}

#[test]
fn over_http_too_and_again_each_time() {
    let stack = Stack::start();
    let mut stream = ready(&stack.sidecar, TENANT);
    for _ in 0..3 {
        stack.get(&path(TENANT));
        let cleared = stack
            .sidecar
            .public()
            .post("/api/reports/clear-cache", &json!({"tenant_id": TENANT}).to_string());
        assert_eq!(cleared.status, 200);
        assert_eq!(stream.next_name(), "changed");
    }
}

#[test]
fn a_bundle_that_is_filled_or_computed_alike_and_another_tenants_are_not_told_of() {
    let stack = Stack::start();
    let (mut stream, mut other) = (ready(&stack.sidecar, TENANT), ready(&stack.sidecar, OTHER));
    let before = names_read(&stack.redis);
    let mut client = stack.redis.client();
    client.json(&["DASHBOARD.GET", TENANT]);
    client.json(&["DASHBOARD.GET", TENANT, "REFRESH"]);
    client.ok(&["DASHBOARD.WARM", TENANT]);
    stack.get(&path(TENANT));
    for round in 1..=3 {
        client.json(&["DASHBOARD.GET", OTHER]);
        client.ok(&["DASHBOARD.CLEAR", OTHER]);
        assert_eq!(other.next_name(), "changed");
        // Redis tells in order: had it told of the first tenant, that one's name would have been read by now, too.
        assert_eq!(names_read(&stack.redis), before + round);
    }
    client.ok(&["DASHBOARD.CLEAR", TENANT]);
    assert_eq!(stream.next_name(), "changed");
    assert_eq!(names_read(&stack.redis), before + 4);
}

#[test]
fn when_redis_goes_and_comes_back_both_are_told_and_changes_too() {
    let mut stack = Stack::start();
    let mut streams = [ready(&stack.sidecar, TENANT), ready(&stack.sidecar, OTHER)];
    stack.redis.shutdown();
    for stream in &mut streams {
        let event = stream.next().unwrap();
        assert_eq!(event.name, "unavailable");
        assert!(event.data["message"].as_str().unwrap().contains("Redis"), "{event:?}");
    }
    // Who comes meanwhile is told, too.
    assert_eq!(listen(&stack.sidecar, TENANT).next_name(), "unavailable");
    stack.redis.start_again();
    for (stream, tenant) in streams.iter_mut().zip([TENANT, OTHER]) {
        assert_eq!(stream.next_name(), "ready");
        stack.redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", stack.sidecar.url()]);
        stack.redis.client().json(&["DASHBOARD.GET", tenant]);
        stack.redis.client().ok(&["DASHBOARD.CLEAR", tenant]);
        assert_eq!(stream.next_name(), "changed");
    }
    let log = stack.sidecar.log();
    assert_eq!(log.matches("Redis does not tell of changes").count(), 1, "{log}");
    assert_eq!(log.matches("Redis tells of changes again").count(), 1, "{log}");
}

#[test]
fn a_user_of_redis_without_the_rights_is_told_which_and_goes_on_when_it_has_them() {
    let redis = Redis::builder().tcp().start();
    redis.client().ok(&["ACL", "SETUSER", "feeble", "on", ">secret", "resetkeys", "%R~*", "+dashboard.get"]);
    let url = redis.tcp_url().replace("redis://", "redis://feeble:secret@");
    let sidecar =
        Sidecar::builder().database("postgresql://nobody@127.0.0.1:1/none").env("REDIS_URL", url).start();
    let mut stream = listen(&sidecar, TENANT);
    let event = stream.next().unwrap();
    assert_eq!(event.name, "unavailable");
    assert!(event.data["message"].as_str().unwrap().contains("+client|tracking"), "{event:?}");
    redis.client().ok(&["ACL", "SETUSER", "feeble", "+client|tracking", "+exists", "+ping"]);
    assert_eq!(stream.next_name(), "ready");
    assert_eq!(sidecar.log().matches("Redis does not tell of changes").count(), 1, "{}", sidecar.log());
}

#[test]
fn however_many_listen_there_is_one_connection_and_it_goes_with_the_last() {
    let stack = Stack::start();
    assert_eq!(connections(&stack.redis), 0);
    for _ in 0..2 {
        let streams: Vec<EventStream> =
            [TENANT, TENANT, OTHER, "nobody"].iter().map(|tenant| ready(&stack.sidecar, tenant)).collect();
        assert_eq!(connections(&stack.redis), 1);
        drop(streams);
        assert_eventually!(connections(&stack.redis) == 0, "the connection goes with the last stream");
    }
}

#[test]
fn one_stream_more_than_may_be_is_refused_until_one_has_gone() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_MAX_STREAMS", "2"));
    let first = ready(&stack.sidecar, TENANT);
    let mut second = ready(&stack.sidecar, OTHER);
    let refused = stack.get(&format!("{EVENTS}?tenant_id={TENANT}"));
    assert_eq!(refused.status, 429);
    assert!(message(&refused).contains("DASHBOARD_MAX_STREAMS"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    drop(first);
    assert_eventually!(listen(&stack.sidecar, TENANT).status == 200, "there is room again");
    stack.redis.client().json(&["DASHBOARD.GET", OTHER]);
    stack.redis.client().ok(&["DASHBOARD.CLEAR", OTHER]);
    assert_eq!(second.next_name(), "changed");
}

/// Reading one name makes room for it by telling of another, which is read again for that.
#[test]
fn a_redis_that_cannot_keep_all_names_does_not_make_a_storm_of_events() {
    // After a quiet, four names may be read ahead of the pace.
    const AHEAD: u32 = 4;
    const EVENTS: u32 = AHEAD + 4;
    let stack = Stack::start();
    stack.redis.client().ok(&["CONFIG", "SET", "tracking-table-max-keys", "1"]);
    let began = Instant::now();
    let mut streams = [TENANT, OTHER, "nobody"].map(|tenant| ready(&stack.sidecar, tenant));
    for _ in 0..EVENTS {
        assert_eq!(streams[0].next_name(), "changed");
    }
    // Two a second at most in the long run, however busy the machine is.
    assert!(began.elapsed() >= Duration::from_millis(500) * (EVENTS - AHEAD), "{:?}", began.elapsed());
}

#[test]
fn what_is_wrong_with_a_request_for_a_stream_is_named() {
    let sidecar = Sidecar::builder().start_alone();
    for (query, named) in
        [("", "'tenant_id'"), ("?tenant_id=a%20b", "'tenant_id'"), ("?tenant_id=a&since=1", "'since'")]
    {
        let response = sidecar.public().get(&format!("{EVENTS}{query}"));
        assert_eq!(response.status, 400, "{query}");
        assert!(message(&response).contains(named), "{}", response.text());
    }
}

#[test]
fn a_stream_ends_with_its_token_and_says_so() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET));
    let claims = json!({"tenant_id": TENANT, "exp": now() + 5});
    let bearer = format!("Bearer {}", token(claims));
    let path = format!("{EVENTS}?tenant_id={TENANT}");
    let mut stream = EventStream::open(stack.sidecar.public(), &path, &[("authorization", &bearer)]);
    let last = std::iter::from_fn(|| stream.next()).last().unwrap();
    assert_eq!((last.name.as_str(), last.data), ("end", json!({"reason": "expired"})));
    assert_eventually!(connections(&stack.redis) == 0, "nobody listens any more");
}

#[test]
fn open_streams_end_with_the_sidecar_and_do_not_keep_it() {
    // Longer than a test waits.
    let mut stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_DRAIN_TIMEOUT_MS", "600000"));
    let mut streams = [ready(&stack.sidecar, TENANT), ready(&stack.sidecar, OTHER)];
    stack.sidecar.process().terminate();
    for stream in &mut streams {
        assert_eq!(stream.next(), None, "an end in good order");
    }
    assert!(stack.sidecar.process().wait_exit().success());
}

/// A stack whose sidecar reaches Redis through a relay.
fn relayed() -> (Stack, Relay) {
    let mut relay = None;
    let stack = Stack::around(|redis| {
        let relay = relay.insert(Relay::to(&redis.socket()));
        format!("redis+unix://{}", relay.socket().display())
    });
    (stack, relay.unwrap())
}

/// Told before its name has been read again, it would read the bundle, and hear nothing of the change after that.
#[test]
fn a_change_is_told_only_when_redis_would_tell_of_the_next_one() {
    let (stack, relay) = relayed();
    let mut stream = ready(&stack.sidecar, TENANT);
    let mut client = stack.redis.client();
    client.json(&["DASHBOARD.GET", TENANT]);
    relay.hold();
    client.ok(&["DASHBOARD.CLEAR", TENANT]);
    assert_eventually!(relay.holds_something(), "the name is to be read again");
    let released = Mutex::new(None);
    std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            assert_eq!(stream.next_name(), "changed");
            Instant::now()
        });
        // Long enough for what should not be on its way: this takes many times as long as an event.
        for _ in 0..20 {
            client.json(&["DASHBOARD.GET", TENANT]);
            client.ok(&["DASHBOARD.CLEAR", TENANT]);
            assert!(http(stack.sidecar.public(), "GET", "/livez", None, b"").is_ok());
        }
        *released.lock().unwrap() = Some(Instant::now());
        relay.release();
        assert!(told.join().unwrap() >= released.lock().unwrap().unwrap(), "told too early");
    });
    client.json(&["DASHBOARD.GET", TENANT]);
    client.ok(&["DASHBOARD.CLEAR", TENANT]);
    assert_eq!(stream.next_name(), "changed");
}

#[test]
fn who_joins_while_a_change_is_being_told_misses_nothing() {
    let (stack, relay) = relayed();
    let mut first = ready(&stack.sidecar, TENANT);
    let mut client = stack.redis.client();
    client.json(&["DASHBOARD.GET", TENANT]);
    relay.hold();
    client.ok(&["DASHBOARD.CLEAR", TENANT]);
    assert_eventually!(relay.holds_something(), "the name is to be read again");
    let mut joined = ready(&stack.sidecar, TENANT);
    // It has read the bundle by now; Redis does not tell of this one.
    client.json(&["DASHBOARD.GET", TENANT]);
    client.ok(&["DASHBOARD.CLEAR", TENANT]);
    relay.release();
    assert_eq!((first.next_name(), joined.next_name()), ("changed".to_owned(), "changed".to_owned()));
}

#[test]
fn a_reader_who_follows_the_events_comes_to_see_the_last_change() {
    const CHANGES: i64 = 60;
    let stack = Stack::start();
    let follow = || {
        let mut stream = listen(&stack.sidecar, TENANT);
        loop {
            stream.next().unwrap();
            let bundle = stack.get(&path(TENANT)).json();
            if bundle["data"]["stats"]["totalContacts"] == CHANGES {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(follow);
        let (mut postgres, mut redis) = (stack.postgres.client(), stack.redis.client());
        for change in 0..CHANGES {
            postgres.batch_execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{TENANT}')")).unwrap();
            redis.ok(&["DASHBOARD.CLEAR", TENANT]);
            if change % 20 == 0 {
                scope.spawn(follow);
            }
        }
        scope.spawn(follow);
    });
}

#[test]
fn a_stream_tells_how_changes_are_followed_and_a_tenant_leaves_streams_to_the_others() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_MAX_STREAMS", "4"));
    let open = |tenant: &str| {
        EventStream::open(
            stack.sidecar.public(),
            &format!("/api/reports/dashboard-events?tenant_id={tenant}"),
            &[],
        )
    };
    let mut of_one: Vec<EventStream> = (0..3).map(|_| open(TENANT)).collect();
    let following = of_one[0].next_following();
    assert_eq!(
        (&following["state"], &following["followed"]),
        (&"elsewhere".into(), &false.into()),
        "{following}"
    );
    assert!(following["message"].is_string(), "{following}");
    let refused = stack.get(&format!("/api/reports/dashboard-events?tenant_id={TENANT}"));
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("of this tenant"), "{}", refused.text());
    assert_eq!(open(OTHER).status, 200);
}
