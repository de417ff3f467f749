//! A Postgres server of the test's own, for a test that restarts it, or a measurement that needs other settings: the one
//! that all others share must stay up, and stay as it is.

use std::path::Path;

use postgres::NoTls;

use crate::artefacts::Artefacts;
use crate::clock::Clock;
use crate::postgres::{Cluster, SETTINGS, command, url};
use crate::process::{Process, run_ok};
use crate::sidecar::Sidecar;

/// A running server with one migrated, empty CRM database; ended when dropped.
pub struct PostgresServer {
    process: Process,
    cluster: Cluster,
    settings: Vec<String>,
    clock: Option<Clock>,
}

impl PostgresServer {
    /// Starts it, and has the sidecar migrate its database.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Likewise, with these settings (`name=value`) after the harness's own.
    pub fn with(settings: &[&str]) -> Self {
        Self::create(settings, |_| None)
    }

    /// Likewise, with a clock that can be set.
    pub fn with_clock() -> Self {
        Self::create(&[], |cluster| Some(Clock::in_directory(cluster.directory.path())))
    }

    fn create(settings: &[&str], clock: impl FnOnce(&Cluster) -> Option<Clock>) -> Self {
        Artefacts::get();
        let cluster = Cluster::create();
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let clock = clock(&cluster);
        let process = spawn(&cluster, &settings, clock.as_ref());
        let mut server = Self { process, cluster, settings, clock };
        server.wait_ready();
        run_ok(&mut Sidecar::command(&["migrate"], &server.url()));
        server
    }

    /// A standby that follows this server: a base backup of it, started in recovery.
    pub fn standby(&self) -> Self {
        let mut backup = command(&self.cluster.as_user);
        let cluster = Cluster::empty();
        backup
            .arg(cluster.binaries.join("pg_basebackup"))
            .arg("-D")
            .arg(cluster.directory.path().join("data"));
        run_ok(backup.args(["-X", "stream", "-c", "fast", "-R", "-d", &self.url()]));
        let settings = self.settings.clone();
        let process = spawn(&cluster, &settings, None);
        let mut standby = Self { process, cluster, settings, clock: None };
        standby.wait_ready();
        standby
    }

    /// How the sidecar and other clients reach the database.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Likewise, of another database on this server.
    pub fn url_of(&self, database: &str) -> String {
        url(self.cluster.directory.path(), database)
    }

    /// A new connection.
    pub fn client(&self) -> postgres::Client {
        self.client_of("postgres")
    }

    /// A new connection to another database on this server.
    pub fn client_of(&self, database: &str) -> postgres::Client {
        postgres::Client::connect(&self.url_of(database), NoTls)
            .unwrap_or_else(|e| panic!("{e}\n{}", self.process.log()))
    }

    /// A program that came with the server, to be run by anybody.
    pub fn program(&self, name: &str) -> std::process::Command {
        std::process::Command::new(self.cluster.binaries.join(name))
    }

    /// The clock of a server that has one.
    pub fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("this server has a clock of its own")
    }

    /// Ends all sessions, in good order (`fast`), and waits until the server is gone.
    pub fn stop_fast(&mut self) {
        self.process.interrupt();
        self.process.wait_exit();
    }

    /// Ends the server as a crash would (`immediate`): it recovers when it starts again.
    pub fn stop_immediately(&mut self) {
        self.process.quit();
        self.process.wait_exit();
    }

    /// Starts a server that was stopped.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.cluster, &self.settings, self.clock.as_ref());
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let url = self.url();
        self.process.wait_ready(|| postgres::Client::connect(&url, NoTls).is_ok());
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Killed outright, it would leave its shared memory behind.
        if self.process.exited().is_none() {
            self.process.quit();
            self.process.wait_exit();
        }
    }
}

fn spawn(cluster: &Cluster, settings: &[String], clock: Option<&Clock>) -> Process {
    let directory = cluster.directory.path();
    let postgres = cluster.binaries.join("postgres");
    // The death signal is asked for by the last program before the server: a change of user forgets it.
    let (program, first_words) = match cluster.as_user.split_first() {
        Some((program, rest)) => (Path::new(program), rest),
        None => (postgres.as_path(), &[][..]),
    };
    Process::start("postgres", program, &directory.join("log"), |command| {
        if !cluster.as_user.is_empty() {
            command.args(first_words).args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(&postgres);
        }
        if let Some(clock) = clock {
            clock.preload(command);
        }
        command.arg("-D").arg(directory.join("data")).arg("-k").arg(directory).current_dir("/");
        for setting in SETTINGS.into_iter().chain(settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
    })
}
