//! How bundles were computed before: sixteen questions, each its own round trip, or one function that asks most of
//! them in turn.

use postgres::types::{ToSql, Type};
use postgres::{Client, Statement};

/// What a bundle was put together from. `@` is the scope.
const QUERIES: [&str; 16] = [
    "SELECT count(*) FROM contacts WHERE @",
    "SELECT count(*) FROM accounts WHERE @",
    "SELECT count(*) FROM leads WHERE @",
    "SELECT count(*) FROM opportunities WHERE @",
    "SELECT count(*) FROM leads WHERE @ AND status NOT IN ('converted', 'lost')",
    "SELECT count(*) FROM opportunities WHERE @ AND stage IN ('won', 'closed_won')",
    "SELECT count(*) FROM opportunities WHERE @ AND stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost')",
    "SELECT count(*) FROM leads WHERE @ AND created_date >= now() - interval '30 days' AND status NOT IN ('converted', 'lost')",
    "SELECT count(*) FROM activities WHERE @ AND created_date >= now() - interval '30 days'",
    "SELECT sum(amount) FROM opportunities WHERE @ AND stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost')",
    "SELECT sum(amount) FROM opportunities WHERE @ AND stage IN ('won', 'closed_won')",
    "SELECT coalesce(nullif(source, ''), 'other'), count(*) FROM leads WHERE @ GROUP BY 1",
    "SELECT stage, count(*), sum(amount) FROM opportunities WHERE @ GROUP BY 1",
    "SELECT id, type, subject, status, created_at, created_date, assigned_to FROM activities WHERE @
     ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 10",
    "SELECT id, first_name, last_name, company, email, phone, created_date, created_at, status, source, is_test_data,
            assigned_to FROM leads WHERE @ ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 50",
    "SELECT id, name, amount, stage, probability, updated_at, is_test_data, assigned_to FROM opportunities WHERE @
     ORDER BY updated_at DESC NULLS LAST, id DESC LIMIT 50",
];

const SCOPE: &str = "tenant_id = $1::text::uuid AND ($2 OR COALESCE(is_test_data, false) = false)";
/// The same for all tenants together, whose name is not looked at.
const SCOPE_OF_ALL: &str = "$1::text IS NOT NULL AND ($2 OR COALESCE(is_test_data, false) = false)";

/// One function with fewer figures and shorter lists, as it is written when each figure is looked at by itself: no
/// leads by source, no funnel, no won value.
const FUNCTION: &str = "
    CREATE FUNCTION dashboard_of(t uuid, with_test boolean) RETURNS json LANGUAGE plpgsql STABLE AS $$
    DECLARE
        since CONSTANT timestamptz := now() - interval '30 days';
    BEGIN
        RETURN json_build_object(
            'stats', json_build_object(
                'totalContacts', (SELECT count(*) FROM contacts WHERE @),
                'totalAccounts', (SELECT count(*) FROM accounts WHERE @),
                'totalLeads', (SELECT count(*) FROM leads WHERE @),
                'totalOpportunities', (SELECT count(*) FROM opportunities WHERE @),
                'openLeads', (SELECT count(*) FROM leads WHERE @ AND status NOT IN ('converted', 'lost')),
                'wonOpportunities', (SELECT count(*) FROM opportunities WHERE @ AND stage IN ('won', 'closed_won')),
                'openOpportunities', (SELECT count(*) FROM opportunities
                    WHERE @ AND stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost')),
                'newLeadsLast30Days', (SELECT count(*) FROM leads
                    WHERE @ AND created_date >= since AND status NOT IN ('converted', 'lost')),
                'activitiesLast30Days', (SELECT count(*) FROM activities WHERE @ AND created_date >= since),
                'pipelineValue', (SELECT COALESCE(sum(amount), 0) FROM opportunities
                    WHERE @ AND stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost'))),
            'recentActivities', (SELECT json_agg(a) FROM (
                SELECT id, type, subject, status, created_at, assigned_to FROM activities WHERE @
                ORDER BY created_at DESC NULLS LAST LIMIT 10) AS a),
            'recentLeads', (SELECT json_agg(l) FROM (
                SELECT id, first_name, last_name, company, email, status, source, created_at FROM leads WHERE @
                ORDER BY created_at DESC NULLS LAST LIMIT 5) AS l),
            'recentOpportunities', (SELECT json_agg(o) FROM (
                SELECT id, name, amount, stage, probability, updated_at FROM opportunities WHERE @
                ORDER BY updated_at DESC NULLS LAST LIMIT 5) AS o));
    END
    $$";
const SCOPE_OF_FUNCTION: &str = "tenant_id = t AND (with_test OR COALESCE(is_test_data, false) = false)";

/// The indexes that such a CRM has.
pub(crate) const INDEXES: [&str; 10] = [
    "CREATE INDEX ON contacts (tenant_id)",
    "CREATE INDEX ON accounts (tenant_id)",
    "CREATE INDEX ON leads (tenant_id)",
    "CREATE INDEX ON leads (tenant_id, created_date)",
    "CREATE INDEX ON leads (tenant_id, status)",
    "CREATE INDEX ON opportunities (tenant_id)",
    "CREATE INDEX ON opportunities (tenant_id, created_date)",
    "CREATE INDEX ON opportunities (tenant_id, stage)",
    "CREATE INDEX ON activities (tenant_id)",
    "CREATE INDEX ON activities (tenant_id, created_date)",
];

/// The sixteen questions, of one tenant or of all together.
pub(crate) struct Queries([String; QUERIES.len()]);

impl Queries {
    pub(crate) fn of_one() -> Self {
        Self(QUERIES.map(|sql| sql.replace('@', SCOPE)))
    }

    pub(crate) fn of_all() -> Self {
        Self(QUERIES.map(|sql| sql.replace('@', SCOPE_OF_ALL)))
    }

    /// As drivers do it unless told otherwise: each question is one round trip, and planned when it is asked.
    pub(crate) fn ask(&self, client: &mut Client, tenant: &str, include_test_data: bool) {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&tenant, Type::TEXT), (&include_test_data, Type::BOOL)];
        for sql in &self.0 {
            client.query_typed(sql, &parameters).expect("an old query");
        }
    }
}

/// Creates the function, and prepares asking it: for a tenant, and whether test data counts.
pub(crate) fn function(client: &mut Client) -> Statement {
    client.batch_execute(&FUNCTION.replace('@', SCOPE_OF_FUNCTION)).expect("the old function");
    client.prepare("SELECT dashboard_of($1::text::uuid, $2::boolean)::text").expect("the old function")
}
