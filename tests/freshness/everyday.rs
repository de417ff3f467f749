//! Nothing is wrong: each commit is seen, by whoever it was.

use std::thread;

use harness::assert_eventually;

use super::burst::Burst;
use super::crm::{ALL, TENANTS, WRITERS, is_test, name};
use super::{Scene, cache, lists};

#[test]
fn each_writer_sees_each_of_its_commits_in_the_bundles_of_its_tenant_and_of_all_together() {
    let scene = Scene::start();
    scene.fill();
    thread::scope(|threads| {
        for writer in 0..WRITERS {
            let scene = &scene;
            threads.spawn(move || {
                let mut client = scene.client();
                for n in 0..20 {
                    let (tenant, lead) = ((writer + n) % TENANTS, format!("{writer}-{n}"));
                    scene.crm.rename(writer, tenant, &lead);
                    for shown_by in [&name(tenant), ALL] {
                        for include in [true, false] {
                            let listed = include || !is_test(writer);
                            assert_eventually!(
                                lists(&mut client, shown_by, include, &lead) == listed,
                                "{lead} of {tenant} is shown by {shown_by}, include {include}"
                            );
                        }
                    }
                }
            });
        }
    });
    scene.assert_all_is_seen();
}

#[test]
fn after_a_burst_of_changes_of_every_kind_every_bundle_shows_what_the_tables_do() {
    let scene = Scene::start();
    scene.fill();
    let burst = Burst::begin(&scene);
    (0..5).for_each(|_| burst.go_on());
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn so_it_is_where_a_changed_bundle_is_not_computed_before_it_is_read() {
    let mut scene = Scene::on(&harness::Postgres::start().url(), cache().setting("hot-window", 0));
    scene.follow();
    scene.fill();
    let burst = Burst::begin(&scene);
    burst.go_on();
    burst.end();
    scene.assert_all_is_seen();
}

#[test]
fn a_transaction_that_commits_after_later_ones_is_seen_and_keeps_none_of_them_waiting() {
    let scene = Scene::start();
    scene.fill();
    let mut client = scene.client();
    let mut slow = scene.crm.client();
    let mut transaction = slow.transaction().unwrap();
    transaction.batch_execute(&super::crm::renaming(0, 0, "early")).unwrap();
    for n in 0..10 {
        let lead = format!("later-{n}");
        scene.crm.rename(2, n % TENANTS, &lead);
        assert_eventually!(lists(&mut client, &name(n % TENANTS), true, &lead), "{lead} is seen");
        assert_eventually!(lists(&mut client, ALL, false, &lead), "{lead} is seen among all");
    }
    assert_eventually!(scene.crm.is_all_announced(), "all that is committed is announced");
    assert!(!lists(&mut client, &name(0), true, "early"), "it is not committed");
    transaction.commit().unwrap();
    for (tenant, include) in [(name(0), true), (name(0), false), (ALL.to_owned(), true)] {
        assert_eventually!(
            lists(&mut client, &tenant, include, "early"),
            "it is seen by {tenant}, {include}"
        );
    }
    scene.assert_all_is_seen();
}

#[test]
fn what_was_rolled_back_is_announced_to_nobody() {
    let scene = Scene::start();
    scene.fill();
    let mut client = scene.client();
    let marked = client.figure("marked_changed");
    let mut writer = scene.crm.client();
    writer.batch_execute(&format!("BEGIN; {}; ROLLBACK", super::crm::renaming(0, 0, "never"))).unwrap();
    // A heartbeat that was written after it goes through after it.
    let beats = "SELECT (extract(epoch FROM clock_timestamp()))::float8";
    let now: f64 = scene.crm.value(beats);
    let through = format!("SELECT heartbeat_at > to_timestamp({now}) FROM dashboard.feed");
    assert_eventually!(scene.crm.value::<bool>(&through), "the feed is past it");
    assert_eq!(client.figure("marked_changed"), marked);
}

#[test]
fn a_tenant_that_was_unknown_a_moment_ago_is_seen_once_it_is_created_and_unknown_once_it_is_deleted() {
    let mut scene = Scene::on(&harness::Postgres::start().url(), cache().setting("negative-ttl", 3600));
    scene.follow();
    scene.fill();
    let mut client = scene.client();
    let new = name(77);
    let unknown = |client: &mut harness::Client, include: &str| {
        client.call(&["DASHBOARD.GET", &new, "INCLUDE", include]).is_err_and(|e| e.starts_with("NOTENANT "))
    };
    for _ in 0..3 {
        assert!(unknown(&mut client, "true") && unknown(&mut client, "false"));
        scene
            .crm
            .execute(&format!("INSERT INTO tenant (id, tenant_id, name) VALUES ('{new}', 'new', 'New')"));
        for include in ["true", "false"] {
            assert_eventually!(
                client.call(&["DASHBOARD.GET", &new, "INCLUDE", include]).is_ok(),
                "it is there, include {include}"
            );
        }
        scene.crm.execute(&format!("DELETE FROM tenant WHERE id = '{new}'"));
        for include in ["true", "false"] {
            assert_eventually!(unknown(&mut client, include), "it is gone, include {include}");
        }
    }
}
