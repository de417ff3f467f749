//! A user reads, and changes, the tenants that its key patterns say, and nothing else.

use harness::{Client, FakeUpstream, Redis};

use crate::states::key;

/// A connection of a user with nothing but these rules.
fn user(redis: &Redis, name: &str, rules: &[&str]) -> Client {
    redis.client().ok(&[&["ACL", "SETUSER", name, "on", "nopass", "resetkeys", "-@all"][..], rules].concat());
    let mut client = redis.client();
    client.ok(&["AUTH", name, "x"]);
    client
}

fn denied(client: &mut Client, args: &[&str]) {
    let error = client.error(args);
    assert!(error.starts_with("NOPERM "), "{args:?}: {error}");
}

#[test]
fn with_read_permission_for_a_tenant_and_the_command_a_user_reads_that_tenant_and_nothing_else() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut app = user(&redis, "app", &["%R~acme", "+dashboard.get"]);
    // Absent, stored, anew, and the other bundle.
    for options in [&[][..], &["WITHMETA"], &["REFRESH"], &["MAXAGE", "1"], &["INCLUDE", "false"]] {
        app.ok(&[&["DASHBOARD.GET", "acme"][..], options].concat());
    }
    let asked = upstream.total();
    for args in [
        &["DASHBOARD.GET", "other"][..],
        &["DASHBOARD.GET", "acme2"],
        &["DASHBOARD.GET", "ACME"],
        &["DASHBOARD.GET", "SUPERADMIN_GLOBAL"],
        &["DASHBOARD.CLEAR", "acme"],
        &["DASHBOARD.CLEAR"],
        &["DASHBOARD.WARM", "acme"],
        &["DASHBOARD.FEED", "0", "1000"],
        &["DASHBOARD.HELP"],
        &["GET", &key("acme")],
        &["INFO", "dashboard"],
        &["CONFIG", "GET", "dashboard.*"],
    ] {
        denied(&mut app, args);
    }
    assert_eq!(upstream.total(), asked, "nothing was computed for who may not see it");
    assert_eq!(redis.client().int(&["DBSIZE"]), 2);
}

#[test]
fn a_pattern_confines_to_the_tenants_that_match_it() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut app = user(&redis, "app", &["%R~north-*", "+dashboard.get"]);
    denied(&mut app, &["DASHBOARD.GET", "south-1"]);
    let upstream = FakeUpstream::start();
    redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", &upstream.url()]);
    for tenant in ["north-1", "north-2"] {
        app.json(&["DASHBOARD.GET", tenant]);
    }
}

#[test]
fn clearing_and_warming_need_write_permission_and_reading_none() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let commands = ["+dashboard.get", "+dashboard.clear", "+dashboard.warm"];
    let with = |pattern| [&[pattern][..], &commands].concat();
    let mut reader = user(&redis, "reader", &with("%R~acme"));
    let mut writer = user(&redis, "writer", &with("%RW~acme"));
    let changes: [&[&str]; 5] = [
        &["DASHBOARD.WARM", "acme"],
        &["DASHBOARD.WARM", "acme", "FORCE", "ASYNC"],
        &["DASHBOARD.CLEAR", "acme", "SOFT"],
        &["DASHBOARD.CLEAR", "SOFT", "acme"],
        &["DASHBOARD.CLEAR", "acme"],
    ];
    for args in changes {
        denied(&mut reader, args);
        writer.ok(args);
    }
    for args in [
        &["DASHBOARD.CLEAR", "other"][..],
        &["DASHBOARD.CLEAR", "acme", "other"],
        &["DASHBOARD.CLEAR", "SOFT", "other"],
        &["DASHBOARD.WARM", "other"],
        &["DASHBOARD.WARM", "ASYNC", "other"],
        &["DASHBOARD.GET", "other"],
    ] {
        denied(&mut writer, args);
    }
    let mut blind = user(&redis, "blind", &with("%W~acme"));
    denied(&mut blind, &["DASHBOARD.GET", "acme"]);
    blind.ok(&["DASHBOARD.CLEAR", "acme"]);
    blind.ok(&["DASHBOARD.WARM", "acme"]);
}

#[test]
fn a_script_and_a_transaction_open_no_way_round() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    redis.client().json(&["DASHBOARD.GET", "acme"]);
    let mut app = user(&redis, "app", &["%R~acme", "+dashboard.get", "+eval", "+multi", "+exec"]);
    app.ok(&["EVAL", "return redis.call('DASHBOARD.GET', 'acme')", "0"]);
    // The server's words for it differ between its versions.
    app.error(&["EVAL", "return redis.call('DASHBOARD.GET', 'other')", "0"]);
    app.error(&["EVAL", "return redis.call('DASHBOARD.CLEAR', 'acme')", "0"]);
    app.ok(&["MULTI"]);
    denied(&mut app, &["DASHBOARD.GET", "other"]);
    let error = app.error(&["EXEC"]);
    assert!(error.starts_with("EXECABORT "), "{error}");
    assert_eq!(
        (upstream.total(), redis.client().int(&["DBSIZE"])),
        (1, 1),
        "nothing was computed or removed"
    );
}
