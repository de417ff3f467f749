//! How a version gets into the CRM, and how it is read out of a bundle.
//!
//! A tenant's version stands twice, in tables of their own, so that a torn bundle shows: as the amount of a
//! won opportunity, and as the first name of a lead. A second won opportunity, of [`TEST_VALUE`], is test data: it
//! tells the include flags apart. The number of contacts tells the tenants apart.

use harness::{PostgresServer, fields, text};
use redis::Value;
use serde_json::Value as Json;

use super::record::Seen;

pub(super) const TENANTS: usize = 6;

/// More than any version.
const TEST_VALUE: u64 = 1_000_000_000;

pub(super) fn name(tenant: usize) -> String {
    format!("00000000-0000-4000-8000-{tenant:012}")
}

/// A bundle takes up to so long after its snapshot, as on a busy server: time for a commit and a clear.
const SLOW: &str = "
    ALTER FUNCTION dashboard.bundle(text, boolean) RENAME TO bundle_at_once;
    CREATE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json
    LANGUAGE plpgsql STABLE AS $$
    DECLARE bundle json := dashboard.bundle_at_once(tenant, include_test_data);
    BEGIN
        PERFORM pg_sleep(random() * random() * 0.04);
        RETURN bundle;
    END $$";

/// Creates all tenants, at version 0.
pub(super) fn create(postgres: &PostgresServer) {
    let mut client = postgres.client();
    client.batch_execute(SLOW).expect("the function is replaced");
    for tenant in 0..TENANTS {
        let contacts = i64::try_from(contacts(tenant)).expect("they are few");
        client
            .batch_execute(&format!(
                "INSERT INTO tenant (id, tenant_id, name) VALUES ('{0}', 'tenant-{tenant}', 'Tenant {tenant}');
                 INSERT INTO contacts (tenant_id) SELECT '{0}' FROM generate_series(1, {contacts});
                 INSERT INTO leads (tenant_id, first_name) VALUES ('{0}', '0');
                 INSERT INTO opportunities (tenant_id, name, stage, amount, is_test_data)
                 VALUES ('{0}', 'real', 'won', 0, false), ('{0}', 'test', 'won', {TEST_VALUE}, true)",
                name(tenant)
            ))
            .expect("the tenants are created");
    }
}

/// Writes a version, in one transaction.
pub(super) fn commit(
    client: &mut postgres::Client,
    tenant: usize,
    version: u64,
) -> Result<(), postgres::Error> {
    let (tenant, version) = (name(tenant), version.to_string());
    let mut transaction = client.transaction()?;
    transaction.execute(
        "UPDATE opportunities SET amount = $2::text::numeric WHERE tenant_id = $1::text::uuid AND name = 'real'",
        &[&tenant, &version],
    )?;
    transaction
        .execute("UPDATE leads SET first_name = $2 WHERE tenant_id = $1::text::uuid", &[&tenant, &version])?;
    transaction.commit()
}

fn contacts(tenant: usize) -> u64 {
    tenant as u64 + 1
}

/// Reads the reply to a GET … WITHMETA; `Err` if it is no such reply.
pub(super) fn read(reply: Value, tenant: usize, include: bool) -> Result<Seen, String> {
    let shown = format!("{reply:?}");
    let reply = fields(reply).ok_or_else(|| shown.clone())?;
    let names: Vec<_> = reply.iter().map(|(name, _)| name.as_str()).collect();
    if names != ["status", "age_ms", "ttl_ms", "etag", "bundle", "behind_ms"] {
        return Err(shown);
    }
    let field = |at: usize| text(&reply[at].1);
    let bundle: Json = serde_json::from_str(&field(4)).map_err(|e| format!("{e}: {}", field(4)))?;
    let (version, flaw) = match judge(&bundle, tenant, include, &field(3)) {
        Ok(version) => (version, None),
        Err(flaw) => (0, Some(format!("{flaw} in {bundle}"))),
    };
    Ok(Seen { status: field(0), age_ms: field(1).parse().map_err(|_| shown)?, version, flaw })
}

/// The version in a bundle; `Err` if it is not one bundle of this tenant and include flag.
fn judge(bundle: &Json, tenant: usize, include: bool, etag: &str) -> Result<u64, String> {
    let (meta, stats) = (&bundle["meta"], &bundle["stats"]);
    if meta["tenant_id"] != name(tenant) || meta["include_test_data"] != include || meta["etag"] != etag {
        return Err(format!("another meta than that of tenant {tenant}, include {include}, etag {etag}"));
    }
    if stats["totalContacts"] != contacts(tenant) {
        return Err(format!("another number of contacts than tenant {tenant}'s"));
    }
    let test_value = if include { TEST_VALUE } else { 0 };
    let value = stats["wonValue"].as_u64().ok_or("no won value")?;
    let version = value.checked_sub(test_value).filter(|version| *version < TEST_VALUE);
    let version = version.ok_or_else(|| format!("the won value of the other include flag than {include}"))?;
    if bundle["lists"]["recentLeads"][0]["first_name"].as_str() != Some(&version.to_string()) {
        return Err(format!("two snapshots: another version than {version} in the list of leads"));
    }
    Ok(version)
}
