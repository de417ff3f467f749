//! The sidecar by itself: its internal API, its public health, and what it does when things are down.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{Answer, Endpoint, FakeUpstream, Postgres, Redis, Sidecar, assert_eventually, http, run};
use serde_json::json;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const ONE_TENANT: &str =
    "INSERT INTO tenant (id, tenant_id, name) VALUES ('11111111-1111-4111-8111-111111111111', 'one', 'One')";

/// As users with another schema do it. The tenant `slow` takes a minute, `bad` fails, `ugly` is no bundle.
const REPLACED: &str = r#"
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql STABLE AS
$$BEGIN
    CASE tenant
        WHEN 'slow' THEN PERFORM pg_sleep(60);
        WHEN 'bad' THEN PERFORM 1 / 0;
        WHEN 'ugly' THEN RETURN '[]';
        WHEN 'unknown' THEN RETURN NULL;
        ELSE NULL;
    END CASE;
    RETURN '{"stats":{"totalContacts":1},"funnel":{},"lists":{}}';
END$$;
DROP FUNCTION dashboard.bundles(text[]);
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(tenant text, bundle json, without_test_data json) LANGUAGE sql STABLE ROWS 100 AS
$$SELECT asked.name, dashboard.bundle(asked.name, true), NULL::json
  FROM (SELECT name FROM unnest(tenants) WITH ORDINALITY AS names(name, place) ORDER BY place) AS asked$$;"#;

fn path(tenant: &str) -> String {
    format!("/internal/v1/bundle?tenant={tenant}&include_test_data=true")
}

#[test]
fn a_bundle_comes_with_its_meta_first_and_an_etag_of_everything_else() {
    let postgres = Postgres::start();
    postgres.execute(ONE_TENANT);
    let sidecar = Sidecar::on(&postgres.url());
    let (first, second) = (sidecar.internal().get(&path(TENANT)), sidecar.internal().get(&path(TENANT)));

    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("content-length"), Some(first.body.len().to_string().as_str()));
    assert!(first.text().starts_with(r#"{"meta":{"tenant_id":""#), "{}", first.text());
    let meta = &first.json()["meta"];
    assert_eq!((&meta["tenant_id"], &meta["include_test_data"]), (&json!(TENANT), &json!(true)));
    let etag = meta["etag"].as_str().unwrap();
    assert!(etag.len() == 32 && etag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{etag}");
    let generated_at = meta["generated_at"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(generated_at).is_ok() && generated_at.ends_with('Z'), "{generated_at}");
    assert!(meta["compute_ms"].is_u64());
    assert_eq!(second.json()["meta"]["etag"], etag, "same content, same etag");

    postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{TENANT}')"));
    assert_ne!(sidecar.internal().get(&path(TENANT)).json()["meta"]["etag"], etag);
}

#[test]
fn bad_requests_get_their_code_and_status() {
    let postgres = Postgres::start();
    let sidecar = Sidecar::on(&postgres.url());
    let many = |n: usize| {
        json!({"bundles": vec![json!({"tenant_id": "a", "include_test_data": true}); n]}).to_string()
    };
    let big = format!(r#"{{"bundles":[],"padding":"{}"}}"#, "x".repeat(300_000));
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        ("GET", "/internal/v1/bundle?tenant=nobody&include_test_data=true", "", 404, "no_tenant"),
        ("GET", "/internal/v1/bundle?include_test_data=true", "", 400, "bad_request"),
        ("GET", "/internal/v1/bundle?tenant=a", "", 400, "bad_request"),
        ("GET", "/internal/v1/bundle?tenant=a&include_test_data=maybe", "", 400, "bad_request"),
        ("GET", "/internal/v1/bundle?tenant=a%3Ab&include_test_data=true", "", 400, "bad_request"),
        ("GET", "/internal/v1/nothing", "", 404, "not_found"),
        ("DELETE", "/internal/v1/bundle?tenant=a&include_test_data=true", "", 405, "method_not_allowed"),
        ("GET", "/internal/v1/bundles", "", 405, "method_not_allowed"),
        ("POST", "/internal/v1/bundles", "not json", 400, "bad_request"),
        ("POST", "/internal/v1/bundles", r#"{"bundles":[]}"#, 400, "bad_request"),
        ("POST", "/internal/v1/bundles", &many(401), 400, "bad_request"),
        ("POST", "/internal/v1/bundles", &big, 413, "body_too_large"),
    ];
    for (method, path, body, status, code) in cases {
        let response = http(sidecar.internal(), method, path, None, body.as_bytes()).unwrap();
        assert_eq!((response.status, response.code().as_str()), (*status, *code), "{method} {path}");
        assert!(!response.json()["error"]["message"].as_str().unwrap().is_empty(), "{method} {path}");
    }
    assert_eq!(sidecar.internal().post("/internal/v1/bundles", &many(400)).lines().len(), 400 + 1);
}

#[test]
fn a_stream_has_one_line_for_every_bundle_asked_for_whatever_becomes_of_it() {
    let postgres = Postgres::start();
    postgres.execute(REPLACED);
    let sidecar = Sidecar::on(&postgres.url());
    let wanted = ["a", "bad", "unknown", "ugly", "b", "a:b"]
        .map(|t| json!({"tenant_id": t, "include_test_data": false}));
    let body = json!({ "bundles": wanted[..5] }).to_string();
    let lines = sidecar.internal().post("/internal/v1/bundles", &body).lines();
    assert_eq!(lines.len(), 5 + 1, "and what they have cost");
    for (tenant, code) in [("bad", "internal"), ("unknown", "no_tenant"), ("ugly", "internal")] {
        let line =
            lines.iter().find(|line| line["tenant_id"] == tenant).unwrap_or_else(|| panic!("{tenant}"));
        assert_eq!((&line["error"]["code"], &line["include_test_data"]), (&json!(code), &json!(false)));
    }
    for tenant in ["a", "b"] {
        assert!(lines.iter().any(|line| line["meta"]["tenant_id"] == tenant), "{tenant}: {lines:?}");
    }
}

/// Sends a POST by hand and hands over its connection.
fn post_by_hand(sidecar: &Sidecar, path: &str, body: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(sidecar.socket().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    BufReader::new(stream)
}

/// Reads up to a line that ends so, and returns all lines read.
fn read_up_to(stream: &mut BufReader<UnixStream>, end: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "it ended before {end:?}: {lines:?}");
        lines.push(line.trim_end().to_owned());
        if lines.last().is_some_and(|line| line.ends_with(end)) {
            return lines;
        }
    }
}

#[test]
fn a_finished_bundle_does_not_wait_for_a_slow_one_and_silence_is_broken_by_empty_lines() {
    let postgres = Postgres::start();
    postgres.execute(REPLACED);
    let sidecar = Sidecar::builder().database(postgres.url()).env("DASHBOARD_WARM_POOL", "1").start();
    let wanted = ["a", "slow", "b"].map(|t| json!({"tenant_id": t, "include_test_data": true}));
    let mut stream =
        post_by_hand(&sidecar, "/internal/v1/bundles", &json!({ "bundles": wanted }).to_string());
    let lines = read_up_to(&mut stream, r#""lists":{}}"#);
    assert!(lines.iter().any(|line| line.contains(r#""tenant_id":"a""#)), "{lines:?}");
    // Chunks of one byte, the line's end: while the slow one computes.
    for _ in 0..2 {
        read_up_to(&mut stream, "1");
    }
    assert!(postgres.running().iter().any(|sql| sql.contains("dashboard.bundles")), "it still computes");

    let started = Instant::now();
    let tenants = sidecar.internal().get("/internal/v1/tenants");
    assert_eq!(tenants.status, 200, "the list does not queue behind warming: {}", tenants.text());
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(stream);
    assert_eventually!(postgres.running().is_empty(), "the batch has been cancelled");
}

#[test]
fn a_bundle_that_is_too_large_is_an_error_of_its_tenant_alone() {
    let postgres = Postgres::start();
    postgres.execute(
        r#"CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE sql STABLE AS
           $$SELECT CASE tenant WHEN 'big' THEN json_build_object('stats', repeat('x', 2000)) ELSE '{"stats":{}}' END$$"#,
    );
    let sidecar =
        Sidecar::builder().database(postgres.url()).env("DASHBOARD_MAX_BUNDLE_BYTES", "1024").start();
    let response = sidecar.internal().get(&path("big"));
    assert_eq!((response.status, response.code().as_str()), (500, "internal"));
    assert!(response.text().contains("DASHBOARD_MAX_BUNDLE_BYTES"), "{}", response.text());
    let wanted = ["a", "big", "b"].map(|t| json!({"tenant_id": t, "include_test_data": true}));
    let lines =
        sidecar.internal().post("/internal/v1/bundles", &json!({ "bundles": wanted }).to_string()).lines();
    let failed: Vec<_> = lines.iter().filter(|line| line["error"].is_object()).collect();
    assert_eq!((lines.len(), failed.len()), (3 + 1, 1), "{lines:?}");
    assert_eq!(failed[0]["tenant_id"], "big");
}

#[test]
fn causes_go_to_the_log_and_not_to_the_client() {
    let postgres = Postgres::start();
    postgres.execute(REPLACED);
    let sidecar = Sidecar::on(&postgres.url());
    let response = sidecar.internal().get(&path("bad"));
    assert_eq!((response.status, response.code().as_str()), (500, "internal"));
    assert!(!response.text().contains("division"), "{}", response.text());
    assert!(sidecar.log().contains("division"), "{}", sidecar.log());
}

/// A client asks for what takes long, and leaves.
fn assert_ends_with_its_client(sidecar: &Sidecar, postgres: &Postgres) {
    let mut stream = UnixStream::connect(sidecar.socket().unwrap()).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nhost: x\r\n\r\n", path("slow")).unwrap();
    let slow = || postgres.running().iter().any(|sql| sql.contains("dashboard.bundle"));
    assert_eventually!(slow(), "the query runs");
    drop(stream);
    assert_eventually!(!slow(), Duration::from_secs(5), "the query has been cancelled");
}

#[test]
fn a_query_whose_client_has_gone_is_cancelled_in_postgres() {
    let postgres = Postgres::start();
    postgres.execute(REPLACED);
    let sidecar = Sidecar::on(&postgres.url());
    assert_ends_with_its_client(&sidecar, &postgres);
}

/// As where a request to end it arrives before the statement does.
#[test]
fn a_query_that_outlives_the_first_request_to_end_it_is_ended_by_the_next() {
    let postgres = Postgres::start();
    postgres.execute(
        "CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql STABLE AS
         $$BEGIN
             BEGIN
                 PERFORM pg_sleep(60);
             EXCEPTION WHEN query_canceled THEN
                 PERFORM pg_sleep(60);
             END;
             RETURN '{}';
         END$$",
    );
    let sidecar =
        Sidecar::builder().database(postgres.url()).env("DASHBOARD_STATEMENT_TIMEOUT_MS", "60000").start();
    assert_ends_with_its_client(&sidecar, &postgres);
}

#[test]
fn a_query_that_takes_too_long_is_a_timeout() {
    let postgres = Postgres::start();
    postgres.execute(REPLACED);
    let sidecar =
        Sidecar::builder().database(postgres.url()).env("DASHBOARD_STATEMENT_TIMEOUT_MS", "200").start();
    let response = sidecar.internal().get(&path("slow"));
    assert_eq!((response.status, response.code().as_str()), (504, "timeout"));
    assert_eventually!(postgres.running().is_empty(), "nothing runs on");
}

#[test]
fn computing_sessions_are_named_and_read_only() {
    let postgres = Postgres::start();
    postgres.execute(
        "CREATE TABLE written (x int);
         CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO written VALUES (1); RETURN '{}'; END$$",
    );
    let sidecar = Sidecar::on(&postgres.url());
    assert_eq!(sidecar.internal().get(&path("a")).status, 500);
    assert_eq!(postgres.value::<i64>("SELECT count(*) FROM written"), 0);
    let named: i64 = postgres.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dashboard-sidecar%'",
    );
    assert!(named > 0);
}

#[test]
fn with_a_token_every_internal_request_must_bring_it() {
    let postgres = Postgres::start();
    postgres.execute(ONE_TENANT);
    let token = "0123456789abcdef0123456789abcdef";
    let sidecar = Sidecar::builder().database(postgres.url()).env("DASHBOARD_INTERNAL_TOKEN", token).start();
    for given in [None, Some("wrong"), Some("0123456789abcdef0123456789abcdeg")] {
        let response = http(sidecar.internal(), "GET", &path(TENANT), given, b"").unwrap();
        assert_eq!((response.status, response.code().as_str()), (401, "unauthorized"), "{given:?}");
    }
    assert_eq!(http(sidecar.internal(), "GET", &path(TENANT), Some(token), b"").unwrap().status, 200);
    assert!(!sidecar.log().contains(token));

    let redis = Redis::builder().setting("sidecar", sidecar.url()).setting("token", token).start();
    redis.client().json(&["DASHBOARD.GET", TENANT]);
}

#[test]
fn the_internal_api_is_not_on_the_public_listener() {
    let postgres = Postgres::start();
    postgres.execute(ONE_TENANT);
    let sidecar = Sidecar::on(&postgres.url());
    assert_eq!(sidecar.public().get(&path(TENANT)).status, 404);
}

#[test]
fn health_names_redis_and_postgres_and_tells_when_postgres_goes_and_comes() {
    let postgres = Postgres::start();
    let redis = Redis::builder().tcp().start();
    let sidecar = Sidecar::builder().database(postgres.url()).env("REDIS_URL", redis.tcp_url()).start();
    assert_eventually!(sidecar.public().get("/readyz").status == 200, "it is ready");
    let health = sidecar.public().get("/api/system/health");
    assert!(health.text().contains("redis-cache") && health.text().contains("postgres"), "{}", health.text());
    assert_eq!(
        sidecar.internal().get("/internal/v1/health").json(),
        json!({"status": "ok", "postgres": "ok"})
    );

    postgres.go_down();
    assert_eventually!(sidecar.internal().get("/internal/v1/health").status == 503, "it notices");
    let response = sidecar.internal().get(&path(TENANT));
    assert_eq!((response.status, response.code().as_str()), (503, "postgres_unavailable"));
    assert_eventually!(sidecar.public().get("/api/system/health").status == 503, "the public API tells it");
    assert_eq!(sidecar.public().get("/readyz").status, 200, "the cache can be read all the same");
    assert_eq!(sidecar.public().get("/livez").status, 200, "it lives");

    postgres.come_back();
    assert_eventually!(sidecar.internal().get("/internal/v1/health").status == 200, "it recovers by itself");
    assert_eventually!(sidecar.internal().get(&path("nobody")).status == 404, "and computes again");
}

#[test]
fn with_postgres_down_at_the_start_it_starts_and_recovers() {
    let postgres = Postgres::start();
    postgres.execute(ONE_TENANT);
    postgres.go_down();
    let sidecar = Sidecar::on(&postgres.url());
    assert_eq!(sidecar.internal().get(&path(TENANT)).code(), "postgres_unavailable");

    let redis = Redis::builder().setting("sidecar", sidecar.url()).start();
    let error = redis.client().error(&["DASHBOARD.GET", TENANT]);
    assert!(error.starts_with("UNAVAILABLE ") && error.contains("Postgres"), "{error}");

    postgres.come_back();
    assert_eventually!(sidecar.internal().get(&path(TENANT)).status == 200, "it recovers");
    let mut client = redis.client();
    assert_eventually!(client.call(&["DASHBOARD.GET", TENANT]).is_ok(), "and so does Redis");
}

/// Starts `serve` in a way that cannot work, and returns what it said.
fn refused(builder: harness::SidecarBuilder) -> String {
    let mut sidecar = builder.spawn();
    let status = sidecar.process().wait_exit();
    assert!(!status.success());
    sidecar.log()
}

#[test]
fn a_wrong_database_url_is_one_clear_error_without_the_password() {
    for url in [
        "nonsense",
        "mysql://user:hunter2@localhost/db",
        "postgresql://user:hunter2@localhost:notaport/db",
        "",
    ] {
        let log = refused(Sidecar::builder().database(url));
        assert!(log.contains("DATABASE_URL"), "{url}: {log}");
        assert!(!log.contains("hunter2") && !log.contains("panicked"), "{url}: {log}");
    }
    let log = refused(Sidecar::builder());
    assert!(log.contains("DATABASE_URL"), "{log}");
}

#[test]
fn a_taken_port_is_one_clear_error_that_names_it() {
    let postgres = Postgres::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let log = refused(Sidecar::builder().database(postgres.url()).listen(format!("127.0.0.1:{port}")));
    assert!(log.contains(&port.to_string()) && log.contains("DASHBOARD_LISTEN"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_socket_left_behind_by_a_killed_sidecar_is_taken_over_and_a_living_ones_is_not() {
    let postgres = Postgres::start();
    let directory = tempfile::tempdir().unwrap();
    let internal = format!("unix:{}/sidecar.sock", directory.path().display());
    let mut first = Sidecar::builder().database(postgres.url()).internal(&internal).start();
    let log = refused(Sidecar::builder().database(postgres.url()).internal(&internal));
    assert!(log.contains("sidecar.sock"), "{log}");
    assert_eq!(first.internal().get("/internal/v1/health").status, 200, "the first one is unharmed");

    first.process().kill();
    let second = Sidecar::builder().database(postgres.url()).internal(&internal).start();
    assert_eq!(second.internal().get("/internal/v1/health").status, 200);
}

#[test]
fn sigterm_lets_a_request_under_way_finish_and_ends() {
    let postgres = Postgres::start();
    postgres.execute(&REPLACED.replace("pg_sleep(60)", "pg_sleep(1)"));
    let mut sidecar = Sidecar::on(&postgres.url());
    let internal = sidecar.internal().clone();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| http(&internal, "GET", &path("slow"), None, b"").unwrap().status);
        assert_eventually!(!postgres.running().is_empty(), "the query runs");
        sidecar.process().terminate();
        assert_eq!(request.join().unwrap(), 200);
    });
    assert!(sidecar.process().wait_exit().success());
}

#[test]
fn sigterm_does_not_wait_for_ever() {
    let postgres = Postgres::start();
    postgres.execute(REPLACED);
    let mut sidecar =
        Sidecar::builder().database(postgres.url()).env("DASHBOARD_DRAIN_TIMEOUT_MS", "300").start();
    let mut stream = UnixStream::connect(sidecar.socket().unwrap()).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nhost: x\r\n\r\n", path("slow")).unwrap();
    assert_eventually!(!postgres.running().is_empty(), "the query runs");
    let started = Instant::now();
    sidecar.process().terminate();
    sidecar.process().wait_exit();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eventually!(postgres.running().is_empty(), "the query has been cancelled");
}

#[test]
fn warm_prints_what_it_did_and_fails_when_a_bundle_does() {
    let postgres = Postgres::start();
    postgres.execute(ONE_TENANT);
    let sidecar = Sidecar::on(&postgres.url());
    let redis = Redis::builder().setting("sidecar", sidecar.url()).tcp().start();
    let mut command = Sidecar::command(&["warm"], &postgres.url());
    let output = run(command.env("REDIS_URL", redis.tcp_url()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(redis.client().int(&["DBSIZE"]), 4, "one tenant and SUPERADMIN_GLOBAL, both include values");

    postgres.execute(REPLACED);
    let mut command = Sidecar::command(&["warm", "bad"], &postgres.url());
    let output = run(command.env("REDIS_URL", redis.tcp_url()));
    assert_eq!(output.status.code(), Some(1));
    let nowhere = format!("redis://127.0.0.1:{}", harness::free_port());
    let mut command = Sidecar::command(&["warm"], &postgres.url());
    let output = run(command.env("REDIS_URL", &nowhere));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("REDIS_URL"), "{error}");
}

#[test]
fn warm_shows_how_far_it_is_and_names_the_tenants_that_failed() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b"]);
    upstream.answer_for("b", Answer::Error(504, "timeout"));
    upstream.hold();
    let redis = Redis::builder().upstream(&upstream).tcp().start();
    let mut command = Sidecar::command(&["warm", "--progress"], "");
    command.env("REDIS_URL", redis.tcp_url()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut warming = command.spawn().unwrap();
    let shown = BufReader::new(warming.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || shown.lines().try_for_each(|line| sender.send(line.unwrap())));
    let line = lines.recv_timeout(Duration::from_secs(30));
    upstream.release();
    let output = warming.wait_with_output().unwrap();
    assert_eq!(line.as_deref(), Ok("warm: 0 of 2 tenants, 0 failed, 0.0 a second, no telling how long"));
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout);
    let (counts, failed) = printed.split_once('\n').unwrap();
    assert!(counts.starts_with("tenants 2, warmed 1, fresh 0, failed 1, elapsed "), "{printed}");
    assert_eq!(failed, "failed: b: timeout\n");
}

#[test]
fn demo_load_makes_the_business_that_was_asked_for_and_the_same_one_for_the_same_seed() {
    let figures = |seed: &str| {
        let postgres = Postgres::start();
        let arguments = ["demo", "load", "--tenants", "5", "--rows", "2000", "--seed", seed];
        let output = run(&mut Sidecar::command(&arguments, &postgres.url()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(postgres.value::<i64>("SELECT count(*) FROM tenant"), 5);
        let sql = "SELECT count(*) || ' ' || (SELECT string_agg(status || n, ',' ORDER BY status) FROM \
                   (SELECT coalesce(status, '-') AS status, count(*) AS n FROM leads GROUP BY 1) x) FROM leads";
        postgres.value::<String>(sql)
    };
    let first = figures("7");
    assert_eq!(figures("7"), first);
    assert_ne!(figures("8"), first);
}

#[test]
fn over_tcp_the_module_reaches_the_sidecar_with_a_token() {
    let postgres = Postgres::start();
    postgres.execute(ONE_TENANT);
    let token = "0123456789abcdef0123456789abcdef";
    let port = harness::free_port();
    let log = refused(Sidecar::builder().database(postgres.url()).internal(format!("127.0.0.1:{port}")));
    assert!(log.contains("DASHBOARD_INTERNAL"), "TCP without a token is refused: {log}");

    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .internal(format!("127.0.0.1:{port}"))
        .env("DASHBOARD_INTERNAL_TOKEN", token);
    let mut sidecar = sidecar.spawn();
    let endpoint = Endpoint::parse(&format!("127.0.0.1:{port}"));
    sidecar.process().wait_ready(|| http(&endpoint, "GET", "/internal/v1/health", Some(token), b"").is_ok());
    let redis = Redis::builder()
        .setting("sidecar", format!("http://127.0.0.1:{port}"))
        .setting("token", token)
        .start();
    redis.client().json(&["DASHBOARD.GET", TENANT]);
}
