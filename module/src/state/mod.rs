//! Where everything meets: the engine, the clients that wait, the runs and the way to the sidecar, behind
//! one mutex. It is never held while the server is called in a way that could call us back.
//!
//! Here is what commands ask for and what the server tells; [`pump`] moves things on.
pub(crate) mod pump;

use crate::commands::get::Waiting;
use crate::engine::{Ask, Engine, Launch, Millis, Plan, Refusal, Scope, Stored};
use crate::errors::Error;
use crate::ffi::{self, BlockedClient, Handle, ServerEvent, Timer};
use crate::info::Counters;
use crate::store;
use crate::tenant::{BundleId, Tenant};
use crate::upstream::{Event, Fetched, Order, Upstream, What};
use crate::warming::{Report, Runs, Seat};
use crate::{clearing, commands, config, reply};
use crossbeam_channel::Receiver;
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use redis_module::Context;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who waits in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Waiter {
    Client(Handle),
    Warm(Seat),
}

/// What a blocked client waits for.
enum Question {
    Get(Waiting),
    Warm,
    Clear,
}

/// What it gets.
enum Answer {
    Bundle(Result<Arc<Fetched>, Error>),
    Warmed(Report),
    Cleared(u64),
}

struct Client {
    /// `None` once it is released; its reply is asked for after that.
    blocked: Option<BlockedClient>,
    question: Question,
    answer: Option<Answer>,
}

/// What became of a read.
pub(crate) enum Outcome {
    /// Answer with what is stored.
    Serve,
    /// The client is blocked.
    Waits,
}

pub(crate) struct State {
    pub(crate) engine: Engine<Waiter>,
    pub(crate) runs: Runs,
    pub(crate) counters: Counters,
    clients: HashMap<Handle, Client>,
    answered: VecDeque<Handle>,
    upstream: Option<Upstream>,
    events: Option<Receiver<Event>>,
    timer: Option<(Timer, Millis)>,
}

static STATE: Lazy<Mutex<State>> = Lazy::new(|| {
    Mutex::new(State {
        engine: Engine::new(),
        runs: Runs::default(),
        counters: Counters::default(),
        clients: HashMap::new(),
        answered: VecDeque::new(),
        upstream: None,
        events: None,
        timer: None,
    })
});

static LOADED: Lazy<Instant> = Lazy::new(Instant::now);

/// A wake-up is on its way: one is enough for any number of events.
static WOKEN: AtomicBool = AtomicBool::new(false);

pub(crate) fn monotonic() -> Millis {
    Millis::try_from(LOADED.elapsed().as_millis()).unwrap_or(Millis::MAX)
}

/// Looks at the state, for `INFO`; `None` if it is in use (a crash report may come at any moment).
pub(crate) fn peek<T>(look: impl FnOnce(&mut State) -> T) -> Option<T> {
    STATE.try_lock().map(|mut state| look(&mut state))
}

// ── Life ────────────────────────────────────────────────────────────────────────────────────────────

pub(crate) fn start() -> std::io::Result<()> {
    Lazy::force(&LOADED);
    let (upstream, events) = Upstream::start(|| {
        if !WOKEN.swap(true, Ordering::AcqRel) {
            ffi::wake();
        }
    })?;
    let mut state = STATE.lock();
    state.upstream = Some(upstream);
    state.events = Some(events);
    Ok(())
}

/// Ends the thread to the sidecar, for an unload; false while something is under way: the server may not
/// unload code that it has promised to call.
pub(crate) fn stop() -> bool {
    let upstream = {
        let mut state = STATE.lock();
        let idle = state.engine.flights() == 0
            && state.clients.is_empty()
            && state.runs.len() == 0
            && !WOKEN.load(Ordering::Acquire);
        if !idle {
            return false;
        }
        if let Some((timer, _)) = state.timer.take() {
            ffi::disarm(&timer);
        }
        state.upstream.take()
    };
    drop(upstream);
    true
}

// ── What commands ask for ───────────────────────────────────────────────────────────────────────────

/// Decides what a read gets; where it has to wait, blocks the client.
pub(crate) fn read(
    ctx: &Context,
    id: &BundleId,
    stored: Stored,
    ask: Ask,
    waiting: impl FnOnce() -> Waiting,
) -> Result<Outcome, Error> {
    let limits = config::limits();
    let mut state = STATE.lock();
    let mut launches = Vec::new();
    let plan = state.engine.read(monotonic(), &limits, id, stored, ask, &mut launches);
    let outcome = match plan {
        Plan::Serve => Ok(Outcome::Serve),
        Plan::Refuse(refusal) => Err(refused(refusal)),
        Plan::Wait(seat) => match BlockedClient::block(ctx) {
            Some(blocked) => {
                let handle = blocked.handle();
                state.engine.join(seat, Waiter::Client(handle));
                state.admit(handle, blocked, Question::Get(waiting()));
                Ok(Outcome::Waits)
            }
            None => Err(Error::internal()),
        },
    };
    state.send_all(launches);
    state.rearm();
    outcome
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Miss => Error::miss(),
        Refusal::NoTenant => Error::no_tenant(),
        Refusal::TooManyFlights => Error::too_many_flights(),
        Refusal::TooManyWaiters => Error::too_many_waiters(),
        Refusal::BreakerOpen => Error::breaker_open(),
    }
}

/// From now on nothing is stored, or given to later callers, that was under way until now.
pub(crate) fn fence(scope: Scope<'_>) {
    let mut state = STATE.lock();
    let mut launches = Vec::new();
    let unlucky = state.engine.invalidate(monotonic(), &config::limits(), scope, &mut launches);
    state.counters.clears += 1;
    state.send_all(launches);
    for waiter in unlucky {
        state.give(waiter, &Err(refused(Refusal::TooManyFlights)));
    }
    state.rearm();
}

/// Has a bundle computed that nobody waits for.
pub(crate) fn refresh_behind(ctx: &Context, id: &BundleId) {
    if !store::may_write(ctx) {
        return;
    }
    let mut state = STATE.lock();
    let mut launches = Vec::new();
    state.engine.refresh_behind(monotonic(), &config::limits(), id, &mut launches);
    state.send_all(launches);
    state.rearm();
}

/// Begins to clear tenants, or (none named) a database, in slices; the client waits for the end.
pub(crate) fn begin_clear(ctx: &Context, db: i32, tenants: Vec<Tenant>, soft: bool) -> Result<(), Error> {
    if !clearing::may_begin() {
        return Err(Error::too_many_jobs());
    }
    if tenants.is_empty() {
        fence(Scope::Database(db));
    }
    for tenant in &tenants {
        fence(Scope::Tenant(db, tenant));
    }
    let mut state = STATE.lock();
    let blocked = BlockedClient::block(ctx).ok_or_else(Error::internal)?;
    let handle = blocked.handle();
    state.admit(handle, blocked, Question::Clear);
    clearing::begin(db, tenants, soft, handle);
    state.rearm();
    Ok(())
}

/// Begins a warming run, or joins one; with `wait`, the client waits for its end.
pub(crate) fn begin_warm(
    ctx: &Context,
    db: i32,
    tenants: Vec<Tenant>,
    force: bool,
    wait: bool,
) -> Result<(), Error> {
    let mut state = STATE.lock();
    if !state.runs.may_begin() {
        return Err(Error::too_many_jobs());
    }
    let blocked = if wait { Some(BlockedClient::block(ctx).ok_or_else(Error::internal)?) } else { None };
    let handle = blocked.as_ref().map(BlockedClient::handle);
    if let (Some(handle), Some(blocked)) = (handle, blocked) {
        state.admit(handle, blocked, Question::Warm);
    }
    if let Ok(Some(run)) = state.runs.begin(monotonic(), db, tenants, force, handle) {
        state.send(What::Tenants(run));
    }
    state.rearm();
    Ok(())
}

// ── What the server calls ───────────────────────────────────────────────────────────────────────────

/// Replies to a client that was released.
pub(crate) fn reply(ctx: &Context, handle: Handle) {
    let client = STATE.lock().clients.remove(&handle);
    match client {
        Some(Client { question, answer: Some(answer), .. }) => deliver(ctx, &question, answer),
        _ => reply::error(ctx, &Error::internal()),
    }
}

/// `CLIENT UNBLOCK … TIMEOUT`: the client is answered as if its time were over.
pub(crate) fn unblocked(ctx: &Context, handle: Handle) {
    let client = STATE.lock().forget(handle);
    match client {
        Some(Client { question, answer, .. }) => {
            deliver(ctx, &question, answer.unwrap_or(Answer::Bundle(Err(Error::timeout()))));
        }
        None => reply::error(ctx, &Error::internal()),
    }
}

/// The client has gone, or the server has answered it.
pub(crate) fn gone(handle: Handle) {
    // Dropped after the lock: that releases the client.
    let client = STATE.lock().forget(handle);
    drop(client);
}

fn deliver(ctx: &Context, question: &Question, answer: Answer) {
    match (question, answer) {
        (Question::Get(waiting), Answer::Bundle(result)) => waiting.reply(ctx, &result),
        (_, Answer::Bundle(Err(error))) => reply::error(ctx, &error),
        (_, Answer::Warmed(report)) => commands::warm::reply_report(ctx, &report),
        (_, Answer::Cleared(count)) => reply::integer(ctx, count),
        (_, Answer::Bundle(Ok(_))) => reply::error(ctx, &Error::internal()),
    }
}

/// What is under way when the data is replaced, or when writing passes to another server, belongs to
/// what was: none of it is stored.
pub(crate) fn server_event(_: &Context, event: ServerEvent) {
    match event {
        ServerEvent::Flushed(Some(db)) => fence(Scope::Database(db)),
        ServerEvent::Swapped(a, b) => {
            fence(Scope::Database(a));
            fence(Scope::Database(b));
        }
        ServerEvent::Flushed(None) | ServerEvent::Loading => fence(Scope::Everything),
        ServerEvent::RoleChanged => {
            fence(Scope::Everything);
            let mut state = STATE.lock();
            for client in state.runs.abort() {
                state.answer(client, Answer::Bundle(Err(Error::timeout())));
            }
        }
    }
}

/// The thread to the sidecar has news. Nothing is done here: this may be called while a script is busy or
/// the server loads, where a timer does not fire.
pub(crate) fn woken() {
    WOKEN.store(false, Ordering::Release);
    STATE.lock().arm_at(0);
}

// ── The state's own small steps ─────────────────────────────────────────────────────────────────────

impl State {
    fn admit(&mut self, handle: Handle, blocked: BlockedClient, question: Question) {
        self.clients.insert(handle, Client { blocked: Some(blocked), question, answer: None });
    }

    /// Clients that are blocked or about to get their reply.
    pub(crate) fn blocked_clients(&self) -> usize {
        self.clients.len()
    }

    /// Takes a client out of everything it waits in.
    fn forget(&mut self, handle: Handle) -> Option<Client> {
        self.engine.leave(Waiter::Client(handle));
        self.runs.leave(handle);
        self.clients.remove(&handle)
    }

    fn answer(&mut self, handle: Handle, answer: Answer) {
        if let Some(client) = self.clients.get_mut(&handle) {
            client.answer = Some(answer);
            self.answered.push_back(handle);
        }
    }

    fn give(&mut self, waiter: Waiter, result: &Result<Arc<Fetched>, Error>) {
        match waiter {
            Waiter::Client(client) => self.answer(client, Answer::Bundle(result.clone())),
            Waiter::Warm(seat) => {
                if self.runs.landed(seat, result.is_ok()) {
                    self.counters.warm_failures += 1;
                }
            }
        }
    }

    /// Seats a batch of a run in flights, and sends those that begin as one request.
    fn warm(&mut self, run: u64, force: bool, wanted: Vec<(u32, Vec<BundleId>)>) {
        let now = monotonic();
        let mut launches = Vec::new();
        for (tenant, bundles) in wanted {
            self.runs.expect(run, tenant, u8::try_from(bundles.len()).unwrap_or(u8::MAX));
            for id in bundles {
                let seat = self.engine.warm(now, &id, force, &mut launches);
                let bundle = tenant * 2 + u32::from(!id.include);
                self.engine.join(seat, Waiter::Warm(Seat { run, bundle }));
            }
        }
        let orders: Vec<Order> = launches.into_iter().map(order).collect();
        if !orders.is_empty() {
            self.send(What::Batch(orders));
        }
    }

    fn send_all(&self, launches: Vec<Launch>) {
        for launch in launches {
            self.send(What::Bundle(order(launch)));
        }
    }

    fn send(&self, what: What) {
        if let Some(upstream) = &self.upstream {
            upstream.send(config::request(what));
        }
    }

    /// Sets the timer to the next thing to do.
    fn rearm(&mut self) {
        let pending = !self.answered.is_empty()
            || clearing::is_running()
            || self.runs.has_work()
            || self.events.as_ref().is_some_and(|events| !events.is_empty());
        let at = if pending { Some(0) } else { self.engine.next_deadline() };
        match at {
            Some(at) => self.arm_at(at),
            // A timer without a purpose would keep the module from being unloaded.
            None => {
                if let Some((timer, _)) = self.timer.take() {
                    ffi::disarm(&timer);
                }
            }
        }
    }

    /// Sets the timer to `at`, unless it fires earlier anyway.
    fn arm_at(&mut self, at: Millis) {
        if self.timer.as_ref().is_some_and(|(_, armed)| *armed <= at) {
            return;
        }
        if let Some((timer, _)) = self.timer.take() {
            ffi::disarm(&timer);
        }
        let delay = Duration::from_millis(at.saturating_sub(monotonic()));
        self.timer = ffi::arm(delay).map(|timer| (timer, at));
    }
}

fn order(launch: Launch) -> Order {
    let Launch { flight, bundle } = launch;
    let life = config::lifetime(ffi::now());
    Order { flight, tenant: bundle.tenant, include: bundle.include, life }
}
