//! A sidecar that does what a test asks of it: answers late, wrongly, half or not at all, and counts.
//!
//! It speaks the internal API over a Unix socket. Every bundle that it makes carries a version, the number
//! of requests for that bundle so far, so that a test can tell which computation a reply came from.

mod answer;
mod service;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, oneshot};

pub use answer::Answer;

use crate::assert_eventually;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The tenant.
    pub tenant: String,
    /// With test data or without.
    pub include_test_data: bool,
}

/// What the asker said that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of the bundle.
    pub etag: String,
    /// Of the rows behind it.
    pub version: String,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// Those of them that said what is known.
    known: Vec<(Request, Known)>,
    /// How often each was asked for.
    versions: HashMap<Request, usize>,
    /// How many HTTP requests these came in.
    exchanges: usize,
    /// Requests whose connection was closed by the other side before they were answered.
    abandoned: usize,
    default: Answer,
    by_tenant: HashMap<String, Answer>,
    tenants: Vec<String>,
    /// What every batch is said to have cost the database.
    query_time: Option<Duration>,
    token: Option<String>,
    /// What a request takes one permit of before it is answered.
    gate: Gate,
}

/// Open unless said otherwise.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

/// More than any test asks for, and far from the semaphore's own limit when released repeatedly.
const PLENTY: usize = 1 << 24;

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLENTY)))
    }
}

struct Shared(Mutex<State>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running fake; stops when dropped.
pub struct FakeUpstream {
    shared: Arc<Shared>,
    directory: TempDir,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl FakeUpstream {
    /// Starts a fake that gives the right answer at once.
    pub fn start() -> Self {
        let shared = Arc::new(Shared(Mutex::new(State::default())));
        let directory = TempDir::with_prefix("dashboard-upstream-").expect("a temporary directory");
        let mut fake = Self { shared, directory, running: None };
        fake.listen();
        fake
    }

    /// Listens again after [`FakeUpstream::refuse`].
    pub fn listen(&mut self) {
        let (shared, socket) = (Arc::clone(&self.shared), self.socket());
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = UnixListener::bind(socket).expect("the socket file is free");
                ready.send(()).expect("start() waits");
                tokio::select! {
                    () = service::run(&listener, &shared) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("the fake listens");
        self.running = Some(Running { stop, thread });
    }

    /// Ends all connections and accepts no more: connecting is refused.
    pub fn refuse(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
            let _ = std::fs::remove_file(self.socket());
        }
    }

    /// What `dashboard.sidecar` must be set to.
    pub fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Its socket file.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("upstream.sock")
    }

    /// How requests are answered from now on.
    pub fn answer(&self, answer: Answer) {
        self.shared.lock().default = answer;
    }

    /// How requests for this tenant are answered from now on.
    pub fn answer_for(&self, tenant: &str, answer: Answer) {
        self.shared.lock().by_tenant.insert(tenant.to_owned(), answer);
    }

    /// What the list of active tenants says.
    pub fn active_tenants(&self, tenants: &[&str]) {
        self.shared.lock().tenants = tenants.iter().map(|&t| t.to_owned()).collect();
    }

    /// What every batch says that it has cost the database.
    pub fn query_time(&self, time: Duration) {
        self.shared.lock().query_time = Some(time);
    }

    /// Refuses requests that do not carry this token.
    pub fn require_token(&self, token: &str) {
        self.shared.lock().token = Some(token.to_owned());
    }

    /// From now on requests wait, in the order of their arrival, until they are released.
    pub fn hold(&self) {
        self.shared.lock().gate = Gate(Arc::new(Semaphore::new(0)));
    }

    /// Lets the oldest waiting request go on, or the next one that comes.
    pub fn release_one(&self) {
        self.shared.lock().gate.0.add_permits(1);
    }

    /// Lets all waiting requests go on, and those that come later.
    pub fn release(&self) {
        let mut state = self.shared.lock();
        state.gate.0.add_permits(PLENTY);
        state.gate = Gate::default();
    }

    /// Every bundle asked for so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Every bundle of which the asker said what it has, in order.
    pub fn known(&self) -> Vec<(Request, Known)> {
        self.shared.lock().known.clone()
    }

    /// How often this tenant's bundle was asked for, both include values together.
    pub fn count(&self, tenant: &str) -> usize {
        self.shared.lock().requests.iter().filter(|request| request.tenant == tenant).count()
    }

    /// How many bundles were asked for.
    pub fn total(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// How many HTTP requests for bundles there were.
    pub fn exchanges(&self) -> usize {
        self.shared.lock().exchanges
    }

    /// How many requests were given up by the other side before their answer.
    pub fn abandoned(&self) -> usize {
        self.shared.lock().abandoned
    }

    /// Waits until this many bundles have been asked for.
    pub fn wait_for(&self, total: usize) {
        assert_eventually!(self.total() >= total, "the upstream is asked for {total} bundles");
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.refuse();
    }
}
