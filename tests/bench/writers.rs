//! What counters cost writers: transactions of single rows a second, with the triggers and without.
//!
//! Short turns in one run, with the sidecar's compactor and whoever writes on the same cores. Beside ours, the tables have
//! the indexes that such a CRM has. The server flushes each commit. A flush that costs a tenth of a millisecond is no disk's of a database: sessions with commits of 1 ms wait so
//! long before it (`commit_delay`, where others may join); those that are to keep the processors busy do not wait at all
//! (`synchronous_commit=off`).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::{PostgresServer, Redis, Sidecar};
use postgres::Client;

use crate::crm::{self, Tenant};
use crate::old_way;
use crate::statistics::Sample;
use crate::table::Table;
use crate::workload::Writer;

const TENANTS: usize = 100;
const LEADS: i32 = 500;
const ROUNDS: usize = 8;
const TURN: Duration = Duration::from_millis(1_000);
/// Of a turn, before what is measured: plans are made anew when a table's triggers have changed.
const WARM_UP: Duration = Duration::from_millis(200);

const BUSY: &str = "SET synchronous_commit = off";
const FLUSHED: &str = "SET synchronous_commit = on; SET commit_delay = 1000; SET commit_siblings = 0";
const CASES: [(usize, &str, &str); 6] = [
    (1, BUSY, "commits that do not wait"),
    (8, BUSY, "commits that do not wait"),
    (32, BUSY, "commits that do not wait"),
    (1, FLUSHED, "commits of 1 ms"),
    (8, FLUSHED, "commits of 1 ms"),
    (32, FLUSHED, "commits of 1 ms"),
];

/// The design's budget.
const BUDGET: f64 = 0.85;

pub(crate) fn measure(table: &mut Table) {
    let server = PostgresServer::with(&["fsync=on", "shared_buffers=512MB", "max_wal_size=8GB"]);
    let tenants: Vec<Tenant> = (0..TENANTS).map(|n| Tenant::new(n, LEADS)).collect();
    let mut client = server.client();
    crm::load(&mut client, &tenants);
    client.batch_execute(&old_way::INDEXES.join("; ")).expect("indexes");
    client.batch_execute("VACUUM ANALYZE").expect("statistics");
    crm::count(&server.url());
    let redis = Redis::builder().tcp().start();
    let _sidecar = Sidecar::builder()
        .database(server.url())
        .env("REDIS_URL", redis.tcp_url())
        .env("DASHBOARD_FEED", "on")
        .start();
    let triggers = Triggers::of(client);

    let tenants: Vec<String> = tenants.into_iter().map(|tenant| tenant.id).collect();
    for (connections, settings, name) in CASES {
        let writers: Vec<_> = (0..connections)
            .map(|place| {
                let mut writer = Writer::new(server.client(), &tenants, place, connections);
                writer.client().batch_execute(settings).expect("settings");
                Mutex::new(writer)
            })
            .collect();
        let mut rounds = Vec::new();
        for number in 0..=ROUNDS {
            let mut round = [0.0; 2];
            // Each first as often as second.
            for with in [number % 2 == 0, number % 2 != 0] {
                triggers.enable(with);
                round[usize::from(with)] = transactions_a_second(&writers);
            }
            if number > 0 {
                rounds.push(round);
            }
        }
        let name = format!("{connections} writers, {name}");
        let of = |figure: fn(&[f64; 2]) -> f64| Sample::new(rounds.iter().map(figure).collect());
        table.note(format!("{name}: transactions a second without counters"), of(|round| round[0]));
        let ratio = of(|round| round[1] / round[0]);
        table.at_least(format!("{name}: with counters / without"), ratio.median(), &ratio, BUDGET);
    }
}

fn transactions_a_second(writers: &[Mutex<Writer>]) -> f64 {
    let began = Instant::now() + WARM_UP;
    let end = began + TURN;
    std::thread::scope(|scope| {
        let counts: Vec<_> = writers
            .iter()
            .map(|writer| {
                scope.spawn(move || {
                    let mut writer = writer.lock().expect("nobody has panicked");
                    let mut count = 0;
                    while Instant::now() < end {
                        writer.write();
                        count += u32::from(Instant::now() >= began);
                    }
                    count
                })
            })
            .collect();
        let count: u32 = counts.into_iter().map(|count| count.join().expect("a writer")).sum();
        f64::from(count) / (Instant::now() - began).as_secs_f64()
    })
}

/// Switches the counters' triggers off and on.
struct Triggers {
    client: Mutex<Client>,
    names: Vec<String>,
}

impl Triggers {
    fn of(mut client: Client) -> Self {
        let sql = "SELECT format('ALTER TABLE %s %%s TRIGGER %I', tgrelid::regclass, tgname) FROM pg_trigger
                   WHERE tgname LIKE 'dashboard\\_count\\_%'";
        let rows = client.query(sql, &[]).expect("triggers");
        assert!(!rows.is_empty(), "counters are enabled");
        Self { client: Mutex::new(client), names: rows.iter().map(|row| row.get(0)).collect() }
    }

    fn enable(&self, on: bool) {
        let verb = if on { "ENABLE ALWAYS" } else { "DISABLE" };
        let all: Vec<_> = self.names.iter().map(|name| name.replace("%s", verb)).collect();
        let mut client = self.client.lock().expect("nobody has panicked");
        client.batch_execute(&all.join("; ")).expect("triggers are switched");
    }
}
