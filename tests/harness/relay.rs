//! A socket in front of a server's, which can hold back what clients send, and what they are answered. It is also what a balancer
//! or a tunnel can be: one that leads to another server from now on, or leaves connections open on which nothing comes any more.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tempfile::TempDir;

/// A relay; what it has open is closed when both ends are.
pub struct Relay {
    gate: Arc<Gate>,
    replies: Arc<Gate>,
    way: Arc<Way>,
    directory: TempDir,
}

/// Where connections lead, and which of them lead nowhere.
struct Way {
    server: Mutex<PathBuf>,
    /// So many connections have been made.
    made: AtomicU64,
    /// The first so many of them are silent.
    silent: AtomicU64,
    cut: AtomicBool,
    open: Mutex<Vec<UnixStream>>,
    /// Once a client sends this, answers are held back.
    awaited: Mutex<Option<&'static str>>,
}

impl Way {
    /// Whether this is what was awaited.
    fn takes(&self, sent: &[u8]) -> bool {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.take_if(|text| sent.windows(text.len()).any(|part| part == text.as_bytes())).is_some()
    }
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
        let way = Arc::new(Way {
            server: Mutex::new(server.to_owned()),
            made: AtomicU64::new(0),
            silent: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            open: Mutex::default(),
            awaited: Mutex::default(),
        });
        let (passing, answering, leading) = (gate.clone(), replies.clone(), way.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if leading.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let server = leading.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let Ok(server) = UnixStream::connect(server) else { continue };
                let number = leading.made.fetch_add(1, Ordering::SeqCst) + 1;
                let (from, to, kept) = (client.try_clone(), server.try_clone(), client.try_clone());
                if let (Ok(from), Ok(to), Ok(kept)) = (from, to, kept) {
                    leading.open.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
                    let (passing, answering) = (passing.clone(), answering.clone());
                    let (there, back) = (leading.clone(), leading.clone());
                    let (watching, held) = (leading.clone(), answering.clone());
                    let pass = move |sent: &[u8]| {
                        if watching.takes(sent) {
                            held.state().closed = true;
                        }
                        passing.pass();
                    };
                    thread::spawn(move || copy(from, to, &there, number, pass));
                    thread::spawn(move || copy(server, client, &back, number, |_| answering.pass()));
                }
            }
        });
        Self { gate, replies, way, directory }
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

    /// Connections that are made from now on lead to this server; the others stay where they are.
    pub fn lead_to(&self, server: &Path) {
        *self.way.server.lock().unwrap_or_else(PoisonError::into_inner) = server.to_owned();
    }

    /// Nothing comes any more on the connections that there are, though they stay open; new ones work.
    pub fn silence_existing(&self) {
        self.way.silent.store(self.way.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How many connections have been made.
    pub fn accepted(&self) -> u64 {
        self.way.made.load(Ordering::SeqCst)
    }

    /// Ends all connections, and every new one.
    pub fn cut(&self) {
        self.way.cut.store(true, Ordering::SeqCst);
        for connection in self.way.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // An error means that it has ended already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections be made again.
    pub fn mend(&self) {
        self.way.cut.store(false, Ordering::SeqCst);
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

    /// Holds back what the server answers from now on; what clients send reaches it.
    pub fn hold_replies(&self) {
        self.replies.state().closed = true;
    }

    /// Likewise, from when a client sends this: what it asked before is answered.
    pub fn hold_replies_to(&self, command: &'static str) {
        *self.way.awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some(command);
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

fn copy(mut from: UnixStream, mut to: UnixStream, way: &Way, number: u64, pass: impl Fn(&[u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        pass(&buffer[..length]);
        if number <= way.silent.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction ends with it, unless nothing is heard any more. An error means that it has ended already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
