//! A wall clock that a test sets, for a server that is started with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::artefacts::Artefacts;

/// The clock, see `tests/clock/lib.rs`.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Prepares one that is right so far. A server that runs as another user may not get to where it was built.
    pub fn in_directory(directory: &Path) -> Self {
        let (library, file) = (directory.join("libclock.so"), directory.join("clock"));
        fs::copy(&Artefacts::get().clock, &library).expect("the clock can be copied");
        let clock = Self { library, file };
        clock.write(0);
        for path in [&clock.library, &clock.file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        }
        clock
    }

    /// Has a command, and all that it starts, go by this clock.
    pub fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("DASHBOARD_TEST_CLOCK", &self.file);
    }

    /// Sets it ahead of the right time.
    pub fn set_ahead(&self, by: Duration) {
        self.write(i64::try_from(by.as_secs()).expect("a time that there is"));
    }

    /// Sets it behind the right time.
    pub fn set_back(&self, by: Duration) {
        self.write(-i64::try_from(by.as_secs()).expect("a time that there is"));
    }

    /// Sets it right.
    pub fn set_right(&self) {
        self.write(0);
    }

    fn write(&self, seconds: i64) {
        // In place: the servers have this file in memory.
        use std::io::Write;
        let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.file);
        let written = file.as_mut().map(|file| file.write_all(&seconds.to_ne_bytes()));
        assert!(matches!(written, Ok(Ok(()))), "{written:?}");
    }
}
