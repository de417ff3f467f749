//! The servers of a run, and which of the two Redis is the primary.

use std::io::{self, PipeReader};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use harness::{Client, PostgresServer, Redis, Sidecar, SidecarBuilder, assert_eventually};
use tempfile::TempDir;

use super::crm;

/// The settings that count here, and what faults change them to for a while. Lifetimes are short, so that
/// bundles go stale within a run.
pub(super) const SETTINGS: [(&str, &str, &[&str]); 9] = [
    ("ttl", "2", &["1", "5"]),
    ("stale-ttl", "60", &["1", "600"]),
    ("timeout", "1000", &["50", "300"]),
    ("soft-timeout", "100", &["0", "1000"]),
    ("jitter", "10", &["0", "50"]),
    ("hot-window", "2", &["0", "300"]),
    ("max-flights", "64", &["1", "2"]),
    ("max-waiters", "10000", &["1", "3"]),
    ("hash-tag", "no", &["yes", "yes"]),
];

/// The servers. The faults own them; the workload knows where they listen.
pub(super) struct Servers {
    pub(super) nodes: [Redis; 2],
    /// `None` between being killed and started again.
    pub(super) sidecar: Option<Sidecar>,
    pub(super) postgres: PostgresServer,
    directory: TempDir,
}

impl Servers {
    /// Starts all of them; the second Redis is a replica of the first.
    pub(super) fn start() -> Self {
        let postgres = PostgresServer::with_clock();
        crm::create(&postgres);
        let directory = TempDir::with_prefix("dashboard-history-").expect("a temporary directory");
        let node = || {
            // What was answered must survive a SIGKILL. With `everysec` the server may hold a write back for
            // up to two seconds while the disk is slow, and go on answering; with `always` it never does.
            let builder = Redis::builder()
                .tcp()
                .line("appendonly yes")
                .line("appendfsync always")
                .line("repl-diskless-sync-delay 0")
                .setting("sidecar", format!("unix:{}", directory.path().join("sidecar.sock").display()));
            SETTINGS.iter().fold(builder, |builder, (name, value, _)| builder.setting(name, value)).start()
        };
        let nodes = [node(), node()];
        let mut servers = Self { nodes, sidecar: None, postgres, directory };
        servers.start_sidecar();
        servers.follow(1, 0);
        servers
    }

    /// Starts the sidecar, on the socket that it always has.
    pub(super) fn start_sidecar(&mut self) {
        self.sidecar = Some(self.describe_sidecar().start());
    }

    /// Likewise, with a log that nobody takes until the reader is dropped; from then on nobody can take it.
    pub(super) fn start_sidecar_unheard(&mut self) -> PipeReader {
        let (reader, writer) = io::pipe().expect("a pipe");
        self.sidecar =
            Some(self.describe_sidecar().env("DASHBOARD_LOG", "trace").standard_error(writer).start());
        reader
    }

    fn describe_sidecar(&self) -> SidecarBuilder {
        Sidecar::builder().database(self.postgres.url()).internal(format!("unix:{}", self.socket().display()))
    }

    /// The file by which the sidecar is found.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("sidecar.sock")
    }

    /// Makes `replica` follow `primary`, and waits until it is in step.
    pub(super) fn follow(&self, replica: usize, primary: usize) {
        self.nodes[replica].follow(&self.nodes[primary]);
    }

    /// Waits until a replica is in step with its primary again.
    pub(super) fn wait_for_link(&self, replica: usize) {
        let mut client = self.nodes[replica].client();
        let up = |client: &mut Client| {
            client.info("replication", "master_link_status").is_some_and(|status| status == "up")
        };
        assert_eventually!(up(&mut client), "the replica is in step");
    }
}

/// Who is what. Who sends a command holds it for reading while choosing a server, and a clear until it has been
/// answered: so no clear is under way when a role changes in good order.
pub(super) struct Topology {
    pub(super) urls: [String; 2],
    roles: RwLock<Roles>,
}

#[derive(Clone, Copy)]
pub(super) struct Roles {
    pub(super) primary: usize,
    /// `None` while there is none.
    pub(super) replica: Option<usize>,
}

impl Topology {
    pub(super) fn of(servers: &Servers) -> Self {
        let urls = [servers.nodes[0].url(), servers.nodes[1].url()];
        Self { urls, roles: RwLock::new(Roles { primary: 0, replica: Some(1) }) }
    }

    pub(super) fn roles(&self) -> RwLockReadGuard<'_, Roles> {
        self.roles.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_roles(&self) -> RwLockWriteGuard<'_, Roles> {
        self.roles.write().unwrap_or_else(PoisonError::into_inner)
    }
}
