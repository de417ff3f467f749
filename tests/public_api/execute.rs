//! `POST /api/cron/execute`.

use std::io::Write as _;
use std::net::TcpStream;

use harness::{Endpoint, Response, assert_eventually};
use serde_json::{Value, json};

use super::{OTHER, Stack, TENANT, message, path};

const EXECUTE: &str = "/api/cron/execute";
const ALL: &str = r#"{"function_name":"warmDashboardBundleCache"}"#;

fn execute(stack: &Stack, body: &str) -> Response {
    stack.sidecar.public().post(EXECUTE, body)
}

fn one(tenant: &str) -> String {
    json!({"function_name": "warmDashboardBundleCache", "tenant_id": tenant}).to_string()
}

fn outcome(stack: &Stack) -> Option<String> {
    stack.postgres.value("SELECT metadata->>'outcome' FROM cron_job")
}

fn leases(stack: &Stack) -> i64 {
    stack.postgres.value("SELECT count(*) FROM dashboard.lease")
}

/// Keeps bundles from being computed, until it is dropped.
fn hold(stack: &Stack) -> postgres::Client {
    let mut client = stack.postgres.client();
    client.batch_execute("BEGIN; LOCK TABLE leads").unwrap();
    client
}

#[test]
fn for_all_tenants_it_is_a_run_of_the_job_and_its_outcome_is_kept() {
    let stack = Stack::start();
    // As curl sends it, who is not told what it is.
    let response = stack.ask("POST", EXECUTE, &[("content-type", "application/x-www-form-urlencoded")], ALL);
    assert_eq!(response.status, 200, "{}", response.text());
    let body = response.json();
    assert_eq!(body["status"], "success");
    assert!(body["message"].as_str().unwrap().contains("warmed 3"), "{body}");
    let mut data: Value = body["data"].clone();
    assert!(data["elapsed_ms"].is_u64(), "{data}");
    data["elapsed_ms"] = 0.into();
    let expected = json!({"function_name": "warmDashboardBundleCache", "tenants": 3, "warmed": 3, "fresh": 0, "failed": 0,
        "elapsed_ms": 0});
    assert_eq!(data, expected);
    assert_eq!(outcome(&stack).as_deref(), Some("success"));
    assert_eq!(leases(&stack), 0);
    assert_eq!(stack.get(&path(TENANT)).header("x-cache"), Some("HIT"));
    assert_eq!(execute(&stack, ALL).json()["data"]["fresh"], 3);
}

#[test]
fn for_one_tenant_it_warms_that_one_and_the_job_knows_nothing_of_it() {
    let stack = Stack::start();
    let data = execute(&stack, &one(TENANT)).json()["data"].clone();
    assert_eq!((&data["tenants"], &data["warmed"]), (&json!(1), &json!(1)));
    assert_eq!(stack.redis.client().int(&["DBSIZE"]), 2);
    assert_eq!(outcome(&stack), None);
    assert_eq!(execute(&stack, &one(TENANT)).json()["data"]["fresh"], 1);

    let unknown = execute(&stack, &one("nobody"));
    assert_eq!(unknown.status, 404);
    assert!(message(&unknown).contains("'nobody'"), "{}", unknown.text());
}

#[test]
fn a_run_that_is_under_way_is_not_begun_again_and_it_is_said_whose_it_is() {
    let stack = Stack::start();
    let held = hold(&stack);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| execute(&stack, ALL));
        assert_eventually!(leases(&stack) == 1, "the first one runs");
        let second = execute(&stack, ALL);
        assert_eq!(second.status, 409);
        let owner: String = stack.postgres.value("SELECT owner FROM dashboard.lease");
        assert!(message(&second).contains(&owner), "{}", second.text());
        drop(held);
        assert_eq!(first.join().unwrap().status, 200);
    });
}

/// Asks for a run of everything, and leaves once it is under way.
fn ask_and_leave(stack: &Stack) {
    let Endpoint::Tcp(address) = stack.sidecar.public() else { panic!("the public API is on TCP") };
    let mut client = TcpStream::connect(address).unwrap();
    let length = ALL.len();
    write!(client, "POST {EXECUTE} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{ALL}")
        .unwrap();
    assert_eventually!(leases(stack) == 1, "it runs");
    drop(client);
    // By then the sidecar has noticed: it answers others.
    assert_eq!(stack.get("/livez").status, 200);
}

#[test]
fn a_client_that_leaves_does_not_end_the_run() {
    let stack = Stack::start();
    let held = hold(&stack);
    ask_and_leave(&stack);
    drop(held);
    assert_eventually!(outcome(&stack).as_deref() == Some("success"), "it goes on to its end");
    assert_eq!(leases(&stack), 0);
}

#[test]
fn a_sidecar_that_is_stopped_gives_the_run_back() {
    let mut stack = Stack::start();
    let _held = hold(&stack);
    std::thread::scope(|scope| {
        let endpoint = stack.sidecar.public().clone();
        let asked = scope.spawn(move || endpoint.post(EXECUTE, ALL));
        assert_eventually!(leases(&stack) == 1, "it runs");
        stack.sidecar.process().terminate();
        let response = asked.join().unwrap();
        assert_eq!(response.status, 503, "{}", response.text());
        assert!(message(&response).contains("stopped"), "{}", response.text());
    });
    assert!(stack.sidecar.process().wait_exit().success());
    assert_eq!(leases(&stack), 0);
    assert_eq!(outcome(&stack).as_deref(), Some("failed"));
    let again: bool = stack.postgres.value("SELECT next_run <= now() FROM cron_job");
    assert!(again, "the next sidecar runs it");
}

#[test]
fn a_sidecar_that_is_stopped_gives_back_also_what_nobody_waits_for() {
    let mut stack = Stack::start();
    let _held = hold(&stack);
    ask_and_leave(&stack);
    stack.sidecar.process().terminate();
    assert!(stack.sidecar.process().wait_exit().success());
    assert_eq!((leases(&stack), outcome(&stack).as_deref()), (0, Some("failed")));
}

#[test]
fn what_is_wrong_is_named_and_nothing_runs() {
    let stack = Stack::start();
    for (body, status, named) in [
        ("{}", 400, "function_name"),
        (r#"{"function_name":"dropEverything"}"#, 400, "warmDashboardBundleCache"),
        (r#"{"function_name":null}"#, 400, "'function_name'"),
        (r#"{"function_name":"warmDashboardBundleCache","tenant_id":null}"#, 400, "'tenant_id'"),
        (r#"{"function_name":"warmDashboardBundleCache","tenant_id":"a b"}"#, 400, "'tenant_id'"),
        (r#"{"function_name":"warmDashboardBundleCache","force":true}"#, 400, "force"),
    ] {
        let response = execute(&stack, body);
        assert_eq!(response.status, status, "{body}");
        assert!(message(&response).contains(named), "{body}: {}", response.text());
    }
    assert_eq!(outcome(&stack), None);
    assert_eq!(stack.redis.client().int(&["DBSIZE"]), 0);

    stack.postgres.execute("DELETE FROM cron_job");
    let response = execute(&stack, ALL);
    assert_eq!(response.status, 404);
    assert!(message(&response).contains("dashboard-sidecar cron enable"), "{}", response.text());
}

#[test]
fn a_row_of_one_tenant_is_not_taken_for_all_and_the_active_one_goes_first() {
    let stack = Stack::start();
    stack.postgres.execute(&format!(
        "UPDATE cron_job SET is_active = false;
         INSERT INTO cron_job (name, schedule, function_name, is_active, tenant_id) VALUES
            ('of one', 'daily', 'warmDashboardBundleCache', true, '{OTHER}'),
            ('active', 'daily', 'warmDashboardBundleCache', true, NULL)"
    ));
    assert_eq!(execute(&stack, ALL).json()["data"]["tenants"], 3);
    let ran: Vec<String> =
        stack.postgres.value("SELECT array_agg(name) FROM cron_job WHERE metadata->>'outcome' = 'success'");
    assert_eq!(ran, ["active"]);
    // A person may run what is not active.
    stack.postgres.execute("DELETE FROM cron_job WHERE is_active");
    assert_eq!(execute(&stack, ALL).status, 200);
}

#[test]
fn who_may_not_is_refused_and_an_admin_warms_its_own_tenant() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(harness::jwt::SECRET));
    let ask = |claims: Value, body: &str| {
        let bearer = format!("Bearer {}", harness::jwt::token(claims));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        stack.ask("POST", EXECUTE, &headers, body)
    };
    for (claims, body, status) in [
        (json!({"tenant_id": TENANT}), ALL.to_owned(), 403),
        (json!({"tenant_id": TENANT}), one(TENANT), 403),
        (json!({"role": "admin"}), ALL.to_owned(), 403),
        (json!({"tenant_id": TENANT, "role": "admin"}), one(OTHER), 403),
        (json!({"tenant_id": TENANT, "role": "admin"}), one("SUPERADMIN_GLOBAL"), 403),
    ] {
        let response = ask(claims.clone(), &body);
        assert_eq!(response.status, status, "{claims} {body}: {}", response.text());
    }
    assert_eq!(stack.redis.client().int(&["DBSIZE"]), 0);
    let admin = json!({"tenant_id": TENANT, "role": "admin"});
    assert_eq!(ask(admin, ALL).json()["data"]["tenants"], 1, "all that it may");
    assert_eq!(outcome(&stack), None);
    assert_eq!(ask(json!({"role": "superadmin"}), ALL).json()["data"]["tenants"], 3);
}

#[test]
fn where_some_fail_they_are_counted_and_where_all_do_it_is_an_error() {
    let mut stack = Stack::start();
    stack.postgres.execute(&format!(
        "ALTER FUNCTION dashboard.active_tenants() RENAME TO listed;
         CREATE FUNCTION dashboard.active_tenants() RETURNS SETOF text LANGUAGE sql AS
            $$ SELECT unnest(ARRAY['{TENANT}', 'gone']) $$"
    ));
    let response = execute(&stack, ALL);
    assert_eq!(
        (response.status, &response.json()["data"]["failed"]),
        (200, &json!(1)),
        "{}",
        response.text()
    );
    assert_eq!(outcome(&stack).as_deref(), Some("partial"));

    stack.redis.client().ok(&["FLUSHALL"]);
    stack.postgres.go_down();
    let response = execute(&stack, &one(TENANT));
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(execute(&stack, ALL).status, 503);
    stack.postgres.come_back();
    stack.redis.shutdown();
    for body in [ALL.to_owned(), one(TENANT)] {
        let response = execute(&stack, &body);
        assert_eq!(response.status, 503, "{}", response.text());
        assert!(message(&response).contains("Redis"), "{}", response.text());
    }
}
