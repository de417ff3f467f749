//! A socket in front of a server's, which can hold back what clients send, and what they are answered, or fall silent.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tempfile::TempDir;

/// A relay; what it has open is closed when both ends are.
pub struct Relay {
    gate: Arc<Gate>,
    replies: Arc<Gate>,
    /// One for each connection: whether nothing passes any more.
    silent: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
    directory: TempDir,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    waiting: usize,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let mut state = self.state();
        state.waiting += 1;
        while state.closed {
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }

    fn holds_something(&self) -> bool {
        let state = self.state();
        state.closed && state.waiting > 0
    }

    fn open(&self) {
        self.state().closed = false;
        self.opened.notify_all();
    }
}

impl Relay {
    /// Relays to the server that listens on this socket file.
    pub fn to(server: &Path) -> Self {
        let directory = TempDir::with_prefix("dashboard-relay-").expect("a temporary directory");
        let listener = UnixListener::bind(directory.path().join("relay.sock")).expect("a socket");
        let gate = Arc::new(Gate::default());
        let replies = Arc::new(Gate::default());
        let silent = Arc::<Mutex<Vec<Arc<AtomicBool>>>>::default();
        let (passing, answering, server) = (gate.clone(), replies.clone(), server.to_owned());
        let connections = silent.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                let (from, to) = (client.try_clone(), server.try_clone());
                let (passing, answering) = (passing.clone(), answering.clone());
                if let (Ok(from), Ok(to)) = (from, to) {
                    let is_silent = Arc::new(AtomicBool::new(false));
                    let is_silent_too = is_silent.clone();
                    connections.lock().unwrap_or_else(PoisonError::into_inner).push(is_silent.clone());
                    thread::spawn(move || copy(from, to, &is_silent, || passing.pass()));
                    thread::spawn(move || copy(server, client, &is_silent_too, || answering.pass()));
                }
            }
        });
        Self { gate, replies, silent, directory }
    }

    /// Relays to the Postgres server at this address; with it, the relay's own address. It lasts as long as the directory.
    pub fn to_postgres(url: &str) -> (Self, String, TempDir) {
        let (before, rest) = url.split_once('@').expect("an address with a user");
        let (host, database) = rest.split_once('/').expect("an address with a database");
        let relay = Self::to(&Path::new(&host.replace("%2F", "/")).join(".s.PGSQL.5432"));
        // Where a client of Postgres looks for it.
        let directory = TempDir::with_prefix("dashboard-relay-").expect("a temporary directory");
        symlink(relay.socket(), directory.path().join(".s.PGSQL.5432")).expect("a link");
        let host = directory.path().display().to_string().replace('/', "%2F");
        (relay, format!("{before}@{host}/{database}"), directory)
    }

    /// Its socket file.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("relay.sock")
    }

    /// Lets nothing pass any more on the connections that are open now, which stay open; new ones work.
    pub fn silence(&self) {
        for connection in self.silent.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            connection.store(true, Ordering::SeqCst);
        }
    }

    /// Holds back what clients send from now on.
    pub fn hold(&self) {
        self.gate.state().closed = true;
    }

    /// Whether a client has sent something that is held back.
    pub fn holds_something(&self) -> bool {
        self.gate.holds_something()
    }

    /// Passes on what was held back.
    pub fn release(&self) {
        self.gate.open();
    }

    /// Holds back what the server answers from now on; what clients send reaches it.
    pub fn hold_replies(&self) {
        self.replies.state().closed = true;
    }

    /// Whether the server has answered something that is held back.
    pub fn holds_a_reply(&self) -> bool {
        self.replies.holds_something()
    }

    /// Passes on the answers that were held back.
    pub fn release_replies(&self) {
        self.replies.open();
    }
}

fn copy(mut from: UnixStream, mut to: UnixStream, is_silent: &AtomicBool, pass: impl Fn()) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        pass();
        if is_silent.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction ends with it. An error means that it has ended already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
