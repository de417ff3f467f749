//! What probes and Prometheus are told.

use std::collections::BTreeMap;

use harness::{
    Redis, Response, Sidecar, assert_eventually, freeze_pid, http, repository_root, run_ok, thaw_pid,
};
use serde_json::Value;

use super::{Stack, TENANT, path};

const SCHEDULE: &str = r#"dashboard_up{part="schedule"}"#;

/// The state of each part, by its name.
fn checks(response: &Response) -> BTreeMap<String, String> {
    let name = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    let body = response.json();
    body["checks"].as_array().unwrap().iter().map(|c| (name(c, "name"), name(c, "status"))).collect()
}

fn unwell(response: &Response) -> Vec<String> {
    checks(response).into_iter().filter(|(_, status)| status != "ok").map(|(name, _)| name).collect()
}

#[test]
fn health_names_each_part_and_which_of_them_does_not_work_and_readyz_whether_the_cache_can_be_read() {
    let mut stack = Stack::start();
    for (path, parts) in [
        ("/readyz", &["redis-cache", "redis-module"][..]),
        (
            "/api/system/health",
            &["change-feed", "internal-api", "migrations", "postgres", "redis-cache", "redis-module"],
        ),
    ] {
        let response = stack.get(path);
        assert_eq!(response.status, 200, "{}", response.text());
        let names: Vec<String> = checks(&response).into_keys().collect();
        assert_eq!(names, parts);
    }
    let wait_for = |stack: &Stack, expected: &[&str], what: &str| {
        let health = || stack.get("/api/system/health");
        assert_eventually!(unwell(&health()) == expected, "{what}");
        assert_eq!(health().status, if expected.is_empty() { 200 } else { 503 });
    };
    stack.postgres.execute("DELETE FROM dashboard.schema_history WHERE version = 4");
    wait_for(&stack, &["migrations"], "a migration is missing");
    stack.postgres.go_down();
    wait_for(&stack, &["migrations", "postgres"], "Postgres is away");
    assert_eq!(stack.get("/readyz").status, 200, "what is in memory can be read");
    stack.redis.shutdown();
    wait_for(&stack, &["migrations", "postgres", "redis-cache", "redis-module"], "Redis is away, too");
    assert_eventually!(stack.get("/readyz").status == 503, "nothing can be read");
    assert_eq!(stack.get("/livez").status, 200);
}

#[test]
fn a_redis_without_the_module_is_told_from_one_that_is_away() {
    let postgres = harness::Postgres::start();
    let redis = Redis::builder().without_module().start();
    let sidecar = Sidecar::builder().database(postgres.url()).env("REDIS_URL", redis.url()).start();
    let response = sidecar.public().get("/readyz");
    assert_eq!((response.status, unwell(&response)), (503, vec!["redis-module".to_owned()]));
    assert!(response.text().contains("loadmodule"), "{}", response.text());
}

/// The samples of a page of metrics; fails where it breaks Prometheus's format.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(families.insert(name, kind), None, "{name} is declared twice");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let declared =
                families.contains_key(name) || family.is_some_and(|f| families.get(f) == Some(&"histogram"));
            assert!(declared, "{line}");
            assert_eq!(
                samples.insert(sample.to_owned(), value.parse().unwrap()),
                None,
                "{sample} stands twice"
            );
        }
    }
    samples
}

#[test]
fn metrics_tell_of_requests_pools_the_schedule_and_the_module() {
    let stack = Stack::start();
    // Nobody has said that names are unique.
    stack.postgres.execute(
        "INSERT INTO cron_job (name, schedule, function_name, next_run)
         SELECT name, schedule, function_name, next_run FROM cron_job",
    );
    stack.get(&path(TENANT));
    stack.get(&path(TENANT));
    stack.get("/api/reports/dashboard-bundle?tenant_id=nobody");
    stack.get("/made-up-by-a-client");
    let response = stack.get("/metrics");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let samples = samples(&response.text());
    for (sample, value) in [
        (
            r#"dashboard_http_request_duration_seconds_count{route="/api/reports/dashboard-bundle",method="GET",status="200"}"#,
            2.0,
        ),
        (
            r#"dashboard_http_request_duration_seconds_count{route="/api/reports/dashboard-bundle",method="GET",status="404"}"#,
            1.0,
        ),
        (r#"dashboard_http_request_duration_seconds_count{route="none",method="GET",status="404"}"#, 1.0),
        (r#"dashboard_bundle_read_duration_seconds_count{result="miss"}"#, 1.0),
        (r#"dashboard_bundle_read_duration_seconds_count{result="hit"}"#, 1.0),
        (r#"dashboard_compute_duration_seconds_count{kind="single",outcome="ok"}"#, 2.0),
        ("dashboard_http_requests_in_flight", 1.0),
        (r#"dashboard_up{part="redis"}"#, 1.0),
        (r#"dashboard_up{part="module"}"#, 1.0),
        (r#"dashboard_up{part="internal-api"}"#, 1.0),
        (r#"dashboard_up{part="postgres"}"#, 1.0),
        (r#"dashboard_up{part="migrations"}"#, 1.0),
        (r#"dashboard_up{part="schedule"}"#, 1.0),
        (r#"dashboard_pool_size{pool="misses"}"#, 8.0),
        (r#"dashboard_pool_waiting{pool="redis"}"#, 0.0),
        ("dashboard_module_hits_total", 1.0),
        ("dashboard_module_misses_total", 1.0),
        (r#"dashboard_module_failures_total{kind="no_tenant"}"#, 1.0),
        (r#"dashboard_module_sidecar_breaker{state="closed"}"#, 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}\n{}", response.text());
    }
    let mut client = stack.postgres.client();
    for row in client.query("SELECT id::text FROM cron_job", &[]).unwrap() {
        let id: String = row.get(0);
        let labels = format!(r#"{{job_id="{id}",job_name="Warm Dashboard Bundle Cache"}}"#);
        assert_eq!(samples[&format!("dashboard_job_active{labels}")], 1.0);
        assert!(samples[&format!("dashboard_job_next_run_timestamp_seconds{labels}")] > 1.7e9);
    }
    assert!(!response.text().contains("made-up"), "nothing that a client has made up");
}

#[test]
fn what_cannot_be_asked_is_left_out_of_the_metrics() {
    let sidecar = Sidecar::builder().start_alone();
    let samples = samples(&sidecar.public().get("/metrics").text());
    for part in ["redis", "module", "postgres", "migrations", "schedule"] {
        assert_eq!(samples[&format!("dashboard_up{{part=\"{part}\"}}")], 0.0, "{part}");
    }
    assert!(
        !samples
            .keys()
            .any(|sample| sample.starts_with("dashboard_module_") || sample.starts_with("dashboard_job_"))
    );
}

#[test]
fn operations_tell_how_all_of_it_works_now_and_null_for_what_cannot_be_asked() {
    let stack = Stack::start();
    let operations = || {
        let body = stack.get("/api/system/operations").json();
        assert_eq!(body["status"], "success");
        body["data"].clone()
    };
    stack.get(&path(TENANT));
    stack.get(&path(TENANT));
    let now = operations();
    assert_eq!((&now["module"]["hits"], &now["module"]["sidecar_breaker"]), (&1.into(), &"closed".into()));
    assert_eq!(now["jobs"][0]["schedule"], "cron:0 0 * * *");
    assert!(now["jobs"][0]["next_run"].as_str().unwrap().ends_with("T00:00:00Z"));
    let hit = now["sidecar"]["latency"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["result"] == "hit")
        .unwrap()
        .clone();
    assert!(hit["count"] == 1 && hit["p50_ms"].as_f64().unwrap() > 0.0, "{hit}");
    assert_eq!((&now["pools"][0]["name"], &now["pools"][0]["size"]), (&"misses".into(), &8.into()));
    assert_eq!(now["problems"], serde_json::json!([]));
    let feed = &now["feed"];
    assert_eq!(
        (&feed["role"], &feed["lag_ms"], &feed["state"]),
        (&"left".into(), &Value::Null, &"elsewhere".into())
    );
    assert!(feed["message"].as_str().unwrap().contains("DASHBOARD_FEED"), "{feed}");

    let alone = Sidecar::builder().start_alone();
    let now = alone.public().get("/api/system/operations").json()["data"].clone();
    assert_eq!((&now["module"], &now["jobs"]), (&Value::Null, &Value::Null));
    assert_eq!(now["problems"].as_array().unwrap().len(), 2, "{now}");
}

/// The names of metrics that a text speaks of.
fn names(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_name = |word: &&str| word.starts_with("dashboard_") && word.matches('_').count() > 0;
    words.filter(is_name).collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_metrics_that_are_there() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_FEED", "on"));
    stack.postgres.execute("UPDATE cron_job SET last_run = now(), metadata = '{\"outcome\": \"success\"}'");
    run_ok(&mut Sidecar::command(&["counters", "enable"], &stack.postgres.url()));
    assert_eventually!(
        stack.get("/metrics").text().contains("\ndashboard_module_feed_lag_ms "),
        "Redis has been told how closely changes are followed"
    );
    // What the feed has had computed is not computed again, unless it is asked for.
    assert_eq!(stack.get(&format!("{}&bust_cache=true", path(TENANT))).status, 200);
    stack.redis.client().ok(&["DASHBOARD.WARM"]);
    // What is measured when a request has ended is there for the next one.
    stack.get("/metrics");
    let page = stack.get("/metrics").text();
    let known = samples(&page);
    let there =
        |name: &str| known.keys().any(|sample| sample == name || sample.starts_with(&format!("{name}{{")));
    for file in ["alerts.yml", "grafana.json"] {
        let text = std::fs::read_to_string(repository_root().join("monitoring").join(file)).unwrap();
        let used = names(&text);
        assert!(used.len() > 15, "{file}: {used:?}");
        for name in used {
            assert!(there(name), "{file} uses {name}, which is not in\n{page}");
        }
    }
}

#[test]
fn a_schedule_that_cannot_be_read_in_time_keeps_nothing_else_from_being_told() {
    let stack = Stack::start();
    let works = |response: &Response| samples(&response.text())[SCHEDULE];
    assert_eq!(works(&stack.get("/metrics")), 1.0);
    let session: i32 = stack.postgres.value(
        "SELECT pid FROM pg_stat_activity
         WHERE application_name = 'dashboard-sidecar schedule' AND datname = current_database()",
    );
    freeze_pid(session);
    let ask = |path| http(stack.sidecar.public(), "GET", path, None, b"");
    let mut metrics = ask("/metrics");
    // What was read just before is told again for a moment.
    while metrics.as_ref().is_ok_and(|metrics| works(metrics) == 1.0) {
        metrics = ask("/metrics");
    }
    let operations = ask("/api/system/operations");
    thaw_pid(session);
    let (metrics, operations) = (metrics.unwrap(), operations.unwrap());
    assert_eq!(works(&metrics), 0.0);
    assert_eq!(samples(&metrics.text())[r#"dashboard_up{part="module"}"#], 1.0);
    let data = &operations.json()["data"];
    assert!(data["jobs"].is_null() && data["module"].is_object(), "{data}");
    assert!(data["problems"].to_string().contains("the schedule"), "{data}");
    assert_eventually!(works(&stack.get("/metrics")) == 1.0, "the schedule is read again");
}
