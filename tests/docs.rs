//! The README names everything that the server has: checked by asking the server.

use std::fs;

use harness::{FakeUpstream, Redis, Sidecar, repository_root, text};
use redis::Value;

use crate::declarations::OPTIONS;

fn readme() -> String {
    fs::read_to_string(repository_root().join("README.md")).unwrap()
}

#[test]
fn the_readme_lists_every_command() {
    let redis = Redis::with(&FakeUpstream::start());
    let Value::Array(commands) = redis.client().ok(&["COMMAND", "LIST", "FILTERBY", "MODULE", "dashboard"])
    else {
        panic!("a list")
    };
    assert_eq!(commands.len(), 5, "{commands:?}");
    let readme = readme();
    for command in &commands {
        let command = text(command).to_uppercase();
        assert!(readme.contains(&command), "{command}");
    }
}

#[test]
fn the_readme_lists_every_option_and_error() {
    let readme = readme();
    let errors = ["NOTENANT", "TIMEOUT", "UNAVAILABLE", "OVERLOADED", "MISS"];
    for word in OPTIONS.iter().chain(&errors) {
        assert!(readme.contains(word), "{word}");
    }
}

#[test]
fn the_readme_lists_every_setting() {
    let redis = Redis::with(&FakeUpstream::start());
    let readme = readme();
    for (name, _) in redis.client().map(&["CONFIG", "GET", "dashboard.*"]) {
        let short = name.strip_prefix("dashboard.").unwrap();
        assert!(readme.contains(&name) || readme.contains(&format!("`{short}`")), "{name}");
    }
}

#[test]
fn the_readme_lists_what_one_types_and_all_of_it_exists() {
    let makefile = fs::read_to_string(repository_root().join("Makefile")).unwrap();
    let readme = readme();
    for target in ["run", "stop", "test", "bench", "lint"] {
        assert!(readme.contains(&format!("make {target}")), "make {target} is not in the README");
        assert!(makefile.contains(&format!("\n{target}:")), "make {target} is not in the Makefile");
    }
}

#[test]
fn the_readme_lists_every_path_of_the_http_api_and_every_metric() {
    let sidecar = Sidecar::builder().start_alone();
    let readme = readme();
    let description = sidecar.public().get("/api/openapi.json").json();
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths.keys() {
        assert!(
            readme.contains(&format!("{path}`"))
                || readme.contains(&format!("{path}?"))
                || readme.contains(&format!("{path} ")),
            "{path}"
        );
    }
    let page = sidecar.public().get("/metrics").text();
    for line in page.lines() {
        let Some((name, _)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let end = name.trim_start_matches("dashboard_").split_once('_').map_or("", |(_, end)| end);
        assert!(readme.contains(name) || readme.contains(&format!("…_{end}")), "{name}");
    }
}

#[test]
fn the_readme_explains_every_counter() {
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    client.ok(&["DASHBOARD.WARM", "a"]);
    client.ok(&["DASHBOARD.FEED", "0", "0"]);
    let info = String::from_utf8(client.bytes(&["INFO", "dashboard"])).unwrap();
    let readme = readme();
    let fields = info.lines().filter_map(|line| line.strip_prefix("dashboard_")?.split_once(':'));
    let unexplained: Vec<&str> =
        fields.map(|(name, _)| name).filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}
