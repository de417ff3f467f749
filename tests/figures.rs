//! Every figure against separate, naive SELECTs over nasty data, through the real sidecar.

use std::sync::atomic::{AtomicU32, Ordering};

use harness::{Postgres, Sidecar, run, run_ok};
use postgres::Client;

pub(crate) const ONE: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const OTHER: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const EMPTY: &str = "33333333-3333-4333-8333-333333333333";

/// NULLs and ties wherever they can be, every spelling of every stage, exact amounts of all sizes and
/// NaN, infinite and future dates, test data true, false and NULL, rows without a tenant and of an unknown one.
pub(crate) const NASTY: &str = r#"
SELECT setseed(0.42);
INSERT INTO tenant (id, tenant_id, name, status) VALUES
    ('11111111-1111-4111-8111-111111111111', 'one', 'One', 'active'),
    ('22222222-2222-4222-8222-222222222222', 'other', 'Other', NULL),
    ('33333333-3333-4333-8333-333333333333', 'empty', 'Empty', 'suspended');

CREATE FUNCTION pg_temp.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
    'SELECT choices[1 + floor(random() * cardinality(choices))::int]';
CREATE FUNCTION pg_temp.tenant() RETURNS uuid LANGUAGE sql VOLATILE AS
    $$SELECT pg_temp.pick('11111111-1111-4111-8111-111111111111', '11111111-1111-4111-8111-111111111111',
                          '22222222-2222-4222-8222-222222222222', '44444444-4444-4444-8444-444444444444')::uuid$$;
CREATE FUNCTION pg_temp.moment() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    $$SELECT CASE floor(random() * 9)
        WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN now() + interval '1 year'
        WHEN 4 THEN now() - interval '30 days 10 minutes' WHEN 5 THEN now() - interval '29 days 23 hours'
        WHEN 6 THEN '2024-02-29 23:59:59.999999+14'
        ELSE date_trunc('hour', now() - random() * interval '60 days') END$$;
CREATE FUNCTION pg_temp.test() RETURNS boolean LANGUAGE sql VOLATILE AS
    'SELECT pg_temp.pick(NULL, ''true'', ''false'', ''false'')::boolean';

INSERT INTO contacts (tenant_id, is_test_data, created_at)
    SELECT CASE WHEN random() < 0.9 THEN pg_temp.tenant() END, pg_temp.test(), pg_temp.moment()
    FROM generate_series(1, 300);
INSERT INTO accounts (tenant_id, name, is_test_data)
    SELECT CASE WHEN random() < 0.9 THEN pg_temp.tenant() END, 'Account', pg_temp.test()
    FROM generate_series(1, 300);
INSERT INTO leads (tenant_id, first_name, last_name, company, email, status, source, is_test_data, created_at,
                   created_date)
    SELECT pg_temp.tenant(), pg_temp.pick(NULL, '', 'Zoë "Q" \ O''Hara', E'new\nline\ttab'), 'Ünïcödé 🦀',
           pg_temp.pick(NULL, 'ACME'), NULL,
           pg_temp.pick(NULL, 'new', 'converted', 'lost', 'Lost', '', 'qualified'),
           pg_temp.pick(NULL, '', 'website', 'other', 'referral', ' ', 'a "quoted" one', 'ä'),
           pg_temp.test(), pg_temp.moment(), pg_temp.moment()
    FROM generate_series(1, 600);
INSERT INTO opportunities (tenant_id, name, stage, amount, probability, is_test_data, updated_at)
    SELECT CASE WHEN random() < 0.9 THEN pg_temp.tenant() END, 'Deal',
           pg_temp.pick(NULL, 'prospecting', 'qualification', 'proposal', 'negotiation', 'won', 'closed_won',
                        'closedwon', 'lost', 'closed_lost', 'closedlost', 'WON', '', 'on hold'),
           pg_temp.pick(NULL, '0', '0.01', '0.10', '-5.55', '9999999999999.99', '1234567.89', 'NaN')::numeric,
           NULL, pg_temp.test(), pg_temp.moment()
    FROM generate_series(1, 900);
INSERT INTO activities (tenant_id, type, subject, assigned_to, is_test_data, created_at, created_date)
    SELECT CASE WHEN random() < 0.9 THEN pg_temp.tenant() END, 'call', pg_temp.pick(NULL, 'Subject'),
           pg_temp.pick(NULL, 'somebody', gen_random_uuid()::text), pg_temp.test(), pg_temp.moment(), pg_temp.moment()
    FROM generate_series(1, 300);
"#;

/// Where each number stands in the bundle, and the SELECT that gives it; `@` is the condition on the rows.
const NUMBERS: &[(&str, &str)] = &[
    ("stats,totalContacts", "count(*) FROM contacts WHERE @"),
    ("stats,totalAccounts", "count(*) FROM accounts WHERE @"),
    ("stats,totalLeads", "count(*) FROM leads WHERE @"),
    ("stats,totalOpportunities", "count(*) FROM opportunities WHERE @"),
    ("stats,openLeads", "count(*) FROM leads WHERE @ AND status NOT IN ('converted','lost')"),
    ("stats,wonOpportunities", "count(*) FROM opportunities WHERE @ AND stage IN ('won','closed_won')"),
    (
        "stats,wonValue",
        "coalesce(sum(CASE WHEN amount NOT IN ('NaN','Infinity','-Infinity') THEN amount END),0) FROM opportunities WHERE @ AND stage IN ('won','closed_won')",
    ),
    (
        "stats,openOpportunities",
        "count(*) FROM opportunities WHERE @ AND stage NOT IN ('won','closed_won','lost','closed_lost')",
    ),
    (
        "stats,pipelineValue",
        "coalesce(sum(CASE WHEN amount NOT IN ('NaN','Infinity','-Infinity') THEN amount END),0) FROM opportunities WHERE @ AND stage NOT IN ('won','closed_won','lost','closed_lost')",
    ),
    (
        "stats,newLeadsLast30Days",
        "count(*) FROM leads WHERE @ AND created_date >= now() - interval '30 days' AND status NOT IN ('converted','lost')",
    ),
    (
        "stats,activitiesLast30Days",
        "count(*) FROM activities WHERE @ AND created_date >= now() - interval '30 days'",
    ),
];

/// Likewise for everything that is not one number.
const STRUCTURES: &[(&str, &str)] = &[
    (
        "stats,leadsBySource",
        "SELECT coalesce(jsonb_object_agg(source, n), '{}') FROM (SELECT CASE WHEN source IS NULL OR source = '' \
         THEN 'other' ELSE source END AS source, count(*) AS n FROM leads WHERE @ GROUP BY 1) x",
    ),
    (
        "lists,recentActivities",
        "SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (SELECT id, type, subject, status, created_at, \
         created_date, assigned_to FROM activities WHERE @ ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 10) x",
    ),
    (
        "lists,recentLeads",
        "SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (SELECT id, first_name, last_name, company, email, phone, \
         created_date, created_at, status, source, is_test_data, assigned_to FROM leads WHERE @ \
         ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 50) x",
    ),
    (
        "lists,recentOpportunities",
        "SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (SELECT id, name, CASE WHEN amount NOT IN ('NaN','Infinity','-Infinity') THEN amount END AS amount, stage, probability, updated_at, \
         is_test_data, assigned_to FROM opportunities WHERE @ ORDER BY updated_at DESC NULLS LAST, id DESC LIMIT 50) x",
    ),
];

const FUNNEL: &[(&str, &str)] = &[
    ("prospecting", "'prospecting'"),
    ("qualification", "'qualification'"),
    ("proposal", "'proposal'"),
    ("negotiation", "'negotiation'"),
    ("closed_won", "'closed_won','won','closedwon'"),
    ("closed_lost", "'closed_lost','lost','closedlost'"),
];

/// Postgres compares, so that decimals stay exact.
pub(crate) fn assert_every_figure(client: &mut Client, bundle: &str, tenant: &str, include: bool) {
    let whose = if tenant == "SUPERADMIN_GLOBAL" { "true".into() } else { format!("tenant_id = '{tenant}'") };
    let which = if include { "true" } else { "COALESCE(is_test_data, false) = false" };
    let rows = format!("({whose} AND {which})");
    let mut numbers: Vec<(String, String)> =
        NUMBERS.iter().map(|(path, sql)| ((*path).to_owned(), (*sql).to_owned())).collect();
    for (step, stages) in FUNNEL {
        let of = format!("FROM opportunities WHERE @ AND stage IN ({stages})");
        numbers.push((format!("funnel,{step},count"), format!("count(*) {of}")));
        numbers.push((
            format!("funnel,{step},value"),
            format!(
                "coalesce(sum(CASE WHEN amount NOT IN ('NaN','Infinity','-Infinity') THEN amount END),0) {of}"
            ),
        ));
    }
    let numbers = numbers.iter().map(|(path, sql)| {
        (path.clone(), format!("(SELECT to_jsonb({})", sql.replacen(" FROM", ") FROM", 1)))
    });
    let structures = STRUCTURES.iter().map(|(path, sql)| ((*path).to_owned(), format!("({sql})")));

    for (path, naive) in numbers.chain(structures) {
        let naive = naive.replace('@', &rows);
        let sql = format!(
            "SELECT x.got = x.expected, x.got::text, x.expected::text \
             FROM (SELECT $1::text::jsonb #> '{{{path}}}' AS got, {naive} AS expected) x"
        );
        let row = client.query_one(&sql, &[&bundle]).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let (same, got, expected) =
            (row.get::<_, Option<bool>>(0), row.get::<_, Option<String>>(1), row.get::<_, Option<String>>(2));
        assert_eq!(same, Some(true), "{tenant} include={include}: {path} is {got:?}, not {expected:?}");
    }
}

pub(crate) fn bundle(sidecar: &Sidecar, tenant: &str, include: bool) -> String {
    let response =
        sidecar.internal().get(&format!("/internal/v1/bundle?tenant={tenant}&include_test_data={include}"));
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

#[test]
fn every_figure_and_list_is_what_separate_selects_say() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    let sidecar = Sidecar::on(&postgres.url());
    let mut client = postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    for tenant in [ONE, OTHER, EMPTY, "SUPERADMIN_GLOBAL"] {
        for include in [true, false] {
            assert_every_figure(&mut client, &bundle(&sidecar, tenant, include), tenant, include);
        }
    }
}

#[test]
fn many_bundles_at_once_are_the_same_as_one_by_one() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    let sidecar = Sidecar::on(&postgres.url());
    let mut client = postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    let wanted: Vec<_> = [ONE, OTHER, EMPTY, "SUPERADMIN_GLOBAL"]
        .iter()
        .flat_map(|tenant| {
            [true, false]
                .map(|include| serde_json::json!({"tenant_id": tenant, "include_test_data": include}))
        })
        .collect();
    let response = sidecar
        .internal()
        .post("/internal/v1/bundles", &serde_json::json!({ "bundles": wanted }).to_string());
    let text = response.text();
    assert_eq!(text.lines().count(), 8 + 1, "and what they have cost");
    for line in text.lines().take(8) {
        let meta = &serde_json::from_str::<serde_json::Value>(line).unwrap()["meta"];
        let (tenant, include) =
            (meta["tenant_id"].as_str().unwrap(), meta["include_test_data"].as_bool().unwrap());
        assert_every_figure(&mut client, line, tenant, include);
    }
}

#[test]
fn the_comparison_itself_notices_a_wrong_figure() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    let sidecar = Sidecar::on(&postgres.url());
    let before = bundle(&sidecar, ONE, true);
    for change in [
        "UPDATE opportunities SET amount = amount + 0.01 WHERE id = (SELECT id FROM opportunities WHERE amount = 0.01 \
         AND stage = 'won' AND tenant_id = '11111111-1111-4111-8111-111111111111' LIMIT 1)",
        "UPDATE leads SET source = 'elsewhere' WHERE id = (SELECT id FROM leads WHERE source = '' \
         AND tenant_id = '11111111-1111-4111-8111-111111111111' LIMIT 1)",
    ] {
        postgres.execute(&format!("BEGIN; {change}; COMMIT"));
        let url = postgres.url();
        let compared = std::panic::catch_unwind(|| {
            let mut client = Client::connect(&url, postgres::NoTls).unwrap();
            client.batch_execute("SET timezone = 'UTC'").unwrap();
            assert_every_figure(&mut client, &before, ONE, true);
        });
        assert!(compared.is_err(), "unnoticed: {change}");
    }
}

#[test]
fn a_tenant_is_its_id_byte_for_byte() {
    let postgres = Postgres::start();
    postgres.execute(
        "INSERT INTO tenant (id, tenant_id, name) VALUES ('abcdefab-1111-4111-8111-111111111111', 'a', 'A')",
    );
    let sidecar = Sidecar::on(&postgres.url());
    bundle(&sidecar, "abcdefab-1111-4111-8111-111111111111", true);
    for other in ["ABCDEFAB-1111-4111-8111-111111111111", "abcdefab111141118111111111111111", "a", "nobody"] {
        let response =
            sidecar.internal().get(&format!("/internal/v1/bundle?tenant={other}&include_test_data=true"));
        assert_eq!((response.status, response.code().as_str()), (404, "no_tenant"), "{other}");
    }
}

#[test]
fn active_tenants_are_those_that_are_not_said_to_be_inactive_and_all_together() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    let sidecar = Sidecar::on(&postgres.url());
    let tenants = sidecar.internal().get("/internal/v1/tenants").json();
    assert_eq!(tenants, serde_json::json!({"tenants": [ONE, OTHER, "SUPERADMIN_GLOBAL"]}));
}

/// An existing CRM: wider tables, some columns called as our functions' parameters and variables are, other defaults, data, triggers, a foreign key, row-level security.
pub(crate) const EXISTING: &str = r#"
CREATE TABLE tenant (region text, id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id text NOT NULL UNIQUE,
    name text NOT NULL, tenant text, tenant_key uuid, place integer, is_active boolean, branding_settings jsonb, created_at timestamptz DEFAULT now());
CREATE TABLE contacts (first_name text, id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid REFERENCES tenant,
    is_test_data boolean, created_at timestamptz DEFAULT now(), created_date timestamptz, extra jsonb, tenant text, tenant_key uuid);
CREATE TABLE accounts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid REFERENCES tenant, name text NOT NULL,
    is_test_data boolean, created_at timestamptz DEFAULT now(), created_date timestamptz, annual_revenue numeric,
    include_test_data boolean DEFAULT false, tenant text);
CREATE TABLE leads (score integer, id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL, first_name text,
    last_name text, company text, email text, phone text, status text DEFAULT 'new', source text,
    is_test_data boolean DEFAULT false, assigned_to uuid, created_at timestamptz DEFAULT now(), created_date timestamptz,
    updated_at timestamptz DEFAULT now(), notes text, tags text[], include_test_data boolean DEFAULT false, tenant_key uuid);
CREATE TABLE opportunities (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, name text NOT NULL,
    stage text DEFAULT 'qualification', amount numeric(15,2), probability integer, is_test_data boolean, assigned_to uuid,
    created_at timestamptz DEFAULT now(), created_date timestamptz, updated_at timestamptz DEFAULT now(), account_id uuid,
    include_test_data boolean DEFAULT false, tenant text, tenant_key uuid, n integer, step text, figures json);
CREATE TABLE activities (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, type text NOT NULL, subject text,
    status text, assigned_to text, is_test_data boolean, created_at timestamptz DEFAULT now(), created_date timestamptz,
    body text, due_date date, include_test_data boolean DEFAULT false, tenant text, tenant_key uuid, item text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated_at := now(); RETURN NEW; END$$;
CREATE TRIGGER touch BEFORE UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE leads ENABLE ROW LEVEL SECURITY;
ALTER TABLE opportunities ENABLE ROW LEVEL SECURITY;
ALTER TABLE opportunities FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON leads USING (tenant_id::text = current_setting('app.tenant', true));
INSERT INTO tenant (id, tenant_id, name, is_active) VALUES
    ('11111111-1111-4111-8111-111111111111', 'one', 'One', true),
    ('22222222-2222-4222-8222-222222222222', 'other', 'Other', false);
INSERT INTO leads (tenant_id, status, source) SELECT '11111111-1111-4111-8111-111111111111', 'new', 'website'
    FROM generate_series(1, 1500);
INSERT INTO opportunities (tenant_id, name, stage, amount) SELECT '11111111-1111-4111-8111-111111111111', 'D', 'won', 0.10
    FROM generate_series(1, 1500);
INSERT INTO contacts (tenant_id, is_test_data, tenant, tenant_key) VALUES
    ('11111111-1111-4111-8111-111111111111', true, 'x', '22222222-2222-4222-8222-222222222222');
INSERT INTO accounts (tenant_id, name, is_test_data) VALUES ('11111111-1111-4111-8111-111111111111', 'A', true);
"#;

#[test]
fn an_existing_wider_crm_is_migrated_twice_and_keeps_its_tables_and_data() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(EXISTING);
    let columns = "SELECT string_agg(table_name || '.' || column_name, ',' ORDER BY table_name, ordinal_position) \
                   FROM information_schema.columns WHERE table_name IN ('tenant','leads','opportunities','contacts')";
    let before: String = postgres.value(columns);
    for _ in 0..2 {
        run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
    }
    assert_eq!(postgres.value::<String>(columns), before);
    assert_eq!(postgres.value::<i64>("SELECT count(*) FROM leads"), 1_500);

    let sidecar = Sidecar::on(&postgres.url());
    let mut client = postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    for tenant in [ONE, OTHER, "SUPERADMIN_GLOBAL"] {
        for include in [true, false] {
            assert_every_figure(&mut client, &bundle(&sidecar, tenant, include), tenant, include);
        }
    }
    let tenants = sidecar.internal().get("/internal/v1/tenants").json();
    assert_eq!(tenants, serde_json::json!({"tenants": [ONE, "SUPERADMIN_GLOBAL"]}));
}

#[test]
fn an_index_that_cannot_be_built_is_named_and_keeps_nothing_else_from_being_done() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(EXISTING);
    postgres.execute(
        "UPDATE leads SET source = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n) \
         WHERE id = (SELECT id FROM leads LIMIT 1)",
    );
    let output = run(&mut Sidecar::command(&["migrate"], &postgres.url()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("1 of 14 indexes") && said.contains("dashboard_leads_figures on leads: "),
        "{said}"
    );
    assert_eq!(said.matches("index row ").count(), 1, "the reason is said once: {said}");
    let indexes = "SELECT count(*) FROM pg_class WHERE relkind = 'i' AND relname LIKE 'dashboard\\_%'";
    assert_eq!(postgres.value::<i64>(indexes), 13, "the others are there, and no invalid one");
    let sidecar = Sidecar::on(&postgres.url());
    let mut client = postgres.client();
    client.batch_execute("SET timezone = 'UTC'").unwrap();
    assert_every_figure(&mut client, &bundle(&sidecar, ONE, true), ONE, true);
}

/// Why Postgres refuses what a role asks about [`ONE`] that may read every table, but by its policies not every row.
pub(crate) fn why_a_confined_role_is_refused(postgres: &Postgres, sql: &str) -> String {
    static ROLES: AtomicU32 = AtomicU32::new(1);
    let mut client = postgres.client();
    // Roles are shared by all databases of the server.
    let role = format!("confined_{}_{}", std::process::id(), ROLES.fetch_add(1, Ordering::Relaxed));
    client
        .batch_execute(&format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA dashboard TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public, dashboard TO {role}; \
             SET ROLE {role}"
        ))
        .unwrap();
    let refused = client.query(sql, &[&ONE]);
    client.batch_execute(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    let refused = refused.expect_err("a policy would have hidden rows");
    refused.as_db_error().map_or_else(|| refused.to_string(), |error| error.message().to_owned())
}

#[test]
fn a_role_that_policies_confine_gets_an_error_and_never_too_small_figures() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(EXISTING);
    run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
    let why = why_a_confined_role_is_refused(&postgres, "SELECT dashboard.bundle($1, true)");
    assert!(why.contains("row-level security"), "{why}");
}
