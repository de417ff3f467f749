//! The harness does what the tests rely on.

use harness::{Answer, Endpoint, FakeUpstream, Postgres, Redis, assert_eventually};

#[test]
fn a_redis_is_private_answers_both_protocols_and_keeps_its_files_over_a_restart() {
    let redis = Redis::builder().without_module().line("appendonly yes").start();
    assert_eq!(redis.client().ok(&["SET", "key", "value"]), redis::Value::Okay);
    assert_eq!(redis.cli(&["GET", "key"]), "value");
    assert!(matches!(redis.client_resp3().ok(&["CONFIG", "GET", "port"]), redis::Value::Map(_)));

    let mut redis = redis.restart();
    assert_eq!(redis.client().bytes(&["GET", "key"]), b"value");
    assert!(redis.is_alive());
    assert_eq!(redis.client().error(&["NOSUCH"]).split(' ').next(), Some("ERR"));
}

#[test]
fn a_client_can_send_now_and_receive_later() {
    let redis = Redis::builder().without_module().start();
    let (mut blocked, mut other) = (redis.client(), redis.client());
    blocked.send(&["BLPOP", "list", "0"]);
    assert_eventually!(other.blocked_clients() == 1, "BLPOP blocks");
    other.ok(&["RPUSH", "list", "element"]);
    assert_eq!(
        blocked.receive().unwrap(),
        redis::Value::Array(vec![
            redis::Value::BulkString(b"list".to_vec()),
            redis::Value::BulkString(b"element".to_vec()),
        ])
    );
}

#[test]
fn every_database_is_its_own() {
    let (one, other) = (Postgres::start_unmigrated(), Postgres::start_unmigrated());
    one.execute("CREATE TABLE t AS SELECT 1 AS x");
    assert!(one.value::<bool>("SELECT to_regclass('t') IS NOT NULL"));
    assert!(other.value::<bool>("SELECT to_regclass('t') IS NULL"));

    one.go_down();
    assert!(postgres::Client::connect(&one.url(), postgres::NoTls).is_err());
    one.come_back();
    assert_eq!(one.value::<i32>("SELECT x FROM t"), 1);
}

#[test]
fn the_fake_upstream_counts_holds_and_misbehaves_on_request() {
    let upstream = FakeUpstream::start();
    let endpoint = Endpoint::parse(&upstream.url());
    let path = "/internal/v1/bundle?tenant=acme&include_test_data=true";
    let get = || harness::http(&endpoint, "GET", path, None, b"");

    let first = endpoint.get(path).json();
    assert_eq!((&first["meta"]["tenant_id"], &first["stats"]["totalContacts"]), (&"acme".into(), &1.into()));
    assert_eq!(endpoint.get(path).json()["stats"]["totalContacts"], 2);
    assert_eq!((upstream.count("acme"), upstream.exchanges()), (2, 2));

    upstream.hold();
    std::thread::scope(|scope| {
        let held = scope.spawn(get);
        upstream.wait_for(3);
        assert!(!held.is_finished());
        upstream.release_one();
        assert_eq!(held.join().unwrap().unwrap().status, 200);
    });
    upstream.release();

    upstream.answer(Answer::HalfBody);
    assert!(get().is_err(), "half a body is no answer");
    upstream.answer(Answer::Close);
    assert!(get().is_err(), "a closed connection is no answer");
    upstream.answer_for("acme", Answer::NO_TENANT);
    assert_eq!(endpoint.get(path).code(), "no_tenant");

    upstream.answer(Answer::Bundle);
    let body = r#"{"bundles":[{"tenant_id":"acme","include_test_data":true},{"tenant_id":"b","include_test_data":false}]}"#;
    let lines = endpoint.post("/internal/v1/bundles", body).lines();
    assert_eq!(lines[0]["error"]["code"], "no_tenant");
    assert_eq!(lines[1]["meta"]["tenant_id"], "b");
}

#[test]
fn a_refusing_fake_upstream_can_come_back() {
    let mut upstream = FakeUpstream::start();
    let endpoint = Endpoint::parse(&upstream.url());
    upstream.refuse();
    assert!(harness::http(&endpoint, "GET", "/internal/v1/health", None, b"").is_err());
    upstream.listen();
    assert_eq!(endpoint.get("/internal/v1/health").status, 200);
}
