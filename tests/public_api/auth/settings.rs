//! The settings of authentication, and `dashboard-sidecar token`.

use harness::jwt::{SECRET, key_file, now, token};
use harness::{Sidecar, repository_root, run, run_ok};
use serde_json::json;

use super::super::{TENANT, message};
use super::{ask, guarded};

#[test]
fn without_a_key_nobody_is_served_and_what_to_set_is_said() {
    let sidecar = Sidecar::builder().jwt_missing().start_alone();
    let good = token(json!({"role": "superadmin"}));
    for token in [None, Some(good.as_str())] {
        for (path, body) in guarded() {
            let response = ask(&sidecar, token, &path, body.as_deref());
            assert_eq!(response.status, 503, "{path}");
            for setting in ["DASHBOARD_JWT_SECRET", "DASHBOARD_JWT_PUBLIC_KEY_FILE", "--insecure-no-auth"] {
                assert!(message(&response).contains(setting), "{path}: {}", response.text());
            }
        }
    }
    assert_eq!(ask(&sidecar, None, "/livez", None).status, 200);
}

#[test]
fn audience_issuer_and_leeway_count_as_they_are_set() {
    let sidecar = Sidecar::builder()
        .jwt_secret(SECRET)
        .env("DASHBOARD_JWT_AUDIENCE", "dashboard")
        .env("DASHBOARD_JWT_ISSUER", "https://login.example")
        .env("DASHBOARD_JWT_LEEWAY_S", "300")
        .start_alone();
    let says = |aud: &str, iss: &str, exp: i64| token(json!({"aud": aud, "iss": iss, "exp": now() + exp}));
    for (token, expected) in [
        (says("dashboard", "https://login.example", 3600), 200),
        (says("dashboard", "https://login.example", -200), 200),
        (says("dashboard", "https://login.example", -400), 401),
        (says("other", "https://login.example", 3600), 401),
        (says("dashboard", "https://other.example", 3600), 401),
        (token(json!({"aud": "dashboard"})), 401),
        (token(json!({"iss": "https://login.example"})), 401),
        (token(json!({})), 401),
    ] {
        assert_eq!(ask(&sidecar, Some(&token), "/api/session", None).status, expected);
    }
}

type Settings<'a> = &'a [(&'a str, &'a str)];

/// What a sidecar that does not start says.
fn refused(settings: Settings<'_>, arguments: &[&str]) -> String {
    let mut builder = Sidecar::builder().database("postgresql://nobody@127.0.0.1:1/none").jwt_missing();
    for (name, value) in settings {
        builder = builder.env(name, *value);
    }
    for argument in arguments {
        builder = builder.argument(argument);
    }
    let mut sidecar = builder.spawn();
    assert_eq!(sidecar.process().wait_exit().code(), Some(2), "{}", sidecar.log());
    sidecar.log()
}

#[test]
fn streams_that_could_take_every_connection_keep_the_sidecar_from_starting() {
    let log = refused(&[("DASHBOARD_MAX_CONNECTIONS", "200"), ("DASHBOARD_MAX_STREAMS", "200")], &[]);
    assert!(log.contains("DASHBOARD_MAX_STREAMS") && log.contains("DASHBOARD_MAX_CONNECTIONS"), "{log}");
}

#[test]
fn a_wrong_key_keeps_the_sidecar_from_starting_and_is_named_but_not_shown() {
    let key = |name: &str| key_file(name).display().to_string();
    let readme = repository_root().join("README.md").display().to_string();
    let cases: &[(Settings<'_>, &[&str], &str)] = &[
        (&[("DASHBOARD_JWT_SECRET", "hunter2-is-too-short")], &[], "DASHBOARD_JWT_SECRET: "),
        (&[("DASHBOARD_JWT_SECRET", "")], &[], "DASHBOARD_JWT_SECRET: "),
        (&[("DASHBOARD_JWT_SECRET", SECRET)], &["--insecure-no-auth"], "keep one"),
        (&[("DASHBOARD_JWT_SECRET", SECRET)], &["--jwt-secret-file", &readme], "keep one"),
        (&[("DASHBOARD_JWT_SECRET", SECRET)], &["--jwt-public-key-file", &readme], "keep one"),
        (&[("DASHBOARD_JWT_SECRET", SECRET), ("DASHBOARD_JWT_LEEWAY_S", "301")], &[], "--jwt-leeway-s"),
        (&[], &["--jwt-secret-file", "/nowhere/secret"], "/nowhere/secret"),
        (&[], &["--jwt-public-key-file", &readme], "DASHBOARD_JWT_PUBLIC_KEY_FILE"),
        (&[], &["--jwt-public-key-file", &key("rsa-private.pem")], "private key"),
        (&[], &["--jwt-public-key-file", &key("ec-private.pem")], "private key"),
        (&[], &["--jwt-public-key-file", &key("rsa-1024-public.pem")], "2048"),
        (&[], &["--jwt-public-key-file", &key("ed25519-public.pem")], "P-256"),
        (&[], &["--insecure-no-auth", "--jwt-public-key-file", &key("ec-public.pem")], "keep one"),
    ];
    for (settings, arguments, expected) in cases {
        let log = refused(settings, arguments);
        assert!(log.contains(expected), "{settings:?} {arguments:?}: {log}");
        assert!(!log.contains(SECRET) && !log.contains("hunter2") && !log.contains("PRIVATE KEY"), "{log}");
    }
}

#[test]
fn a_printed_token_opens_what_it_was_made_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.display().to_string();
    let settings =
        [("DASHBOARD_JWT_SECRET", SECRET), ("DASHBOARD_JWT_AUDIENCE", "us"), ("DASHBOARD_JWT_ISSUER", "me")];
    let print = |arguments: &[&str]| {
        let mut command = Sidecar::command(&[&["token"], arguments].concat(), "");
        run_ok(command.envs(settings)).trim_end().to_owned()
    };
    let sidecar = settings[1..]
        .iter()
        .fold(
            Sidecar::builder().argument("--jwt-secret-file").argument(&file).jwt_missing(),
            |builder, (name, value)| builder.env(name, *value),
        )
        .start_alone();
    let who = |token: &str| ask(&sidecar, Some(token), "/api/session", None).json()["data"].clone();

    let admin = who(&print(&["--tenant", TENANT, "--role", "admin", "--expires-in", "90s"]));
    assert_eq!((&admin["tenant_id"], &admin["role"]), (&json!(TENANT), &json!("admin")));
    let ends = humantime::parse_rfc3339(admin["expires_at"].as_str().unwrap()).unwrap();
    let left = ends.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed() - now();
    assert!((0..=90).contains(&left), "{left}");
    assert_eq!(who(&print(&["--role", "superadmin"]))["may"]["operate"], true);

    let useless = run(Sidecar::command(&["token", "--role", "admin"], "").envs(settings));
    assert!(useless.status.success());
    assert!(String::from_utf8_lossy(&useless.stderr).contains("may do nothing"), "{useless:?}");
}

#[test]
fn no_token_is_printed_without_the_secret_to_sign_it() {
    let public = key_file("ec-public.pem").display().to_string();
    for (arguments, expected) in [
        (&["token"][..], "DASHBOARD_JWT_SECRET"),
        (&["token", "--jwt-public-key-file", &public], "whoever holds the private key makes them"),
    ] {
        let output = run(Sidecar::command(arguments, "").env_remove("DASHBOARD_JWT_SECRET"));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{output:?}");
    }
    let long =
        run(Sidecar::command(&["token", "--expires-in", "400d"], "").env("DASHBOARD_JWT_SECRET", SECRET));
    assert!(String::from_utf8_lossy(&long.stderr).contains("1s to 366d"), "{long:?}");
}

#[test]
fn help_shows_the_settings_and_never_the_secret() {
    for subcommand in ["serve", "token"] {
        let mut command = Sidecar::command(&[subcommand, "--help"], "");
        let help = run_ok(command.env("DASHBOARD_JWT_SECRET", SECRET));
        for setting in ["DASHBOARD_JWT_SECRET", "--jwt-public-key-file", "--jwt-audience", "--jwt-leeway-s"] {
            assert!(help.contains(setting), "{subcommand}: {help}");
        }
        assert!(!help.contains(SECRET), "{subcommand}");
    }
}
