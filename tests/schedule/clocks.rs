//! A clock of Postgres that is set: jobs run when they should, and a dead owner keeps nothing.

use std::time::Duration;

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

    fn is_next_within_a_day(&self) -> bool {
        let sql = format!("SELECT next_run <= now() + interval '1 day' FROM cron_job WHERE {OURS}");
        self.postgres.client().query_one(&sql, &[]).unwrap().get(0)
    }
}

#[test]
fn a_clock_that_was_two_months_ahead_moves_no_next_run() {
    let crm = Crm::start();
    crm.postgres.clock().set_ahead(60 * DAY);
    crm.make_due();
    let _sidecar = following(&crm.redis).database(crm.postgres.url()).start();
    assert_eventually!(crm.outcome() == "success", "it has run by a wrong clock");
    crm.postgres.clock().set_right();
    assert!(!crm.is_next_within_a_day());
    assert_eventually!(crm.is_next_within_a_day(), "it runs next when its schedule says");
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
