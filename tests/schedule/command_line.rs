//! `dashboard-sidecar cron`.

use std::process::Output;

use harness::{Answer, Artefacts, Postgres, Process, Sidecar, assert_eventually, run};
use serde_json::Value;

use super::{Crm, job};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    said(output)
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    said(output)
}

#[test]
fn list_shows_every_job_and_is_honest_about_those_of_others() {
    let crm = Crm::start();
    crm.postgres.execute(
        "INSERT INTO cron_job (name, schedule, function_name, metadata)
         VALUES ('foreign', 'daily', 'sendInvoices', '{\"outcome\": \"success\", \"error\": \"x\\u001b[31m\"}')",
    );
    ok(&crm.cron(&["run"]));
    let list = ok(&crm.cron(&["list"]));
    let line = |start: &str| list.lines().find(|line| line.trim().starts_with(start)).unwrap().to_owned();
    let ours = line("Warm Dashboard Bundle Cache");
    for part in ["warmDashboardBundleCache", "cron:0 0 * * *", "yes", "success", "T00:00:00Z"] {
        assert!(ours.contains(part), "{part}: {list}");
    }
    assert!(line("foreign").contains("not ours"), "{list}");
    assert!(list.contains("foreign: error: x") && !list.contains('\u{1b}'), "{list}");
}

#[test]
fn a_disabled_job_stays_so_until_it_is_enabled() {
    let crm = Crm::start();
    assert!(ok(&crm.cron(&["disable"])).contains("is disabled"));
    assert_eq!(crm.job()["is_active"], false);
    crm.postgres.execute("UPDATE cron_job SET next_run = now() - interval '1 day'");
    let printed = ok(&crm.cron(&["enable"]));
    assert!(printed.contains("is enabled, next run 2") && printed.contains("T00:00:00Z"), "{printed}");
    assert_eq!(crm.job()["is_active"], true);
    assert!(crm.postgres.value::<bool>("SELECT next_run > now() FROM cron_job"), "it has missed nothing");
}

#[test]
fn enable_adds_the_row_where_there_is_none() {
    let crm = Crm::start();
    let migrated = crm.job();
    crm.postgres.execute("DELETE FROM cron_job");
    assert!(refused(&crm.cron(&["run"]), 1).contains("cron enable"));
    assert!(refused(&crm.cron(&["disable"]), 1).contains("cron enable"));
    assert!(ok(&crm.cron(&["enable"])).contains("added"));
    let added = crm.job();
    for column in ["name", "schedule", "function_name", "is_active", "next_run", "tenant_id"] {
        assert_eq!(added[column], migrated[column], "{column}");
    }
}

#[test]
fn set_changes_the_schedule_and_the_next_time() {
    let crm = Crm::start();
    let _sidecar = crm.sidecar();
    let printed = ok(&crm.cron(&["set", " cron:0 0 1 1 * "]));
    assert!(printed.contains("-01-01T00:00:00Z"), "{printed}");
    assert_eq!(crm.job()["schedule"], "cron:0 0 1 1 *");
    assert!(crm.job()["next_run"].as_str().unwrap().contains("-01-01T00:00:00"));
    ok(&crm.cron(&["set", "daily Europe/Berlin"]));
    assert_eq!(crm.job()["schedule"], "daily Europe/Berlin");
}

#[test]
fn a_schedule_that_cannot_be_followed_is_refused_and_nothing_changes() {
    let crm = Crm::start();
    let before = crm.job();
    for (schedule, named) in [
        ("cron:0 25 * * *", "'25'"),
        ("0 0 30 2 *", "never comes"),
        ("daily Europe/Berln", "'Europe/Berln'"),
        ("", "empty"),
    ] {
        let printed = refused(&crm.cron(&["set", schedule]), 2);
        assert!(printed.contains(named) && printed.contains("every_5_minutes"), "{printed}");
    }
    assert_eq!(crm.job(), before);
}

#[test]
fn run_runs_at_once_and_says_how_it_went() {
    let crm = Crm::start();
    ok(&crm.cron(&["disable"]));
    let printed = ok(&crm.cron(&["run"]));
    assert!(printed.contains("success: tenants 2, warmed 2, fresh 0, failed 0"), "{printed}");
    assert_eq!((crm.outcome(), crm.warmings()), ("success".into(), 1));
    assert_eq!(crm.postgres.value::<i64>("SELECT count(*) FROM dashboard.lease"), 0);

    crm.upstream.answer_for("b", Answer::Error(500, "internal"));
    crm.redis.client().int(&["DASHBOARD.CLEAR"]);
    let printed = refused(&crm.cron(&["run"]), 1);
    assert!(printed.contains("partial: tenants 2, warmed 1, fresh 0, failed 1"), "{printed}");
    assert!(printed.contains("\n  b: "), "{printed}");
}

#[test]
fn run_says_why_it_could_not_warm() {
    let mut crm = Crm::start();
    crm.redis.shutdown();
    let printed = refused(&crm.cron(&["run"]), 1);
    assert!(printed.contains("failed: Redis cannot be reached"), "{printed}");
    assert_eq!(crm.outcome(), "failed");
}

#[test]
fn run_does_not_run_what_another_runs_and_says_who_does() {
    let crm = Crm::start();
    let _sidecar = crm.sidecar_at_work();
    let owner = crm.job()["metadata"]["owner"].as_str().unwrap().to_owned();
    let printed = refused(&crm.cron(&["run"]), 1);
    assert!(printed.contains(&owner) && printed.contains("lease lasts until 2"), "{printed}");
    crm.upstream.release();
    assert_eventually!(crm.outcome() == "success", "that one ends it");
    assert_eq!(crm.warmings(), 1);
}

#[test]
fn run_gives_its_run_back_when_it_is_interrupted() {
    let crm = Crm::start();
    crm.upstream.hold();
    let directory = tempfile::tempdir().unwrap();
    let sidecar = &Artefacts::get().sidecar;
    let mut process = Process::start("cron run", sidecar, &directory.path().join("log"), |command| {
        command
            .args(["cron", "run"])
            .env("DATABASE_URL", crm.postgres.url())
            .env("REDIS_URL", crm.redis.url());
    });
    crm.upstream.wait_for(1);
    process.interrupt();
    assert_eq!(process.wait_exit().code(), Some(1), "{}", process.log());
    assert!(process.log().contains("stopped"), "{}", process.log());
    assert_eq!(crm.postgres.value::<i64>("SELECT count(*) FROM dashboard.lease"), 0);
    crm.upstream.release();
    let _sidecar = crm.sidecar();
    assert_eventually!(crm.outcome() == "success", "a sidecar runs it");
}

#[test]
fn another_job_is_picked_by_id_or_name() {
    let crm = Crm::start();
    crm.postgres.execute(
        "INSERT INTO cron_job (name, schedule, function_name) VALUES
         ('twice', 'daily', 'warmDashboardBundleCache'), ('twice', 'daily', 'warmDashboardBundleCache'),
         ('foreign', 'whenever', 'sendInvoices')",
    );
    assert!(refused(&crm.cron(&["disable", "--job", "nobody"]), 2).contains("'nobody'"));
    assert!(refused(&crm.cron(&["disable", "--job", "twice"]), 2).contains(" or "));
    for command in [&["set", "daily", "--job", "foreign"][..], &["run", "--job", "foreign"]] {
        assert!(refused(&crm.cron(command), 2).contains("'sendInvoices'"));
    }
    let mut client = crm.postgres.client();
    ok(&crm.cron(&["disable", "--job", "foreign"]));
    assert_eq!(job(&mut client, "name = 'foreign'")["is_active"], false);
    ok(&crm.cron(&["enable", "--job", "foreign"]));
    let foreign = job(&mut client, "name = 'foreign'");
    assert_eq!((&foreign["is_active"], &foreign["next_run"]), (&Value::Bool(true), &Value::Null));
    let id: String = crm.postgres.value("SELECT min(id::text) FROM cron_job WHERE name = 'twice'");
    ok(&crm.cron(&["set", "hourly", "--job", &id]));
    assert_eq!(job(&mut client, &format!("id = '{id}'"))["schedule"], "hourly");
}

#[test]
fn a_database_without_the_schedule_is_named() {
    let postgres = Postgres::start_unmigrated();
    let output = run(&mut Sidecar::command(&["cron", "list"], &postgres.url()));
    assert!(refused(&output, 1).contains("dashboard-sidecar migrate"));
}
