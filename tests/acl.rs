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

/// What is there before each of the commands that change all tenants.
fn everybody(redis: &Redis) {
    let mut admin = redis.client();
    for tenant in ["A", "B"] {
        admin.json(&["DASHBOARD.GET", tenant]);
    }
    assert_eq!(admin.int(&["DBSIZE"]), 2);
}

const FOR_ALL: [&[&str]; 6] = [
    &["DASHBOARD.CLEAR"],
    &["DASHBOARD.CLEAR", "SOFT"],
    &["dashboard.clear", "soft"],
    &["DASHBOARD.WARM"],
    &["DASHBOARD.WARM", "FORCE"],
    &["DASHBOARD.WARM", "ASYNC"],
];

#[test]
fn a_selector_that_gives_all_keys_to_another_command_does_not_give_all_tenants_to_clear_and_warm() {
    let upstream = FakeUpstream::start();
    upstream.active_tenants(&["A", "B", "C"]);
    let redis = Redis::with(&upstream);
    for selector in [
        "(+dashboard.get ~*)",
        "(+@all -dashboard.clear -dashboard.warm ~*)",
        "(+get +set +del ~*)",
        "(+dashboard.clear +dashboard.warm %R~*)",
        "(+dashboard.clear +dashboard.warm ~A ~B)",
    ] {
        everybody(&redis);
        let asked = upstream.total();
        let mut app =
            user(&redis, "app", &["clearselectors", "~A", "+dashboard.clear", "+dashboard.warm", selector]);
        for args in FOR_ALL {
            denied(&mut app, args);
        }
        assert_eq!((upstream.total(), redis.client().int(&["DBSIZE"])), (asked, 2), "{selector}");
        app.ok(&["DASHBOARD.WARM", "A"]);
        assert_eq!(app.int(&["DASHBOARD.CLEAR", "A"]), 2, "its own tenant is");
        redis.client().ok(&["FLUSHALL"]);
    }
}

#[test]
fn a_selector_that_gives_clear_and_warm_together_with_their_key_gives_all_tenants() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    for rules in [
        &["~A", "+dashboard.get", "(+dashboard.clear +dashboard.warm ~*)"][..],
        &[
            "%R~*",
            "+dashboard.get",
            "(+dashboard.clear %W~SUPERADMIN_GLOBAL)",
            "(+dashboard.warm %W~SUPERADMIN_GLOBAL)",
        ],
        &["~*", "+dashboard.clear", "+dashboard.warm", "(+dashboard.get ~A)"],
    ] {
        let mut app = user(&redis, "app", &[&["clearselectors"], rules].concat());
        for args in FOR_ALL {
            everybody(&redis);
            app.ok(args);
        }
        redis.client().ok(&["FLUSHALL"]);
    }
}

#[test]
fn tenants_of_two_selectors_are_not_changed_by_one_command() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    everybody(&redis);
    let mut app =
        user(&redis, "app", &["(+dashboard.clear ~A)", "(+dashboard.clear ~B)", "(+dashboard.get ~C)"]);
    for args in
        [&["DASHBOARD.CLEAR", "A", "B"][..], &["DASHBOARD.CLEAR", "SOFT", "C"], &["DASHBOARD.GET", "A"]]
    {
        denied(&mut app, args);
    }
    assert_eq!(redis.client().int(&["DBSIZE"]), 2);
    for tenant in ["A", "B"] {
        assert_eq!(app.int(&["DASHBOARD.CLEAR", tenant]), 1);
    }
}

#[test]
fn a_server_on_which_categories_do_not_reach_our_commands_says_so_once_and_names_them() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut user = user(&redis, "app", &["~*", "+@all", "-@write", "-@dangerous"]);
    let reached = user.call(&["DASHBOARD.CLEAR", "acme"]).is_err();
    let log = redis.log();
    let said = log.matches("ACL rules for categories do not reach DASHBOARD.*").count();
    assert_eq!(said, usize::from(!reached), "{log}");
    if !reached {
        for command in ["get", "clear", "warm", "feed", "help"] {
            assert!(log.contains(&format!("dashboard.{command}")), "{command}: {log}");
        }
    }
}
