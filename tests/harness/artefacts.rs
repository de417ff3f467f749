//! Finds the module and the sidecar that belong to this test binary, building them once if needed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::process::{repository_root, try_run};

/// The two files that this project ships, and a clock for tests.
#[derive(Debug)]
pub struct Artefacts {
    /// `libdashboard.so`
    pub module: PathBuf,
    /// `dashboard-sidecar`
    pub sidecar: PathBuf,
    /// `libclock.so`, see [`crate::Clock`].
    pub clock: PathBuf,
}

impl Artefacts {
    /// Builds all with this binary's own profile into its own target directory. Cargo has released its
    /// lock by the time it runs tests, and does nothing if all is fresh.
    pub fn get() -> &'static Self {
        // A failed build is remembered too: the first test tells why, the others do not build again.
        static ARTEFACTS: OnceLock<Option<Artefacts>> = OnceLock::new();
        let artefacts = ARTEFACTS.get_or_init(|| {
            let exe = std::env::current_exe().expect("this binary has a path");
            let mut directory = exe.parent().expect("a binary lies in a directory");
            if directory.ends_with("deps") {
                directory = directory.parent().expect("deps lies in the profile's directory");
            }
            let target = directory.parent().expect("the profile's directory lies in the target directory");

            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build.args([
                "build",
                "--quiet",
                "--package",
                "dashboard-module",
                "--package",
                "dashboard-sidecar",
                "--package",
                "clock",
            ]);
            build.arg("--target-dir").arg(target).current_dir(repository_root());
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            if let Err(failure) = try_run(&mut build) {
                eprintln!("{failure}");
                return None;
            }
            Some(Self {
                module: directory.join("libdashboard.so"),
                sidecar: directory.join("dashboard-sidecar"),
                clock: directory.join("libclock.so"),
            })
        });
        artefacts
            .as_ref()
            .expect("module and sidecar can be built (the first failing test has the compiler's words)")
    }
}
