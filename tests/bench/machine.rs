//! The machine: what a reader must know of it to compare figures, and what it must allow.

use std::fs;
use std::process::Command;

use harness::run_ok;
use rustix::process::{Resource, getrlimit, setrlimit};

/// One line: cores, load, server.
pub(crate) fn facts() -> String {
    let cores = std::thread::available_parallelism().expect("the number of cores");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let redis = run_ok(Command::new("redis-server").arg("--version"));
    let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    let profile = if cfg!(debug_assertions) { "DEBUG BUILD" } else { "release build" };
    format!("{cores} cores, load average {load}, Redis {redis}, {profile}")
}

/// Raises the number of files this process may open as far as it may: the usual 1,024 is hardly enough for a
/// thousand connections.
pub(crate) fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Refused: then opening a connection will say so.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit });
}
