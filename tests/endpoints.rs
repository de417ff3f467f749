//! Several sidecars: while one of them can answer, clients are answered.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use harness::{Answer, Client, FakeUpstream, Postgres, Redis, RedisBuilder, Sidecar, assert_eventually};

const TIMEOUT: Duration = Duration::from_secs(2);

fn builder(urls: &[String]) -> RedisBuilder {
    Redis::builder().setting("sidecar", urls.join(" ")).setting("timeout", TIMEOUT.as_millis())
}

fn pair() -> (FakeUpstream, FakeUpstream, Redis) {
    let (one, other) = (FakeUpstream::start(), FakeUpstream::start());
    let redis = builder(&[one.url(), other.url()]).start();
    (one, other, redis)
}

/// Asks for a tenant that nobody has asked for before.
fn ask(client: &mut Client, number: &mut usize) -> harness::Reply {
    *number += 1;
    client.call(&["DASHBOARD.GET", &format!("t{number}")])
}

#[test]
fn one_that_hangs_costs_one_request_its_deadline_and_those_after_it_go_to_the_other() {
    let (one, other, redis) = pair();
    one.hold();
    let (mut client, mut number) = (redis.client(), 0);
    let error = ask(&mut client, &mut number).unwrap_err();
    assert!(error.starts_with("TIMEOUT "), "{error}");

    // Among them are those that try whether it is back: they are answered by the other, in time.
    assert_eventually!(
        {
            let started = Instant::now();
            ask(&mut client, &mut number).unwrap();
            assert!(started.elapsed() < TIMEOUT, "{:?}", started.elapsed());
            one.total() >= 3
        },
        "the one that hangs is tried again"
    );
    assert!(one.total() < other.total() / 4, "{} of {}", one.total(), other.total());
}

#[test]
fn one_that_hangs_is_found_out_also_where_no_client_waits_long() {
    let (one, other) = (FakeUpstream::start(), FakeUpstream::start());
    let redis = builder(&[one.url(), other.url()]).setting("timeout", 1000).start();
    let mut observer = redis.client();
    one.hold();
    let mut number = 0;
    assert_eventually!(
        {
            // It goes before anybody could have answered it in time.
            let mut client = redis.client();
            number += 1;
            client.send(&["DASHBOARD.GET", &format!("t{number}")]);
            assert_eventually!(one.total() + other.total() >= number, "it is asked for");
            drop(client);
            assert_eventually!(observer.figure("waiters") == 0, "it has gone");
            other.total() > 0
        },
        "the other is asked"
    );
    assert_eq!(observer.figure("timeouts"), 0);
}

#[test]
fn one_that_is_back_is_found_and_asked_first_again() {
    let (mut one, other, redis) = pair();
    let (mut client, mut number) = (redis.client(), 0);
    for hangs in [false, true] {
        if hangs {
            one.hold();
            ask(&mut client, &mut number).unwrap_err();
            one.release();
        } else {
            one.refuse();
            ask(&mut client, &mut number).unwrap();
            one.listen();
        }
        let before = one.total();
        assert_eventually!(
            ask(&mut client, &mut number).is_ok() && one.total() > before,
            "it is asked again"
        );
        let others = other.total();
        for _ in 0..10 {
            ask(&mut client, &mut number).unwrap();
        }
        assert_eq!(other.total(), others, "hangs: {hangs}");
    }
}

#[test]
fn the_next_is_asked_at_once_when_one_hangs_up_or_says_that_it_cannot() {
    for answer in [Answer::Close, Answer::HalfBody, Answer::UNAVAILABLE, Answer::Error(429, "overloaded")] {
        let (one, other, redis) = pair();
        one.answer(answer.clone());
        let started = Instant::now();
        let bundle = redis.client().json(&["DASHBOARD.GET", "acme"]);
        assert_eq!(bundle["meta"]["tenant_id"], "acme", "{answer:?}");
        assert!(started.elapsed() < TIMEOUT / 4, "{answer:?}: {:?}", started.elapsed());
        assert_eq!((one.total(), other.total()), (1, 1), "{answer:?}");
    }
}

#[test]
fn an_answer_is_an_answer_and_nobody_else_is_asked() {
    for (answer, word) in [
        (Answer::NO_TENANT, "NOTENANT"),
        (Answer::Error(504, "timeout"), "TIMEOUT"),
        (Answer::Error(500, "internal"), "UNAVAILABLE"),
        (Answer::Error(401, "unauthorized"), "UNAVAILABLE"),
        (Answer::Garbage, "UNAVAILABLE"),
        (Answer::WrongShape, "UNAVAILABLE"),
        (Answer::WrongTenant, "UNAVAILABLE"),
        (Answer::Sized(2 << 20), "OVERLOADED"),
    ] {
        let (one, other, redis) = pair();
        one.answer(answer.clone());
        let error = redis.client().error(&["DASHBOARD.GET", "acme"]);
        assert_eq!(error.split(' ').next(), Some(word), "{answer:?}: {error}");
        assert_eq!(other.total(), 0, "{answer:?}");
    }
}

#[test]
fn when_none_can_answer_the_most_telling_failure_is_told() {
    let (busy, postgres) = (Answer::Error(429, "overloaded"), Answer::UNAVAILABLE);
    for (first, second, told) in [
        (None, Some(&postgres), "Postgres"),
        (Some(&postgres), None, "Postgres"),
        (Some(&postgres), Some(&Answer::Close), "Postgres"),
        (Some(&postgres), Some(&busy), "OVERLOADED the sidecar"),
        (Some(&busy), Some(&postgres), "OVERLOADED the sidecar"),
        (Some(&Answer::HalfBody), None, "broke off"),
        (None, None, "the sidecar cannot be reached"),
        (Some(&postgres), Some(&Answer::NO_TENANT), "NOTENANT"),
    ] {
        let (mut one, mut other) = (FakeUpstream::start(), FakeUpstream::start());
        for (upstream, answer) in [(&mut one, first), (&mut other, second)] {
            match answer {
                Some(answer) => upstream.answer(answer.clone()),
                None => upstream.refuse(),
            }
        }
        let redis = builder(&[one.url(), other.url()]).start();
        let error = redis.client().error(&["DASHBOARD.GET", "acme"]);
        assert!(error.contains(told), "{first:?}, {second:?}: {error}");
    }
}

#[test]
fn all_of_them_are_asked_as_configured_when_all_are_suspect() {
    let (mut one, mut other, redis) = pair();
    let mut client = redis.client();
    one.refuse();
    other.refuse();
    client.error(&["DASHBOARD.GET", "a"]);
    one.listen();
    other.listen();
    client.json(&["DASHBOARD.GET", "b"]);
    assert_eq!((one.total(), other.total()), (1, 0));
}

#[test]
fn a_batch_goes_to_the_next_unless_it_has_begun_to_be_answered() {
    for answer in [Answer::Close, Answer::UNAVAILABLE] {
        let (one, other, redis) = pair();
        one.answer_for("b", answer.clone());
        one.hold();
        let mut client = redis.client();
        client.send(&["DASHBOARD.WARM", "a", "b"]);
        // When the third bundle is asked for, those of the first tenant have been sent.
        one.wait_for(1);
        one.release_one();
        one.wait_for(2);
        one.release_one();
        one.wait_for(3);
        one.release();
        let report = pairs(client.receive().unwrap());
        let failed = report.iter().find(|(name, _)| name == "failed").unwrap();
        assert_eq!(failed.1, redis::Value::Int(1), "{answer:?}: {report:?}");
        assert_eq!(other.total(), 0, "{answer:?}");
    }
    let (mut one, other, redis) = pair();
    let mut client = redis.client();
    // Nothing of the answer comes: not even of the first bundle.
    one.answer(Answer::Close);
    let report = client.map(&["DASHBOARD.WARM", "a", "b"]);
    assert_eq!(report[1], ("warmed".to_owned(), redis::Value::Int(2)), "{report:?}");
    assert_eq!(other.total(), 4);
    one.refuse();
    other.active_tenants(&["c"]);
    let report = client.map(&["DASHBOARD.WARM"]);
    assert_eq!(report[1], ("warmed".to_owned(), redis::Value::Int(1)), "{report:?}");
}

#[test]
fn a_batch_whose_sidecar_hangs_is_over_at_the_deadline_and_the_next_goes_to_the_other() {
    let (one, other, redis) = pair();
    let mut client = redis.client();
    one.hold();
    let report = client.map(&["DASHBOARD.WARM", "a"]);
    assert_eq!(report[3], ("failed".to_owned(), redis::Value::Int(1)), "{report:?}");
    let report = client.map(&["DASHBOARD.WARM", "a"]);
    assert_eq!(report[1], ("warmed".to_owned(), redis::Value::Int(1)), "{report:?}");
    assert_eq!(other.total(), 2);
}

#[test]
fn after_a_batch_whose_sidecar_has_no_postgres_the_next_goes_to_the_other() {
    let (one, other, redis) = pair();
    let mut client = redis.client();
    one.answer(Answer::UNAVAILABLE);
    let report = client.map(&["DASHBOARD.WARM", "a", "b"]);
    assert_eq!(report[3], ("failed".to_owned(), redis::Value::Int(2)), "{report:?}");
    let report = client.map(&["DASHBOARD.WARM", "a", "b"]);
    assert_eq!(report[1], ("warmed".to_owned(), redis::Value::Int(2)), "{report:?}");
    assert_eq!((one.total(), other.total()), (4, 4));
}

/// The real thing: a process that stands still takes connections, and says nothing.
#[test]
fn a_sidecar_that_is_stopped_in_its_tracks_or_killed_is_passed_over() {
    let postgres = Postgres::start();
    let (mut one, other) = (Sidecar::on(&postgres.url()), Sidecar::on(&postgres.url()));
    let redis = builder(&[one.url().to_owned(), other.url().to_owned()]).start();
    let mut client = redis.client();
    let mut read = |options: &[&str]| {
        let started = Instant::now();
        let reply = client.call(&[&["DASHBOARD.GET", "SUPERADMIN_GLOBAL", "WITHMETA"], options].concat());
        (crate::states::status(reply), started.elapsed())
    };
    assert_eq!(read(&[]).0, "miss");
    one.process().freeze();
    // There is something to fall back on, so that the first ones wait no longer than soft-timeout.
    assert_eventually!(read(&["REFRESH"]).0 == "refreshed", "the other is asked");
    assert_eventually!(
        {
            let (_, elapsed) = read(&["REFRESH"]);
            assert!(elapsed < TIMEOUT, "{elapsed:?}");
            read(&["REFRESH"]).0 == "refreshed"
        },
        "and again"
    );
    one.process().thaw();
    assert_eventually!(read(&["REFRESH"]).0 == "refreshed", "both are there");
    one.process().kill();
    assert_eventually!(read(&["REFRESH"]).0 == "refreshed", "the other is asked at once");
}

fn pairs(report: redis::Value) -> Vec<(String, redis::Value)> {
    let redis::Value::Array(report) = report else { panic!("{report:?}") };
    report.chunks(2).map(|pair| (harness::text(&pair[0]), pair[1].clone())).collect()
}

/// A port on which connecting neither succeeds nor fails, as with a host that has gone from the network.
struct Swallowing {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
    _listener: tokio::net::TcpListener,
    _queue: Vec<TcpStream>,
}

impl Swallowing {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = {
            let _inside = runtime.enter();
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            socket.listen(1).unwrap()
        };
        let address = listener.local_addr().unwrap();
        // Nobody accepts: once the queue is full, the kernel drops what comes.
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queue = std::iter::from_fn(connect).collect();
        Self { address, _runtime: runtime, _listener: listener, _queue: queue }
    }
}

#[test]
fn hosts_that_swallow_packets_are_found_out_and_passed_over() {
    let dead: Vec<Swallowing> = (0..8).map(|_| Swallowing::start()).collect();
    let alive = FakeUpstream::start();
    let urls = dead.iter().map(|dead| format!("http://{}", dead.address)).chain([alive.url()]);
    // Not enough to try them all.
    let redis = builder(&urls.collect::<Vec<_>>()).setting("timeout", 1000).start();
    let (mut client, mut number) = (redis.client(), 0);
    let mut failed = 0;
    while ask(&mut client, &mut number).is_err() {
        failed += 1;
        assert!(failed < 5, "each request finds out about some of them");
    }
    // From then on the living one is asked in time, although the others are tried again now and then.
    for _ in 0..20 {
        ask(&mut client, &mut number).unwrap();
    }
}
