//! Warming by counters against warming from the tables: the set-wise statement by itself, the whole way through Redis and
//! the sidecar, and once more where nothing has changed.
//!
//! Two databases with the same two thousand tenants, of which one counts, each with servers of its own.

use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::{Client, Postgres};
use postgres::Statement;

use crate::crm;
use crate::crowd::{self, CONNECTIONS, TENANTS, together};
use crate::statistics::Sample;
use crate::table::Table;

const ROUNDS: usize = 7;
/// Tenants in one statement.
const SETS: [usize; 2] = [crowd::SET, 100];

/// The design's budget.
const SET_BUDGET: f64 = 1.5;

pub(crate) fn measure(table: &mut Table) {
    let tables = crowd::load();
    let counters = tables.copy();
    crm::count(&counters.url());
    counters.execute("VACUUM ANALYZE");

    let connections: Vec<_> = (0..CONNECTIONS).map(|_| Mutex::new(Connection::new(&counters))).collect();
    let tenants = crowd::tenants(&counters);
    for size in SETS {
        let bundles = |statement: fn(&Connection) -> &Statement| {
            together(&connections, &tenants, size, |connection, tenants| {
                let statement = statement(connection).clone();
                let rows = connection.client.query(&statement, &[&tenants]).expect("bundles");
                assert_eq!(rows.len(), tenants.len());
            })
        };
        let mut rounds = Vec::new();
        for number in 0..=ROUNDS {
            let round = [bundles(|own| &own.counters), bundles(|own| &own.tables)];
            if number > 0 {
                rounds.push(round);
            }
        }
        let name = format!("{TENANTS} tenants, {size} a statement");
        table.note(format!("{name}: bundles a second by counters"), of(&rounds, |round| round[0]));
        let ratio = of(&rounds, |round| round[0] / round[1]);
        table.at_least(format!("{name}: by counters / from the tables"), ratio.median(), &ratio, SET_BUDGET);
    }

    let (_first, by_counters) = crowd::servers(&counters);
    let (_second, from_tables) = crowd::servers(&tables);
    let (mut by_counters, mut from_tables) = (by_counters.client(), from_tables.client());
    let mut rounds = Vec::new();
    for number in 0..=ROUNDS {
        let round = [&mut by_counters, &mut from_tables].map(crowd::warm);
        if number > 0 {
            rounds.push(round);
        }
    }
    let name = format!("warming {TENANTS} tenants");
    table.note(format!("{name} by counters: bundles a second"), of(&rounds, |round| round[0]));
    table.note(format!("{name}: by counters / from the tables"), of(&rounds, |round| round[0] / round[1]));
    let unchanged = [&mut by_counters, &mut from_tables].map(|client| {
        client.ok(&["CONFIG", "SET", "dashboard.ttl", "1"]);
        crowd::warm(client);
        Sample::new((0..3).map(|_| warm_what_is_old(client)).collect())
    });
    let [by_counters, from_tables] = unchanged;
    table.note(format!("{name} past their ttl, none changed, by counters: seconds"), by_counters);
    table.note(format!("{name} past their ttl, from the tables: seconds"), from_tables);
}

struct Connection {
    client: postgres::Client,
    counters: Statement,
    tables: Statement,
}

impl Connection {
    fn new(postgres: &Postgres) -> Self {
        let mut client = postgres.client();
        let mut prepare = |function: &str| {
            let sql = format!("SELECT * FROM dashboard.{function}($1::text[])");
            client.prepare(&sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
        };
        let (counters, tables) = (prepare("bundles"), prepare("bundles_from_tables"));
        Self { client, counters, tables }
    }
}

/// Warms what is past its ttl, which everything is by then: seconds.
fn warm_what_is_old(client: &mut Client) -> f64 {
    sleep(Duration::from_secs(2));
    let began = Instant::now();
    let report = client.map(&["DASHBOARD.WARM"]);
    let elapsed = began.elapsed().as_secs_f64();
    let figure = |name: &str| report.iter().find(|(field, _)| field == name).map(|(_, n)| harness::text(n));
    assert_eq!(figure("failed").as_deref(), Some("0"), "{report:?}");
    elapsed
}

fn of(rounds: &[[f64; 2]], figure: fn(&[f64; 2]) -> f64) -> Sample {
    Sample::new(rounds.iter().map(figure).collect())
}
