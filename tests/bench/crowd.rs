//! Two thousand small tenants, as most are, and how all of them are computed or warmed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use harness::{Client, Postgres, Redis, Sidecar};

/// How many there are.
pub(crate) const TENANTS: usize = 2_000;
/// Connections to Postgres of whoever computes all of them: as many as there are cores.
pub(crate) const CONNECTIONS: usize = 2;
/// Tenants in one set-wise statement, as in warming.
pub(crate) const SET: usize = 64;

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

/// A database of theirs.
pub(crate) fn load() -> Postgres {
    let postgres = Postgres::start();
    postgres.execute(ROWS);
    postgres.execute("VACUUM ANALYZE");
    postgres
}

/// What warms them: it is told when, and nobody else computes meanwhile.
pub(crate) fn servers(postgres: &Postgres) -> (Sidecar, Redis) {
    let connections = CONNECTIONS.to_string();
    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .env("DASHBOARD_WARM_POOL", connections.as_str())
        .env("DASHBOARD_SCHEDULER", "off")
        .start();
    let redis = Redis::builder()
        .tcp()
        .setting("sidecar", sidecar.url())
        .setting("warm-concurrency", connections)
        .start();
    (sidecar, redis)
}

/// Whose bundles are warmed. What takes longest comes first, as in warming.
pub(crate) fn tenants(postgres: &Postgres) -> Vec<String> {
    let rows = postgres.client().query("SELECT id::text FROM tenant ORDER BY id", &[]).expect("tenants");
    let all_together = "SUPERADMIN_GLOBAL".to_owned();
    std::iter::once(all_together).chain(rows.iter().map(|row| row.get(0))).collect()
}

/// Warms everything through Redis and the sidecar: bundles a second.
pub(crate) fn warm(client: &mut Client) -> f64 {
    let began = Instant::now();
    let report = client.map(&["DASHBOARD.WARM", "FORCE"]);
    let elapsed = began.elapsed();
    let warmed = report.iter().find(|(name, _)| name == "warmed").map(|(_, count)| harness::text(count));
    assert_eq!(warmed.as_deref(), Some((TENANTS + 1).to_string().as_str()), "all are warmed: {report:?}");
    ((TENANTS + 1) * 2) as f64 / elapsed.as_secs_f64()
}

/// All connections at once, each taking the next `size` tenants: bundles a second.
pub(crate) fn together<C: Send>(
    connections: &[Mutex<C>],
    tenants: &[String],
    size: usize,
    work: impl Fn(&mut C, &[String]) + Sync,
) -> f64 {
    let (next, count) = (AtomicUsize::new(0), tenants.len());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for connection in connections {
            scope.spawn(|| {
                let mut connection = connection.lock().expect("nobody has panicked");
                loop {
                    let at = next.fetch_add(size, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    work(&mut connection, &tenants[at..count.min(at + size)]);
                }
            });
        }
    });
    (count * 2) as f64 / began.elapsed().as_secs_f64()
}
