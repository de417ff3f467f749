//! Connections to Postgres that stay open and say nothing any more, while new ones work: each part of the sidecar finds its way out.

use std::time::{Duration, Instant};

use harness::{FakeUpstream, Postgres, Redis, Relay, Sidecar, SidecarBuilder, assert_eventually, run_ok};

const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const OURS: &str = "function_name = 'warmDashboardBundleCache'";
/// Until something that has fallen silent is given up, at most; and for a loaded machine.
const SOON: Duration = Duration::from_secs(30);

fn tenant(postgres: &Postgres) {
    postgres.execute(&format!(
        "INSERT INTO tenant (id, tenant_id, name) VALUES ('{TENANT}', 'one', 'One');
         INSERT INTO leads (tenant_id, first_name) VALUES ('{TENANT}', 'first')"
    ));
}

fn quiet() -> SidecarBuilder {
    Sidecar::builder().env("DASHBOARD_STATEMENT_TIMEOUT_MS", "3000")
}

fn up(sidecar: &Sidecar, part: &str) -> Option<bool> {
    let sample = sidecar.public().get("/metrics").sample(&format!("dashboard_up{{part=\"{part}\"}}"));
    sample.map(|value| value == 1.0)
}

#[test]
fn a_miss_is_answered_although_every_connection_of_the_pool_has_fallen_silent() {
    let postgres = Postgres::start();
    tenant(&postgres);
    let (relay, url, _directory) = Relay::to_postgres(&postgres.url());
    let sidecar = quiet().database(url).env("DASHBOARD_POOL", "4").start();
    let path = format!("/internal/v1/bundle?tenant={TENANT}&include_test_data=true");
    // All four are open.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(sidecar.internal().get(&path).status, 200));
        }
    });
    relay.silence_existing();
    let begun = Instant::now();
    let answered = || sidecar.internal().get(&path).status == 200;
    assert_eventually!(answered(), SOON, "it is answered");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}\n{}", begun.elapsed(), sidecar.log());
    assert!((0..8).all(|_| answered()), "and so are all after it\n{}", sidecar.log());
}

#[test]
fn a_statement_whose_answer_never_comes_is_given_up_a_second_after_its_own_time_out() {
    let postgres = Postgres::start();
    tenant(&postgres);
    let (relay, url, _directory) = Relay::to_postgres(&postgres.url());
    let sidecar = quiet().database(url).env("DASHBOARD_POOL", "1").start();
    let path = format!("/internal/v1/bundle?tenant={TENANT}&include_test_data=true");
    assert_eq!(sidecar.internal().get(&path).status, 200);
    relay.hold_replies();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| sidecar.internal().get(&path).status);
        assert_eventually!(relay.holds_a_reply(), "it is asked");
        relay.silence_existing();
        relay.release_replies();
        assert_ne!(asked.join().unwrap(), 200);
    });
    assert_eventually!(
        sidecar.internal().get(&path).status == 200,
        SOON,
        "the only connection is another one"
    );
}

#[test]
fn a_feed_whose_session_falls_silent_follows_again_within_seconds() {
    let postgres = Postgres::start();
    tenant(&postgres);
    run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let (relay, url, _directory) = Relay::to_postgres(&postgres.url());
    let sidecar = quiet().database(url).env("REDIS_URL", redis.url()).env("DASHBOARD_FEED", "on").start();
    let lag = "SELECT COALESCE(EXTRACT(epoch FROM clock_timestamp() - heartbeat_at), 1000)::float8 FROM dashboard.feed";
    let followed = || postgres.value::<f64>(lag) < 2.0;
    assert_eventually!(followed(), "changes are followed");
    relay.silence_existing();
    assert_eventually!(!followed(), "nothing goes through");
    assert_eventually!(followed(), SOON, "the feed has another session");
    assert!(
        sidecar.log().contains("this connection is closed, and the next one is new"),
        "{}",
        sidecar.log()
    );
}

#[test]
fn a_job_is_run_although_the_schedules_session_has_fallen_silent_and_the_metrics_say_what_is_stuck() {
    let postgres = Postgres::start();
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b"]);
    let redis = Redis::with(&upstream);
    let (relay, url, _directory) = Relay::to_postgres(&postgres.url());
    let sidecar = quiet()
        .database(url)
        .env("REDIS_URL", redis.url())
        .env("DASHBOARD_SCHEDULER", "on")
        .env("DASHBOARD_SCHEDULER_POLL_MS", "50")
        .start();
    let looked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'dashboard-sidecar scheduler' \
                  AND datname = current_database()";
    assert_eventually!(postgres.value::<bool>(looked), "the schedule is looked at");
    relay.silence_existing();
    postgres.execute(&format!("UPDATE cron_job SET next_run = now() WHERE {OURS}"));
    let outcome = format!("SELECT COALESCE(metadata ->> 'outcome', '') FROM cron_job WHERE {OURS}");
    assert_eventually!(postgres.value::<String>(&outcome) == "success", SOON, "the job has run");

    // Nothing gets through any more, by whatever connection: the metrics name what is stuck.
    assert_eq!(up(&sidecar, "schedule"), Some(true));
    relay.hold_replies();
    assert_eventually!(up(&sidecar, "schedule") == Some(false), SOON * 2, "the schedule is stuck");
    relay.release_replies();
    assert_eventually!(up(&sidecar, "schedule") == Some(true), SOON, "it goes on");
}

#[test]
fn a_nightly_run_whose_answer_never_comes_does_not_stay_running() {
    let postgres = Postgres::start();
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a", "b"]);
    let redis = Redis::with(&upstream);
    let relay = Relay::to(&redis.socket());
    let sidecar = quiet()
        .database(postgres.url())
        .env("REDIS_URL", format!("redis+unix://{}", relay.socket().display()))
        .env("DASHBOARD_SCHEDULER", "on")
        .env("DASHBOARD_SCHEDULER_POLL_MS", "50")
        .env("DASHBOARD_SCHEDULER_RETRY_MS", "50")
        .env("DASHBOARD_LEASE_MS", "1000")
        .start();
    let outcome = format!("SELECT COALESCE(metadata ->> 'outcome', '') FROM cron_job WHERE {OURS}");
    upstream.hold();
    postgres.execute(&format!("UPDATE cron_job SET next_run = now() WHERE {OURS}"));
    upstream.wait_for(1);
    assert_eventually!(postgres.value::<String>(&outcome) == "running", "the run is written down");
    relay.silence_existing();
    upstream.release();
    assert_eventually!(postgres.value::<String>(&outcome) == "success", SOON, "it is run again, to its end");
    assert!(sidecar.log().contains("the connection has been lost"), "{}", sidecar.log());
}
