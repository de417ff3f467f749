//! Lists that leave Postgres as rows: the sidecar writes them byte for byte as Postgres would, whatever stands in them,
//! whatever their types are, and whatever becomes of these.

use harness::{Postgres, Sidecar, run_ok};
use serde_json::json;

use crate::figures::{EMPTY, EXISTING, NASTY, ONE, OTHER};

const GLOBAL: &str = "SUPERADMIN_GLOBAL";

/// What of a bundle's line is its content: etag, and all that follows `meta`.
fn content(line: &str) -> (String, String) {
    let etag = line.split_once(r#""etag":""#).unwrap_or_else(|| panic!("no bundle: {line}")).1;
    let members = line.split_once(r#""compute_ms":"#).unwrap().1.split_once("},").unwrap().1;
    (etag.split_once('"').unwrap().0.to_owned(), members.to_owned())
}

/// Both bundles of each of these tenants, from a batch and by themselves.
fn assert_same_bytes(sidecar: &Sidecar, tenants: &[&str], why: &str) {
    let wanted: Vec<_> = tenants.iter().flat_map(|&tenant| [(tenant, true), (tenant, false)]).collect();
    let bundles: Vec<_> =
        wanted.iter().map(|(t, include)| json!({"tenant_id": t, "include_test_data": include})).collect();
    let batch = sidecar.internal().post("/internal/v1/bundles", &json!({ "bundles": bundles }).to_string());
    let batch = batch.text();
    for ((tenant, include), line) in wanted.iter().zip(batch.lines()) {
        let alone = sidecar
            .internal()
            .get(&format!("/internal/v1/bundle?tenant={tenant}&include_test_data={include}"))
            .text();
        assert!(
            line.contains(tenant) && content(line) == content(alone.trim_end()),
            "{why}\n{line}\n{alone}"
        );
    }
    assert_eq!(batch.lines().count(), wanted.len() + 1, "{why}");
}

/// Whether batches were computed by one statement for many, and not bundle by bundle.
fn assert_together(sidecar: &Sidecar) {
    assert!(!sidecar.log().contains("one by one"), "{}", sidecar.log());
}

/// Each of a kind of value in turn, and at times none; @text@ and @moment@ in all columns of these types.
const EVERY_VALUE: &str = r#"
CREATE FUNCTION pg_temp.text() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE floor(random() * 8)
        WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'"\\/\b\f\n\r\t' WHEN 3 THEN '{"meta": [1 , 2]}'
        WHEN 4 THEN chr(127) || chr(128) || chr(8232) || chr(65535) || chr(128512) || chr(1114111) || '  é'
        WHEN 5 THEN repeat('long " ', 300)
        ELSE (SELECT string_agg(chr(1 + floor(random() * 255 + n * 0)::int), '') FROM generate_series(1, 40) AS n) END$$;
CREATE FUNCTION pg_temp.moment() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT CASE floor(random() * 12)
        WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '4714-11-24 00:00:00+00 BC'
        WHEN 4 THEN '294276-12-31 23:59:59.999999+00' WHEN 5 THEN '0001-12-31 23:59:59.5+00 BC'
        WHEN 6 THEN '0001-01-01 00:00:00+00' WHEN 7 THEN '10000-01-01 00:00:00.12+00' WHEN 8 THEN '1900-02-28 23:59:59.000001+00'
        ELSE '4700-01-01 00:00:00+00 BC'::timestamptz + random() * interval '290000 years' END$$;
CREATE FUNCTION pg_temp.test() RETURNS boolean LANGUAGE sql VOLATILE AS
    'SELECT CASE WHEN random() < 0.1 THEN true WHEN random() < 0.5 THEN false END';
CREATE FUNCTION pg_temp.uuid() RETURNS uuid LANGUAGE sql VOLATILE AS 'SELECT CASE WHEN random() < 0.7 THEN gen_random_uuid() END';
INSERT INTO tenant (id, tenant_id, name)
    SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, n::text, 'Tenant' FROM generate_series(1, 20) AS n;
INSERT INTO leads (tenant_id, first_name, last_name, company, email, phone, status, source, is_test_data, assigned_to, created_at, created_date)
    SELECT id, pg_temp.text(), pg_temp.text(), pg_temp.text(), pg_temp.text(), pg_temp.text(), pg_temp.text(), pg_temp.text(),
           pg_temp.test(), pg_temp.uuid(), pg_temp.moment(), pg_temp.moment() FROM tenant, generate_series(1, 80);
INSERT INTO opportunities (tenant_id, name, stage, amount, probability, is_test_data, assigned_to, updated_at)
    SELECT id, COALESCE(pg_temp.text(), ''), pg_temp.text(),
           (ARRAY['NaN', '0', '-0.10', '9999999999999.99', '1.5', NULL])[1 + floor(random() * 6)]::numeric,
           (ARRAY[-2147483648, 2147483647, 0, NULL])[1 + floor(random() * 4)], pg_temp.test(), pg_temp.uuid(), pg_temp.moment()
    FROM tenant, generate_series(1, 80);
INSERT INTO activities (tenant_id, type, subject, status, assigned_to, is_test_data, created_at, created_date)
    SELECT id, COALESCE(pg_temp.text(), ''), pg_temp.text(), pg_temp.text(), pg_temp.text(), pg_temp.test(), pg_temp.moment(), pg_temp.moment()
    FROM tenant, generate_series(1, 20);
"#;

fn tenants() -> Vec<String> {
    (1..=20).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect()
}

#[test]
fn rows_with_values_of_every_kind_are_written_byte_for_byte_as_postgres_writes_them() {
    let postgres = Postgres::start();
    let seed = fastrand::f64();
    postgres.execute(&format!("SELECT setseed({seed}); SET timezone = 'UTC'; {EVERY_VALUE}"));
    let sidecar = Sidecar::on(&postgres.url());
    let tenants = tenants();
    let mut names: Vec<&str> = tenants.iter().map(String::as_str).collect();
    names.push(GLOBAL);
    assert_same_bytes(&sidecar, &names, &format!("setseed({seed})"));
    postgres.execute(NASTY);
    assert_same_bytes(&sidecar, &[ONE, OTHER, EMPTY, GLOBAL], "nasty data");
    assert_together(&sidecar);
}

/// Before `migrate`: columns of types that not every CRM has.
const OTHER_TYPES: &str = "
CREATE TYPE stage AS ENUM ('won', 'lost', 'a \"quoted\" one');
CREATE DOMAIN short AS text;
ALTER TABLE leads ALTER first_name TYPE varchar(50), ALTER last_name TYPE char(30), ALTER company TYPE short,
    ALTER phone TYPE bigint USING 9223372036854775807, ALTER email TYPE jsonb USING '{\"meta\": [1,  \"a  b\"]}',
    ALTER created_date TYPE timestamp, ALTER assigned_to TYPE text USING 'AB';
ALTER TABLE opportunities ALTER amount TYPE numeric, ALTER probability TYPE real USING 0.1,
    ALTER name TYPE name, ALTER updated_at TYPE timestamp, ALTER assigned_to TYPE bigint USING -9223372036854775808;
ALTER TABLE activities ALTER assigned_to TYPE uuid USING '11111111-1111-4111-8111-111111111111', ALTER type TYPE smallint USING -32768,
    ALTER status TYPE stage USING 'a \"quoted\" one', ALTER subject TYPE json USING '[ 1.50 , \"  x\\u0020\" ]', ALTER created_at TYPE date;
UPDATE leads SET first_name = 'trailing  ', last_name = 'x', company = E'\\t', is_test_data = random() < 0.1;
UPDATE opportunities SET amount = (ARRAY['1e-30', '12345678901234567890.10', 'infinity', '5.0'])[1 + floor(random() * 4)]::numeric;
INSERT INTO activities (tenant_id, type, status, subject, is_test_data)
    SELECT '11111111-1111-4111-8111-111111111111', -1, 'won', '{\"a\" :\\n null}', n = 3 FROM generate_series(1, 9) AS n;
";

#[test]
fn rows_of_a_crm_with_columns_of_other_types_are_written_so_too() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(EXISTING);
    postgres.execute(&OTHER_TYPES.replace("\\n", " "));
    run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
    let sidecar = Sidecar::on(&postgres.url());
    assert_same_bytes(&sidecar, &[ONE, OTHER, GLOBAL], "other types");
    assert_together(&sidecar);
}

#[test]
fn a_column_whose_type_is_changed_later_is_written_as_what_it_is_now() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    let sidecar = Sidecar::on(&postgres.url());
    assert_same_bytes(&sidecar, &[ONE, OTHER], "before");
    for altered in [
        "ALTER TABLE leads ALTER created_date TYPE timestamp",
        "ALTER TABLE leads ALTER assigned_to TYPE text USING 'ABCDEF00-0000-4000-8000-000000000000'",
        "ALTER TABLE leads ALTER company TYPE char(20)",
        "ALTER TABLE opportunities ALTER stage TYPE varchar(30)",
        "ALTER TABLE opportunities ALTER probability TYPE boolean USING true",
        "ALTER TABLE opportunities ALTER amount TYPE numeric",
        "ALTER TABLE activities ALTER subject TYPE timestamptz USING now()",
    ] {
        postgres.execute(altered);
        assert_same_bytes(&sidecar, &[ONE, OTHER], altered);
    }
}

/// Of one's own: a list of a type of one's own.
const OWN: &str = r#"
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE sql STABLE AS
$$SELECT '{"stats":1,"lists":{"a \"list\"":[{"x\\y":1,"t":"text"}]}}'::json$$;
DROP FUNCTION dashboard.bundles(text[]);
CREATE TYPE dashboard.item AS ("x\y" integer, t @type@);
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(tenant text, bundle json, without_test_data json, "a ""list""" dashboard.item[]) LANGUAGE sql STABLE AS
$$SELECT name, '{"stats":1}'::json, NULL::json, ARRAY[(1, 'text')::dashboard.item] FROM unnest(tenants) AS name$$"#;

#[test]
fn a_function_of_ones_own_may_return_lists_as_rows_too() {
    let postgres = Postgres::start();
    let sidecar = Sidecar::on(&postgres.url());
    postgres.execute(&OWN.replace("@type@", "text"));
    assert_same_bytes(&sidecar, &["a", "b"], "a list of one's own");
    assert_together(&sidecar);
    // Known by its former type and columns to the connections that are open; the new one is as long.
    postgres.execute(r#"ALTER TYPE dashboard.item ALTER ATTRIBUTE "x\y" TYPE real CASCADE"#);
    assert_same_bytes(&sidecar, &["a", "b"], "altered");
    postgres.execute(
        "DROP FUNCTION dashboard.bundles(text[]);
         CREATE FUNCTION dashboard.bundles(tenants text[]) RETURNS TABLE(tenant text, bundle json, without_test_data json)
         LANGUAGE sql STABLE AS $$SELECT name, dashboard.bundle(name, true), NULL::json FROM unnest(tenants) AS name$$",
    );
    assert_same_bytes(&sidecar, &["a", "b"], "without the list");
    let failed = |sidecar: &Sidecar| sidecar.log().matches("one by one").count();
    let before = failed(&sidecar);
    assert_same_bytes(&sidecar, &["a", "b"], "known anew");
    assert_eq!(failed(&sidecar), before, "{}", sidecar.log());
}

#[test]
fn a_list_of_a_type_that_is_not_known_is_named_and_computed_one_by_one() {
    let postgres = Postgres::start();
    postgres.execute(&OWN.replace("@type@", "name"));
    let sidecar = Sidecar::on(&postgres.url());
    assert_same_bytes(&sidecar, &["a", "b"], "one by one");
    let log = sidecar.log();
    assert!(log.contains("whose member 't' is of type name") && log.contains("one by one"), "{log}");
}

#[test]
fn a_bundle_that_its_lists_make_too_large_is_refused_and_the_others_are_not() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    postgres.execute(&format!(
        "INSERT INTO leads (tenant_id, company, created_at) SELECT '{OTHER}', repeat('\"', 600), 'infinity' FROM generate_series(1, 50);
         INSERT INTO leads (tenant_id, company, is_test_data)
         SELECT '{EMPTY}', (SELECT string_agg(md5(random()::text || m), '') FROM generate_series(1, 100) AS m), true
         FROM generate_series(1, 49) AS n;
         INSERT INTO leads (tenant_id) VALUES ('{EMPTY}');
         INSERT INTO activities (tenant_id, type) VALUES ('{EMPTY}', 'call')"
    ));
    let sidecar =
        Sidecar::builder().database(postgres.url()).env("DASHBOARD_MAX_BUNDLE_BYTES", "60000").start();
    let bundles = [(OTHER, true), (EMPTY, true), (EMPTY, false), (ONE, true)]
        .map(|(t, include)| json!({"tenant_id": t, "include_test_data": include}));
    let lines = sidecar.internal().post("/internal/v1/bundles", &json!({ "bundles": bundles }).to_string());
    let lines = lines.lines();
    let too_large =
        |n: usize| lines[n]["error"]["message"].as_str().is_some_and(|m| m.contains("MAX_BUNDLE"));
    // Only as JSON is it too large; as rows too; without test data it is not.
    assert_eq!([0, 1, 2, 3].map(too_large), [true, true, false, false], "{lines:?}");
    for (list, rows) in [("recentActivities", 1), ("recentLeads", 1), ("recentOpportunities", 0)] {
        assert_eq!(lines[2]["lists"][list].as_array().map(Vec::len), Some(rows), "{}", lines[2]);
    }
    assert_together(&sidecar);
}
