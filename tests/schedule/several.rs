//! Several sidecars: one of them runs a job, and another takes it over if that one dies.

use harness::{assert_eventually, text};
use serde_json::json;

use super::{Crm, lines_with};

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
}

#[test]
fn redis_can_tell_who_has_begun_a_run() {
    let crm = Crm::start();
    let _sidecar = crm.sidecar_at_work();
    let clients = text(&crm.redis.client().ok(&["CLIENT", "LIST"]));
    assert!(clients.contains("name=dashboard-sidecar-cron"), "{clients}");
}
