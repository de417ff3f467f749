//! Warming two thousand tenants: bundles a second, against the ways of computing the same bundles without us,
//! and what a client that only says PING feels of it.
//!
//! All on one machine, one after the other in each round: Postgres, the sidecar, Redis and whoever asks share its
//! cores, so what is measured is the work of all of them together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use harness::{Client, Postgres, Redis, Sidecar};
use postgres::Statement;
use postgres::types::{ToSql, Type};

use crate::ping::{self, Pings};
use crate::statistics::Sample;
use crate::table::Table;

const TENANTS: usize = 2_000;
const ROUNDS: usize = 5;
/// Connections to Postgres of each contender but the old way, and of warming.
const CONNECTIONS: usize = 2;
/// Tenants that the slowest contender computes in a round.
const OLD_WAYS: usize = 40;
/// Tenants in one set-wise statement, as in warming.
const SET: usize = 64;

const IDLE_PINGS: usize = 5_000;

/// The design's budgets.
const FUNCTION_BUDGET: f64 = 0.9;
const OLD_WAY_BUDGET: f64 = 10.0;
const PING_BUDGET_MS: f64 = 1.0;

/// 40 to 280 rows a table for each tenant; every other tenant has some test data.
const ROWS: &str = "
    INSERT INTO tenant (id, tenant_id, name)
    SELECT md5('tenant' || n)::uuid, 'tenant-' || n, 'Tenant ' || n FROM generate_series(1, 2000) AS n;
    CREATE TEMP TABLE made AS
    SELECT md5('tenant' || n)::uuid AS tenant, (n * 7919 + i * 104729) % 1000 AS x,
           n % 2 = 0 AND i % 20 = 0 AS test,
           now() - (i * 31 + n * 7919 % 977) * interval '37 minutes' AS at
    FROM generate_series(1, 2000) AS n, generate_series(1, 40 + n * 7919 % 241) AS i;
    INSERT INTO contacts (tenant_id, is_test_data, created_at, created_date) SELECT tenant, test, at, at FROM made;
    INSERT INTO accounts (tenant_id, name, is_test_data, created_at, created_date)
    SELECT tenant, 'Account ' || x, test, at, at FROM made;
    INSERT INTO leads (tenant_id, first_name, last_name, company, email, phone, status, source, is_test_data,
                       assigned_to, created_at, created_date)
    SELECT tenant, 'First ' || x, 'Last ' || x, 'Company ' || x, 'person' || x || '@example.com', '+1 555 0' || x,
           (ARRAY['new', 'contacted', 'qualified', 'converted', 'lost'])[1 + x % 5],
           (ARRAY['website', 'referral', 'event', NULL, 'advertisement'])[1 + x % 5], test, tenant, at, at FROM made;
    INSERT INTO opportunities (tenant_id, name, stage, amount, probability, is_test_data, assigned_to, created_at,
                               created_date, updated_at)
    SELECT tenant, 'Opportunity ' || x,
           (ARRAY['prospecting', 'qualification', 'proposal', 'negotiation', 'closed_won', 'closed_lost'])[1 + x % 6],
           x * 100.25, x % 100, test, tenant, at, at, at FROM made;
    INSERT INTO activities (tenant_id, type, subject, status, assigned_to, is_test_data, created_at, created_date)
    SELECT tenant, 'call', 'About ' || x, 'planned', 'someone', test, at, at FROM made;
    DROP TABLE made;";

/// A full bundle as it was computed before: sixteen questions, each its own round trip. `$1` is the tenant, `$2`
/// whether test data counts.
const OLD_WAY: [&str; 16] = [
    "SELECT count(*) FROM contacts WHERE @",
    "SELECT count(*) FROM accounts WHERE @",
    "SELECT count(*) FROM leads WHERE @",
    "SELECT count(*) FROM opportunities WHERE @",
    "SELECT count(*) FROM leads WHERE @ AND status NOT IN ('converted', 'lost')",
    "SELECT count(*) FROM opportunities WHERE @ AND stage IN ('won', 'closed_won')",
    "SELECT count(*) FROM opportunities WHERE @ AND stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost')",
    "SELECT count(*) FROM leads WHERE @ AND created_date >= now() - interval '30 days' AND status NOT IN ('converted', 'lost')",
    "SELECT count(*) FROM activities WHERE @ AND created_date >= now() - interval '30 days'",
    "SELECT sum(amount) FROM opportunities WHERE @ AND stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost')",
    "SELECT sum(amount) FROM opportunities WHERE @ AND stage IN ('won', 'closed_won')",
    "SELECT coalesce(nullif(source, ''), 'other'), count(*) FROM leads WHERE @ GROUP BY 1",
    "SELECT stage, count(*), sum(amount) FROM opportunities WHERE @ GROUP BY 1",
    "SELECT id, type, subject, status, created_at, created_date, assigned_to FROM activities WHERE @
     ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 10",
    "SELECT id, first_name, last_name, company, email, phone, created_date, created_at, status, source, is_test_data,
            assigned_to FROM leads WHERE @ ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 50",
    "SELECT id, name, amount, stage, probability, updated_at, is_test_data, assigned_to FROM opportunities WHERE @
     ORDER BY updated_at DESC NULLS LAST, id DESC LIMIT 50",
];
const SCOPE: &str = "tenant_id = $1::text::uuid AND ($2 OR COALESCE(is_test_data, false) = false)";
/// The same for all tenants together, whose name is not looked at.
const SCOPE_OF_ALL: &str = "$1::text IS NOT NULL AND ($2 OR COALESCE(is_test_data, false) = false)";

/// Bundles a second.
struct Round {
    old_way: f64,
    function: f64,
    set: f64,
    warming: f64,
}

pub(crate) fn measure(table: &mut Table) {
    let postgres = Postgres::start();
    postgres.execute(ROWS);
    postgres.execute("VACUUM ANALYZE");
    let connections = CONNECTIONS.to_string();
    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .env("DASHBOARD_WARM_POOL", connections.as_str())
        .env("DASHBOARD_SCHEDULER", "off")
        .start();
    let mut redis = Redis::builder()
        .tcp()
        .setting("sidecar", sidecar.url())
        .setting("warm-concurrency", connections)
        .start();
    let mut client = redis.client();
    let contenders = Contenders::new(&postgres);
    // Nobody pays for cold caches, unplanned statements or a keyspace that has to grow.
    contenders.round(&mut client);

    let idle = ping::alone(&redis, IDLE_PINGS);
    let [mut busy, mut warming, mut ahead] = [const { Pings::new() }; 3];
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (pings, old_way) = ping::during(&redis, || contenders.old_way());
        busy.add(pings);
        let (pings, function) = ping::during(&redis, || contenders.function());
        busy.add(pings);
        let (pings, set) = ping::during(&redis, || contenders.set());
        busy.add(pings);
        let (pings, warmed) = ping::during(&redis, || warm(&mut client));
        warming.add(pings);
        if let Some((pings, _)) = ping::ahead_of_others(&mut redis, || warm(&mut client)) {
            ahead.add(pings);
        }
        rounds.push(Round { old_way, function, set, warming: warmed });
    }
    report(table, &rounds);
    report_pings(table, &idle, &busy, &warming, &ahead);
}

fn report(table: &mut Table, rounds: &[Round]) {
    let of = |figure: fn(&Round) -> f64| Sample::new(rounds.iter().map(figure).collect());
    let name = format!("warming {TENANTS} tenants");
    table.note(format!("{name}: bundles a second"), of(|round| round.warming));
    let old = of(|round| round.warming / round.old_way);
    table.at_least(format!("{name} / 16 queries a bundle, one by one"), old.median(), &old, OLD_WAY_BUDGET);
    let function = of(|round| round.warming / round.function);
    table.at_least(
        format!("{name} / dashboard.bundle() over {CONNECTIONS} connections"),
        function.median(),
        &function,
        FUNCTION_BUDGET,
    );
    let set = of(|round| round.warming / round.set);
    table.note(format!("{name} / its own statement over {CONNECTIONS} connections, results discarded"), set);
}

/// Postgres keeps all cores busy, and then whoever wants one waits, with us or without us. What is ours is seen where
/// Redis and the client come before Postgres.
fn report_pings(table: &mut Table, idle: &Pings, busy: &Pings, warming: &Pings, ahead: &Pings) {
    let name = |when: &str| format!("PING p50 / p99 / p99.9, ms, {when}");
    table.note(name("idle"), idle);
    table.note(name("every core busy, but not with us"), busy);
    let most = idle.at(0.999) + PING_BUDGET_MS;
    table.at_most(name("warming"), warming.at(0.999), warming, most);
    let when = name("warming, Redis and client scheduled before Postgres");
    if ahead.is_empty() {
        table.note(when, "only as root");
    } else {
        table.at_most(when, ahead.at(0.999), ahead, most);
    }
}

/// Warms everything through Redis and the sidecar.
fn warm(client: &mut Client) -> f64 {
    let began = Instant::now();
    let report = client.map(&["DASHBOARD.WARM", "FORCE"]);
    let elapsed = began.elapsed();
    let warmed = report.iter().find(|(name, _)| name == "warmed").map(|(_, count)| harness::text(count));
    assert_eq!(warmed.as_deref(), Some((TENANTS + 1).to_string().as_str()), "all are warmed: {report:?}");
    ((TENANTS + 1) * 2) as f64 / elapsed.as_secs_f64()
}

/// Those who compute the same bundles without us.
struct Contenders {
    tenants: Vec<String>,
    /// Of one tenant, and of all together.
    old_way: [[String; OLD_WAY.len()]; 2],
    connections: Vec<Mutex<Connection>>,
}

struct Connection {
    client: postgres::Client,
    function: Statement,
    set: Statement,
}

impl Contenders {
    fn new(postgres: &Postgres) -> Self {
        let tenants =
            postgres.client().query("SELECT id::text FROM tenant ORDER BY id", &[]).expect("tenants");
        let connect = |_| {
            let mut client = postgres.client();
            let mut prepare = |sql: &str| client.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let function = prepare("SELECT dashboard.bundle($1::text, $2::boolean)::text");
            let set = prepare("SELECT * FROM dashboard.bundles($1::text[])");
            Mutex::new(Connection { client, function, set })
        };
        // What takes longest comes first, here as there.
        let all_together = "SUPERADMIN_GLOBAL".to_owned();
        Self {
            tenants: std::iter::once(all_together).chain(tenants.iter().map(|row| row.get(0))).collect(),
            old_way: [SCOPE, SCOPE_OF_ALL].map(|scope| OLD_WAY.map(|sql| sql.replace('@', scope))),
            connections: (0..CONNECTIONS).map(connect).collect(),
        }
    }

    /// One of each.
    fn round(&self, client: &mut Client) -> Round {
        Round { old_way: self.old_way(), function: self.function(), set: self.set(), warming: warm(client) }
    }

    /// As drivers do it unless told otherwise: each question is one round trip, and planned when it is asked. Of the
    /// tenants only some are asked for, and counted for all.
    fn old_way(&self) -> f64 {
        let mut connection = self.connections[0].lock().expect("nobody has panicked");
        let [of_one, of_all] = &self.old_way;
        let mut seconds = |tenants: &[String], statements: &[String]| {
            let began = Instant::now();
            for tenant in tenants {
                for include in [true, false] {
                    for sql in statements {
                        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                            [(tenant, Type::TEXT), (&include, Type::BOOL)];
                        connection.client.query_typed(sql, &parameters).expect("an old query");
                    }
                }
            }
            began.elapsed().as_secs_f64()
        };
        let [all_together, tenants @ ..] = &self.tenants[..] else { panic!("tenants") };
        let some = seconds(&tenants[..OLD_WAYS], of_one);
        let all = seconds(std::slice::from_ref(all_together), of_all);
        (self.tenants.len() * 2) as f64 / (some * tenants.len() as f64 / OLD_WAYS as f64 + all)
    }

    fn function(&self) -> f64 {
        self.together(1, |connection, tenants| {
            for include in [true, false] {
                let rows = connection.client.query(&connection.function, &[&tenants[0], &include]);
                rows.expect("a bundle");
            }
        })
    }

    fn set(&self) -> f64 {
        self.together(SET, |connection, tenants| {
            let rows = connection.client.query(&connection.set, &[&tenants]).expect("bundles");
            assert_eq!(rows.len(), tenants.len());
        })
    }

    /// All connections at once, each taking the next `size` tenants.
    fn together(&self, size: usize, work: impl Fn(&mut Connection, &[String]) + Sync) -> f64 {
        let (next, count) = (AtomicUsize::new(0), self.tenants.len());
        let began = Instant::now();
        std::thread::scope(|scope| {
            for connection in &self.connections {
                scope.spawn(|| {
                    let mut connection = connection.lock().expect("nobody has panicked");
                    loop {
                        let at = next.fetch_add(size, Ordering::Relaxed);
                        if at >= count {
                            break;
                        }
                        work(&mut connection, &self.tenants[at..count.min(at + size)]);
                    }
                });
            }
        });
        (count * 2) as f64 / began.elapsed().as_secs_f64()
    }
}
