//! The real `dashboard-sidecar`, on a Unix socket in a directory of its own and a free loopback port.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::artefacts::Artefacts;
use crate::http::{Endpoint, http};
use crate::process::{Process, free_port};
use crate::wait::{DEADLINE, poll_until};

/// How a sidecar is to be started.
#[derive(Debug, Default)]
pub struct SidecarBuilder {
    database_url: Option<String>,
    internal: Option<String>,
    listen: Option<String>,
    arguments: Vec<String>,
    access: Option<(&'static str, String)>,
    environment: Vec<(String, String)>,
    standard_error: Option<Stdio>,
}

impl SidecarBuilder {
    /// The database to compute from.
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.database_url = Some(url.into());
        self
    }

    /// Where the internal API listens, instead of a Unix socket of its own.
    pub fn internal(mut self, address: impl Into<String>) -> Self {
        self.internal = Some(address.into());
        self
    }

    /// Where the public API listens, instead of a free port.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// The secret with which tokens for the public API are signed, instead of none being needed.
    pub fn jwt_secret(mut self, secret: impl Into<String>) -> Self {
        self.access = Some(("DASHBOARD_JWT_SECRET", secret.into()));
        self
    }

    /// The file with the public key of whoever signs them, instead of none being needed.
    pub fn jwt_public_key(mut self, file: &Path) -> Self {
        self.access = Some(("DASHBOARD_JWT_PUBLIC_KEY_FILE", file.display().to_string()));
        self
    }

    /// Neither a key nor leave to go without one: the public API serves nobody.
    pub fn jwt_missing(mut self) -> Self {
        self.access = Some(("DASHBOARD_INSECURE_NO_AUTH", "false".to_owned()));
        self
    }

    /// A further argument of `serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A further variable of the environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Where its log goes, instead of a file that [`Sidecar::log`] reads.
    pub fn standard_error(mut self, standard_error: impl Into<Stdio>) -> Self {
        self.standard_error = Some(standard_error.into());
        self
    }

    /// Starts it and waits until both listeners answer.
    pub fn start(self) -> Sidecar {
        let mut sidecar = self.spawn();
        let (internal, public) = (sidecar.internal.clone(), sidecar.public.clone());
        sidecar.process.wait_ready(|| {
            http(&internal, "GET", "/internal/v1/health", None, b"").is_ok()
                && http(&public, "GET", "/livez", None, b"").is_ok()
        });
        sidecar
    }

    /// Starts it where neither Postgres nor Redis can be reached: for what needs none of them.
    pub fn start_alone(self) -> Sidecar {
        self.without_postgres().env("REDIS_URL", "redis://127.0.0.1:1").start()
    }

    /// Where Postgres can be reached by nobody.
    pub fn without_postgres(self) -> Self {
        self.database("postgresql://nobody@127.0.0.1:1/none")
    }

    /// Starts it without waiting for anything.
    pub fn spawn(self) -> Sidecar {
        let directory = TempDir::with_prefix("dashboard-sidecar-").expect("a temporary directory");
        let socket = directory.path().join("sidecar.sock");
        let internal = self.internal.unwrap_or_else(|| format!("unix:{}", socket.display()));
        let listen = self.listen.unwrap_or_else(|| format!("127.0.0.1:{}", free_port()));
        let log = directory.path().join("sidecar.log");
        let process = Process::start("sidecar", &Artefacts::get().sidecar, &log, |command| {
            // Nothing of the developer's own environment may decide what is tested.
            for (name, _) in std::env::vars_os() {
                let text = name.to_string_lossy();
                if text.starts_with("DASHBOARD_") || matches!(&*text, "DATABASE_URL" | "REDIS_URL") {
                    command.env_remove(&name);
                }
            }
            let (access, value) =
                self.access.unwrap_or_else(|| ("DASHBOARD_INSECURE_NO_AUTH", "true".to_owned()));
            command
                .arg("serve")
                .args(self.arguments)
                .env("DASHBOARD_INTERNAL", &internal)
                .env("DASHBOARD_LISTEN", &listen)
                .env("DASHBOARD_LOG", "info")
                .env("DASHBOARD_LOG_FORMAT", "json")
                // A test that counts sessions or statements must find its own only; who tests the schedule or the feed says so.
                .env("DASHBOARD_SCHEDULER", "off")
                .env("DASHBOARD_FEED", "off")
                // Nor is a test to wait for a balancer that is not there.
                .env("DASHBOARD_LAME_DUCK_MS", "0")
                .env(access, value)
                .envs(self.environment);
            if let Some(url) = self.database_url {
                command.env("DATABASE_URL", url);
            }
            if let Some(standard_error) = self.standard_error {
                command.stderr(standard_error);
            }
        });
        Sidecar {
            process,
            internal: Endpoint::parse(&internal),
            url: internal,
            public: Endpoint::parse(&listen),
            _directory: directory,
        }
    }
}

/// A running sidecar; killed when dropped.
#[derive(Debug)]
pub struct Sidecar {
    process: Process,
    url: String,
    internal: Endpoint,
    public: Endpoint,
    _directory: TempDir,
}

impl Sidecar {
    /// A sidecar that is still to be described.
    pub fn builder() -> SidecarBuilder {
        SidecarBuilder::default()
    }

    /// A sidecar on this database.
    pub fn on(database_url: &str) -> Self {
        Self::builder().database(database_url).start()
    }

    /// What `dashboard.sidecar` must be set to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The module's listener.
    pub fn internal(&self) -> &Endpoint {
        &self.internal
    }

    /// Everybody's listener.
    pub fn public(&self) -> &Endpoint {
        &self.public
    }

    /// What it has logged until now: a thread of its own is still writing when the answer is there that a line is about.
    pub fn log(&self) -> String {
        poll_until(DEADLINE, || !self.process.is_at_work("log"));
        self.process.log()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A command of the binary other than `serve`, ready to be run.
    pub fn command(arguments: &[&str], database_url: &str) -> Command {
        let mut command = Command::new(&Artefacts::get().sidecar);
        command.args(arguments).env("DATABASE_URL", database_url);
        command
    }

    /// Where its socket file lies, if it has one.
    pub fn socket(&self) -> Option<PathBuf> {
        self.url.strip_prefix("unix:").map(|path| Path::new(path).to_owned())
    }
}
