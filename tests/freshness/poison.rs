//! A number that is too large to be added to another: it concerns one tenant, and all others' changes are seen as ever.

use harness::assert_eventually;

use super::crm::name;
use super::{Scene, lines_with, lists};

/// Each of these is a number; two of them together are none.
const ABSURD: &str = "INSERT INTO opportunities (tenant_id, name, amount) VALUES";

#[test]
fn a_sum_that_is_too_large_costs_its_tenant_the_counters_and_nobody_else_anything() {
    let scene = Scene::start();
    scene.crm.execute("ALTER TABLE opportunities ALTER COLUMN amount TYPE numeric");
    scene.crm.counters("rebuild");
    scene.fill();
    let mut client = scene.client();
    let (bad, good) = (name(0), name(1));
    for _ in 0..2 {
        scene.crm.execute(&format!("{ABSURD} ('{bad}', 'absurd', 9e131071)"));
    }
    scene.crm.rename(0, 1, "while it cannot be summed");
    assert_eventually!(
        lists(&mut client, &good, true, "while it cannot be summed"),
        "others' changes are seen"
    );
    assert_eventually!(scene.crm.is_merged(), "and merged");
    assert_eventually!(lines_with(&scene.sidecar, &bad) > 0, "the log names whose it is");
    let (says, _) = scene.crm.says();
    assert!(says.contains(&format!("not counted   {bad}")) && says.contains("too large"), "{says}");

    assert!(scene.crm.counters("verify").contains("1 tenants have no counters"), "the others' are compared");
    let uncounted = || scene.sidecar.public().get("/metrics").sample("dashboard_uncounted_tenants");
    assert_eventually!(uncounted() == Some(1.0), "a metric says it");

    // Once its rows can be summed, its bundle is right again, from the tables.
    scene.crm.execute("DELETE FROM opportunities WHERE name = 'absurd'");
    scene.crm.rename(0, 0, "from the tables");
    scene.assert_all_is_seen();
    scene.crm.rename(2, 0, "and goes on being followed");
    scene.assert_all_is_seen();
    // And from counters as soon as everything has been counted anew.
    scene.crm.counters("rebuild");
    let (says, _) = scene.crm.says();
    assert!(!says.contains("not counted"), "{says}");
    scene.crm.rename(0, 0, "counted");
    scene.assert_all_is_seen();
}

#[test]
fn a_tenant_that_cannot_be_summed_keeps_nobody_else_from_being_counted() {
    let scene = Scene::without_feed();
    scene.crm.execute("ALTER TABLE opportunities ALTER COLUMN amount TYPE numeric");
    let bad = name(0);
    for _ in 0..2 {
        scene.crm.execute(&format!("{ABSURD} ('{bad}', 'absurd', 9e131071)"));
    }
    let said = scene.crm.counters("rebuild");
    assert!(said.contains(&format!("{bad} is not counted")), "{said}");
    assert!(scene.crm.counters("verify").contains("are right"));
    let counted = format!("SELECT count(*) FROM dashboard.counter WHERE owner = '{}'", name(1));
    assert!(scene.crm.value::<i64>(&counted) > 0, "the others are");
}

/// Together they are as nothing: what cannot be summed is a part of them.
#[test]
fn numbers_that_are_too_large_for_a_while_are_set_aside_however_few_are_merged_at_a_time() {
    let scene = Scene::without_feed();
    scene.crm.execute("ALTER TABLE opportunities ALTER COLUMN amount TYPE numeric");
    scene.crm.counters("rebuild");
    scene.crm.execute("SELECT dashboard.compact()");
    for sign in ["", "", "-", "-"] {
        scene.crm.execute(&format!("{ABSURD} ('{}', 'absurd', {sign}9e131071)", name(0)));
    }
    let mut client = scene.crm.client();
    let error = client.batch_execute("SELECT dashboard.compact(2)").unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("22003"), "{error:?}");
    let aside: String = scene.crm.value("SELECT tenant::text FROM dashboard.set_aside(2)");
    assert_eq!(aside, name(0));
    while !scene.crm.is_merged() {
        client.batch_execute("SELECT dashboard.compact(2)").unwrap();
    }
}
