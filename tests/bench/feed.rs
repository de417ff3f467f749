//! From COMMIT in any client to a GET that shows it, while others write 500 rows a second.
//!
//! Of a bundle that is being looked at, by asking again and again until it shows; of one that nobody has read, by asking
//! once, when it is due.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::{Client, Postgres, Redis, Sidecar};

use crate::crm::{self, Tenant};
use crate::statistics::Sample;
use crate::table::Table;
use crate::workload::Writer;

const WRITES_A_SECOND: u32 = 500;
const WRITERS: u32 = 4;
/// Tenants that are written to. The first is the one that is looked at.
const BUSY: usize = 20;
/// Tenants that nobody has read; each is asked for once.
const UNREAD: usize = 120;
const LEADS: i32 = 275;
/// How often a row of the one that is looked at is waited for.
const PROBES: usize = 240;
/// Between them: as good as at random, so that no probe keeps step with the feed.
const PAUSE_MS: [u64; 7] = [23, 71, 37, 89, 11, 53, 67];

/// The design's budgets.
const MEDIAN_BUDGET_MS: f64 = 60.0;
const NEARLY_ALL_BUDGET_MS: f64 = 150.0;
const DELTAS_BUDGET: f64 = 2_000.0;

pub(crate) fn measure(table: &mut Table) {
    let postgres = Postgres::start();
    let tenants: Vec<Tenant> = (0..BUSY + UNREAD).map(|n| Tenant::new(n, LEADS)).collect();
    crm::load(&mut postgres.client(), &tenants);
    postgres.execute("VACUUM ANALYZE");
    crm::count(&postgres.url());
    let redis = Redis::builder().tcp().start();
    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .env("REDIS_URL", redis.tcp_url())
        .env("DASHBOARD_FEED", "on")
        .start();
    redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", sidecar.url()]);
    let tenants: Vec<String> = tenants.into_iter().map(|tenant| tenant.id).collect();
    let (busy, unread) = tenants.split_at(BUSY);
    redis.client().map(&["DASHBOARD.WARM", "FORCE"]);

    let mut prober = Prober::new(&postgres, &redis);
    let load = format!("{WRITES_A_SECOND} writes a second on {BUSY} tenants");
    let ((seen, once), most) = under_load(table, &load, &postgres, busy, || {
        let seen = prober.until_seen(&busy[0], PROBES);
        let once = prober.once(unread);
        (seen, once)
    });
    report(table, &load, &seen);
    let shown = once.iter().filter(|(shown, _)| *shown).count();
    let waited = Sample::new(once.iter().map(|(_, ms)| *ms).collect());
    table.note(
        format!("{load}: first GET of an unread tenant, {NEARLY_ALL_BUDGET_MS} ms after COMMIT: it shows"),
        format!("{shown} of {}", once.len()),
    );
    table.note(format!("{load}: that GET takes, ms: p50 / p95 / p99"), three(&waited));
    table.note(format!("{load}: most deltas of one tenant"), most);
    let lag = redis.client().info("dashboard", "dashboard_feed_lag_ms");
    table.note(format!("{load}: feed_lag_ms"), lag.unwrap_or_default());

    let load = format!("{WRITES_A_SECOND} writes a second on one tenant");
    let (seen, most) =
        under_load(table, &load, &postgres, &busy[..1], || prober.until_seen(&busy[0], PROBES));
    report(table, &load, &seen);
    table.at_most(format!("{load}: most deltas of it"), most as f64, most, DELTAS_BUDGET);
}

fn report(table: &mut Table, load: &str, seen: &Sample) {
    table.note(format!("{load}: COMMIT to GET, ms: p50 / p95 / p99"), three(seen));
    table.at_most(
        format!("{load}: COMMIT to GET, p50, ms"),
        seen.median(),
        format!("{:.1}", seen.median()),
        MEDIAN_BUDGET_MS,
    );
    let nearly_all = seen.at(0.99);
    table.at_most(
        format!("{load}: COMMIT to GET, p99, ms"),
        nearly_all,
        format!("{nearly_all:.1}"),
        NEARLY_ALL_BUDGET_MS,
    );
}

fn three(sample: &Sample) -> String {
    let [half, most, nearly_all] = [0.5, 0.95, 0.99].map(|share| sample.at(share));
    format!("{half:.1} / {most:.1} / {nearly_all:.1}")
}

/// What `work` gives while these tenants are written to, and the most deltas that any tenant had waiting.
fn under_load<T>(
    table: &mut Table,
    load: &str,
    postgres: &Postgres,
    tenants: &[String],
    work: impl FnOnce() -> T,
) -> (T, i64) {
    let (stop, most) = (AtomicBool::new(false), AtomicI64::new(0));
    let interval = Duration::from_secs(1) * WRITERS / WRITES_A_SECOND;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS as usize)
            .map(|place| {
                let mut writer = Writer::new(postgres.client(), tenants, place, WRITERS as usize);
                let stop = &stop;
                scope.spawn(move || writer.write_steadily(interval, stop))
            })
            .collect();
        scope.spawn(|| {
            let mut client = postgres.client();
            let sql = "SELECT COALESCE(max(n), 0) FROM (SELECT count(*) AS n FROM dashboard.delta
                       WHERE tenant_id IS NOT NULL GROUP BY tenant_id) AS waiting";
            let statement = client.prepare(sql).expect("deltas");
            while !stop.load(Ordering::Relaxed) {
                let waiting: i64 = client.query_one(&statement, &[]).expect("deltas").get(0);
                most.fetch_max(waiting, Ordering::Relaxed);
                sleep(Duration::from_millis(50));
            }
        });
        // What has to be planned, cached or found hot is by then.
        sleep(Duration::from_secs(2));
        most.store(0, Ordering::Relaxed);
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let (mut written, mut late) = (0, 0);
        for writer in writers {
            let (own, own_late) = writer.join().expect("a writer");
            (written, late) = (written + own, late + own_late);
        }
        table.note(format!("{load}: writes that were 100 ms late or more"), format!("{late} of {written}"));
        (done, most.load(Ordering::Relaxed))
    })
}

/// Writes a row and looks for it.
struct Prober {
    writes: postgres::Client,
    insert: postgres::Statement,
    reads: Client,
    count: usize,
}

impl Prober {
    fn new(postgres: &Postgres, redis: &Redis) -> Self {
        let mut writes = postgres.client();
        let sql = "INSERT INTO leads (tenant_id, last_name, status, source, created_date)
                   VALUES ($1::text::uuid, $2, 'new', 'website', now())";
        let insert = writes.prepare(sql).expect("a lead");
        Self { writes, insert, reads: redis.client(), count: 0 }
    }

    /// A lead whose name no other one has, committed before this returns.
    fn insert(&mut self, tenant: &str) -> (String, Instant) {
        self.count += 1;
        let name = format!("probe-{}-", self.count);
        self.writes.execute(&self.insert, &[&tenant, &name]).expect("a lead");
        (name, Instant::now())
    }

    fn shows(&mut self, tenant: &str, name: &str) -> bool {
        let bundle = self.reads.bytes(&["DASHBOARD.GET", tenant]);
        bundle.windows(name.len()).any(|bytes| bytes == name.as_bytes())
    }

    /// Milliseconds from COMMIT until a GET shows the row.
    fn until_seen(&mut self, tenant: &str, count: usize) -> Sample {
        let probes = (0..count).map(|n| {
            sleep(Duration::from_millis(PAUSE_MS[n % PAUSE_MS.len()]));
            let (name, committed) = self.insert(tenant);
            while !self.shows(tenant, &name) {
                assert!(committed.elapsed() < Duration::from_secs(30), "{tenant} never shows {name}");
                sleep(Duration::from_micros(500));
            }
            committed.elapsed().as_secs_f64() * 1e3
        });
        Sample::new(probes.collect())
    }

    /// Of each tenant, whether its only GET shows the row when it is due, and the milliseconds that this GET takes.
    fn once(&mut self, tenants: &[String]) -> Vec<(bool, f64)> {
        let due = Duration::from_secs_f64(NEARLY_ALL_BUDGET_MS / 1e3);
        let probes = tenants.iter().enumerate().map(|(n, tenant)| {
            sleep(Duration::from_millis(PAUSE_MS[n % PAUSE_MS.len()]));
            let (name, committed) = self.insert(tenant);
            sleep(due.saturating_sub(committed.elapsed()));
            let began = Instant::now();
            (self.shows(tenant, &name), began.elapsed().as_secs_f64() * 1e3)
        });
        probes.collect()
    }
}
