//! Servers that stand still while a batch of warming is under way: that time is nobody's work, and warming goes on soon
//! afterwards, however small its share is.

use std::time::Duration;

use harness::{FakeUpstream, Postgres, Redis, Sidecar, assert_eventually};

/// At the slowest pace of these tests: what the pause after a batch is, and some more for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

fn name(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

#[test]
fn after_a_sidecar_that_was_frozen_during_a_batch_warming_goes_on_soon() {
    let postgres = Postgres::start();
    for n in 0..3 {
        postgres.execute(&format!(
            "INSERT INTO tenant (id, tenant_id, name) VALUES ('{}', 'tenant-{n}', 'Tenant {n}')",
            name(n)
        ));
    }
    let mut sidecar = Sidecar::builder().database(postgres.url()).start();
    let redis = Redis::builder()
        .setting("sidecar", sidecar.url())
        .setting("warm-share", 20)
        .setting("timeout", 4_000)
        .start();
    let mut client = redis.client();
    let mut owner = postgres.client();
    owner.batch_execute("BEGIN; LOCK TABLE leads IN ACCESS EXCLUSIVE MODE").unwrap();
    client.ok(&["DASHBOARD.WARM", &name(0), &name(1), &name(2), "ASYNC"]);
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock')";
    assert_eventually!(postgres.value::<bool>(waits), "a batch is under way");
    sidecar.process().freeze();
    owner.batch_execute("ROLLBACK").unwrap();
    assert_eventually!(client.figure("failed_timeout") > 0, "it is given up after seconds");
    sidecar.process().thaw();
    assert_eventually!(client.figure("warm_running") == 0, SOON, "the others are computed");
    assert!(client.figure("warm_warmed") >= 2, "only what was under way has failed");
}

#[test]
fn after_a_batch_for_which_postgres_stood_still_warming_goes_on_soon() {
    let upstream = FakeUpstream::start();
    upstream.query_time(Duration::from_secs(20));
    upstream.hold();
    let redis = Redis::builder().upstream(&upstream).setting("warm-share", 50).start();
    let mut client = redis.client();
    client.ok(&["DASHBOARD.WARM", "a", "b", "ASYNC"]);
    upstream.wait_for(1);
    upstream.release();
    assert_eventually!(client.figure("warm_warmed") == 1, "a batch has ended");
    upstream.query_time(Duration::from_millis(1));
    assert_eventually!(client.figure("warm_running") == 0, SOON, "the next one has, too");
}
