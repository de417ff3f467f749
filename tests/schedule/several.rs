//! Several sidecars: one of them runs a job, and another takes it over if that one dies.

use std::time::Duration;

use harness::{FakeUpstream, Postgres, Redis, Sidecar, assert_eventually, freeze_pid, text, thaw_pid};
use serde_json::json;

use super::{Crm, OURS, following, lines_with};

#[test]
fn a_run_whose_owner_is_killed_is_taken_over_and_ended_by_another() {
    let crm = Crm::start();
    let mut owner = crm.sidecar_at_work();
    let before = crm.job()["metadata"]["owner"].clone();
    let other = crm.sidecar();
    owner.process().kill();
    assert_eventually!(crm.job()["metadata"]["owner"] != before, "the other has taken it");
    assert_eq!((crm.outcome(), &crm.job()["metadata"]["attempt"]), (json!("running"), &json!(2)));
    crm.upstream.release();
    assert_eventually!(crm.outcome() == "success", "and ends it");
    assert_eventually!(lines_with(&other, "a scheduled run has ended") == 1, "its log says so");
    assert_eq!(crm.upstream.total(), 4, "the run in Redis was joined, not repeated");
}

#[test]
fn a_run_is_not_taken_from_an_owner_who_renews_its_lease() {
    let crm = Crm::start();
    let _owner = crm.sidecar_at_work();
    let _other = crm.sidecar();
    let owner = crm.job()["metadata"]["owner"].clone();
    let lease = "SELECT (extract(epoch FROM expires_at) * 1000)::bigint FROM dashboard.lease";
    let first: i64 = crm.postgres.value(lease);
    assert_eventually!(
        crm.postgres.value::<i64>(lease) > first + 3_000,
        "it is renewed past its first length"
    );
    assert_eq!(crm.job()["metadata"]["owner"], owner);
    crm.upstream.release();
    assert_eventually!(crm.outcome() == "success", "it ends it itself");
    assert_eq!(crm.job()["metadata"]["attempt"], 1);
}

#[test]
fn an_owner_that_was_frozen_writes_nothing_over_the_one_that_took_over() {
    let crm = Crm::start();
    let mut frozen = crm.sidecar_at_work();
    let before = crm.job()["metadata"]["owner"].clone();
    frozen.process().freeze();
    let _other = crm.sidecar();
    assert_eventually!(crm.job()["metadata"]["owner"] != before, "the other has taken it");
    frozen.process().thaw();
    assert_eventually!(lines_with(&frozen, "taken a run over") == 1, "the first one notices");
    assert_eq!(crm.outcome(), "running");
    crm.upstream.release();
    assert_eventually!(crm.outcome() == "success", "the other ends it");
    assert_ne!(crm.job()["metadata"]["owner"], before);
    assert_eq!(lines_with(&frozen, "a scheduled run has ended"), 0);
}

#[test]
fn a_run_that_ends_after_it_was_taken_over_is_not_written_down() {
    let crm = Crm::start();
    let mut frozen = crm.sidecar_at_work();
    let before = crm.job()["metadata"]["owner"].clone();
    frozen.process().freeze();
    // Another cache, so that the first run can end before the second.
    let elsewhere = FakeUpstream::start();
    elsewhere.active_tenants(&["a"]);
    elsewhere.hold();
    let redis = Redis::with(&elsewhere);
    let _other = following(&redis).database(crm.postgres.url()).start();
    assert_eventually!(crm.job()["metadata"]["owner"] != before, "the other has taken it");
    crm.upstream.release();
    assert_eventually!(crm.warmings() == 1, "the first one's answer is there");
    frozen.process().thaw();
    assert_eventually!(lines_with(&frozen, "taken a run over") == 1, "the first one notices");
    assert_eq!(crm.outcome(), "running");
    assert_eq!(crm.postgres.value::<i64>("SELECT count(*) FROM dashboard.lease"), 1);
    elsewhere.release();
    assert_eventually!(crm.outcome() == "success", "the other ends it");
    assert_eq!(crm.job()["metadata"]["tenants"], 1);
}

#[test]
fn a_job_that_another_sidecar_has_run_meanwhile_is_not_run_again() {
    let crm = Crm::start();
    // So much to do before it that each sidecar comes to the job long after it has looked.
    crm.postgres.execute(
        "INSERT INTO cron_job (name, schedule, function_name)
         SELECT 'foreign', 'daily', 'sendInvoices' FROM generate_series(1, 300);
         UPDATE cron_job SET next_run = now() WHERE function_name = 'warmDashboardBundleCache'",
    );
    let mut sidecars = [crm.builder().spawn(), crm.builder().spawn(), crm.builder().spawn()];
    assert_eventually!(
        sidecars.iter().all(|sidecar| {
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'dashboard-sidecar scheduler'";
            sidecar.log().contains("listening") && crm.postgres.value::<i64>(sessions) == 3
        }),
        "all look"
    );
    assert_eventually!(crm.outcome() == "success", "it has run");
    for sidecar in &mut sidecars {
        // What it has begun to look at, it ends.
        sidecar.process().terminate();
        sidecar.process().wait_exit();
    }
    assert_eq!(crm.warmings(), 1);
    let noted: usize = sidecars.iter().map(|sidecar| lines_with(sidecar, "a job cannot be run")).sum();
    assert_eq!(noted, 300);
}

#[test]
fn a_sidecar_that_is_stopped_gives_its_run_back_at_once() {
    let crm = Crm::start();
    crm.upstream.hold();
    crm.make_due();
    // A lease and a pause that would outlast the test.
    let patient =
        crm.builder().env("DASHBOARD_LEASE_MS", "600000").env("DASHBOARD_SCHEDULER_RETRY_MS", "900000");
    let mut owner = patient.start();
    crm.upstream.wait_for(1);
    assert_eventually!(crm.outcome() == "running", "the run is written down");
    owner.process().terminate();
    assert!(owner.process().wait_exit().success());
    let job = crm.job();
    assert_eq!(job["metadata"]["outcome"], "failed", "{job}");
    assert!(job["metadata"]["error"].as_str().unwrap().contains("stopped"), "{job}");

    crm.upstream.release();
    let _other = crm.sidecar();
    assert_eventually!(crm.outcome() == "success", "another runs it");
}

#[test]
fn however_many_sidecars_there_are_a_job_is_run_once_each_time() {
    let crm = Crm::start();
    let database: String = crm.postgres.value("SELECT current_database()::text");
    // What others of its programs want is not to be in the way.
    crm.postgres
        .execute(&format!("ALTER DATABASE {database} SET default_transaction_isolation = serializable"));
    let sidecars = [crm.sidecar(), crm.sidecar(), crm.sidecar()];
    for n in 1..=20 {
        crm.make_due();
        // At one time: success alone would be the last run's.
        let done = "SELECT next_run > now() AND metadata->>'outcome' = 'success' FROM cron_job";
        assert_eventually!(crm.postgres.value::<bool>(done), "it has run");
        assert_eq!(crm.warmings(), n);
    }
    let began: usize = sidecars.iter().map(|sidecar| lines_with(sidecar, "a scheduled run begins")).sum();
    assert_eq!(began, 20);
    let refused: usize = sidecars.iter().map(|sidecar| lines_with(sidecar, "cannot be looked after")).sum();
    assert_eq!(refused, 0);
}

#[test]
fn redis_can_tell_who_has_begun_a_run() {
    let crm = Crm::start();
    let _sidecar = crm.sidecar_at_work();
    let clients = text(&crm.redis.client().ok(&["CLIENT", "LIST"]));
    assert!(clients.contains("name=dashboard-sidecar-cron"), "{clients}");
}

/// A process that stands still for as long as this lives, also where the test fails.
struct Frozen(i32);

impl Frozen {
    /// The process of Postgres that does what a program of this name asks, once that waits for a lock: it has taken
    /// the question and will never answer.
    fn who_waits_for_a_lock(crm: &Crm, program: &str) -> Self {
        let waiting = format!(
            "FROM pg_stat_activity WHERE application_name = '{program}' AND datname = current_database()
             AND wait_event_type = 'Lock'"
        );
        assert_eventually!(
            crm.postgres.value::<bool>(&format!("SELECT count(*) > 0 {waiting}")),
            "{program} waits for a lock"
        );
        let pid = crm.postgres.value(&format!("SELECT pid {waiting}"));
        freeze_pid(pid);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        thaw_pid(self.0);
    }
}

#[test]
fn a_postgres_that_never_answers_does_not_keep_a_sidecar_from_ending() {
    let crm = Crm::start();
    let mut sidecar = crm.sidecar();
    let mut client = crm.postgres.client();
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("LOCK TABLE cron_job").unwrap();
    let _frozen = Frozen::who_waits_for_a_lock(&crm, "dashboard-sidecar scheduler");
    sidecar.process().terminate();
    sidecar.process().wait_exit();
}

#[test]
fn a_postgres_that_never_answers_does_not_keep_a_run_by_hand_from_being_interrupted() {
    let crm = Crm::start();
    crm.upstream.hold();
    let mut command = Sidecar::command(&["cron", "run"], &crm.postgres.url());
    let mut running =
        command.env("REDIS_URL", crm.redis.url()).env("DASHBOARD_LEASE_MS", "300").spawn().unwrap();
    let mut client = crm.postgres.client();
    crm.upstream.wait_for(1);
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("LOCK TABLE dashboard.lease").unwrap();
    let _frozen = Frozen::who_waits_for_a_lock(&crm, "dashboard-sidecar cron");
    let pid = rustix::process::Pid::from_child(&running);
    assert_eventually!(
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            running.try_wait().unwrap().is_some()
        },
        "it ends"
    );
}

#[test]
fn a_redis_that_vanishes_while_it_warms_is_noticed_within_seconds() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a"]);
    let redis = Redis::builder().upstream(&upstream).tcp().start();
    let postgres = Postgres::start();
    upstream.hold();
    postgres.execute(&format!("UPDATE cron_job SET next_run = now() WHERE {OURS}"));
    let _sidecar = following(&redis).env("REDIS_URL", redis.tcp_url()).database(postgres.url()).start();
    upstream.wait_for(1);
    let soon = |left| left <= Duration::from_secs(10);
    assert_eventually!(keepalive(redis.port()).is_some_and(soon), "the kernel asks for it");
    upstream.release();
}

/// In how long the kernel asks for the first time whether the server at this loopback port is still there; none: never.
fn keepalive(port: u16) -> Option<Duration> {
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let server = format!("0100007F:{port:04X}");
    // Columns: number, local and remote address, state, queues, and the timer with hundredths of a second.
    let timers = connections.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns[2] == server { columns[5].strip_prefix("02:") } else { None }
    });
    timers.map(|left| Duration::from_millis(u64::from_str_radix(left, 16).unwrap() * 10)).min()
}
