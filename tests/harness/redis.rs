//! A `redis-server` with the module, on a Unix socket in a directory of its own.
//!
//! No TCP port unless asked for: a socket file cannot be taken by somebody else between choosing and
//! listening.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::artefacts::Artefacts;
use crate::assert_eventually;
use crate::client::Client;
use crate::fake_upstream::FakeUpstream;
use crate::process::{Process, free_port, repository_root, run};

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    without_module: bool,
    shipped: bool,
    tcp: bool,
    load_arguments: Vec<String>,
    lines: Vec<String>,
    environment: Vec<(String, String)>,
}

impl RedisBuilder {
    /// `dashboard.<name> <value>`, as a line of the configuration file.
    pub fn setting(self, name: &str, value: impl std::fmt::Display) -> Self {
        self.line(&format!("dashboard.{name} {value}"))
    }

    /// Computes come from `upstream`.
    pub fn upstream(self, upstream: &FakeUpstream) -> Self {
        self.setting("sidecar", upstream.url())
    }

    /// Any other line of the configuration file.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// An argument behind the path on the `loadmodule` line.
    pub fn load_argument(mut self, argument: &str) -> Self {
        self.load_arguments.push(argument.to_owned());
        self
    }

    /// An environment variable of the server.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A plain server.
    pub fn without_module(mut self) -> Self {
        self.without_module = true;
        self
    }

    /// Listen on a loopback port as well.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Begin with the `redis.conf` that is shipped, with its memory and persistence; only where it listens and
    /// keeps its files is the test's own.
    pub fn shipped_configuration(mut self) -> Self {
        self.shipped = true;
        self
    }

    /// Starts the server and waits until it answers.
    pub fn start(self) -> Redis {
        let directory = TempDir::with_prefix("dashboard-redis-").expect("a temporary directory");
        self.start_in(directory)
    }

    /// Starts a server that must refuse to start, and returns what it said.
    pub fn start_refused(self) -> String {
        let directory = TempDir::with_prefix("dashboard-redis-").expect("a temporary directory");
        let port = self.configure(directory.path());
        let mut process = self.spawn(directory.path());
        let status = process.wait_exit();
        assert!(!status.success(), "redis-server started and ended well (port {port}):\n{}", process.log());
        process.log()
    }

    fn start_in(self, directory: TempDir) -> Redis {
        let port = self.configure(directory.path());
        let process = self.spawn(directory.path());
        let mut redis = Redis { process, directory, port, builder: self };
        redis.wait_ready();
        redis
    }

    fn spawn(&self, directory: &Path) -> Process {
        Process::start("redis", Path::new("redis-server"), &directory.join("redis.log"), |command| {
            let environment = self.environment.iter().map(|(name, value)| (name, value));
            command.arg(directory.join("redis.conf")).current_dir(directory).envs(environment);
        })
    }

    fn configure(&self, directory: &Path) -> u16 {
        let port = if self.tcp { free_port() } else { 0 };
        let mut lines = Vec::new();
        if self.shipped {
            lines.push(format!("include {}", repository_root().join("redis.conf").display()));
        } else {
            lines.push("save \"\"".to_owned());
        }
        lines.extend([
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("unixsocket {}", directory.join("redis.sock").display()),
            format!("dir {}", directory.display()),
            "daemonize no".to_owned(),
            "maxclients 10000".to_owned(),
            // A module without debug commands is what production has; tests need DEBUG to hurry time.
            "enable-debug-command yes".to_owned(),
        ]);
        if !self.without_module {
            let module = Artefacts::get().module.display().to_string();
            lines.push(format!("loadmodule {module} {}", self.load_arguments.join(" ")));
        }
        lines.extend(self.lines.iter().cloned());
        fs::write(directory.join("redis.conf"), lines.join("\n") + "\n")
            .expect("the configuration is written");
        port
    }
}

/// A running server; killed when dropped.
pub struct Redis {
    process: Process,
    directory: TempDir,
    port: u16,
    builder: RedisBuilder,
}

impl Redis {
    /// A server that is still to be described.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// A server with the module and nothing else said than where bundles come from.
    pub fn with(upstream: &FakeUpstream) -> Self {
        Self::builder().upstream(upstream).start()
    }

    /// A new connection (RESP2).
    pub fn client(&self) -> Client {
        Client::open(&self.url()).expect("redis accepts a connection")
    }

    /// A new connection that speaks RESP3.
    pub fn client_resp3(&self) -> Client {
        Client::open(&format!("{}?protocol=resp3", self.url())).expect("redis accepts a connection")
    }

    /// Where the server listens, as clients want it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Where the server listens on loopback, if it was started with [`RedisBuilder::tcp`].
    pub fn tcp_url(&self) -> String {
        assert_ne!(self.port, 0, "this server was started without a port");
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its loopback port, or 0 if it was started without [`RedisBuilder::tcp`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes this server a replica of `primary`, which was started with [`RedisBuilder::tcp`], and waits until
    /// it is in step.
    pub fn follow(&self, primary: &Self) {
        let mut client = self.client();
        client.ok(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
        assert_eventually!(
            client.info("replication", "master_link_status").as_deref() == Some("up"),
            "the replica is in sync"
        );
    }

    /// The socket file.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Runs `redis-cli` with these arguments and returns what it printed, without the last line end.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = self.cli_output(args);
        let stdout = String::from_utf8(output.stdout).expect("redis-cli prints text");
        stdout.strip_suffix('\n').unwrap_or(&stdout).to_owned()
    }

    /// Like [`Redis::cli`], with the exit status.
    pub fn cli_output(&self, args: &[&str]) -> Output {
        run(Command::new("redis-cli").arg("-s").arg(self.socket()).args(args))
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The server process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Whether the server still answers.
    pub fn is_alive(&mut self) -> bool {
        self.process.exited().is_none() && self.client().bytes(&["PING"]) == b"PONG"
    }

    /// Ends the server in good order and waits until it is gone.
    pub fn shutdown(&mut self) {
        // The connection ends without a reply; whether it worked shows in the exit status.
        let _ = self.client().call(&["SHUTDOWN"]);
        let status = self.process.wait_exit();
        assert!(status.success(), "redis-server ended with {status}:\n{}", self.process.log());
    }

    /// Ends the server in good order and starts it again on the same files.
    pub fn restart(mut self) -> Self {
        self.shutdown();
        let Self { process, directory, builder, .. } = self;
        drop(process);
        builder.start_in(directory)
    }

    /// Ends the server in good order and starts it again on the same files, where it was.
    pub fn restart_in_place(&mut self) {
        self.shutdown();
        self.start_again();
    }

    /// Starts a server that has ended or been killed again, where it was, on the same files. What was set at
    /// run time is forgotten.
    pub fn start_again(&mut self) {
        self.process = self.builder.spawn(self.directory.path());
        self.wait_ready();
    }

    /// Like [`Redis::restart`], but as a server without the module.
    pub fn restart_without_module(mut self) -> Self {
        self.shutdown();
        let Self { process, directory, mut builder, .. } = self;
        drop(process);
        builder.lines.retain(|line| !line.starts_with("dashboard."));
        builder.without_module().start_in(directory)
    }

    fn wait_ready(&mut self) {
        let url = self.url();
        self.process.wait_ready(|| Client::open(&url).is_ok_and(|mut client| client.call(&["PING"]).is_ok()));
    }
}
