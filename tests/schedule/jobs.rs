//! One sidecar and its jobs: due, missed, failed, edited, wrong.

use harness::{Answer, FakeUpstream, PostgresServer, Redis, assert_eventually};
use serde_json::{Value, json};

use super::{Crm, OURS, following, job, lines_with};

/// As people of the CRM ask for it.
const WHICH: &str = "SELECT name || '|' || schedule || '|' || is_active || '|' || (next_run = \
    (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC') FROM cron_job \
    WHERE function_name = 'warmDashboardBundleCache'";
const MONITORING: &str = "SELECT is_active AND last_run > now() - interval '1 day' \
    AND (EXTRACT(EPOCH FROM (next_run - NOW())) / 3600)::INT BETWEEN 0 AND 24 FROM cron_job \
    WHERE function_name = 'warmDashboardBundleCache'";

#[test]
fn both_queries_of_the_crm_answer_as_they_always_did() {
    let crm = Crm::start();
    let expected = "Warm Dashboard Bundle Cache|cron:0 0 * * *|true|true";
    assert_eq!(crm.postgres.value::<String>(WHICH), expected);
    let _sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
    assert_eq!(crm.postgres.value::<String>(WHICH), expected);
    assert!(crm.postgres.value::<bool>(MONITORING));
}

#[test]
fn a_job_that_is_due_is_run_and_says_how_it_went() {
    let crm = Crm::start();
    crm.postgres.execute(r#"UPDATE cron_job SET metadata = metadata || '{"theirs": [1]}'"#);
    let sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");

    let job = crm.job();
    let metadata = &job["metadata"];
    for (name, value) in [
        ("tenants", json!(2)),
        ("warmed", json!(2)),
        ("fresh", json!(0)),
        ("failed", json!(0)),
        ("failed_tenants", json!([])),
        ("error", Value::Null),
        ("warning", Value::Null),
        ("attempt", json!(1)),
        ("theirs", json!([1])),
    ] {
        assert_eq!(metadata[name], value, "{name}: {job}");
    }
    assert!(metadata["duration_ms"].as_i64().unwrap() >= 0, "{job}");
    assert!(metadata["started_at"].as_str() <= metadata["finished_at"].as_str(), "{job}");
    assert_eq!(crm.redis.client().int(&["DBSIZE"]), 4);
    assert_eq!(crm.postgres.value::<i64>("SELECT count(*) FROM dashboard.lease"), 0);
    assert_eventually!(lines_with(&sidecar, "a scheduled run has ended") == 1, "the log says so");
}

#[test]
fn what_was_missed_while_everything_was_down_is_run_once() {
    let crm = Crm::start();
    crm.postgres.execute(&format!("UPDATE cron_job SET next_run = now() - interval '3 days' WHERE {OURS}"));
    let sidecars = [crm.sidecar(), crm.sidecar()];
    assert_eventually!(crm.outcome() == "success", "it is made up for");
    assert!(crm.postgres.value::<bool>("SELECT next_run > now() FROM cron_job"));
    crm.make_due();
    assert_eventually!(crm.warmings() == 2, "the next run is the second");
    drop(sidecars);
}

#[test]
fn a_job_without_a_next_time_gets_one_and_is_not_run() {
    let crm = Crm::start();
    crm.postgres.execute("UPDATE cron_job SET next_run = NULL, metadata = NULL");
    let _sidecar = crm.sidecar();
    assert_eventually!(
        crm.postgres.value::<bool>("SELECT (next_run > now()) IS TRUE FROM cron_job"),
        "it has one"
    );
    assert_eq!((crm.warmings(), &crm.job()["last_run"]), (0, &Value::Null));
}

#[test]
fn what_is_wrong_with_one_job_is_said_once_and_does_not_keep_others_from_running() {
    let crm = Crm::start();
    crm.postgres.execute(
        "INSERT INTO cron_job (name, schedule, function_name, next_run) VALUES
         ('bad', 'cron:0 25 * * *', 'warmDashboardBundleCache', now()),
         ('foreign', 'whenever', 'sendInvoices', '2020-01-01')",
    );
    let sidecar = crm.sidecar();
    let mut client = crm.postgres.client();
    crm.postgres.execute("UPDATE cron_job SET next_run = now() WHERE name LIKE 'Warm%'");
    let good = "name LIKE 'Warm%'";
    assert_eventually!(job(&mut client, good)["metadata"]["outcome"] == "success", "the good one runs");

    let bad = job(&mut client, "name = 'bad'");
    let error = bad["metadata"]["error"].as_str().unwrap();
    assert!(
        error.contains("'cron:0 25 * * *'") && error.contains("hour") && error.contains("'25'"),
        "{error}"
    );
    assert_eq!((&bad["metadata"]["outcome"], &bad["next_run"]), (&json!("invalid"), &Value::Null));
    let foreign = job(&mut client, "name = 'foreign'");
    assert!(foreign["metadata"]["error"].as_str().unwrap().contains("'sendInvoices'"), "{foreign}");
    assert!(foreign["next_run"].as_str().unwrap().starts_with("2020-01-01"), "{foreign}");
    assert_eq!(foreign["last_run"], Value::Null);
    assert_eq!(lines_with(&sidecar, "a job cannot be run"), 2);

    crm.postgres.execute("UPDATE cron_job SET schedule = 'daily' WHERE name = 'bad'");
    assert_eventually!(job(&mut client, "name = 'bad'")["metadata"]["error"].is_null(), "it is mended");
    assert!(!job(&mut client, "name = 'bad'")["next_run"].is_null());
}

#[test]
fn a_schedule_edited_by_sql_moves_the_next_time() {
    let crm = Crm::start();
    let _sidecar = crm.sidecar();
    crm.postgres.execute("UPDATE cron_job SET schedule = 'cron:0 0 1 1 *'");
    let new_year = "SELECT next_run = (date_trunc('year', now() AT TIME ZONE 'UTC') + interval '1 year') \
        AT TIME ZONE 'UTC' FROM cron_job";
    assert_eventually!(crm.postgres.value::<bool>(new_year), "at new year");
    assert_eq!(crm.warmings(), 0);
}

#[test]
fn a_job_that_is_not_active_is_not_run() {
    let crm = Crm::start();
    crm.postgres.execute(
        "UPDATE cron_job SET is_active = false, next_run = now() - interval '1 hour';
         INSERT INTO cron_job (name, schedule, function_name, next_run)
         VALUES ('other', 'daily', 'warmDashboardBundleCache', now())",
    );
    let _sidecar = crm.sidecar();
    let mut client = crm.postgres.client();
    assert_eventually!(job(&mut client, "name = 'other'")["metadata"]["outcome"] == "success", "it runs");
    assert_eq!(job(&mut client, "name LIKE 'Warm%'")["last_run"], Value::Null);
    assert_eq!(crm.warmings(), 1);
}

#[test]
fn a_job_of_a_tenant_warms_that_tenant() {
    let crm = Crm::start();
    let tenant = "11111111-1111-4111-8111-111111111111";
    crm.postgres.execute(&format!("UPDATE cron_job SET tenant_id = '{tenant}'"));
    let _sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
    assert_eq!((crm.upstream.count(tenant), crm.upstream.total()), (2, 2));
}

#[test]
fn a_run_of_which_a_part_failed_is_tried_again_a_few_times() {
    let crm = Crm::start();
    crm.upstream.answer_for("b", Answer::Error(500, "internal"));
    let _sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(
        crm.job()["metadata"]["attempt"] == 4 && crm.outcome() == "partial",
        "it is tried three times again"
    );
    crm.wait_for_looks(1_000);
    let job = crm.job();
    let error = job["metadata"]["error"].as_str().unwrap();
    assert!(error.starts_with("1 of 2 tenants could not be warmed: b ("), "{error}");
    assert_eq!(job["metadata"]["failed_tenants"][0]["tenant"], "b", "{job}");
    assert!(crm.postgres.value::<bool>("SELECT next_run > now() FROM cron_job"), "then at its regular time");
    assert_eq!(crm.warmings(), 4);
}

#[test]
fn a_run_that_redis_kept_from_happening_is_tried_again_until_it_succeeds() {
    let mut crm = Crm::start();
    crm.redis.shutdown();
    let sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.job()["metadata"]["attempt"].as_i64() > Some(2), "it is tried again");
    let job = crm.job();
    let metadata = &job["metadata"];
    if metadata["outcome"] == "failed" {
        assert!(metadata["error"].as_str().unwrap().contains("Redis cannot be reached"), "{job}");
        assert_eq!(metadata["tenants"], Value::Null, "not 0: it is not known");
    }
    assert!(lines_with(&sidecar, "Redis cannot be reached") > 0);
    crm.redis.start_again();
    assert_eventually!(crm.outcome() == "success", "it succeeds");
    assert_eq!(crm.job()["metadata"]["error"], Value::Null);
    assert!(crm.postgres.value::<bool>("SELECT next_run > now() + interval '1 minute' OR \
        next_run = (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC' FROM cron_job"));
}

#[test]
fn the_schedule_goes_on_when_postgres_was_restarted() {
    let mut postgres = PostgresServer::start();
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["a"]);
    let redis = Redis::with(&upstream);
    let _sidecar = following(&redis).database(postgres.url()).start();
    let make_due = "UPDATE cron_job SET next_run = now()";
    postgres.client().batch_execute(make_due).unwrap();
    assert_eventually!(job(&mut postgres.client(), OURS)["metadata"]["outcome"] == "success", "it runs");

    upstream.hold();
    redis.client().int(&["DASHBOARD.CLEAR"]);
    let before = upstream.total();
    postgres.client().batch_execute(make_due).unwrap();
    upstream.wait_for(before + 1);
    postgres.stop_immediately();
    upstream.release();
    postgres.start_again();
    assert_eventually!(job(&mut postgres.client(), OURS)["metadata"]["outcome"] == "success", "it ends well");
}

#[test]
fn a_schedule_that_is_slower_than_bundles_last_is_warned_of() {
    let crm = Crm::start();
    crm.redis.client().ok(&["CONFIG", "SET", "dashboard.stale-ttl", "3600"]);
    let sidecar = crm.sidecar();
    crm.make_due();
    assert_eventually!(crm.outcome() == "success", "it has run");
    let warning = crm.job()["metadata"]["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("set dashboard.stale-ttl to 86400 or more"), "{warning}");
    assert_eventually!(lines_with(&sidecar, "mornings would be cold") == 1, "the log warns, too");
}

#[test]
fn a_sidecar_told_to_leave_the_schedule_to_others_does_not_follow_it() {
    let crm = Crm::start();
    let idle = crm.builder().env("DASHBOARD_SCHEDULER", "off").start();
    assert_eq!(lines_with(&idle, "the schedule is left to others"), 1);
    crm.make_due();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'dashboard-sidecar scheduler'";
    assert_eq!(crm.postgres.value::<i64>(sessions), 0);
    let _busy = crm.sidecar();
    assert_eventually!(crm.outcome() == "success", "the other does");
    assert_eq!(crm.postgres.value::<i64>(sessions), 1);
}

#[test]
fn four_jobs_run_at_a_time_and_the_others_after_them() {
    let crm = Crm::start();
    crm.postgres.execute(
        "DELETE FROM cron_job;
         INSERT INTO cron_job (name, schedule, function_name, next_run, tenant_id)
         SELECT 'job ' || n, 'daily', 'warmDashboardBundleCache', now(), gen_random_uuid() FROM generate_series(1, 6) AS n",
    );
    crm.upstream.hold();
    let _sidecar = crm.sidecar();
    let running = "SELECT count(*) FROM cron_job WHERE metadata->>'outcome' = 'running'";
    assert_eventually!(crm.postgres.value::<i64>(running) == 4, "four run");
    crm.wait_for_looks(300);
    assert_eq!(crm.postgres.value::<i64>(running), 4);
    crm.upstream.release();
    let succeeded = "SELECT count(*) FROM cron_job WHERE metadata->>'outcome' = 'success'";
    assert_eventually!(crm.postgres.value::<i64>(succeeded) == 6, "all have run");
}
