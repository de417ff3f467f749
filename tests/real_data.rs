//! A real company's sales pipeline, loaded as one tenant: the totals that its description lists.
//!
//! The data set lies beside the repository where it is available; the project itself does without it.

use std::path::{Path, PathBuf};

use harness::{Postgres, Redis, Sidecar, repository_root};
use serde_json::{Value, json};

const TENANT: &str = "c0ffee00-0000-4000-8000-000000000001";

fn data() -> Option<PathBuf> {
    let directory = repository_root().join("../shared/data/maven-crm");
    directory.is_dir().then_some(directory)
}

fn rows(file: &Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(file).unwrap().records().map(Result::unwrap).collect()
}

fn load(directory: &Path, postgres: &Postgres) {
    let mut client = postgres.client();
    let mut transaction = client.transaction().unwrap();
    let insert = format!("INSERT INTO tenant (id, tenant_id, name) VALUES ('{TENANT}', 'maven', 'Maven')");
    transaction.batch_execute(&insert).unwrap();
    for row in rows(&directory.join("accounts.csv")) {
        let sql = "INSERT INTO accounts (tenant_id, name) VALUES ($1::text::uuid, $2)";
        transaction.execute(sql, &[&TENANT, &&row[0]]).unwrap();
    }
    let insert = "INSERT INTO opportunities (tenant_id, name, stage, amount, created_date) \
                  VALUES ($1::text::uuid, $2, $3, NULLIF($4::text, '')::numeric, to_date(NULLIF($5::text, ''), 'MM/DD/YYYY'))";
    let insert = transaction.prepare(insert).unwrap();
    for row in rows(&directory.join("sales_pipeline.csv")) {
        let stage = match &row[4] {
            "Won" => "closed_won",
            "Lost" => "closed_lost",
            "Engaging" => "negotiation",
            "Prospecting" => "prospecting",
            other => panic!("deal_stage {other}"),
        };
        transaction.execute(&insert, &[&TENANT, &&row[0], &stage, &&row[7], &&row[5]]).unwrap();
    }
    transaction.commit().unwrap();
}

fn assert_totals(redis: &Redis, when: &str) {
    let reply = redis.cli(&["DASHBOARD.GET", TENANT]);
    let bundle: Value = serde_json::from_str(&reply).unwrap_or_else(|e| panic!("{when}: {e}: {reply}"));
    for (figure, expected) in [
        ("totalAccounts", 85),
        ("totalOpportunities", 8_800),
        ("wonOpportunities", 4_238),
        ("openOpportunities", 2_089),
        ("wonValue", 10_005_534),
        ("pipelineValue", 0),
    ] {
        assert_eq!(bundle["stats"][figure], json!(expected), "{when}: {figure}");
    }
    assert_eq!(bundle["funnel"]["negotiation"], json!({"count": 1_589, "value": 0}), "{when}");
    assert_eq!(bundle["funnel"]["prospecting"], json!({"count": 500, "value": 0}), "{when}");
    assert_eq!(bundle["funnel"]["closed_won"], json!({"count": 4_238, "value": 10_005_534}), "{when}");
}

#[test]
fn a_real_pipeline_gives_its_known_totals_cold_warm_and_after_a_restart() {
    let Some(directory) = data() else {
        eprintln!("NOT RUN: the maven-crm data set is not beside this repository");
        return;
    };
    let postgres = Postgres::start();
    load(&directory, &postgres);
    let sidecar = Sidecar::on(&postgres.url());
    let redis = Redis::builder().setting("sidecar", sidecar.url()).line("appendonly yes").start();

    assert_totals(&redis, "cold");
    assert_totals(&redis, "warm");
    assert_eq!(redis.client().figure("computed"), 1);

    let redis = redis.restart();
    drop(sidecar);
    assert_totals(&redis, "after a restart, with nobody to compute");
}
