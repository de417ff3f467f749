//! The rows, the truth about them, and what the database knows of the feed.

use std::process::Output;

use harness::{Sidecar, run, run_ok};
use postgres::NoTls;
use serde_json::Value as Json;

pub(super) const TENANTS: usize = 5;
/// Each has a lead of its own in every tenant.
pub(super) const WRITERS: usize = 4;
pub(super) const ALL: &str = "SUPERADMIN_GLOBAL";

/// Locks the row of whoever merges.
pub(super) const KEEP_FROM_MERGING: &str = "SELECT FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE";

pub(super) fn name(tenant: usize) -> String {
    format!("00000000-0000-4000-8000-{tenant:012}")
}

/// The id of a writer's lead in a tenant.
pub(super) fn lead(writer: usize, tenant: usize) -> String {
    format!("00000000-0000-4000-9000-{writer:06}{tenant:06}")
}

/// Half of the writers write test data.
pub(super) fn is_test(writer: usize) -> bool {
    writer % 2 == 1
}

/// Of all tenants, and of all together.
pub(super) fn every_bundle() -> impl Iterator<Item = (String, bool)> {
    (0..TENANTS).map(name).chain([ALL.to_owned()]).flat_map(|name| [(name.clone(), true), (name, false)])
}

/// A CRM whose changes are recorded.
pub(super) struct Crm {
    pub(super) url: String,
}

impl Crm {
    /// Fills an empty one, and enables the counters.
    pub(super) fn create(url: &str) -> Self {
        let crm = Self { url: url.to_owned() };
        for tenant in 0..TENANTS {
            crm.execute(&format!(
                "INSERT INTO tenant (id, tenant_id, name) VALUES ('{0}', 'tenant-{tenant}', 'Tenant {tenant}');
                 INSERT INTO contacts (tenant_id, is_test_data) SELECT '{0}', n % 2 = 0 FROM generate_series(1, 20) AS n;
                 INSERT INTO opportunities (tenant_id, name, stage, amount, is_test_data)
                 SELECT '{0}', 'deal ' || n, 'proposal', n, n % 2 = 0 FROM generate_series(1, 10) AS n",
                name(tenant)
            ));
            for writer in 0..WRITERS {
                crm.execute(&format!(
                    "INSERT INTO leads (id, tenant_id, first_name, is_test_data, created_date)
                     VALUES ('{}', '{}', 'nobody', {}, now())",
                    lead(writer, tenant),
                    name(tenant),
                    is_test(writer)
                ));
            }
        }
        crm.counters("enable");
        crm
    }

    /// A new connection.
    pub(super) fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.url, NoTls).unwrap()
    }

    /// Runs one or more statements.
    pub(super) fn execute(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The one value that a statement returns.
    pub(super) fn value<T: postgres::types::FromSqlOwned>(&self, sql: &str) -> T {
        self.client().query_one(sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    }

    /// Gives a writer's lead in a tenant this name: a change that moves no counter.
    pub(super) fn rename(&self, writer: usize, tenant: usize, to: &str) {
        self.execute(&renaming(writer, tenant, to));
    }

    /// `dashboard-sidecar counters …`, which must succeed.
    pub(super) fn counters(&self, what: &str) -> String {
        run_ok(&mut Sidecar::command(&["counters", what], &self.url))
    }

    /// `dashboard-sidecar feed status`.
    pub(super) fn status(&self) -> Output {
        run(&mut Sidecar::command(&["feed", "status"], &self.url))
    }

    /// Likewise: what it says, and whether changes are followed.
    pub(super) fn says(&self) -> (String, bool) {
        let output = self.status();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    }

    /// What a bundle must show.
    pub(super) fn truth(&self, tenant: &str, include: bool) -> Json {
        let sql = format!("SELECT dashboard.bundle_from_tables('{tenant}', {include})::text");
        serde_json::from_str(&self.value::<String>(&sql)).unwrap()
    }

    /// Somebody follows, and nothing from before can be missing.
    pub(super) fn is_followed(&self) -> bool {
        self.value(
            "SELECT heartbeat_at IS NOT NULL AND redis IS NOT NULL AND gap IS NULL FROM dashboard.feed",
        )
    }

    /// Nothing is left to be announced.
    pub(super) fn is_all_announced(&self) -> bool {
        self.value(
            "SELECT gap IS NULL AND NOT EXISTS (SELECT FROM dashboard.pending)
                AND NOT EXISTS (SELECT FROM dashboard.delta WHERE kind <> 'H') FROM dashboard.feed",
        )
    }

    /// Nothing is left to be merged.
    pub(super) fn is_merged(&self) -> bool {
        self.value("SELECT NOT EXISTS (SELECT FROM dashboard.delta WHERE kind <> 'H')")
    }

    /// Whether a tenant waits for Redis to acknowledge that it has changed.
    pub(super) fn is_pending(&self, tenant: usize) -> bool {
        self.value(&format!("SELECT EXISTS (SELECT FROM dashboard.pending WHERE owner = '{}')", name(tenant)))
    }

    /// Who holds the lease.
    pub(super) fn holder(&self) -> Option<String> {
        self.value(
            "SELECT (SELECT owner FROM dashboard.lease WHERE name = 'feed' AND expires_at > clock_timestamp())",
        )
    }
}

/// The statement of [`Crm::rename`].
pub(super) fn renaming(writer: usize, tenant: usize, to: &str) -> String {
    format!("UPDATE leads SET first_name = '{to}' WHERE id = '{}'", lead(writer, tenant))
}
