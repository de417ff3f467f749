//! The way to the sidecar: one thread with an async runtime, which asks for bundles over HTTP and hands
//! what it got to the main thread. It knows no keys, no clients and no freshness.
//!
//! - [`terms`]: the requests and what comes back. [`mod@self`]: the thread, and the promise that each flight lands exactly once.
//! - [`connector`]: Unix and TCP connections. [`client`]: the HTTP calls. [`response`], [`lines`]: what is accepted.
//! - [`renewal`]: what is stored already and need not be computed where nothing has changed.
//! - [`failover`]: from one endpoint to the next. [`suspects`]: which of them to ask last.

mod client;
mod connector;
pub(crate) mod endpoint;
mod failover;
pub(crate) mod lines;
mod renewal;
pub(crate) mod response;
mod suspects;
mod terms;

pub(crate) use terms::{Event, Fetched, Order, Problem, Request, What};

use crate::fault;
use client::Client;
use crossbeam_channel::{Receiver, Sender};
use engine::{BatchId, Failure, FlightId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wire::tenant::Tenant;

/// Tells the main thread that the channel has events; called from the thread of this module.
pub(crate) type Wake = fn();

/// What the thread is told.
enum Message {
    Ask(Box<Request>, Promise),
    /// Nobody waits for this flight any more.
    Cancel(FlightId),
}

/// The running thread. Dropping it ends the thread and waits for that.
pub(crate) struct Upstream {
    messages: Option<mpsc::UnboundedSender<Message>>,
    outbox: Outbox,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Upstream {
    /// Starts the thread. What it learns arrives at the receiver, each time announced by `wake`.
    ///
    /// # Errors
    /// Where the thread or its runtime cannot be made.
    pub(crate) fn start(wake: Wake) -> std::io::Result<(Self, Receiver<Event>)> {
        // Neither channel has a bound of its own: the engine's bounds on flights are theirs.
        let (messages, inbox) = mpsc::unbounded_channel();
        let (events, received) = crossbeam_channel::unbounded();
        // Looking up names is all that blocks; more of it at a time would not make a name server faster.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
        let thread = std::thread::Builder::new()
            .name("dashboard-io".into())
            .spawn(move || runtime.block_on(serve(inbox)))?;
        let outbox = Outbox { events, wake, owed: Arc::default() };
        Ok((Self { messages: Some(messages), outbox, thread: Some(thread) }, received))
    }

    /// Nothing is under way: no event and no wake-up will come.
    pub(crate) fn owes_nothing(&self) -> bool {
        self.outbox.owed.load(Ordering::Acquire) == 0 && !connector::is_looking_up()
    }

    /// Sends `request`. Each of its flights lands exactly once, whatever happens: also where the thread
    /// has died.
    pub(crate) fn send(&self, request: Request) {
        let promise = Promise::new(&request.what, self.outbox.clone());
        // What cannot be sent is dropped here, and its promise with it.
        self.tell(Message::Ask(Box::new(request), promise));
    }

    /// Breaks off the request of a flight, which then lands as abandoned. Its connection is closed, and the
    /// sidecar cancels the query. What has landed already, or is part of a batch, stays as it is.
    pub(crate) fn cancel(&self, flight: FlightId) {
        self.tell(Message::Cancel(flight));
    }

    fn tell(&self, message: Message) {
        if let Some(messages) = &self.messages {
            let _ = messages.send(message);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been answered by the promises that it held.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Outbox {
    events: Sender<Event>,
    wake: Wake,
    /// Promises that have not been kept.
    owed: Arc<AtomicUsize>,
}

impl Outbox {
    fn tell(&self, event: Event) {
        if self.events.send(event).is_ok() {
            (self.wake)();
        }
    }
}

async fn serve(mut inbox: mpsc::UnboundedReceiver<Message>) {
    let client = Client::new();
    let mut tasks = tokio::task::JoinSet::new();
    let mut singles: HashMap<FlightId, AbortHandle> = HashMap::new();
    loop {
        tokio::select! {
            received = inbox.recv() => match received {
                Some(Message::Ask(request, promise)) => {
                    let single = match &request.what {
                        What::Bundle(order) => Some(order.flight),
                        What::Batch(..) | What::Tenants(_) => None,
                    };
                    let task = tasks.spawn(handle(client.clone(), *request, promise));
                    singles.extend(single.map(|flight| (flight, task)));
                }
                Some(Message::Cancel(flight)) => {
                    if let Some(task) = singles.remove(&flight) {
                        task.abort();
                    }
                }
                // Unloading: what is under way is dropped, and its promises report it.
                None => break,
            },
            Some(_) = tasks.join_next() => singles.retain(|_, task| !task.is_finished()),
        }
    }
}

async fn handle(client: Client, request: Request, promise: Promise) {
    let Request { endpoints, token, timeout, max_bundle_bytes, what } = request;
    let call = client::Call { endpoints: &endpoints, token: &token, timeout, max_bundle_bytes };
    match what {
        What::Bundle(order) => {
            fault::point("worker", order.tenant.as_str());
            promise.keep(order.flight, client.bundle(&call, &order).await);
        }
        What::Batch(_, orders) => {
            let ended = client.batch(&call, &orders, |flight, result| promise.keep(flight, result)).await;
            match ended {
                Ok(cost) => promise.end_batch(None, cost),
                Err(problem) => promise.end_batch(Some(problem), None),
            }
        }
        What::Tenants(_) => promise.keep_list(client.tenants(&call).await),
    }
}

fn split<T>(result: Result<T, Problem>) -> (Result<T, Failure>, Option<String>) {
    match result {
        Ok(value) => (Ok(value), None),
        Err(Problem { failure, cause }) => (Err(failure), Some(cause)),
    }
}

/// What one request owes the main thread: a landing for each flight, or a list of tenants. Dropping it, as a
/// panic or an unload does, reports the rest as failed: no client waits for what has been forgotten.
struct Promise {
    owed: Mutex<Owed>,
    outbox: Outbox,
}

struct Owed {
    flights: Vec<FlightId>,
    list: Option<u64>,
    batch: Option<(BatchId, Instant)>,
}

impl Promise {
    fn new(what: &What, outbox: Outbox) -> Self {
        let owed = match what {
            What::Bundle(order) => Owed { flights: vec![order.flight], list: None, batch: None },
            What::Batch(batch, orders) => Owed {
                flights: orders.iter().map(|order| order.flight).collect(),
                list: None,
                batch: Some((*batch, Instant::now())),
            },
            What::Tenants(job) => Owed { flights: Vec::new(), list: Some(*job), batch: None },
        };
        outbox.owed.fetch_add(1, Ordering::Relaxed);
        Self { owed: Mutex::new(owed), outbox }
    }

    fn keep(&self, flight: FlightId, result: Result<Fetched, Problem>) {
        let mut owed = self.owed.lock();
        let Some(place) = owed.flights.iter().position(|f| *f == flight) else { return };
        owed.flights.swap_remove(place);
        let (result, cause) = split(result);
        self.outbox.tell(Event::Landed { flight, result: result.map(Arc::new), cause });
    }

    fn keep_list(&self, result: Result<Vec<Tenant>, Problem>) {
        if let Some(job) = self.owed.lock().list.take() {
            let (result, cause) = split(result);
            self.outbox.tell(Event::Tenants { job, result, cause });
        }
    }

    /// A batch that does not say what it has cost counts from its sending: the database cannot have worked
    /// longer for it.
    fn end_batch(&self, problem: Option<Problem>, cost: Option<Duration>) {
        self.fail_rest(problem);
        let batch = self.owed.lock().batch.take();
        if let Some((batch, sent_at)) = batch {
            self.outbox.tell(Event::BatchEnded { batch, query: cost.unwrap_or_else(|| sent_at.elapsed()) });
        }
    }

    fn fail_rest(&self, problem: Option<Problem>) {
        let problem = problem.unwrap_or_else(|| {
            Problem::new(Failure::Incomplete, "the answer ended before this bundle's line")
        });
        for flight in std::mem::take(&mut self.owed.lock().flights) {
            let (failure, cause) = (problem.failure.clone(), Some(problem.cause.clone()));
            self.outbox.tell(Event::Landed { flight, result: Err(failure), cause });
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let abandoned = || Problem::new(Failure::Abandoned, "the request was abandoned");
        self.end_batch(Some(abandoned()), None);
        self.keep_list(Err(abandoned()));
        // Last: by now every wake-up of this promise has been made.
        self.outbox.owed.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint::Endpoint;
    use super::*;
    use wire::bundle::Lifetime;

    fn order(flight: FlightId) -> Order {
        let life = Lifetime { as_of: 0, fresh_until: 1, expires_at: 2, valid_until: None };
        Order { flight, tenant: Tenant::new(b"t").unwrap(), include: true, life, known: None }
    }

    fn failures(events: &Receiver<Event>) -> Vec<(FlightId, Failure)> {
        events
            .try_iter()
            .filter_map(|event| match event {
                Event::Landed { flight, result: Err(failure), .. } => Some((flight, failure)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_request_that_panics_lands_its_flights_as_failed_each_once() {
        let (sender, events) = crossbeam_channel::unbounded();
        let outbox = Outbox { events: sender, wake: || {}, owed: Arc::default() };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let promise = Promise::new(&What::Batch(7, vec![order(1), order(2)]), outbox);
            promise.keep(2, Err(Problem::new(Failure::Timeout, "late")));
            panic!("a worker that fails");
        }));
        assert!(panicked.is_err());
        assert_eq!(failures(&events), [(2, Failure::Timeout), (1, Failure::Abandoned)]);
    }

    /// The numbers of the batches that have ended, if each did so after the last of its landings.
    fn ended(events: &Receiver<Event>) -> Vec<BatchId> {
        let events: Vec<Event> = events.try_iter().collect();
        let last_landing = events.iter().rposition(|event| matches!(event, Event::Landed { .. }));
        let ended = events.iter().enumerate().filter_map(|(at, event)| match event {
            Event::BatchEnded { batch, .. } => Some((at, *batch)),
            _ => None,
        });
        ended.filter(|(at, _)| Some(*at) > last_landing).map(|(_, batch)| batch).collect()
    }

    #[test]
    fn a_batch_ends_once_and_last_however_it_ends() {
        let batch = || What::Batch(7, vec![order(1), order(2)]);
        let with = |end: fn(Promise)| {
            let (sender, events) = crossbeam_channel::unbounded();
            end(Promise::new(&batch(), Outbox { events: sender, wake: || {}, owed: Arc::default() }));
            ended(&events)
        };
        assert_eq!(with(|promise| promise.end_batch(None, Some(Duration::ZERO))), [7]);
        assert_eq!(
            with(|promise| promise.end_batch(Some(Problem::new(Failure::Timeout, "late")), None)),
            [7]
        );
        assert_eq!(with(drop), [7], "a panic or an unload");
    }

    #[test]
    fn a_flight_lands_once_whatever_arrives_for_it() {
        let (sender, events) = crossbeam_channel::unbounded();
        let outbox = Outbox { events: sender, wake: || {}, owed: Arc::default() };
        let promise = Promise::new(&What::Bundle(order(1)), outbox);
        promise.keep(1, Err(Problem::new(Failure::Timeout, "late")));
        promise.keep(1, Err(Problem::new(Failure::Malformed, "twice")));
        promise.keep(7, Err(Problem::new(Failure::Malformed, "of nobody")));
        drop(promise);
        assert_eq!(failures(&events), [(1, Failure::Timeout)]);
    }

    #[test]
    fn ending_the_thread_lands_what_is_under_way() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        // It takes connections and never answers.
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let (upstream, events) = Upstream::start(|| {}).unwrap();
        let request = Request {
            endpoints: Endpoint::parse_all(&format!("unix:{}", socket.display())).unwrap().into(),
            token: "".into(),
            timeout: Duration::from_secs(60),
            max_bundle_bytes: 1024,
            what: What::Batch(7, vec![order(1), order(2)]),
        };
        upstream.send(request);
        drop(upstream);
        assert_eq!(failures(&events), [(1, Failure::Abandoned), (2, Failure::Abandoned)]);
    }
}
