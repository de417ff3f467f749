//! Behind a pooler that hands each transaction to whichever connection is free, and with an application that shares it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use harness::{PgBouncer, Postgres, Redis, Sidecar, assert_eventually, run, run_ok};
use postgres::{NoTls, SimpleQueryMessage};

const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const OTHER: &str = "00000000-0000-4000-8000-000000000002";

/// Connections to the server: fewer than those who want one, so that all of them are shared.
const POOL: u32 = 5;

/// What a session has that somebody may have left behind.
const LEFT: &str = "
    SELECT name || ' is ' || setting FROM pg_settings
    WHERE (name, setting) IN (('default_transaction_read_only', 'on'), ('synchronous_commit', 'off'))
       OR name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'application_name', 'row_security',
                   'search_path', 'TimeZone', 'default_transaction_isolation', 'client_connection_check_interval')
          AND source = 'session' AND setting <> ''
    UNION ALL SELECT 'a prepared statement ' || statement FROM pg_prepared_statements
    UNION ALL SELECT 'an advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'a temporary table' FROM pg_class WHERE relpersistence = 't'
    UNION ALL SELECT 'a channel' FROM pg_listening_channels()";

/// The application: it writes, and looks at what it has got.
struct Application {
    stop: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Application {
    fn begin(url: &str) -> Self {
        let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..2)
            .map(|_| {
                let (url, stop, writes) = (url.to_owned(), stop.clone(), writes.clone());
                thread::spawn(move || write(&url, &stop, &writes))
            })
            .collect();
        Self { stop, writes, threads }
    }

    /// Some more has been written.
    fn goes_on(&self) {
        let before = self.writes.load(Ordering::Relaxed);
        assert_eventually!(self.writes.load(Ordering::Relaxed) > before + 20, "the application writes");
    }

    /// What was wrong.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Nothing is prepared here, as poolers have it.
fn write(url: &str, stop: &AtomicBool, writes: &AtomicU64) -> Vec<String> {
    let mut client = postgres::Client::connect(url, NoTls).unwrap();
    let mut troubles = Vec::new();
    while !stop.load(Ordering::Relaxed) && troubles.len() < 20 {
        let insert = format!(
            "INSERT INTO leads (tenant_id, first_name, is_test_data, created_date) VALUES ('{TENANT}', 'pooled', false, now())"
        );
        if let Err(error) = client.simple_query(&insert) {
            troubles.push(format!("{error:?}"));
        }
        match client.simple_query(LEFT) {
            Ok(rows) => troubles.extend(texts(&rows)),
            Err(error) => troubles.push(format!("{error:?}")),
        }
        writes.fetch_add(1, Ordering::Relaxed);
    }
    troubles
}

fn texts(rows: &[SimpleQueryMessage]) -> Vec<String> {
    rows.iter()
        .filter_map(|row| match row {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect()
}

/// The same of each connection that the pooler has to the server.
fn left_anywhere(url: &str) -> Vec<String> {
    let mut clients: Vec<_> = (0..POOL).map(|_| postgres::Client::connect(url, NoTls).unwrap()).collect();
    let mut troubles = Vec::new();
    // Each keeps its connection until all have been looked at.
    for client in &mut clients {
        client.batch_execute("BEGIN").unwrap();
        troubles.extend(texts(&client.simple_query(LEFT).unwrap()));
    }
    for client in &mut clients {
        client.batch_execute("COMMIT").unwrap();
    }
    troubles
}

fn everything_works_and_nothing_is_left(pool_mode: &str, pool_size: u32) {
    let postgres = Postgres::start();
    for (tenant, slug) in [(TENANT, "one"), (OTHER, "two")] {
        postgres.execute(&format!(
            "INSERT INTO tenant (id, tenant_id, name) VALUES ('{tenant}', '{slug}', 'Tenant {slug}');
             INSERT INTO leads (tenant_id, first_name, is_test_data) SELECT '{tenant}', 'lead', n % 2 = 0 FROM generate_series(1, 30) AS n"
        ));
    }
    let pooler = PgBouncer::to(&postgres, pool_mode, pool_size);
    let application = Application::begin(&pooler.url());
    application.goes_on();

    let command = |arguments: &[&str]| run_ok(&mut Sidecar::command(arguments, &pooler.url()));
    assert!(command(&["migrate"]).contains("nothing to do"));
    command(&["migrate", "--check"]);
    command(&["counters", "enable"]);

    let directory = tempfile::TempDir::new().unwrap();
    let internal = format!("unix:{}", directory.path().join("sidecar.sock").display());
    let redis = Redis::builder().setting("sidecar", &internal).setting("ttl", 86_400).start();
    let mut sidecar = Sidecar::builder()
        .database(pooler.url())
        .internal(&internal)
        .env("REDIS_URL", redis.url())
        .env("DASHBOARD_FEED", "on")
        .env("DASHBOARD_SCHEDULER", "on")
        .env("DASHBOARD_SCHEDULER_POLL_MS", "50")
        .env("DASHBOARD_POOL", "2")
        .env("DASHBOARD_WARM_POOL", "2")
        .start();
    assert_eq!(sidecar.log().matches("leads to a connection pooler").count(), 1, "{}", sidecar.log());
    let mut client = redis.client();
    let leads = |client: &mut harness::Client, tenant: &str| {
        client.json(&["DASHBOARD.GET", tenant])["stats"]["totalLeads"].as_i64()
    };
    for _ in 0..20 {
        assert!(leads(&mut client, TENANT) >= Some(30));
        assert_eq!(leads(&mut client, OTHER), Some(30));
        client.ok(&["DASHBOARD.CLEAR", OTHER]);
    }
    client.ok(&["DASHBOARD.WARM", "FORCE"]);
    assert_eq!(
        client.json(&["DASHBOARD.GET", "SUPERADMIN_GLOBAL"])["meta"]["tenant_id"],
        "SUPERADMIN_GLOBAL"
    );
    let found = sidecar.public().get("/api/tenants?search=two");
    assert_eq!(found.status, 200, "{}", found.text());

    // The schedule, on the sidecar's own account and by hand.
    postgres.execute("UPDATE cron_job SET next_run = now() WHERE function_name = 'warmDashboardBundleCache'");
    let outcome = "SELECT COALESCE(metadata ->> 'outcome', '') FROM cron_job WHERE function_name = 'warmDashboardBundleCache'";
    assert_eventually!(postgres.value::<String>(outcome) == "success", "the job has run");
    run_ok(Sidecar::command(&["cron", "run"], &pooler.url()).env("REDIS_URL", redis.url()));
    command(&["cron", "list"]);
    for what in ["verify", "rebuild", "verify"] {
        command(&["counters", what]);
        application.goes_on();
    }
    // Followed: what is written is shown within moments, though a bundle is fresh for a day.
    postgres.execute(&format!("INSERT INTO leads (tenant_id, first_name) VALUES ('{OTHER}', 'followed')"));
    assert_eventually!(leads(&mut client, OTHER) == Some(31), "the change is followed");
    assert_eventually!(
        run(&mut Sidecar::command(&["feed", "status"], &pooler.url())).status.success(),
        "the feed is well"
    );

    sidecar.process().terminate();
    assert!(sidecar.process().wait_exit().success(), "{}", sidecar.log());
    application.goes_on();
    assert_eq!(application.end(), [""; 0], "what the application met\n{}", sidecar.log());
    assert_eq!(left_anywhere(&pooler.url()), [""; 0], "afterwards");
    let truth = postgres.value::<i64>(&format!("SELECT count(*) FROM leads WHERE tenant_id = '{TENANT}'"));
    let counted = "SELECT (dashboard.bundle('00000000-0000-4000-8000-000000000001', true)::json -> 'stats' ->> 'totalLeads')::bigint";
    assert_eq!(postgres.value::<i64>(counted), truth);
}

#[test]
fn with_a_pooler_of_transactions_everything_works_and_the_application_is_left_nothing() {
    everything_works_and_nothing_is_left("transaction", POOL);
}

#[test]
fn with_a_pooler_of_sessions_everything_works_and_the_application_is_left_nothing() {
    everything_works_and_nothing_is_left("session", 30);
}

#[test]
fn a_pooler_of_statements_is_refused_at_the_start_with_what_to_set() {
    let postgres = Postgres::start();
    let pooler = PgBouncer::to(&postgres, "statement", POOL);
    let mut sidecar = Sidecar::builder().database(pooler.url()).spawn();
    assert_eq!(sidecar.process().wait_exit().code(), Some(2), "{}", sidecar.log());
    let log = sidecar.log();
    assert!(
        log.contains("allows no transactions") && log.contains("Set pool_mode to transaction or session"),
        "{log}"
    );
}

#[test]
fn a_pooler_is_told_from_postgres_itself() {
    let postgres = Postgres::start();
    let sidecar = Sidecar::on(&postgres.url());
    assert!(!sidecar.log().contains("pooler"), "{}", sidecar.log());
    let named = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dashboard-sidecar compute'";
    assert!(postgres.value::<bool>(named), "a session of our own has its name");
}

#[test]
fn a_statement_that_nobody_waits_for_any_more_is_ended_behind_a_pooler_too() {
    let postgres = Postgres::start();
    postgres.execute(
        "CREATE OR REPLACE FUNCTION dashboard.active_tenants() RETURNS SETOF text LANGUAGE sql VOLATILE
         AS $$SELECT 'a' FROM pg_sleep(3600)$$",
    );
    let pooler = PgBouncer::to(&postgres, "transaction", POOL);
    let sidecar =
        Sidecar::builder().database(pooler.url()).env("DASHBOARD_STATEMENT_TIMEOUT_MS", "600000").start();
    let running = || postgres.running().iter().any(|statement| statement.contains("active_tenants"));
    let mut request = UnixStream::connect(sidecar.socket().unwrap()).unwrap();
    request.write_all(b"GET /internal/v1/tenants HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eventually!(running(), "the statement runs");
    drop(request);
    assert_eventually!(!running(), "it is ended");
}

#[test]
fn a_bundle_that_waits_for_a_lock_and_then_takes_long_gets_the_whole_limit_for_each() {
    let postgres = Postgres::start();
    postgres.execute(&format!(
        "INSERT INTO tenant (id, tenant_id, name) VALUES ('{TENANT}', 'one', 'One');
         CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json
         LANGUAGE plpgsql STABLE AS $$BEGIN PERFORM pg_sleep(3); RETURN '{{}}'; END$$"
    ));
    let pooler = PgBouncer::to(&postgres, "transaction", POOL);
    let sidecar =
        Sidecar::builder().database(pooler.url()).env("DASHBOARD_STATEMENT_TIMEOUT_MS", "4000").start();
    let mut migration = postgres.client();
    migration.batch_execute("BEGIN; LOCK TABLE leads IN ACCESS EXCLUSIVE MODE").unwrap();
    let has_waited = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'dashboard-sidecar compute' AND clock_timestamp() > xact_start + interval '2500 ms')";
    let bundle = serde_json::json!({"tenant_id": TENANT, "include_test_data": true});
    let body = serde_json::json!({ "bundles": [bundle] }).to_string();
    thread::scope(|scope| {
        let asked = scope.spawn(|| sidecar.internal().post("/internal/v1/bundles", &body));
        assert_eventually!(
            postgres.value::<bool>(has_waited),
            "more than half of the limit is spent on the lock"
        );
        migration.batch_execute("COMMIT").unwrap();
        let lines = asked.join().unwrap().lines();
        assert_eq!(lines[0]["meta"]["tenant_id"], TENANT, "{lines:?}\n{}", sidecar.log());
    });
}
