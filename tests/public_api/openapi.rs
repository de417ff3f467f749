//! `GET /api/openapi.json`: the server does what its document says, asked by a program that makes requests of it.

use std::process::Command;

use harness::{Endpoint, repository_root, run};
use serde_json::json;

use super::{Stack, TENANT};

/// A stream does not end; tests of its own look at it.
const EVENTS: &str = "/api/reports/dashboard-events";
/// Requests of each kind, for each path.
const EXAMPLES: &str = "25";

/// Has the generator ask the server whatever the document lets it, and much that it does not.
fn holds(stack: &Stack, arguments: &[&str]) {
    let Endpoint::Tcp(address) = stack.sidecar.public() else { panic!("the public API is on TCP") };
    let program = repository_root().join("target/schemathesis/bin/st");
    assert!(program.exists(), "{} is missing: run scripts/setup.sh python3-venv", program.display());
    let seed = std::env::var("SEED").unwrap_or_else(|_| fastrand::u32(..).to_string());
    println!("SEED={seed} repeats these requests");
    let directory = tempfile::tempdir().unwrap();
    // Read from where it is served, the document would not be asked for as any other path is.
    let document = stack.get("/api/openapi.json");
    std::fs::write(directory.path().join("openapi.json"), &document.body).unwrap();
    let mut command = Command::new(program);
    command
        .args(["run", "openapi.json", "--url", &format!("http://{address}")])
        .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", &seed, "--continue-on-failure"])
        .args(["--exclude-path", EVENTS])
        .args(["--request-timeout", "10", "--phases", "examples,coverage,fuzzing"])
        .args(["--report", "json", "--report-json-path", "report.json"])
        .args(arguments)
        // What it would keep for the next time.
        .current_dir(directory.path());
    let output = run(&mut command);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(directory.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let paths = document.json()["paths"].as_object().unwrap().len();
    assert_eq!(report["operations"]["tested"], paths - 1, "all but one: {}", report["operations"]);
}

#[test]
fn the_server_does_what_its_document_says_where_no_token_is_needed() {
    let stack = Stack::start();
    stack.fill();
    holds(&stack, &["--exclude-checks", "ignored_auth"]);
}

#[test]
fn the_server_does_what_its_document_says_with_a_token() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(harness::jwt::SECRET));
    stack.fill();
    let token = harness::jwt::token(json!({"tenant_id": TENANT, "role": "superadmin"}));
    holds(&stack, &["--header", &format!("Authorization: Bearer {token}")]);
}

#[test]
fn the_document_is_told_by_its_etag() {
    let stack = Stack::start();
    let response = stack.get("/api/openapi.json");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    assert_eq!(response.json()["openapi"], "3.1.0");
    let etag = response.header("etag").unwrap();
    let again = stack.ask("GET", "/api/openapi.json", &[("if-none-match", etag)], "");
    assert_eq!((again.status, again.body.len()), (304, 0));
}
