//! Probes answer whatever else does not.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{Endpoint, Redis, Relay, Sidecar, assert_eventually, http};

use super::{Stack, TENANT, message, path};

fn connect(sidecar: &Sidecar) -> TcpStream {
    let Endpoint::Tcp(address) = sidecar.public() else { panic!("a TCP listener") };
    TcpStream::connect(address).unwrap()
}

#[test]
fn probes_and_metrics_are_answered_while_silent_clients_hold_every_connection() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_MAX_CONNECTIONS", "8"));
    // More than there are places: the connection by which the harness has asked may be gone only now.
    let silent: Vec<TcpStream> = (0..12).map(|_| connect(&stack.sidecar)).collect();
    assert_eventually!(stack.get(&path(TENANT)).status == 429, "every place is taken");
    for path in ["/livez", "/readyz", "/api/system/health", "/metrics"] {
        let response = stack.get(path);
        assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{path}");
    }
    let refused = stack.get(&path(TENANT));
    assert_eq!(refused.status, 429);
    assert!(message(&refused).contains("DASHBOARD_MAX_CONNECTIONS"), "{}", refused.text());
    drop(silent);
    assert_eventually!(stack.get(&path(TENANT)).status == 200, "their places are free again");
}

#[test]
fn readyz_answers_within_a_second_when_redis_falls_silent() {
    let mut stack = Stack::start();
    assert_eq!(stack.get("/readyz").status, 200);
    stack.redis.process().freeze();
    // What was found out just before is told again for a moment.
    let mut took = Duration::ZERO;
    assert_eventually!(
        {
            let began = Instant::now();
            let response = http(stack.sidecar.public(), "GET", "/readyz", None, b"").unwrap();
            took = began.elapsed();
            response.status == 503
        },
        "it cannot serve"
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    stack.redis.process().thaw();
    assert_eventually!(stack.get("/readyz").status == 200, "it can again");
}

#[test]
fn readyz_answers_soon_whoever_is_silent_while_clients_hold_every_connection() {
    let mut postgres = None;
    let mut stack = Stack::with(|sidecar| {
        let server = harness::Postgres::start();
        let (relay, url, directory) = Relay::to_postgres(&server.url());
        postgres = Some((relay, directory, server));
        sidecar.database(url)
    });
    let (relay, ..) = postgres.as_ref().unwrap();
    assert_eq!(stack.get("/api/system/health").status, 200);
    // As many as it takes by default, and those whose places may not be free again yet.
    let idle: Vec<TcpStream> = (0..1_024 + 4).map(|_| connect(&stack.sidecar)).collect();
    assert_eventually!(stack.get(&path(TENANT)).status == 429, "every place is taken");
    let ask = |stack: &Stack, path: &str| {
        let began = Instant::now();
        let status = http(stack.sidecar.public(), "GET", path, None, b"").unwrap().status;
        let took = began.elapsed();
        // A part has 0.8 s; the rest is for a loaded machine with so many sockets.
        assert!(took < Duration::from_secs(2), "{path}: {took:?}");
        status
    };
    relay.hold_replies();
    relay.silence_existing();
    assert_eventually!(ask(&stack, "/api/system/health") == 503, "Postgres is silent");
    for _ in 0..5 {
        assert_eq!((ask(&stack, "/readyz"), ask(&stack, "/livez")), (200, 200), "the cache can be read");
    }
    stack.redis.process().freeze();
    assert_eventually!(ask(&stack, "/readyz") == 503, "Redis is silent, too");
    for _ in 0..5 {
        let asked = ["/readyz", "/api/system/health", "/livez"].map(|path| ask(&stack, path));
        assert_eq!(asked, [503, 503, 200]);
    }
    stack.redis.process().thaw();
    assert_eventually!(ask(&stack, "/readyz") == 200, "it can be read again");
    drop(idle);
}

#[test]
fn a_sidecar_that_reads_the_cache_stays_in_the_rotation_without_postgres() {
    let redis = Redis::builder().start();
    let sidecar = Sidecar::builder().without_postgres().env("REDIS_URL", redis.url()).start();
    let ready = sidecar.public().get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    let health = sidecar.public().get("/api/system/health");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("DATABASE_URL"), "{}", health.text());
}
