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
