//! The CRM that is measured: tenants of sizes that are asked for, with three years behind them.

use harness::{Sidecar, run_ok};
use postgres::Client;

/// One tenant: its id, and how many leads it has. The other tables follow, see [`ROWS`].
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) leads: i32,
}

impl Tenant {
    /// The `number`-th tenant, of so many leads.
    pub(crate) fn new(number: usize, leads: i32) -> Self {
        Self { id: format!("00000000-0000-4000-8000-{number:012}"), leads }
    }
}

/// Rows in the order in which time has brought them, each tenant's after the other's. What is young is mostly open and
/// what is old mostly decided; a few rows are test data, and a few lack what an import has left out.
const ROWS: &str = "
    CREATE TEMP TABLE row_of ON COMMIT DROP AS
    SELECT id AS tenant, i, leads AS of, random() AS chance, (random() * 1000)::int AS x,
           CASE WHEN random() < 0.03 THEN true WHEN random() < 0.98 THEN false END AS test,
           now() - interval '1095 days' * (1 - i::float8 / leads) AS at,
           i::float8 / leads > 0.95 AS young
    FROM asked CROSS JOIN generate_series(1, leads) AS i;

    INSERT INTO contacts (tenant_id, is_test_data, created_at, created_date)
    SELECT tenant, test, at, at FROM row_of WHERE i <= of * 0.5;
    INSERT INTO accounts (tenant_id, name, is_test_data, created_at, created_date)
    SELECT tenant, 'Account ' || x, test, at, at FROM row_of WHERE i <= of * 0.2;
    INSERT INTO leads (tenant_id, first_name, last_name, company, email, phone, status, source, is_test_data,
                       assigned_to, created_at, created_date, updated_at)
    SELECT tenant, 'First ' || x, 'Last ' || i, 'Company ' || x, 'person' || i || '@example.com', '+1 555 0' || x,
           CASE WHEN young THEN (ARRAY['new', 'new', 'new', 'contacted', 'contacted', 'qualified', 'lost'])[1 + x % 7]
                ELSE (ARRAY['lost', 'lost', 'converted', 'converted', 'new', 'contacted', 'qualified', NULL])[1 + x % 8] END,
           (ARRAY['website', 'website', 'referral', 'email', 'linkedin', 'event', 'cold_call', 'partner', '', NULL])[1 + x % 10],
           test, tenant, at, CASE WHEN chance < 0.99 THEN at END, at FROM row_of;
    INSERT INTO opportunities (tenant_id, name, stage, amount, probability, is_test_data, assigned_to, created_at,
                               created_date, updated_at)
    SELECT tenant, 'Opportunity ' || i,
           (ARRAY['prospecting', 'qualification', 'proposal', 'negotiation', 'closed_won', 'won', 'closed_lost', 'lost',
                  'closed_won', 'closed_lost', NULL])[1 + x % 11],
           CASE WHEN chance < 0.97 THEN round((chance * 90000)::numeric, 2) END, x % 100, test, tenant, at,
           CASE WHEN chance < 0.99 THEN at END, at
    FROM row_of WHERE i <= of * 0.3;
    INSERT INTO activities (tenant_id, type, subject, status, assigned_to, is_test_data, created_at, created_date)
    SELECT tenant, (ARRAY['call', 'email', 'meeting', 'task', 'note'])[1 + x % 5], 'About ' || i,
           CASE WHEN young THEN 'planned' ELSE 'completed' END, 'someone', test, at, CASE WHEN chance < 0.99 THEN at END
    FROM row_of";

/// Adds these tenants with all their rows. Statistics and indexes are the caller's affair.
pub(crate) fn load(client: &mut Client, tenants: &[Tenant]) {
    let (ids, leads): (Vec<_>, Vec<_>) = tenants.iter().map(|t| (t.id.as_str(), t.leads)).unzip();
    let mut transaction = client.transaction().expect("a transaction");
    // The same chances in each run.
    transaction.batch_execute("SELECT setseed(0.42)").expect("a seed");
    transaction
        .execute("CREATE TEMP TABLE asked (id uuid, leads integer) ON COMMIT DROP", &[])
        .expect("a temporary table");
    transaction
        .execute(
            "INSERT INTO asked SELECT id::uuid, leads FROM unnest($1::text[], $2::integer[]) AS tenants(id, leads)",
            &[&ids, &leads],
        )
        .expect("tenants");
    transaction
        .batch_execute(
            "INSERT INTO tenant (id, tenant_id, name) SELECT id, 'tenant-' || id, 'Tenant ' || id FROM asked",
        )
        .and_then(|()| transaction.batch_execute(ROWS))
        .unwrap_or_else(|e| panic!("rows: {e:?}"));
    transaction.commit().expect("rows");
}

/// Has the counters of a database enabled.
pub(crate) fn count(database_url: &str) {
    run_ok(&mut Sidecar::command(&["counters", "enable"], database_url));
}
