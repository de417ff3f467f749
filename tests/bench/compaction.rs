//! What merging deltas costs, and what those cost that wait for it.

use std::time::Instant;

use harness::Postgres;
use postgres::{Client, Statement};

use crate::crm::{self, Tenant};
use crate::statistics::Sample;
use crate::table::Table;

const TENANTS: usize = 1_000;
const LEADS: i32 = 100;
/// How many deltas wait, and how often that is measured.
const WAITING: [(i32, usize); 3] = [(1_000, 7), (10_000, 5), (100_000, 1)];
const BUNDLES: usize = 20;

pub(crate) fn measure(table: &mut Table) {
    let postgres = Postgres::start();
    let tenants: Vec<Tenant> = (0..TENANTS).map(|n| Tenant::new(n, LEADS)).collect();
    let mut client = postgres.client();
    crm::load(&mut client, &tenants);
    client.batch_execute("VACUUM ANALYZE").expect("statistics");
    crm::count(&postgres.url());
    // Nobody compacts but who is measured.
    let mut bench = Bench::new(client);

    let owner = &tenants[0].id;
    bench.compact(i32::MAX);
    table.note("a bundle with no deltas waiting, ms", bench.bundle(owner));
    for (count, times) in WAITING {
        let [mut of_one, mut of_many, mut bundles, mut after] = [const { Vec::new() }; 4];
        for _ in 0..times {
            bench.write(count, 1);
            bundles.push(bench.bundle(owner).median());
            of_one.push(bench.compact(count));
            after.push(bench.bundle(owner).median());
            bench.write(count, TENANTS);
            of_many.push(bench.compact(count));
        }
        table.note(format!("a bundle with {count} deltas waiting, ms"), Sample::new(bundles));
        table.note(format!("a bundle right after {count} were merged, ms"), Sample::new(after));
        table.note(format!("merging {count} deltas of one tenant, ms"), Sample::new(of_one));
        table.note(format!("merging {count} deltas of {TENANTS} tenants, ms"), Sample::new(of_many));
    }
}

struct Bench {
    client: Client,
    bundle: Statement,
    compact: Statement,
}

impl Bench {
    fn new(mut client: Client) -> Self {
        let mut prepare = |sql: &str| client.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let bundle = prepare("SELECT dashboard.bundle($1::text, true)::text");
        let compact = prepare("SELECT * FROM dashboard.compact($1::integer)");
        Self { client, bundle, compact }
    }

    /// So many single rows, of the first so many tenants in turn.
    fn write(&mut self, count: i32, tenants: usize) {
        let sql = format!(
            "DO $$ BEGIN FOR n IN 1..{count} LOOP
                INSERT INTO leads (tenant_id, last_name, status, source, created_date)
                VALUES (('00000000-0000-4000-8000-' || lpad((n % {tenants})::text, 12, '0'))::uuid, 'Last ' || n,
                        (ARRAY['new', 'lost', 'contacted'])[1 + n % 3], (ARRAY['website', 'event', NULL])[1 + n % 3],
                        now() - n % 20 * interval '1 day');
             END LOOP; END $$"
        );
        self.client.batch_execute(&sql).expect("leads");
    }

    /// Milliseconds of a call that merges at most so many.
    fn compact(&mut self, most: i32) -> f64 {
        let began = Instant::now();
        self.client.query(&self.compact, &[&most]).expect("merging");
        began.elapsed().as_secs_f64() * 1e3
    }

    fn bundle(&mut self, tenant: &str) -> Sample {
        let bundles = (0..BUNDLES).map(|_| {
            let began = Instant::now();
            self.client.query_one(&self.bundle, &[&tenant]).expect("a bundle");
            began.elapsed().as_secs_f64() * 1e3
        });
        Sample::new(bundles.collect())
    }
}
