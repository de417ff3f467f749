//! The way to the sidecar: one thread with an async runtime, which asks for bundles over HTTP and hands
//! what it got to the main thread. It knows no keys, no clients and no freshness.
//!
//! - [`mod@self`]: the requests, the thread, and the promise that each flight lands exactly once.
//! - [`connector`]: Unix and TCP connections. [`client`]: the HTTP calls. [`response`]: what is accepted.

mod client;
mod connector;
pub(crate) mod endpoint;
mod failure;
mod response;

pub(crate) use failure::Failure;

use crate::bundle::Lifetime;
use crate::engine::FlightId;
use crate::tenant::Tenant;
use client::Client;
use crossbeam_channel::{Receiver, Sender};
use endpoint::Endpoint;
use hyper::body::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A bundle that was asked for, checked, and ready to be stored and sent.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) value: Bytes,
    pub(crate) etag: String,
    pub(crate) life: Lifetime,
}

/// One bundle to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) flight: FlightId,
    pub(crate) tenant: Tenant,
    pub(crate) include: bool,
    pub(crate) life: Lifetime,
}

/// What to ask the sidecar, with the settings as they were when it was decided.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) token: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) max_bundle_bytes: usize,
    pub(crate) what: What,
}

/// The three questions.
#[derive(Debug)]
pub(crate) enum What {
    /// One bundle, for clients who wait or a refresh behind.
    Bundle(Order),
    /// Many bundles, answered one by one as they are computed.
    Batch(Vec<Order>),
    /// The tenants that warming covers, for the job of this number.
    Tenants(u64),
}

/// What the main thread is told.
#[derive(Debug)]
pub(crate) enum Event {
    Landed { flight: FlightId, result: Result<Arc<Fetched>, Failure>, cause: Option<String> },
    Tenants { job: u64, result: Result<Vec<Tenant>, Failure>, cause: Option<String> },
}

/// Tells the main thread that the channel has events; called from the thread of this module.
pub(crate) type Wake = fn();

/// The running thread. Dropping it ends the thread and waits for that.
pub(crate) struct Upstream {
    requests: Option<mpsc::UnboundedSender<Request>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Upstream {
    /// Starts the thread. What it learns arrives at the receiver, each time announced by `wake`.
    ///
    /// # Errors
    /// Where the thread or its runtime cannot be made.
    pub(crate) fn start(wake: Wake) -> std::io::Result<(Self, Receiver<Event>)> {
        // Neither channel has a bound of its own: the engine's bounds on flights are theirs.
        let (requests, inbox) = mpsc::unbounded_channel();
        let (events, received) = crossbeam_channel::unbounded();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outbox = Outbox { events, wake };
        let thread = std::thread::Builder::new()
            .name("dashboard-io".into())
            .spawn(move || runtime.block_on(serve(inbox, outbox)))?;
        Ok((Self { requests: Some(requests), thread: Some(thread) }, received))
    }

    /// Sends `request`; each of its flights lands exactly once, whatever happens.
    pub(crate) fn send(&self, request: Request) -> Result<(), Request> {
        match &self.requests {
            Some(requests) => requests.send(request).map_err(|refused| refused.0),
            None => Err(request),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been answered by the guards of its flights.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Outbox {
    events: Sender<Event>,
    wake: Wake,
}

impl Outbox {
    fn tell(&self, event: Event) {
        if self.events.send(event).is_ok() {
            (self.wake)();
        }
    }
}

async fn serve(mut inbox: mpsc::UnboundedReceiver<Request>, outbox: Outbox) {
    let client = Client::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            request = inbox.recv() => match request {
                Some(request) => {
                    tasks.spawn(handle(client.clone(), request, outbox.clone()));
                }
                // Unloading: what is under way is dropped, and its guards report it.
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn handle(client: Client, request: Request, outbox: Outbox) {
    let Request { endpoints, token, timeout, max_bundle_bytes, what } = request;
    let call = client::Call { endpoints: &endpoints, token: &token, timeout, max_bundle_bytes };
    match what {
        What::Bundle(order) => {
            let promise = Promise::new(vec![order.clone()], &outbox);
            promise.keep(order.flight, client.bundle(&call, &order).await);
        }
        What::Batch(orders) => {
            let promise = Promise::new(orders.clone(), &outbox);
            let ended = client.batch(&call, &orders, |flight, result| promise.keep(flight, result)).await;
            promise.fail_rest(ended.err());
        }
        What::Tenants(job) => {
            let (result, cause) = split(client.tenants(&call).await);
            outbox.tell(Event::Tenants { job, result, cause });
        }
    }
}

/// What went wrong: what the client is told, and what the log is.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) failure: Failure,
    pub(crate) cause: String,
}

impl Problem {
    pub(crate) fn new(failure: Failure, cause: impl std::fmt::Display) -> Self {
        Self { failure, cause: cause.to_string() }
    }
}

fn split<T>(result: Result<T, Problem>) -> (Result<T, Failure>, Option<String>) {
    match result {
        Ok(value) => (Ok(value), None),
        Err(Problem { failure, cause }) => (Err(failure), Some(cause)),
    }
}

/// The flights of one request that have not landed. Dropping it, as a panic or an unload does, lands the
/// rest as failed: no client waits for a flight that has been forgotten.
struct Promise<'a> {
    open: parking_lot::Mutex<Vec<FlightId>>,
    outbox: &'a Outbox,
}

impl<'a> Promise<'a> {
    fn new(orders: Vec<Order>, outbox: &'a Outbox) -> Self {
        Self { open: parking_lot::Mutex::new(orders.into_iter().map(|o| o.flight).collect()), outbox }
    }

    fn keep(&self, flight: FlightId, result: Result<Fetched, Problem>) {
        let mut open = self.open.lock();
        let Some(place) = open.iter().position(|f| *f == flight) else { return };
        open.swap_remove(place);
        let (result, cause) = split(result);
        self.outbox.tell(Event::Landed { flight, result: result.map(Arc::new), cause });
    }

    fn fail_rest(&self, problem: Option<Problem>) {
        let problem = problem.unwrap_or_else(|| {
            Problem::new(Failure::Incomplete, "the answer ended before this bundle's line")
        });
        for flight in std::mem::take(&mut *self.open.lock()) {
            let (failure, cause) = (problem.failure.clone(), Some(problem.cause.clone()));
            self.outbox.tell(Event::Landed { flight, result: Err(failure), cause });
        }
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.fail_rest(Some(Problem::new(Failure::Abandoned, "the request was abandoned")));
    }
}
