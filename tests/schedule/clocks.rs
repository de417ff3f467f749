//! A clock of Postgres that is set: jobs run when they should, and a dead owner keeps nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{FakeUpstream, PostgresServer, Redis, Sidecar, assert_eventually, run};

use super::{OURS, following, job};

const DAY: Duration = Duration::from_secs(86_400);

struct Crm {
    upstream: FakeUpstream,
    redis: Redis,
    postgres: PostgresServer,
}

impl Crm {
    fn start() -> Self {
        let upstream = FakeUpstream::start();
        upstream.active_tenants(&["a", "b"]);
        let redis = Redis::with(&upstream);
        Self { redis, upstream, postgres: PostgresServer::with_clock() }
    }

    fn execute(&self, sql: &str) {
        self.postgres.client().batch_execute(sql).unwrap();
    }

    fn make_due(&self) {
        self.execute(&format!("UPDATE cron_job SET next_run = now() WHERE {OURS}"));
    }

    fn outcome(&self) -> serde_json::Value {
        job(&mut self.postgres.client(), OURS)["metadata"]["outcome"].clone()
    }

    /// A sidecar in the middle of a run, with a lease of so many milliseconds.
    fn at_work(&self, lease: &str) -> Sidecar {
        // So that there is something to do each time.
        self.redis.client().ok(&["FLUSHALL"]);
        // Nor is it to fail while others are refused.
        self.redis.client().ok(&["CONFIG", "SET", "dashboard.timeout", "60000"]);
        self.upstream.hold();
        self.make_due();
        let sidecar =
            following(&self.redis).database(self.postgres.url()).env("DASHBOARD_LEASE_MS", lease).start();
        assert_eventually!(self.outcome() == "running", "the run is written down");
        sidecar
    }

    /// Runs the job by hand from the command line; whether it ran, and what was said.
    fn run_from_the_command_line(&self) -> (bool, String) {
        let mut command = Sidecar::command(&["cron", "run"], &self.postgres.url());
        let output = run(command.env("REDIS_URL", self.redis.url()));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The same over HTTP, from a sidecar that does not follow the schedule.
    fn run_over_http(&self) -> (bool, String) {
        let sidecar =
            Sidecar::builder().database(self.postgres.url()).env("REDIS_URL", self.redis.url()).start();
        let body = r#"{"function_name":"warmDashboardBundleCache"}"#;
        let response = sidecar.public().post("/api/cron/execute", body);
        (response.status == 200, response.text())
    }

    /// By the right clock, whatever Postgres's shows.
    fn is_next_in_more_than(&self, pause: Duration) -> bool {
        let at = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + pause).as_secs_f64();
        let sql = format!("SELECT next_run > to_timestamp($1) FROM cron_job WHERE {OURS}");
        self.postgres.client().query_one(&sql, &[&at]).unwrap().get(0)
    }
}

#[test]
fn a_clock_that_was_two_months_ahead_moves_no_next_run() {
    let crm = Crm::start();
    crm.postgres.clock().set_ahead(60 * DAY);
    crm.make_due();
    let _sidecar = following(&crm.redis).database(crm.postgres.url()).start();
    assert_eventually!(crm.outcome() == "success", "it has run by a wrong clock");
    assert!(crm.is_next_in_more_than(30 * DAY), "it is to run next by that clock");
    crm.postgres.clock().set_right();
    assert_eventually!(!crm.is_next_in_more_than(DAY), "it runs next when its schedule says");
}

#[test]
fn a_run_that_goes_on_is_not_taken_over_by_hand_although_the_clock_is_set_ahead_by_an_hour() {
    let crm = Crm::start();
    // Renewed each two seconds: not between the clock's being set and the look of who would take it over.
    let _owner = crm.at_work("6000");
    crm.postgres.clock().set_ahead(DAY / 24);
    let (ran, said) = crm.run_from_the_command_line();
    assert!(!ran && said.contains("is being run by"), "{said}");
    crm.postgres.clock().set_ahead(DAY / 12);
    let (ran, said) = crm.run_over_http();
    assert!(!ran && said.contains("is being run by"), "{said}");
    crm.upstream.release();
    assert_eventually!(crm.outcome() == "success", "its owner ends it");
    assert_eq!(job(&mut crm.postgres.client(), OURS)["metadata"]["attempt"], 1);
}

#[test]
fn a_run_whose_owner_has_died_is_run_by_hand_although_the_clock_is_set_back_by_an_hour() {
    let crm = Crm::start();
    for by_hand in [Crm::run_from_the_command_line, Crm::run_over_http] {
        crm.at_work("1500").process().kill();
        crm.postgres.clock().set_back(DAY / 24);
        crm.upstream.release();
        let (ran, said) = by_hand(&crm);
        assert!(ran, "{said}");
        assert_eq!(crm.outcome(), "success");
        crm.postgres.clock().set_right();
    }
    crm.at_work("1500").process().kill();
    crm.upstream.release();
    crm.postgres.clock().set_ahead(DAY / 24);
    let (ran, said) = crm.run_from_the_command_line();
    assert!(ran && said.contains("waiting up to 2 s to see whether that process renews its lease"), "{said}");
}

#[test]
fn a_run_whose_owner_has_died_is_taken_over_although_the_clock_is_set_back_by_an_hour() {
    let crm = Crm::start();
    let builder = || following(&crm.redis).database(crm.postgres.url());
    crm.upstream.hold();
    crm.make_due();
    let mut dead = builder().start();
    crm.upstream.wait_for(1);
    assert_eventually!(crm.outcome() == "running", "the run is written down");
    dead.process().kill();
    crm.postgres.clock().set_back(DAY / 24);
    crm.upstream.release();
    let _other = builder().start();
    assert_eventually!(crm.outcome() == "success", Duration::from_secs(30), "another ends it");
}
