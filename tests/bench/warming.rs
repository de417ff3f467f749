//! Warming two thousand tenants: bundles a second, against the ways of computing the same bundles without us,
//! and what a client that only says PING feels of it.
//!
//! All on one machine, one after the other in each round: Postgres, the sidecar, Redis and whoever asks share its
//! cores, so what is measured is the work of all of them together.

use std::sync::Mutex;
use std::time::Instant;

use harness::{Client, Postgres};
use postgres::Statement;

use crate::crowd::{self, CONNECTIONS, SET, TENANTS, together};
use crate::old_way::Queries;
use crate::ping::{self, Pings};
use crate::statistics::Sample;
use crate::table::Table;

const ROUNDS: usize = 5;
/// Tenants that the slowest contender computes in a round.
const OLD_WAYS: usize = 40;

const IDLE_PINGS: usize = 5_000;

/// The design's budgets.
const FUNCTION_BUDGET: f64 = 0.9;
const OLD_WAY_BUDGET: f64 = 10.0;
const PING_BUDGET_MS: f64 = 1.0;

/// Bundles a second.
struct Round {
    old_way: f64,
    function: f64,
    set: f64,
    warming: f64,
}

pub(crate) fn measure(table: &mut Table) {
    let postgres = crowd::load();
    let (_sidecar, mut redis) = crowd::servers(&postgres);
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
        let (pings, warmed) = ping::during(&redis, || crowd::warm(&mut client));
        warming.add(pings);
        if let Some((pings, _)) = ping::ahead_of_others(&mut redis, || crowd::warm(&mut client)) {
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

/// Those who compute the same bundles without us.
struct Contenders {
    tenants: Vec<String>,
    /// Of one tenant, and of all together.
    old_way: [Queries; 2],
    connections: Vec<Mutex<Connection>>,
}

struct Connection {
    client: postgres::Client,
    function: Statement,
    set: Statement,
}

impl Contenders {
    fn new(postgres: &Postgres) -> Self {
        let connect = |_| {
            let mut client = postgres.client();
            let mut prepare = |sql: &str| client.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let function = prepare("SELECT dashboard.bundle($1::text, $2::boolean)::text");
            let set = prepare("SELECT * FROM dashboard.bundles($1::text[])");
            Mutex::new(Connection { client, function, set })
        };
        Self {
            tenants: crowd::tenants(postgres),
            old_way: [Queries::of_one(), Queries::of_all()],
            connections: (0..CONNECTIONS).map(connect).collect(),
        }
    }

    /// One of each.
    fn round(&self, client: &mut Client) -> Round {
        Round {
            old_way: self.old_way(),
            function: self.function(),
            set: self.set(),
            warming: crowd::warm(client),
        }
    }

    /// Of the tenants only some are asked for, and counted for all.
    fn old_way(&self) -> f64 {
        let mut connection = self.connections[0].lock().expect("nobody has panicked");
        let [of_one, of_all] = &self.old_way;
        let mut seconds = |tenants: &[String], queries: &Queries| {
            let began = Instant::now();
            for tenant in tenants {
                for include in [true, false] {
                    queries.ask(&mut connection.client, tenant, include);
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
        together(&self.connections, &self.tenants, 1, |connection, tenants| {
            for include in [true, false] {
                let rows = connection.client.query(&connection.function, &[&tenants[0], &include]);
                rows.expect("a bundle");
            }
        })
    }

    fn set(&self) -> f64 {
        together(&self.connections, &self.tenants, SET, |connection, tenants| {
            let rows = connection.client.query(&connection.set, &[&tenants]).expect("bundles");
            assert_eq!(rows.len(), tenants.len());
        })
    }
}
