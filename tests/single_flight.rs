//! One flight: however many clients want one bundle, it is computed once.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};
use redis::Value;

#[test]
fn a_thousand_clients_on_one_cold_key_cause_one_request_and_get_the_same_bytes() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Sized(20_000));
    upstream.hold();
    let redis = Redis::with(&upstream);
    let mut clients: Vec<Client> = (0..1_000).map(|_| redis.client()).collect();
    let mut observer = redis.client();

    for client in &mut clients {
        client.send(&["DASHBOARD.GET", "acme"]);
    }
    assert_eventually!(observer.blocked_clients() == 1_000, "all clients are blocked");
    assert_eq!((observer.figure("flights"), observer.figure("waiters")), (1, 1_000));
    upstream.release();

    let replies: Vec<Value> = clients.iter_mut().map(|client| client.receive().unwrap()).collect();
    assert!(replies.iter().all(|reply| *reply == replies[0]), "all replies are the same bytes");
    assert_eq!(upstream.total(), 1);
    assert_eq!((observer.figure("flights"), observer.figure("waiters")), (0, 0));
}

#[test]
fn different_tenants_and_include_values_fly_apart() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis = Redis::with(&upstream);
    let mut clients: Vec<Client> = (0..4).map(|_| redis.client()).collect();
    for (client, (tenant, include)) in
        clients.iter_mut().zip([("a", "true"), ("a", "false"), ("b", "true"), ("b", "false")])
    {
        client.send(&["DASHBOARD.GET", tenant, "INCLUDE", include]);
    }
    upstream.wait_for(4);
    upstream.release();
    for client in &mut clients {
        client.receive().unwrap();
    }
    assert_eq!(upstream.total(), 4);
}

#[test]
fn all_waiters_of_a_failed_flight_get_the_error_and_the_next_get_tries_again() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Error(500, "internal"));
    upstream.hold();
    let redis = Redis::with(&upstream);
    let mut clients: Vec<Client> = (0..10).map(|_| redis.client()).collect();
    let mut observer = redis.client();
    for client in &mut clients {
        client.send(&["DASHBOARD.GET", "acme"]);
    }
    assert_eventually!(observer.blocked_clients() == 10, "all clients are blocked");
    upstream.release();
    for client in &mut clients {
        let error = client.receive().unwrap_err();
        assert!(error.starts_with("UNAVAILABLE "), "{error}");
        assert!(!error.contains("own words"), "causes are for the log: {error}");
    }
    assert_eq!(upstream.total(), 1);

    upstream.answer(Answer::Bundle);
    assert_eventually!(observer.call(&["DASHBOARD.GET", "acme"]).is_ok(), "a later GET succeeds");
}

#[test]
fn one_slow_tenant_does_not_delay_another() {
    let upstream = FakeUpstream::start();
    upstream.answer_for("slow", Answer::Hang);
    let redis = Redis::with(&upstream);
    let (mut slow, mut quick) = (redis.client(), redis.client());
    slow.send(&["DASHBOARD.GET", "slow"]);
    upstream.wait_for(1);
    quick.json(&["DASHBOARD.GET", "quick"]);
    assert_eq!(quick.blocked_clients(), 1, "the slow one still waits");
}

#[test]
fn at_max_flights_and_max_waiters_one_more_is_overloaded_at_once() {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis =
        Redis::builder().upstream(&upstream).setting("max-flights", 1).setting("max-waiters", 2).start();
    let mut clients: Vec<Client> = (0..2).map(|_| redis.client()).collect();
    let mut observer = redis.client();
    for client in &mut clients {
        client.send(&["DASHBOARD.GET", "a"]);
    }
    assert_eventually!(observer.blocked_clients() == 2, "both clients are blocked");

    let one_flight_more = observer.error(&["DASHBOARD.GET", "b"]);
    assert!(
        one_flight_more.starts_with("OVERLOADED ") && one_flight_more.contains("max-"),
        "{one_flight_more}"
    );
    let one_waiter_more = observer.error(&["DASHBOARD.GET", "a"]);
    assert!(
        one_waiter_more.starts_with("OVERLOADED ") && one_waiter_more.contains("max-waiters"),
        "{one_waiter_more}"
    );

    upstream.release();
    for client in &mut clients {
        client.receive().unwrap();
    }
    assert_eq!(upstream.total(), 1);
}
