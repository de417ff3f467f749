//! A clock of Postgres that is set: jobs run when they should, and a dead owner keeps nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{FakeUpstream, PostgresServer, Redis, assert_eventually};

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
