//! Batches: `dashboard.bundles` gives for each tenant, word for word, what `dashboard.bundle` gives for one, and the
//! sidecar hands on what was asked for.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use harness::{Postgres, Sidecar, assert_eventually, run_ok};
use serde_json::{Value, json};

use crate::existing::WITHOUT_COUNTERS;
use crate::figures::{EMPTY, EXISTING, NASTY, ONE, OTHER, why_a_confined_role_is_refused};

/// Of each row: whether it is at its place, whether each bundle is what the function for one says, and whether the
/// second one is left out just where it is the same. Times stay as they are for as long as the statement runs.
const COMPARED: &str = "
    SELECT names.name, computed.tenant IS NOT DISTINCT FROM names.name,
           @with@ IS NOT DISTINCT FROM single.with_test_data,
           COALESCE(@without@, @with@) IS NOT DISTINCT FROM single.without,
           names.name = 'SUPERADMIN_GLOBAL'
               OR (computed.without_test_data IS NULL) = (single.with_test_data IS NOT DISTINCT FROM single.without),
           computed.without_test_data IS NOT NULL
    FROM unnest($1::text[]) WITH ORDINALITY AS names(name, place)
    FULL JOIN (SELECT *, row_number() OVER () AS place FROM dashboard.bundles($1::text[])) AS computed USING (place)
    LEFT JOIN LATERAL (SELECT dashboard.bundle(names.name, true)::text AS with_test_data,
                              dashboard.bundle(names.name, false)::text AS without) AS single ON true
    ORDER BY place";

/// A bundle with its lists, which Postgres writes as it does in `dashboard.bundle`.
const WHOLE: &str = r#"
    CREATE FUNCTION pg_temp.whole(bundle json, activities dashboard.recent_activity[], leads dashboard.recent_lead[],
                                  opportunities dashboard.recent_opportunity[]) RETURNS text
    LANGUAGE sql STABLE SET timezone = 'UTC' AS
    $$SELECT CASE WHEN leads IS NULL THEN bundle::text
                  ELSE left(bundle::text, -1) || ',"lists":{"recentActivities":' || array_to_json(activities)
                       || ',"recentLeads":' || array_to_json(leads)
                       || ',"recentOpportunities":' || array_to_json(opportunities) || '}}' END$$"#;
const WITH: &str =
    r#"pg_temp.whole(computed.bundle, "recentActivities", "recentLeads", "recentOpportunities")"#;
const WITHOUT: &str = r#"pg_temp.whole(without_test_data,
    COALESCE("recentActivities_without_test_data", "recentActivities"),
    COALESCE("recentLeads_without_test_data", "recentLeads"),
    COALESCE("recentOpportunities_without_test_data", "recentOpportunities"))"#;

/// Compares the two functions for these tenants; how many of them have a second bundle.
fn assert_word_for_word(postgres: &Postgres, names: &[&str], why: &str) -> usize {
    let mut client = postgres.client();
    // The functions have settings of their own; a session's must not show.
    client.batch_execute("SET timezone = 'Asia/Kathmandu'; SET plan_cache_mode = force_custom_plan").unwrap();
    let (with, without) = if is_one_statement(postgres) {
        client.batch_execute(WHOLE).unwrap();
        (WITH, WITHOUT)
    } else {
        ("computed.bundle::text", "computed.without_test_data::text")
    };
    let compared = COMPARED.replace("@without@", without).replace("@with@", with);
    let rows = client.query(&compared, &[&names]).unwrap();
    assert_eq!(rows.len(), names.len(), "{why}");
    for row in &rows {
        let name: &str = row.get(0);
        for (column, what) in [
            (1, "its place"),
            (2, "with test data"),
            (3, "without test data"),
            (4, "left out where it is the same"),
        ] {
            assert!(row.get::<_, bool>(column), "{name}: {what} ({why})");
        }
    }
    rows.iter().filter(|row| row.get(5)).count()
}

/// Whether the function for many is the one that reads them all by one statement.
fn is_one_statement(postgres: &Postgres) -> bool {
    postgres.value(
        "SELECT lanname = 'plpgsql' FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
         WHERE pg_proc.oid = 'dashboard.bundles(text[])'::regprocedure",
    )
}

#[test]
fn a_batch_is_word_for_word_what_single_bundles_are_whatever_is_asked_for() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    assert!(is_one_statement(&postgres));
    let upper = ONE.replace("1111", "ABCD");
    let names = [
        OTHER,
        ONE,
        EMPTY,
        "SUPERADMIN_GLOBAL",
        ONE,
        "44444444-4444-4444-8444-444444444444",
        &upper,
        "one",
        "",
        "11111111-1111-4111-8111-111111111111 ",
        "11111111111141118111111111111111",
        "%",
        "SUPERADMIN_GLOBAL",
    ];
    assert_eq!(assert_word_for_word(&postgres, &names, "nasty data"), 5);
    assert_eq!(assert_word_for_word(&postgres, &[], "nobody"), 0);
    assert_eq!(assert_word_for_word(&postgres, &[ONE], "one"), 1);
    assert_eq!(assert_word_for_word(&postgres, &["SUPERADMIN_GLOBAL"], "all tenants by themselves"), 1);
    let many: Vec<_> = names.iter().copied().cycle().take(200).collect();
    assert_word_for_word(&postgres, &many, "many");
    let nobody: i64 = postgres
        .value("SELECT count(*) FROM dashboard.bundles(ARRAY[NULL, NULL]::text[]) WHERE bundle IS NULL");
    assert_eq!(nobody, 2);
}

/// 128 tenants, for each set of the seven places in which a tenant may have test data; and one that has nothing else.
const EVERY_PLACE: &str = r#"
INSERT INTO tenant (id, tenant_id, name)
    SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, n::text, 'Tenant' FROM generate_series(0, 128) AS n;
CREATE TEMP TABLE many AS
    SELECT id, CASE WHEN tenant_id = '128' THEN 127 ELSE tenant_id::int END AS places, test, random() * 4 AS few
    FROM tenant, (VALUES (true), (false)) AS kinds(test) WHERE test OR tenant_id <> '128';
CREATE FUNCTION pg_temp.test(test boolean) RETURNS boolean LANGUAGE sql AS
    'SELECT CASE WHEN test THEN true WHEN random() < 0.5 THEN false END';
INSERT INTO contacts (tenant_id, is_test_data)
    SELECT id, pg_temp.test(test) FROM many, generate_series(1, few::int + 1) WHERE NOT test OR places & 1 > 0;
INSERT INTO accounts (tenant_id, name, is_test_data)
    SELECT id, 'A', pg_temp.test(test) FROM many, generate_series(1, few::int + 1) WHERE NOT test OR places & 2 > 0;
INSERT INTO leads (tenant_id, first_name, status, source, is_test_data, created_at, created_date)
    SELECT id, md5(random()::text), CASE WHEN random() < 0.5 THEN 'new' END, md5(random()::text), pg_temp.test(test),
           now() - random() * interval '60 days', now() - random() * interval '60 days'
    FROM many, generate_series(1, CASE WHEN test THEN 1 ELSE (few * 20)::int END) WHERE NOT test OR places & 4 > 0;
INSERT INTO opportunities (tenant_id, name, stage, amount, is_test_data, updated_at)
    SELECT id, 'D', CASE WHEN random() < 0.5 THEN 'won' ELSE 'proposal' END, (random() * 1000)::numeric(15, 2),
           pg_temp.test(test), now() - random() * interval '60 days'
    FROM many, generate_series(1, CASE WHEN test THEN 1 ELSE (few * 20)::int END) WHERE NOT test OR places & 8 > 0;
-- Of activities, those of the last 30 days are counted, and the newest ten are shown; a third kind is neither.
INSERT INTO activities (tenant_id, type, is_test_data, created_at, created_date)
    SELECT id, 'call', pg_temp.test(test), now() - interval '1 day', now() - random() * interval '60 days'
    FROM many, generate_series(1, 12) WHERE NOT test;
INSERT INTO activities (tenant_id, type, is_test_data, created_at, created_date)
    SELECT id, 'counted', true, now() - interval '50 days', now() FROM many WHERE test AND places & 16 > 0;
INSERT INTO activities (tenant_id, type, is_test_data, created_at, created_date)
    SELECT id, 'shown', true, now(), NULL FROM many WHERE test AND places & 32 > 0;
INSERT INTO activities (tenant_id, type, is_test_data, created_at, created_date)
    SELECT id, 'neither', true, now() - interval '50 days', now() - interval '50 days' FROM many WHERE test AND places & 64 > 0;
"#;

#[test]
fn a_second_bundle_is_computed_exactly_where_test_data_changes_something() {
    let postgres = Postgres::start();
    let seed = fastrand::f64();
    postgres.execute(&format!("SELECT setseed({seed}); {EVERY_PLACE}"));
    let names: Vec<String> = (0..=128).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let second = assert_word_for_word(&postgres, &names, &format!("setseed({seed})"));
    // All but the tenant without any, and the one whose test data no bundle shows.
    assert_eq!(second, names.len() - 2, "setseed({seed})");
}

#[test]
fn a_batch_of_the_demonstration_is_word_for_word_what_single_bundles_are() {
    let postgres = Postgres::start();
    let load = ["demo", "load", "--tenants", "30", "--rows", "3000"];
    run_ok(&mut Sidecar::command(&load, &postgres.url()));
    let rows = postgres.client().query("SELECT * FROM dashboard.active_tenants()", &[]).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert!(names.len() > 20);
    assert_word_for_word(&postgres, &names, "the demonstration");
}

#[test]
fn a_batch_from_an_existing_wider_crm_is_word_for_word_what_single_bundles_are() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(EXISTING);
    run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
    assert!(is_one_statement(&postgres));
    assert_word_for_word(&postgres, &[OTHER, ONE, EMPTY, "SUPERADMIN_GLOBAL"], "a wider CRM");

    let many = "SELECT * FROM dashboard.bundles(ARRAY[$1::text])";
    let why = why_a_confined_role_is_refused(&postgres, many);
    assert!(why.contains("row-level security"), "{why}");
}

/// As somebody with another schema does it.
const REPLACED: &str = r#"
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE sql STABLE AS
$$SELECT CASE WHEN tenant <> 'unknown' THEN json_build_object('stats', tenant || include_test_data) END$$;"#;

#[test]
fn whoever_replaces_the_function_for_one_tenant_alone_gets_what_it_returns_in_batches_too() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    postgres.execute(REPLACED);
    assert_eq!(assert_word_for_word(&postgres, &["a", ONE, "unknown", "SUPERADMIN_GLOBAL"], "replaced"), 3);
}

#[test]
fn functions_that_were_replaced_before_an_upgrade_are_left_alone_and_used() {
    let postgres = Postgres::start();
    // As it was before the migrations that are looked at.
    postgres.execute(WITHOUT_COUNTERS);
    postgres.execute(REPLACED);
    postgres.execute(
        "DELETE FROM dashboard.schema_history WHERE version >= 4; DROP FUNCTION dashboard.bundles(text[]);
         CREATE FUNCTION dashboard.bundles(tenants text[], include_test_data boolean)
         RETURNS TABLE(tenant text, bundle json) LANGUAGE sql STABLE AS $$SELECT 'mine', '{}'::json$$",
    );
    run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
    assert_eq!(postgres.value::<String>("SELECT tenant FROM dashboard.bundles('{a}', true)"), "mine");
    assert!(!is_one_statement(&postgres));
    assert_eq!(assert_word_for_word(&postgres, &["a", "unknown", "b"], "replaced before"), 2);

    // And the new one, if it was there first.
    let postgres = Postgres::start();
    postgres.execute(WITHOUT_COUNTERS);
    postgres.execute(REPLACED);
    postgres.execute(
        "DELETE FROM dashboard.schema_history WHERE version >= 4;
         DROP FUNCTION dashboard.bundles(text[]);
         CREATE FUNCTION dashboard.bundles(tenants text[])
         RETURNS TABLE(tenant text, bundle json, without_test_data json) LANGUAGE sql STABLE AS
         $$SELECT 'mine', '{}'::json, NULL::json$$",
    );
    run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
    assert_eq!(postgres.value::<String>("SELECT tenant FROM dashboard.bundles('{a}')"), "mine");
}

#[test]
fn the_former_function_for_many_goes_where_it_is_ours() {
    let postgres = Postgres::start();
    let gone = "SELECT to_regprocedure('dashboard.bundles(text[], boolean)') IS NULL";
    assert!(postgres.value::<bool>(gone));
}

/// The lines of a batch of these; the last, which tells the cost, by itself.
fn batch(sidecar: &Sidecar, wanted: &[(&str, bool)]) -> (Vec<Value>, Value) {
    let wanted: Vec<_> =
        wanted.iter().map(|(t, include)| json!({"tenant_id": t, "include_test_data": include})).collect();
    let response = sidecar.internal().post("/internal/v1/bundles", &json!({ "bundles": wanted }).to_string());
    assert_eq!(response.status, 200, "{}", response.text());
    let mut lines = response.lines();
    let cost = lines.pop().expect("a last line");
    (lines, cost)
}

#[test]
fn a_batch_hands_on_what_was_asked_for_of_each_tenant_and_all_tenants_last() {
    let postgres = Postgres::start();
    postgres.execute(NASTY);
    let sidecar = Sidecar::builder().database(postgres.url()).env("DASHBOARD_WARM_BATCH", "2").start();
    let wanted = [
        ("SUPERADMIN_GLOBAL", true),
        (ONE, false),
        (EMPTY, true),
        (OTHER, true),
        ("nobody", false),
        (EMPTY, false),
        ("SUPERADMIN_GLOBAL", false),
        (EMPTY, false),
    ];
    let (lines, cost) = batch(&sidecar, &wanted);
    let name = |line: &Value| {
        let of = if line["error"].is_null() { &line["meta"] } else { line };
        (of["tenant_id"].as_str().unwrap().to_owned(), of["include_test_data"].as_bool().unwrap())
    };
    let expected = [
        (ONE, false),
        (EMPTY, true),
        (EMPTY, false),
        (EMPTY, false),
        (OTHER, true),
        ("nobody", false),
        ("SUPERADMIN_GLOBAL", true),
        ("SUPERADMIN_GLOBAL", false),
    ];
    let got: Vec<_> = lines.iter().map(name).collect();
    assert_eq!(got, expected.map(|(tenant, include)| (tenant.to_owned(), include)));
    assert_eq!(lines[5]["error"]["code"], "no_tenant");
    assert!(cost["query_us"].as_u64().is_some_and(|us| us > 0), "{cost}");

    let single = |tenant: &str, include: bool| {
        let path = format!("/internal/v1/bundle?tenant={tenant}&include_test_data={include}");
        sidecar.internal().get(&path).json()
    };
    for (line, (tenant, include)) in lines.iter().zip(expected).filter(|(line, _)| line["error"].is_null()) {
        let alone = single(tenant, include);
        assert_eq!(line["meta"]["etag"], alone["meta"]["etag"], "{tenant} {include}");
        assert_eq!(line["lists"], alone["lists"], "{tenant} {include}");
    }
    let etags = |n: usize| &lines[n]["meta"]["etag"];
    assert_eq!(etags(1), etags(2), "nothing of it is test data");
    assert_ne!(etags(6), etags(7));
}

#[test]
fn the_last_line_of_a_batch_tells_for_how_long_postgres_was_waited_for() {
    let postgres = Postgres::start();
    postgres.execute(
        r#"CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql AS
           $$BEGIN
               PERFORM pg_sleep(0.05);
               IF tenant = 'bad' THEN PERFORM 1 / 0; END IF;
               RETURN '{"stats":{}}';
           END$$"#,
    );
    let sidecar = Sidecar::on(&postgres.url());
    // Two bundles of each, of which one was asked for.
    let (lines, cost) = batch(&sidecar, &[("a", true), ("b", false)]);
    assert_eq!(lines.len(), 2);
    assert!(cost["query_us"].as_u64().is_some_and(|us| us >= 200_000), "{cost}");
    // The statement for both fails; then each by itself.
    let (lines, cost) = batch(&sidecar, &[("bad", true), ("a", true)]);
    assert_eq!(lines.iter().filter(|line| line["error"].is_object()).count(), 1, "{lines:?}");
    assert!(cost["query_us"].as_u64().is_some_and(|us| us >= 150_000), "{cost}");
}

#[test]
fn what_is_computed_for_all_before_the_first_is_there_is_the_time_of_each() {
    let postgres = Postgres::start();
    postgres.execute(
        r#"DROP FUNCTION dashboard.bundles(text[]);
           CREATE FUNCTION dashboard.bundles(tenants text[])
           RETURNS TABLE(tenant text, bundle json, without_test_data json) LANGUAGE plpgsql AS
           $$BEGIN
               PERFORM pg_sleep(0.3);
               RETURN QUERY SELECT name, '{"stats":{}}'::json, NULL::json FROM unnest(tenants) AS name;
           END$$"#,
    );
    let sidecar = Sidecar::on(&postgres.url());
    let (lines, _) = batch(&sidecar, &[("a", true), ("b", true), ("c", true)]);
    for line in lines {
        assert!(line["meta"]["compute_ms"].as_u64().is_some_and(|ms| ms >= 100), "{line}");
    }
}

#[test]
fn the_last_line_comes_also_where_no_bundle_could_be_computed() {
    let postgres = Postgres::start();
    let sidecar = Sidecar::on(&postgres.url());
    postgres.go_down();
    let (lines, cost) = batch(&sidecar, &[("a", true), ("b", false)]);
    assert!(
        lines.len() == 2 && lines.iter().all(|l| l["error"]["code"] == "postgres_unavailable"),
        "{lines:?}"
    );
    assert!(cost["query_us"].is_u64(), "{cost}");
}

/// Tenants called so do what they are called.
const ODD: &str = r#"
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql STABLE AS
$$BEGIN
    IF tenant LIKE 'slow%' THEN PERFORM pg_sleep(60); END IF;
    IF tenant LIKE 'bad%' THEN PERFORM 1 / 0; END IF;
    RETURN json_build_object('stats', tenant);
END$$;"#;

/// Hands on each row as soon as it is there, so that some have been when another fails.
const ROW_BY_ROW: &str = "
DROP FUNCTION dashboard.bundles(text[]);
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(tenant text, bundle json, without_test_data json) LANGUAGE sql STABLE ROWS 100 AS
$$SELECT asked.name, dashboard.bundle(asked.name, true), dashboard.bundle(asked.name, false)
  FROM (SELECT name FROM unnest(tenants) WITH ORDINALITY AS names(name, place) ORDER BY place) AS asked$$";

#[test]
fn of_statements_that_fail_only_the_tenant_at_fault_has_an_error_and_nothing_comes_twice() {
    let postgres = Postgres::start();
    postgres.execute(ODD);
    postgres.execute(ROW_BY_ROW);
    let sidecar = Sidecar::builder().database(postgres.url()).env("DASHBOARD_WARM_BATCH", "3").start();
    let names = ["a", "b", "c", "d", "bad", "e", "bad2", "f", "g", "h"];
    let wanted: Vec<_> = names.iter().flat_map(|name| [(*name, true), (*name, false)]).collect();
    let (lines, _) = batch(&sidecar, &wanted);
    let got: Vec<_> = lines
        .iter()
        .map(|line| match line["error"]["code"].as_str() {
            Some(code) => (line["tenant_id"].as_str().unwrap(), code),
            None => (line["meta"]["tenant_id"].as_str().unwrap(), line["stats"].as_str().unwrap()),
        })
        .collect();
    let expected: Vec<_> = wanted
        .iter()
        .map(|(name, _)| (*name, if name.starts_with("bad") { "internal" } else { name }))
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn a_function_that_returns_tenants_in_another_order_gives_nobody_the_figures_of_another() {
    let postgres = Postgres::start();
    postgres.execute(ODD);
    postgres.execute(
        "DROP FUNCTION dashboard.bundles(text[]);
         CREATE FUNCTION dashboard.bundles(tenants text[])
         RETURNS TABLE(tenant text, bundle json, without_test_data json) LANGUAGE sql STABLE AS
         $$SELECT t, json_build_object('stats', t), NULL::json FROM unnest(tenants) AS t ORDER BY t DESC$$",
    );
    let sidecar = Sidecar::on(&postgres.url());
    let (lines, _) = batch(&sidecar, &[("a", true), ("b", true), ("c", false)]);
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert_eq!(line["stats"], line["meta"]["tenant_id"]);
    }
    assert!(sidecar.log().contains("in another order"), "{}", sidecar.log());
}

#[test]
fn of_a_batch_whose_reader_has_gone_no_further_statement_begins() {
    let postgres = Postgres::start();
    postgres.execute(ODD);
    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .env("DASHBOARD_WARM_BATCH", "1")
        .env("DASHBOARD_WARM_POOL", "1")
        .start();
    let wanted = ["slow1", "slow2"].map(|t| json!({"tenant_id": t, "include_test_data": true}));
    let body = json!({ "bundles": wanted }).to_string();
    let mut reader = UnixStream::connect(sidecar.socket().unwrap()).unwrap();
    let head =
        format!("POST /internal/v1/bundles HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    reader.write_all((head + &body).as_bytes()).unwrap();
    assert_eventually!(!postgres.running().is_empty(), "the first statement runs");
    drop(reader);
    // The lane has one connection: what is asked for now comes after all of that batch.
    assert_eq!(batch(&sidecar, &[("a", true)]).0.len(), 1);
}
