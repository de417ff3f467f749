//! What one bundle costs for tenants of very different sizes: by counters, from the tables, and in the old ways.
//!
//! The old ways have a database of their own with the same rows and such indexes as they had, and are tried on
//! ours, too. One connection each, in turns within each round, so that ratios are those of neighbours. Nothing is written
//! meanwhile: what waiting deltas cost is measured by itself.

use std::time::Instant;

use harness::{PostgresServer, Sidecar, run_ok};
use postgres::{Client, Statement};

use crate::crm::{self, Tenant};
use crate::old_way::{self, Queries};
use crate::statistics::Sample;
use crate::table::Table;

/// Leads of the tenants that are measured.
const SIZES: [i32; 4] = [275, 1_000, 100_000, 1_000_000];
/// Further tenants, of 50 to 275 leads.
const OTHERS: usize = 200;
const ROUNDS: usize = 7;
/// Bundles in a turn of those that are quick.
const QUICK: usize = 40;
/// From how many milliseconds on a bundle is none of those.
const SLOW_MS: f64 = 15.0;

/// The design's budgets.
const OLD_WAY_BUDGET: f64 = 100.0;
const SIZE_BUDGET: f64 = 2.0;
const SMALL_BUDGET: f64 = 1.0;

/// The old ways' database.
const OLD: &str = "old";

pub(crate) fn measure(table: &mut Table) {
    let tenants: Vec<Tenant> = SIZES.iter().enumerate().map(|(n, leads)| Tenant::new(n, *leads)).collect();
    let server = servers_with(&tenants);
    let mut contenders = Contenders::new(&server);

    let mut rounds: Vec<Vec<Round>> = Vec::new();
    let mut sizes = Vec::new();
    // What the first round learns, plans and caches are not what is measured.
    for number in 0..=ROUNDS {
        let by_size = contenders.by_size(&tenants);
        let round = tenants.iter().map(|tenant| contenders.round(&tenant.id)).collect();
        if number > 0 {
            sizes.push(by_size);
            rounds.push(round);
        }
    }
    for (place, tenant) in tenants.iter().enumerate() {
        report(table, tenant.leads, rounds.iter().map(|round| round[place]).collect());
    }
    let ratio = Sample::new(sizes);
    table.at_most("a bundle by counters: 1 M leads / 1 k leads", ratio.median(), &ratio, SIZE_BUDGET);
    report_all_together(table, &mut contenders);
}

/// The same rows twice; counters in the one, the old ways' indexes in the other.
fn servers_with(tenants: &[Tenant]) -> PostgresServer {
    // Everything fits into memory, for whoever reads much of it.
    let server =
        PostgresServer::with(&["shared_buffers=3GB", "max_wal_size=8GB", "maintenance_work_mem=256MB"]);
    let mut client = server.client();
    let drops = client
        .query(
            "SELECT format('DROP INDEX %I.%I', schemaname, indexname) FROM pg_indexes
             WHERE indexname LIKE 'dashboard\\_%' AND schemaname <> 'dashboard'",
            &[],
        )
        .expect("indexes");
    for drop in &drops {
        client.batch_execute(drop.get(0)).expect("an index that can be dropped");
    }
    let others = (0..OTHERS).map(|n| Tenant::new(SIZES.len() + n, 50 + (n * 7919 % 226) as i32));
    crm::load(&mut client, &tenants.iter().cloned().chain(others).collect::<Vec<_>>());
    drop(client);

    let copy = format!("CREATE DATABASE {OLD} TEMPLATE postgres STRATEGY FILE_COPY");
    server.client_of("template1").batch_execute(&copy).expect("a copy");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run_ok(&mut Sidecar::command(&["migrate"], &server.url()));
            server.client().batch_execute("VACUUM ANALYZE").expect("statistics");
            crm::count(&server.url());
        });
        scope.spawn(|| {
            let mut old = server.client_of(OLD);
            for index in old_way::INDEXES {
                old.batch_execute(index).unwrap_or_else(|e| panic!("{index}: {e}"));
            }
            old.batch_execute("VACUUM ANALYZE").expect("statistics");
        });
    });
    server
}

/// One connection for each of them.
struct Contenders {
    ours: Client,
    counters: Statement,
    tables: Statement,
    queries: Queries,
    /// In a database of their own, and in ours.
    old: [(Client, Statement); 2],
}

/// Milliseconds for one bundle.
#[derive(Clone, Copy)]
struct Round {
    counters: f64,
    tables: f64,
    old: [Old; 2],
}

/// One of them.
type Figure = fn(&Round) -> f64;

#[derive(Clone, Copy)]
struct Old {
    queries: f64,
    function: f64,
}

impl Contenders {
    fn new(server: &PostgresServer) -> Self {
        let mut ours = server.client();
        let mut prepare = |function: &str| {
            let sql = format!("SELECT dashboard.{function}($1::text, $2::boolean)::text");
            ours.prepare(&sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
        };
        let (counters, tables) = (prepare("bundle"), prepare("bundle_from_tables"));
        let old = [OLD, "postgres"].map(|database| {
            let mut client = server.client_of(database);
            let function = old_way::function(&mut client);
            (client, function)
        });
        Self { ours, counters, tables, queries: Queries::of_one(), old }
    }

    fn counters(&mut self, tenant: &str) -> f64 {
        ms(|include| read(&mut self.ours, &self.counters, tenant, include))
    }

    fn tables(&mut self, tenant: &str) -> f64 {
        ms(|include| read(&mut self.ours, &self.tables, tenant, include))
    }

    fn round(&mut self, tenant: &str) -> Round {
        let quick = self.tables(tenant) < SLOW_MS;
        let (mut counters, mut tables) = (Vec::new(), Vec::new());
        for n in 0..if quick { QUICK } else { 3 } {
            // Each first as often as second; and after a look through a million rows, nothing of the other's is in any
            // cache of the processor.
            for counted in [n % 2 == 0, n % 2 != 0] {
                if counted {
                    counters.push(self.counters(tenant));
                    if !quick {
                        counters.extend((0..5).map(|_| self.counters(tenant)));
                    }
                } else {
                    tables.push(self.tables(tenant));
                }
            }
        }
        let times = if quick { 5 } else { 1 };
        let queries = &self.queries;
        let old = self.old.each_mut().map(|(client, function)| Old {
            queries: median((0..times).map(|_| ms(|include| queries.ask(client, tenant, include)))),
            function: median((0..times).map(|_| {
                ms(|include| {
                    client.query_one(&*function, &[&tenant, &include]).expect("an old bundle");
                })
            })),
        });
        Round { counters: median(counters), tables: median(tables), old }
    }

    /// The largest tenant's cost by counters, over that of the one of a thousand leads.
    fn by_size(&mut self, tenants: &[Tenant]) -> f64 {
        let [mut large, mut small] = [const { Vec::new() }; 2];
        for _ in 0..QUICK {
            large.push(self.counters(&tenants[3].id));
            small.push(self.counters(&tenants[1].id));
        }
        median(large) / median(small)
    }
}

fn read(client: &mut Client, statement: &Statement, tenant: &str, include: bool) {
    let row = client.query_one(statement, &[&tenant, &include]).expect("a bundle");
    let bundle: Option<&str> = row.get(0);
    assert!(bundle.is_some(), "{tenant} has a bundle");
}

/// Milliseconds for one bundle: the mean of the two that a tenant has.
fn ms(mut bundle: impl FnMut(bool)) -> f64 {
    let began = Instant::now();
    bundle(true);
    bundle(false);
    began.elapsed().as_secs_f64() * 1e3 / 2.0
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    Sample::new(figures.into_iter().collect()).median()
}

fn report(table: &mut Table, leads: i32, rounds: Vec<Round>) {
    let of = |figure: Figure| Sample::new(rounds.iter().map(figure).collect());
    let name = match leads {
        1_000_000.. => format!("a bundle of {} M leads", leads / 1_000_000),
        1_000.. => format!("a bundle of {} k leads", leads / 1_000),
        _ => format!("a bundle of {leads} leads"),
    };
    table.note(format!("{name}: by counters, ms"), of(|round| round.counters));
    table.note(format!("{name}: from the tables, ms"), of(|round| round.tables));
    let ratio = of(|round| round.counters / round.tables);
    let what = format!("{name}: by counters / from the tables");
    if leads <= 1_000 {
        table.at_most(what, ratio.median(), &ratio, SMALL_BUDGET);
    } else {
        table.note(what, &ratio);
    }
    let ways: [(&str, Figure); 4] = [
        ("16 old queries", |round| round.old[0].queries),
        ("the old function", |round| round.old[0].function),
        ("16 old queries with our indexes", |round| round.old[1].queries),
        ("the old function with our indexes", |round| round.old[1].function),
    ];
    for (place, (way, figure)) in ways.into_iter().enumerate() {
        table.note(format!("{name}: {way}, ms"), of(figure));
        let ratio = Sample::new(rounds.iter().map(|round| figure(round) / round.counters).collect());
        let what = format!("{name}: {way} / by counters");
        if leads >= 1_000_000 && place < 2 {
            table.at_least(what, ratio.median(), &ratio, OLD_WAY_BUDGET);
        } else {
            table.note(what, &ratio);
        }
    }
}

fn report_all_together(table: &mut Table, contenders: &mut Contenders) {
    let name = "SUPERADMIN_GLOBAL";
    let counters = Sample::new((0..=QUICK).map(|_| contenders.counters(name)).collect());
    table.note(format!("a bundle of {name}: by counters, ms"), counters);
    let tables = Sample::new((0..3).map(|_| contenders.tables(name)).collect());
    table.note(format!("a bundle of {name}: from the tables, ms"), tables);
}
