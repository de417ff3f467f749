//! The sidecar's part, on a real Postgres: versions in `meta`, one question for what is known, the rest computed.

use harness::{Postgres, Redis, Sidecar, run_ok};
use serde_json::{Value, json};

use super::{read, stored, warm_an_hour_ago};
use crate::states::{age, key};
use crate::warm::warm;

/// Versions as a table says; what is computed is each time another. The tenant `bad` fails.
const STUBS: &str = r#"
CREATE TABLE state (tenant text PRIMARY KEY, version text);
INSERT INTO state VALUES ('a', 'v:1'), ('b', 'v:1'), ('c', 'v:1'), ('bad', 'v:1'), ('odd', 'not a version'), ('SUPERADMIN_GLOBAL', 'v:1');
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql STABLE AS
$$BEGIN
    IF tenant = 'bad' THEN PERFORM 1 / 0; END IF;
    RETURN json_build_object('stats', json_build_object('at', clock_timestamp(), 'include', include_test_data));
END$$;
CREATE OR REPLACE FUNCTION dashboard.version(tenant text) RETURNS text LANGUAGE sql STABLE AS
$$SELECT version FROM state WHERE state.tenant = $1$$;
DROP FUNCTION dashboard.bundles(text[]);
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(tenant text, bundle json, without_test_data json, version text) LANGUAGE sql STABLE ROWS 100 AS
$$SELECT asked.name, dashboard.bundle(asked.name, true), dashboard.bundle(asked.name, false), dashboard.version(asked.name)
  FROM (SELECT name FROM unnest(tenants) WITH ORDINALITY AS names(name, place) ORDER BY place) AS asked$$;
CREATE OR REPLACE FUNCTION dashboard.unchanged(tenants text[], versions text[]) RETURNS boolean[] LANGUAGE sql STABLE AS
$$SELECT array_agg(state.version = asked.version ORDER BY place)
  FROM unnest(tenants, versions) WITH ORDINALITY AS asked(tenant, version, place) LEFT JOIN state USING (tenant)$$;"#;

const ETAG: &str = "00112233445566778899aabbccddeeff";

/// A bundle to ask for, and the version that is known of it.
type Wanted<'a> = (&'a str, bool, Option<&'a str>);

/// The lines of a batch of these, but for the last, which must be there.
fn batch(sidecar: &Sidecar, wanted: &[Wanted<'_>]) -> Vec<Value> {
    let item = |&(tenant, include, version): &Wanted<'_>| {
        let mut item = json!({"tenant_id": tenant, "include_test_data": include});
        if let Some(version) = version {
            item["known"] = json!({"etag": ETAG, "version": version});
        }
        item
    };
    let body = json!({"bundles": wanted.iter().map(item).collect::<Vec<_>>()}).to_string();
    let response = sidecar.internal().post("/internal/v1/bundles", &body);
    assert_eq!(response.status, 200, "{}", response.text());
    let mut lines = response.lines();
    let cost = lines.pop().expect("a last line");
    assert!(cost["query_us"].as_u64().is_some_and(|us| us > 0), "{cost}");
    lines
}

/// Whose a line is, and what it says of the bundle.
fn said(line: &Value) -> (&str, bool, &str) {
    let by = if line["meta"].is_null() { line } else { &line["meta"] };
    let what = match (&line["unchanged"], &line["error"]["code"]) {
        (Value::String(etag), _) if etag == ETAG => "unchanged",
        (Value::Null, Value::String(code)) => code,
        (Value::Null, Value::Null) => "computed",
        other => panic!("{other:?}"),
    };
    (by["tenant_id"].as_str().unwrap(), by["include_test_data"].as_bool().unwrap(), what)
}

fn stubbed() -> (Postgres, Sidecar) {
    let postgres = Postgres::start();
    postgres.execute(STUBS);
    let sidecar = Sidecar::builder().database(postgres.url()).env("DASHBOARD_WARM_BATCH", "2").start();
    (postgres, sidecar)
}

#[test]
fn a_bundle_names_the_version_that_the_database_gives_by_itself_and_in_a_batch() {
    let (_postgres, sidecar) = stubbed();
    for (tenant, version) in [("a", json!("v:1")), ("odd", Value::Null), ("without", Value::Null)] {
        let path = format!("/internal/v1/bundle?tenant={tenant}&include_test_data=false");
        let single = sidecar.internal().get(&path).json();
        assert_eq!(single["meta"].get("version").unwrap_or(&Value::Null), &version, "{tenant}");
        assert_eq!(single["meta"].as_object().unwrap().contains_key("version"), version.is_string());
        for line in batch(&sidecar, &[(tenant, true, None), (tenant, false, None)]) {
            assert_eq!(line["meta"]["version"], version, "{tenant}");
        }
    }
    assert!(sidecar.log().contains("the database names no version"), "{}", sidecar.log());
}

#[test]
fn what_is_known_and_unchanged_is_said_to_be_so_and_the_rest_is_computed() {
    let (_postgres, sidecar) = stubbed();
    let wanted = [
        ("a", true, Some("v:1")),
        ("a", false, Some("v:1")),
        ("b", true, Some("v:0")),
        ("b", false, Some("v:1")),
        ("c", true, None),
        ("c", false, Some("v:1")),
        ("new", true, Some("v:1")),
        ("SUPERADMIN_GLOBAL", true, Some("v:1")),
        ("SUPERADMIN_GLOBAL", false, Some("v:0")),
    ];
    let lines = batch(&sidecar, &wanted);
    let got: Vec<_> = lines.iter().map(said).collect();
    let expected = [
        ("a", true, "unchanged"),
        ("a", false, "unchanged"),
        ("b", false, "unchanged"),
        ("b", true, "computed"),
        ("c", false, "unchanged"),
        ("c", true, "computed"),
        ("new", true, "computed"),
        ("SUPERADMIN_GLOBAL", true, "unchanged"),
        ("SUPERADMIN_GLOBAL", false, "computed"),
    ];
    assert_eq!(got, expected);
}

#[test]
fn beside_a_tenant_that_fails_each_bundle_still_has_one_line() {
    let postgres = Postgres::start();
    postgres.execute(STUBS);
    let sidecar = Sidecar::on(&postgres.url());
    let wanted = [
        ("a", true, Some("v:1")),
        ("bad", true, None),
        ("bad", false, Some("v:1")),
        ("b", true, Some("v:0")),
        ("c", false, Some("v:1")),
    ];
    let lines = batch(&sidecar, &wanted);
    let mut got: Vec<_> = lines.iter().map(said).collect();
    got.sort_unstable();
    let expected = [
        ("a", true, "unchanged"),
        ("b", true, "computed"),
        ("bad", false, "unchanged"),
        ("bad", true, "internal"),
        ("c", false, "unchanged"),
    ];
    assert_eq!(got, expected);
}

#[test]
fn where_the_question_is_not_answered_everything_is_computed() {
    let (postgres, sidecar) = stubbed();
    let wanted = [("a", true, Some("v:1")), ("b", false, Some("v:1")), ("c", true, None)];
    for (body, logged) in [
        ("NULL::boolean[]", "another number of answers"),
        ("ARRAY[true]", "another number of answers"),
        ("ARRAY[NULL, NULL]::boolean[]", ""),
        ("ARRAY[1 / (SELECT 0) = 1]", "is not known"),
    ] {
        postgres.execute(&format!(
            "CREATE OR REPLACE FUNCTION dashboard.unchanged(tenants text[], versions text[]) RETURNS boolean[]
             LANGUAGE sql STABLE AS $$SELECT {body}$$"
        ));
        let lines = batch(&sidecar, &wanted);
        assert!(lines.len() == 3 && lines.iter().all(|line| said(line).2 == "computed"), "{body}: {lines:?}");
        assert!(sidecar.log().contains(logged), "{body}: {}", sidecar.log());
    }
}

#[test]
fn from_end_to_end_only_the_tenants_that_changed_are_computed() {
    let (postgres, sidecar) = stubbed();
    let redis = Redis::builder().setting("sidecar", sidecar.url()).start();
    let mut client = redis.client();
    let tenants = ["a", "b", "c", "without"];
    warm_an_hour_ago(&mut client, &tenants);
    let etags = |client: &mut harness::Client| {
        tenants.map(|tenant| stored(client, &key(tenant))["meta"]["etag"].as_str().unwrap().to_owned())
    };
    let before = etags(&mut client);
    postgres.execute("UPDATE state SET version = 'v:2' WHERE tenant = 'b'");
    assert_eq!(warm(&mut client, &tenants), [4, 2, 2, 0]);
    let after = etags(&mut client);
    let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(same, [true, false, true, false]);
    assert_eq!((client.figure("computed"), client.figure("unchanged")), (12, 4));
    assert_eq!(stored(&mut client, &key("b"))["meta"]["version"], "v:2");
    assert_eq!(read(&mut client, "a").0, "hit");
}

#[test]
fn with_counters_a_second_night_computes_the_tenant_of_a_new_lead_and_all_together() {
    let postgres = Postgres::start();
    run_ok(&mut Sidecar::command(&["demo", "load", "--tenants", "5", "--rows", "200"], &postgres.url()));
    run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
    let sidecar = Sidecar::on(&postgres.url());
    let redis = Redis::builder().setting("sidecar", sidecar.url()).start();
    let mut client = redis.client();
    let rows = postgres.client().query("SELECT * FROM dashboard.active_tenants()", &[]).unwrap();
    let tenants: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let count = i64::try_from(tenants.len()).unwrap();
    warm_an_hour_ago(&mut client, &tenants);
    assert_eq!(warm(&mut client, &[]), [count, 0, count, 0]);

    let changed = tenants.iter().find(|tenant| **tenant != "SUPERADMIN_GLOBAL").unwrap();
    for tenant in &tenants {
        age(&mut client, &key(tenant));
    }
    postgres.execute(&format!("INSERT INTO leads (tenant_id, last_name) VALUES ('{changed}', 'New')"));
    assert_eq!(warm(&mut client, &[]), [count, 2, count - 2, 0]);
    let lists = &stored(&mut client, &key(changed))["lists"];
    assert_eq!(lists["recentLeads"][0]["last_name"], "New");
}
