//! What the server says about the commands: clients, ACLs and redis-cli go by it.

use harness::{FakeUpstream, Redis, text};
use redis::Value;

fn keys(redis: &Redis, command: &[&str]) -> Vec<String> {
    let mut args = vec!["COMMAND", "GETKEYS"];
    args.extend(command);
    match redis.client().call(&args) {
        Ok(Value::Array(keys)) => keys.iter().map(text).collect(),
        Ok(other) => panic!("{other:?}"),
        Err(_) => Vec::new(),
    }
}

#[test]
fn getkeys_finds_the_tenants_and_never_takes_an_option_for_one() {
    let redis = Redis::with(&FakeUpstream::start());
    assert_eq!(keys(&redis, &["DASHBOARD.GET", "a", "INCLUDE", "true", "WITHMETA"]), ["a"]);
    assert_eq!(keys(&redis, &["DASHBOARD.CLEAR", "a", "b", "SOFT"]), ["a", "b"]);
    assert_eq!(keys(&redis, &["DASHBOARD.CLEAR", "soft", "a"]), ["a"]);
    assert_eq!(keys(&redis, &["DASHBOARD.WARM", "a", "FORCE", "b", "ASYNC"]), ["a", "b"]);
    assert!(keys(&redis, &["DASHBOARD.CLEAR", "SOFT"]).is_empty());
    assert!(keys(&redis, &["DASHBOARD.WARM"]).is_empty());
}

#[test]
fn get_reads_its_key_and_clear_and_warm_write_theirs() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client_resp3();
    for (command, arity, specs) in [
        ("dashboard.get", -2, &["RO", "ACCESS"][..]),
        ("dashboard.clear", -1, &["RW"]),
        ("dashboard.warm", -1, &["RW"]),
        ("dashboard.feed", -2, &[]),
        ("dashboard.help", 1, &[]),
    ] {
        let Value::Array(infos) = client.ok(&["COMMAND", "INFO", command]) else { panic!("{command}") };
        let Value::Array(info) = &infos[0] else { panic!("{command} is unknown: {infos:?}") };
        assert_eq!(text(&info[0]).to_lowercase(), command);
        assert_eq!(info[1], Value::Int(arity), "{command}");
        let key_specs = format!("{:?}", info[8]).to_uppercase();
        for spec in specs {
            let bytes = format!("{:?}", Value::BulkString(spec.as_bytes().to_vec()));
            let simple = format!("{spec:?}");
            assert!(
                key_specs.contains(&simple) || key_specs.contains(&bytes),
                "{command}: {spec}: {key_specs}"
            );
        }
    }
}

#[test]
fn docs_tell_summary_since_complexity_group_and_every_argument() {
    let redis = Redis::with(&FakeUpstream::start());
    for (command, tokens) in [
        ("DASHBOARD.GET", &["INCLUDE", "MAXAGE", "REFRESH", "IFNONEMATCH", "WITHMETA"][..]),
        ("DASHBOARD.CLEAR", &["SOFT"]),
        ("DASHBOARD.WARM", &["FORCE", "ASYNC"]),
        ("DASHBOARD.FEED", &["lag-ms", "period-ms", "OFF"]),
        ("DASHBOARD.HELP", &[]),
    ] {
        let docs = redis.cli(&["COMMAND", "DOCS", command]);
        for word in ["summary", "since", "complexity"].iter().chain(tokens) {
            assert!(docs.contains(word), "{command}: {word}:\n{docs}");
        }
    }
}

#[test]
fn an_acl_of_one_tenants_key_confines_a_user_to_that_tenant() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    redis.client().ok(&["ACL", "SETUSER", "app", "on", "nopass", "+@all", "-@dangerous", "%R~acme"]);
    redis.client().ok(&["ACL", "SETUSER", "writer", "on", "nopass", "+@all", "~acme"]);
    let mut app = redis.client();
    app.ok(&["AUTH", "app", "x"]);

    app.json(&["DASHBOARD.GET", "acme", "INCLUDE", "false"]);
    let denied: &[&[&str]] =
        &[&["DASHBOARD.GET", "other"], &["DASHBOARD.CLEAR", "acme"], &["DASHBOARD.WARM", "acme"]];
    for args in denied {
        let error = app.error(args);
        assert!(error.starts_with("NOPERM "), "{args:?}: {error}");
    }
    let mut writer = redis.client();
    writer.ok(&["AUTH", "writer", "x"]);
    writer.int(&["DASHBOARD.CLEAR", "acme", "SOFT"]);
    assert!(writer.error(&["DASHBOARD.CLEAR", "acme", "other"]).starts_with("NOPERM "));
    assert!(writer.error(&["DASHBOARD.WARM", "other"]).starts_with("NOPERM "));
    assert!(writer.error(&["DASHBOARD.GET", "other"]).starts_with("NOPERM "));
}

#[test]
fn a_confined_user_cannot_change_all_tenants_by_naming_none() {
    let upstream = FakeUpstream::start();
    let redis = Redis::with(&upstream);
    let mut admin = redis.client();
    admin.ok(&["ACL", "SETUSER", "writer", "on", "nopass", "+@all", "~acme"]);
    admin.ok(&["ACL", "SETUSER", "chief", "on", "nopass", "+@all", "~SUPERADMIN_GLOBAL"]);
    admin.bytes(&["DASHBOARD.GET", "acme"]);
    let (mut writer, mut chief) = (redis.client(), redis.client());
    writer.ok(&["AUTH", "writer", "x"]);
    for args in [
        &["DASHBOARD.CLEAR"][..],
        &["DASHBOARD.CLEAR", "SOFT"],
        &["DASHBOARD.WARM"],
        &["DASHBOARD.WARM", "ASYNC"],
    ] {
        let error = writer.error(args);
        assert!(error.starts_with("NOPERM ") && error.contains("SUPERADMIN_GLOBAL"), "{args:?}: {error}");
    }
    assert_eq!(admin.int(&["DBSIZE"]), 1, "nothing was cleared");
    chief.ok(&["AUTH", "chief", "x"]);
    assert_eq!(chief.int(&["DASHBOARD.CLEAR"]), 1);
}

/// Every option of every command.
pub(crate) const OPTIONS: [&str; 8] =
    ["INCLUDE", "MAXAGE", "REFRESH", "IFNONEMATCH", "WITHMETA", "SOFT", "FORCE", "ASYNC"];

#[test]
fn help_has_a_line_for_every_command_and_option() {
    let redis = Redis::with(&FakeUpstream::start());
    let help = redis.cli(&["DASHBOARD.HELP"]);
    for word in
        ["DASHBOARD.GET", "DASHBOARD.CLEAR", "DASHBOARD.WARM", "DASHBOARD.FEED"].iter().chain(&OPTIONS)
    {
        assert!(help.contains(word), "{word}:\n{help}");
    }
}

#[test]
fn info_has_a_section_of_its_own() {
    let redis = Redis::with(&FakeUpstream::start());
    let info = redis.cli(&["INFO", "dashboard"]);
    for figure in ["hits", "stale", "misses", "flights", "waiters", "joined", "computed", "timeouts"] {
        assert!(info.contains(&format!("dashboard_{figure}:")), "{figure}:\n{info}");
    }
}

#[test]
fn the_module_can_be_unloaded_and_loaded_again() {
    let upstream = FakeUpstream::start();
    let mut redis = Redis::builder().upstream(&upstream).line("enable-module-command yes").start();
    let mut client = redis.client();
    client.bytes(&["DASHBOARD.GET", "acme"]);
    let name = redis.cli(&["MODULE", "LIST"]);
    assert!(name.contains("dashboard"), "{name}");
    client.ok(&["MODULE", "UNLOAD", "dashboard"]);
    assert_eq!(client.int(&["DBSIZE"]), 1);
    let module = harness::Artefacts::get().module.display().to_string();
    client.ok(&["MODULE", "LOAD", &module, "sidecar", &upstream.url()]);
    client.bytes(&["DASHBOARD.GET", "acme"]);
    client.bytes(&["DASHBOARD.GET", "another"]);
    // It logs from its timer, under the name that the second load gave it.
    client.ok(&["DASHBOARD.WARM", "a", "b", "c"]);
    assert_eq!(client.figure("misses"), 1, "counters begin anew: acme was a hit");
    assert!(redis.is_alive());
}
