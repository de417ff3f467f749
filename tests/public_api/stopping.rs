//! How the sidecar goes: its clients are told to turn away before they are turned away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Endpoint, KeepAlive, Sidecar, assert_eventually, http};

use super::{Stack, TENANT, path};

/// Asks one request after the other on one connection until an answer says that it is the last one; how many those were.
fn until_told_to_go(endpoint: &Endpoint, path: &str, served: &AtomicUsize) {
    let mut client = KeepAlive::connect(endpoint).unwrap();
    loop {
        let response = client.get(path).expect("no request is cut off");
        assert_eq!(response.status, 200, "{}", response.text());
        served.fetch_add(1, Ordering::Relaxed);
        if response.header("connection") == Some("close") {
            return;
        }
    }
}

#[test]
fn a_client_that_keeps_its_connection_sees_no_request_cut_off_when_the_sidecar_stops() {
    const CLIENTS: usize = 8;
    let mut stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_LAME_DUCK_MS", "3000"));
    let (endpoint, served) = (stack.sidecar.public().clone(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| until_told_to_go(&endpoint, &path(TENANT), &served)))
            .collect();
        assert_eventually!(served.load(Ordering::Relaxed) > 10 * CLIENTS, "all of them are served");
        stack.sidecar.process().terminate();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    // Who has not been told yet, or does not heed it, is served in the lame-duck time as before.
    let ready = stack.get("/readyz");
    assert_eq!((ready.status, ready.json()["checks"][0]["status"].as_str().unwrap()), (503, "stopping"));
    let late = stack.get(&path(TENANT));
    assert_eq!((late.status, late.header("connection")), (200, Some("close")));
    assert_eq!(stack.get("/livez").status, 200, "the process lives");
    assert!(stack.sidecar.process().wait_exit().success());
}

#[test]
fn readyz_fails_at_once_when_the_sidecar_is_told_to_stop() {
    let mut stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_LAME_DUCK_MS", "600000"));
    assert_eq!(stack.get("/readyz").status, 200);
    stack.sidecar.process().terminate();
    assert_eventually!(stack.get("/readyz").status == 503, "it is out of the rotation");
    assert_eq!(stack.get(&path(TENANT)).status, 200);
    assert!(stack.sidecar.process().exited().is_none());
    stack.sidecar.process().terminate();
    assert_eq!(stack.sidecar.process().wait_exit().code(), Some(1), "a second signal ends at once");
}

#[test]
fn a_person_who_interrupts_the_sidecar_does_not_wait_for_a_balancer() {
    let mut sidecar = Sidecar::builder().env("DASHBOARD_LAME_DUCK_MS", "600000").start_alone();
    sidecar.process().interrupt();
    assert!(sidecar.process().wait_exit().success());
}

#[test]
fn an_idle_connection_is_kept_for_as_long_as_the_setting_says() {
    let kept = Sidecar::builder().env("DASHBOARD_KEEP_ALIVE_MS", "1000").start_alone();
    let mut client = KeepAlive::connect(kept.public()).unwrap();
    assert_eq!(client.get("/livez").unwrap().status, 200);
    let idle_since = Instant::now();
    assert_eventually!(client.is_closed(), "an idle connection is closed in the end");
    assert!(idle_since.elapsed() >= Duration::from_millis(900), "{:?}", idle_since.elapsed());
    let help = harness::run_ok(&mut Sidecar::command(&["serve", "--help"], ""));
    let (_, keep_alive) = help.split_once("DASHBOARD_KEEP_ALIVE_MS=").unwrap();
    assert!(keep_alive.contains("[default: 75000]"), "longer than a proxy's usual minute");
}

#[test]
fn a_request_under_way_is_answered_after_the_lame_duck_time_and_no_new_one_is() {
    let mut stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_LAME_DUCK_MS", "500"));
    let mut lock = stack.postgres.client();
    lock.batch_execute("BEGIN; LOCK TABLE leads IN ACCESS EXCLUSIVE MODE").unwrap();
    let endpoint = stack.sidecar.public().clone();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| endpoint.get(&path(TENANT)));
        let in_flight = || stack.get("/metrics").text().contains("\ndashboard_module_flights 1\n");
        assert_eventually!(in_flight(), "the bundle is being computed");
        stack.sidecar.process().terminate();
        assert_eventually!(http(&endpoint, "GET", "/livez", None, b"").is_err(), "it listens no more");
        lock.batch_execute("COMMIT").unwrap();
        let answer = waiting.join().unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{}", answer.text());
    });
    assert!(stack.sidecar.process().wait_exit().success());
}
