//! On a standby, where a bundle may be older than the change that it is computed for.

use harness::{PostgresServer, Sidecar, assert_eventually, run_ok};

const TENANT: &str = "00000000-0000-4000-8000-000000000001";

fn primary() -> PostgresServer {
    let primary = PostgresServer::start();
    let tenant = format!("INSERT INTO tenant (id, tenant_id, name) VALUES ('{TENANT}', 'one', 'One')");
    primary.client().batch_execute(&tenant).unwrap();
    primary
}

#[test]
fn with_counters_enabled_serve_refuses_a_standby_and_says_what_to_set() {
    let primary = primary();
    run_ok(&mut Sidecar::command(&["counters", "enable"], &primary.url()));
    let standby = primary.standby();
    let mut sidecar = Sidecar::builder().database(standby.url()).spawn();
    assert_eq!(sidecar.process().wait_exit().code(), Some(2), "{}", sidecar.log());
    let log = sidecar.log();
    for said in [
        "it is a standby, and the counters are enabled",
        "Set DATABASE_URL to the primary",
        "target_session_attrs=read-write",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    // The primary does.
    Sidecar::on(&primary.url());
}

#[test]
fn without_counters_a_standby_computes_and_once_they_are_enabled_no_longer() {
    let primary = primary();
    let standby = primary.standby();
    let sidecar = Sidecar::builder().database(standby.url()).env("DASHBOARD_POOL", "1").start();
    let path = format!("/internal/v1/bundle?tenant={TENANT}&include_test_data=true");
    assert_eq!(sidecar.internal().get(&path).status, 200);
    run_ok(&mut Sidecar::command(&["counters", "enable"], &primary.url()));
    let ready =
        || standby.client().query_one("SELECT ready FROM dashboard.counters", &[]).unwrap().get::<_, bool>(0);
    assert_eventually!(ready(), "the standby has heard of it");
    // Each connection is looked at when it is made.
    standby
        .client()
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dashboard-sidecar%'")
        .unwrap();
    assert_eventually!(sidecar.internal().get(&path).status == 503, "nothing is computed there");
    assert!(sidecar.log().contains("nothing is computed by this Postgres"), "{}", sidecar.log());
}
