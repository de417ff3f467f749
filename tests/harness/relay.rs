//! A socket in front of a server's, which can hold back what clients send, and what they are answered.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tempfile::TempDir;

/// A relay; what it has open is closed when both ends are.
pub struct Relay {
    gate: Arc<Gate>,
    replies: Arc<Gate>,
    connections: Arc<Connections>,
    directory: TempDir,
}

/// How many there have been, and how many of them, the oldest, are silent.
#[derive(Default)]
struct Connections {
    accepted: AtomicUsize,
    silent: AtomicUsize,
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
        let connections = Arc::new(Connections::default());
        let counted = connections.clone();
        let (passing, answering, server) = (gate.clone(), replies.clone(), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                let (from, to) = (client.try_clone(), server.try_clone());
                let (passing, answering) = (passing.clone(), answering.clone());
                let number = counted.accepted.fetch_add(1, Ordering::SeqCst);
                let speaks =
                    |counted: Arc<Connections>| move || counted.silent.load(Ordering::SeqCst) <= number;
                let (asks, answers) = (speaks(counted.clone()), speaks(counted.clone()));
                if let (Ok(from), Ok(to)) = (from, to) {
                    thread::spawn(move || copy(from, to, || passing.pass(), asks));
                    thread::spawn(move || copy(server, client, || answering.pass(), answers));
                }
            }
        });
        Self { gate, replies, connections, directory }
    }

    /// Its socket file.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("relay.sock")
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

    /// From now on nothing passes over the connections that are open, in either direction, and they stay open; new
    /// ones work.
    pub fn silence_existing(&self) {
        self.connections.silent.store(self.connections.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.connections.accepted.load(Ordering::SeqCst)
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

fn copy(mut from: UnixStream, mut to: UnixStream, pass: impl Fn(), speaks: impl Fn() -> bool) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        pass();
        if !speaks() {
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
