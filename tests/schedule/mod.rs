//! The schedule: what is due is run, once, by one sidecar, whatever dies meanwhile.

mod clocks;
mod command_line;
mod crm_tables;
mod jobs;
mod several;
mod silence;

use std::process::Output;

use harness::{FakeUpstream, Postgres, Redis, Sidecar, SidecarBuilder, assert_eventually, run};
use serde_json::Value;

/// Rows that warm.
const OURS: &str = "function_name = 'warmDashboardBundleCache'";

/// A CRM whose schedule has one row, and a cache whose bundles come from a fake.
struct Crm {
    postgres: Postgres,
    upstream: FakeUpstream,
    redis: Redis,
}

impl Crm {
    fn start() -> Self {
        let upstream = FakeUpstream::start();
        upstream.active_tenants(&["a", "b"]);
        let redis = Redis::with(&upstream);
        Self { postgres: Postgres::start(), upstream, redis }
    }

    /// A sidecar that follows the schedule, closely.
    fn sidecar(&self) -> Sidecar {
        self.builder().start()
    }

    fn builder(&self) -> SidecarBuilder {
        following(&self.redis).database(self.postgres.url())
    }

    /// Makes the job due.
    fn make_due(&self) {
        self.postgres.execute(&format!("UPDATE cron_job SET next_run = now() WHERE {OURS}"));
    }

    /// What the row says now.
    fn job(&self) -> Value {
        job(&mut self.postgres.client(), OURS)
    }

    fn outcome(&self) -> Value {
        self.job()["metadata"]["outcome"].clone()
    }

    /// How often the cache was asked to warm, to the end.
    fn warmings(&self) -> u64 {
        warmings(&self.redis)
    }

    /// Waits until the one sidecar that follows the schedule has looked at it for this long since.
    fn wait_for_looks(&self, milliseconds: u32) {
        let now: f64 = self.postgres.value("SELECT extract(epoch FROM clock_timestamp())::float8");
        let looked = format!(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'dashboard-sidecar scheduler' \
             AND datname = current_database() AND query_start > to_timestamp({now}) + interval '{milliseconds} ms'"
        );
        assert_eventually!(self.postgres.value::<bool>(&looked), "the schedule is looked at");
    }

    /// A sidecar that is in the middle of a run.
    fn sidecar_at_work(&self) -> Sidecar {
        self.upstream.hold();
        self.make_due();
        let sidecar = self.sidecar();
        self.upstream.wait_for(1);
        assert_eventually!(self.outcome() == "running", "the run is written down");
        sidecar
    }

    /// `dashboard-sidecar cron …`.
    fn cron(&self, arguments: &[&str]) -> Output {
        let mut command = Sidecar::command(&[&["cron"], arguments].concat(), &self.postgres.url());
        run(command.env("REDIS_URL", self.redis.url()))
    }
}

fn following(redis: &Redis) -> SidecarBuilder {
    Sidecar::builder()
        .env("REDIS_URL", redis.url())
        .env("DASHBOARD_SCHEDULER", "on")
        .env("DASHBOARD_SCHEDULER_POLL_MS", "50")
        .env("DASHBOARD_LEASE_MS", "1500")
        .env("DASHBOARD_SCHEDULER_RETRY_MS", "50")
}

/// The one row for which `condition` holds.
fn job(client: &mut postgres::Client, condition: &str) -> Value {
    let sql = format!("SELECT to_jsonb(j)::text FROM cron_job AS j WHERE {condition}");
    let row: String = client.query_one(&sql, &[]).unwrap().get(0);
    serde_json::from_str(&row).unwrap()
}

fn warmings(redis: &Redis) -> u64 {
    let statistics = redis.client().info("commandstats", "cmdstat_dashboard.warm");
    let calls =
        statistics.iter().flat_map(|line| line.split(',')).find_map(|part| part.strip_prefix("calls="));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// How many lines of a log speak of this.
fn lines_with(sidecar: &Sidecar, text: &str) -> usize {
    sidecar.log().lines().filter(|line| line.contains(text)).count()
}
