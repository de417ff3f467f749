//! A process runs out of file descriptors for a while, as behind a low `ulimit -n` with many clients: what needs a new connection
//! fails, says why, and works again as soon as there are descriptors, without a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{KeepAlive, Postgres, Redis, Response, Sidecar, assert_eventually, run_ok, text};

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// The pools that ask Postgres.
const LANES: [&str; 5] = ["misses", "warming", "listing", "searches", "probes"];
/// Below this limit every descriptor is taken for good.
const NONE: u64 = 3;
const SHORTAGE: &str = "no file descriptor is free";
/// Until everything works again, at most, on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

struct Stack {
    sidecar: Sidecar,
    redis: Redis,
    postgres: Postgres,
    /// Accepted while there were descriptors: who comes later is not.
    observer: KeepAlive,
}

impl Stack {
    /// All of it, with a feed and a schedule, and a connection in each pool.
    fn start() -> Self {
        let postgres = Postgres::start();
        postgres.execute(&format!(
            "INSERT INTO tenant (id, tenant_id, name) VALUES ('{TENANT}', 'one', 'One');
             INSERT INTO leads (tenant_id, first_name) VALUES ('{TENANT}', 'first')"
        ));
        run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
        let redis = Redis::builder().setting("ttl", 86_400).setting("stale-ttl", 86_400).start();
        let sidecar = Sidecar::builder()
            .database(postgres.url())
            .env("REDIS_URL", redis.url())
            .env("DASHBOARD_FEED", "on")
            .env("DASHBOARD_SCHEDULER", "on")
            .start();
        redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", sidecar.url()]);
        let observer = KeepAlive::connect(sidecar.public()).unwrap();
        let mut stack = Self { sidecar, redis, postgres, observer };
        stack.works("at-first");
        stack
    }

    fn health(&mut self) -> BTreeMap<String, (String, String)> {
        let body = self.observer.get("/api/system/health").expect("an answer").json();
        let text =
            |check: &serde_json::Value, member: &str| check[member].as_str().unwrap_or_default().to_owned();
        let checks = body["checks"].as_array().unwrap().iter();
        checks.map(|c| (text(c, "name"), (text(c, "status"), text(c, "message")))).collect()
    }

    /// Sessions of the sidecar end, as when Postgres is restarted.
    fn end_sessions(&self) {
        self.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'dashboard-sidecar%'",
        );
    }

    /// Connections to Redis, likewise.
    fn end_connections(&self) {
        self.redis.client().int(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }

    fn metric(&mut self, name: &str) -> Option<f64> {
        self.observer.get("/metrics").expect("an answer").sample(name)
    }

    /// Each part does its work.
    fn works(&mut self, when: &str) {
        let all_is_well = |stack: &mut Self| {
            stack.observer.get("/api/system/health").is_ok_and(|health| health.status == 200)
        };
        assert_eventually!(all_is_well(self), SOON, "{when}: health is ok");
        assert_eq!(self.public(&format!("/api/tenants?search={when}")).status, 200, "{when}: searches");
        let bundle = format!("/internal/v1/bundle?tenant={TENANT}&include_test_data=true");
        assert_eq!(self.sidecar.internal().get(&bundle).status, 200, "{when}: misses");
        self.redis.client().ok(&["DASHBOARD.CLEAR"]);
        let warmed = self.redis.client().map(&["DASHBOARD.WARM"]);
        let failed = warmed.iter().find(|(field, _)| field == "failed").map(|(_, value)| text(value));
        assert_eq!(failed.as_deref(), Some("0"), "{when}: warming, and listing before it: {warmed:?}");
        self.follows(when);
        let schedule = r#"dashboard_up{part="schedule"}"#;
        assert_eventually!(self.metric(schedule) == Some(1.0), SOON, "{when}: the schedule is followed");
        self.runs_by_hand(when);
        for lane in LANES {
            let gauge = |stack: &mut Self, name: &str| {
                stack.metric(&format!("dashboard_pool_{name}{{pool=\"{lane}\"}}"))
            };
            assert!(
                gauge(self, "connections").is_some_and(|open| open >= 1.0),
                "{when}: {lane} has a connection"
            );
            assert_eventually!(gauge(self, "busy") == Some(0.0), "{when}: nobody holds one of {lane}");
            assert_eq!(gauge(self, "waiting"), Some(0.0), "{when}: nobody waits for {lane}");
        }
    }

    /// What is committed now is seen.
    fn follows(&mut self, when: &str) {
        self.postgres
            .execute(&format!("INSERT INTO leads (tenant_id, first_name) VALUES ('{TENANT}', '{when}')"));
        let mut client = self.redis.client();
        let sees = |client: &mut harness::Client| {
            let bundle = client.call(&["DASHBOARD.GET", TENANT]).map(|bundle| text(&bundle));
            bundle.is_ok_and(|bundle| bundle.contains(&format!(r#""first_name":"{when}""#)))
        };
        assert_eventually!(sees(&mut client), SOON, "{when}: the feed announces a change");
    }

    fn runs_by_hand(&self, when: &str) {
        let body = r#"{"function_name": "warmDashboardBundleCache"}"#;
        let headers = [("content-type", "application/json")];
        let run = || self.sidecar.public().ask("POST", "/api/cron/execute", &headers, body);
        // A scheduler that looks at it just then has it locked.
        assert_eventually!(run().status == 200, SOON, "{when}: a job is run by hand");
    }

    fn public(&self, path: &str) -> Response {
        self.sidecar.public().get(path)
    }
}

#[test]
fn a_sidecar_without_a_free_descriptor_says_so_and_works_again_when_there_are_some() {
    let mut stack = Stack::start();
    let limit = stack.sidecar.process().limit_descriptors(NONE);
    stack.end_sessions();
    stack.end_connections();
    assert_eventually!(
        ["postgres", "redis-cache"].iter().all(|part| stack.health()[*part].1.contains(SHORTAGE)),
        "health names the shortage"
    );
    let health = stack.health();
    let (status, message) = &health["postgres"];
    assert_eq!(status, "unavailable");
    assert!(message.contains("ulimit -n") && message.contains("LimitNOFILE"), "{message}");
    drop(limit);
    stack.works("afterwards");
}

#[test]
fn however_many_descriptors_are_missing_no_pool_loses_a_place() {
    let mut stack = Stack::start();
    for free in 0..8 {
        // Those of the connections that end come free, and everybody wants them.
        let open = stack.sidecar.process().open_descriptors();
        let limit = stack.sidecar.process().limit_descriptors(open.saturating_sub(2 * free));
        for _ in 0..3 {
            stack.end_sessions();
            stack.end_connections();
            // A probe has gone through, and has failed or not.
            stack.health();
        }
        drop(limit);
        stack.works(&format!("round-{free}"));
    }
}
