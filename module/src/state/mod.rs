//! Where everything meets: the engine, the clients that wait, the runs and the way to the sidecar, behind
//! one mutex. It is never held while the server is called in a way that could call us back.
//!
//! Here is what commands ask for and what the server tells; [`clients`] are those who wait, [`pump`] moves
//! things on, [`news`] tells those who keep copies.
mod clients;
mod news;
pub(crate) mod pump;

pub(crate) use clients::{ClientId, Waiter};

use crate::commands::get::Waiting;
use crate::engine::{Again, Ask, Engine, FlightId, Launch, Millis, Plan, Refusal, Scope, Stored};
use crate::errors::Error;
use crate::feed::Feed;
use crate::ffi::{self, BlockedClient, Handle, ServerEvent, Timer};
use crate::info::{self, Count, Counters};
use crate::store;
use crate::tenant::{BundleId, Tenant};
use crate::upstream::{Event, Order, Upstream, What};
use crate::warming::{self, Runs, Seat, Want, Wanted};
use crate::{clearing, commands, config, reply};
use clients::{Answer, Client, Gift, Question};
use crossbeam_channel::Receiver;
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use redis_module::Context;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    pub(crate) feed: Feed,
    clients: HashMap<ClientId, Client>,
    handles: HashMap<Handle, ClientId>,
    last_client: u64,
    /// Those to be released; some may have gone meanwhile.
    answered: VecDeque<ClientId>,
    /// What has landed, for those who waited for it.
    gifts: VecDeque<Gift>,
    upstream: Option<Upstream>,
    events: Option<Receiver<Event>>,
    timer: Option<(Timer, Millis)>,
}

static STATE: Lazy<Mutex<State>> = Lazy::new(|| Mutex::new(State::new()));

static LOADED: Lazy<Instant> = Lazy::new(Instant::now);

/// How often to look whether writing goes on, in milliseconds.
const PAUSED: Millis = 10;

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
    let (upstream, events) = Upstream::start(wake)?;
    // Anew, also where an unloaded module is loaded again: its memory may still be there.
    let fresh = State { upstream: Some(upstream), events: Some(events), ..State::new() };
    *STATE.lock() = fresh;
    info::reset();
    Ok(())
}

/// Has [`woken`] called in the next turn of the event loop. From any thread.
fn wake() {
    if !WOKEN.swap(true, Ordering::AcqRel) {
        ffi::wake();
    }
}

/// Ends the thread to the sidecar, for an unload; false while something is under way: the server may not
/// unload code that it has promised to call.
pub(crate) fn stop() -> bool {
    let upstream = {
        let mut state = STATE.lock();
        // In this order: whoever still owes something may wake us, and has done so once it owes nothing.
        let idle = state.clients.is_empty()
            && state.gifts.is_empty()
            && state.runs.len() == 0
            && !clearing::is_running()
            && state.upstream.as_ref().is_none_or(Upstream::owes_nothing)
            && !WOKEN.load(Ordering::Acquire)
            && state.events.as_ref().is_none_or(Receiver::is_empty);
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
        Plan::Refuse(why) => Err(refused(&state.engine, why)),
        Plan::Wait(seat) => match BlockedClient::block(ctx) {
            Some(blocked) => {
                let client = state.admit(blocked, Question::Get(waiting()));
                state.engine.join(seat, Waiter::Client(client));
                Ok(Outcome::Waits)
            }
            None => Err(Error::internal()),
        },
    };
    state.send_all(launches);
    state.rearm();
    outcome
}

fn refused(engine: &Engine<Waiter>, why: Refusal) -> Error {
    match why {
        Refusal::Miss => Error::miss(),
        Refusal::NoTenant => Error::no_tenant(),
        Refusal::TooManyFlights => Error::too_many_flights(),
        Refusal::TooManyWaiters => Error::too_many_waiters(),
        Refusal::BreakerOpen => Error::breaker_open(engine.breaker_cause()),
    }
}

/// From now on nothing is stored, or given to later callers, that was under way until now.
pub(crate) fn fence<'a>(scopes: impl IntoIterator<Item = Scope<'a>>) {
    let mut state = STATE.lock();
    let (now, limits) = (monotonic(), config::limits());
    for scope in scopes {
        let fenced = state.engine.invalidate(now, &limits, scope);
        state.counters.fences += 1;
        state.send_all(fenced.launches);
        fenced.cancel.into_iter().for_each(|flight| state.cancel(Some(flight)));
        state.disappoint(fenced.refused);
        state.warm_again(fenced.again);
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
    // First, so that a client that cannot be blocked has cleared nothing.
    let client = STATE.lock().block(ctx, Question::Clear)?;
    if tenants.is_empty() {
        fence([Scope::Database(db)]);
    }
    fence(tenants.iter().map(|tenant| Scope::Tenant(db, tenant)));
    clearing::begin(db, tenants, soft, client);
    STATE.lock().rearm();
    Ok(())
}

/// Begins a warming run over `tenants`, or (none named) all of them, or joins one; with `wait`, the client waits
/// for its end.
pub(crate) fn begin_warm(ctx: &Context, tenants: Vec<Tenant>, force: bool, wait: bool) -> Result<(), Error> {
    let (db, all) = (ffi::selected_db(ctx), tenants.is_empty());
    let order = warming::Order { db, force, all, by: ffi::client(ctx), at: ffi::now() };
    let mut state = STATE.lock();
    if !state.runs.may_begin(db, all, force) {
        return Err(Error::too_many_jobs());
    }
    if wait && state.runs.clients() >= config::limits().max_waiters {
        return Err(Error::too_many_waiters());
    }
    let client = if wait { Some(state.block(ctx, Question::Warm)?) } else { None };
    if let Some(run) = state.runs.begin(monotonic(), order, tenants, client) {
        state.send(What::Tenants(run));
    }
    state.rearm();
    Ok(())
}

/// The change feed says how far behind it is.
pub(crate) fn feed_said(ctx: &Context, lag: Millis, period: Millis) {
    let by = ffi::client(ctx);
    STATE.lock().feed.said(monotonic(), lag, period, by);
}

// ── What the server calls ───────────────────────────────────────────────────────────────────────────

/// Replies to a client that was released.
pub(crate) fn reply(ctx: &Context, handle: Handle) {
    let client = STATE.lock().forget(handle);
    match client {
        Some(Client { question, answer: Some(answer), .. }) => deliver(ctx, &question, answer),
        _ => reply::error(ctx, &Error::internal()),
    }
}

/// `CLIENT UNBLOCK … TIMEOUT`: the client is answered as if its time were over.
pub(crate) fn unblocked(ctx: &Context, handle: Handle) {
    let client = STATE.lock().forget(handle);
    match client {
        Some(Client { question, answer: Some(answer), .. }) => deliver(ctx, &question, answer),
        Some(Client { question: Question::Get(waiting), .. }) => waiting.reply(ctx, &Err(Error::timeout())),
        Some(_) => reply::error(ctx, &Error::wait_ended()),
        None => reply::error(ctx, &Error::internal()),
    }
}

/// The client has gone, or the server has answered it.
pub(crate) fn gone(handle: Handle) {
    // Dropped after the lock: that releases the client.
    let client = STATE.lock().forget(handle);
    if let Some(Client { question: Question::Get(_), .. }) = &client {
        info::count(Count::Left);
    }
    drop(client);
}

fn deliver(ctx: &Context, question: &Question, answer: Answer) {
    match (question, answer) {
        (Question::Get(waiting), Answer::Bundle(result, news)) => {
            waiting.reply(ctx, &result);
            news.into_iter().for_each(|news| news.answered(ctx));
        }
        (_, Answer::Bundle(Err(error), _)) => reply::error(ctx, &error),
        (_, Answer::Warmed(summary)) => commands::warm::reply_summary(ctx, &summary),
        (_, Answer::Cleared(count)) => reply::integer(ctx, count),
        (_, Answer::Bundle(Ok(_), _)) => reply::error(ctx, &Error::internal()),
    }
}

/// What is under way when the data is replaced, or when writing passes to another server, belongs to
/// what was: none of it is stored.
pub(crate) fn server_event(_: &Context, event: ServerEvent) {
    match event {
        ServerEvent::Flushed(Some(db)) => fence([Scope::Database(db)]),
        ServerEvent::Swapped(a, b) => {
            clearing::swap(a, b);
            fence([Scope::Database(a), Scope::Database(b)]);
        }
        ServerEvent::Flushed(None) => fence([Scope::Everything]),
        ServerEvent::Loading => {
            clearing::search_anew();
            fence([Scope::Everything]);
        }
        ServerEvent::RoleChanged => {
            let mut state = STATE.lock();
            let ended: Vec<ClientId> = state.runs.abort().into_iter().chain(clearing::abort()).collect();
            for client in ended {
                state.answer(client, Answer::Bundle(Err(Error::role_changed()), None));
            }
            drop(state);
            fence([Scope::Everything]);
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
    fn new() -> Self {
        Self {
            engine: Engine::new(),
            runs: Runs::default(),
            counters: Counters::default(),
            feed: Feed::default(),
            clients: HashMap::new(),
            handles: HashMap::new(),
            last_client: 0,
            answered: VecDeque::new(),
            gifts: VecDeque::new(),
            upstream: None,
            events: None,
            timer: None,
        }
    }

    /// Seats a batch of a run in flights, and sends those that begin as one request.
    fn warm(&mut self, run: u64, db: i32, force: bool, batch: Vec<Wanted>) {
        let now = monotonic();
        let (mut launches, mut orders) = (Vec::new(), Vec::new());
        let tenants = batch.len();
        for Wanted { place, tenant, bundles } in batch {
            for (id, want) in BundleId::both(db, &tenant).into_iter().zip(bundles) {
                let known = match want {
                    Want::Nothing => continue,
                    Want::Computed => None,
                    Want::IfChanged(known) => Some(known),
                };
                let seat = self.engine.warm(now, &id, force, &mut launches);
                let bundle = place * 2 + u32::from(!id.include);
                self.engine.join(seat, Waiter::Warm(Seat { run, bundle }));
                orders.extend(launches.pop().map(|launch| Order { known, ..order(launch) }));
            }
        }
        if !orders.is_empty() {
            let batch = self.runs.sent(now, config::pace(), tenants);
            self.send(What::Batch(batch, orders));
        }
    }

    /// Lets runs have this in one of their next batches.
    fn warm_again(&mut self, again: impl IntoIterator<Item = Again<Waiter>>) {
        for Again { bundle, waiters } in again {
            for waiter in waiters {
                if let (true, Waiter::Warm(seat)) = (self.engine.release(waiter), waiter)
                    && self.runs.again(seat, &bundle.tenant)
                {
                    self.counters.warm_failures += 1;
                }
            }
        }
    }

    fn send_all(&self, launches: Vec<Launch>) {
        for launch in launches {
            self.send(What::Bundle(order(launch)));
        }
    }

    /// Breaks off a flight that nobody waits for any more.
    fn cancel(&self, flight: Option<FlightId>) {
        if let (Some(upstream), Some(flight)) = (&self.upstream, flight) {
            upstream.cancel(flight);
        }
    }

    fn send(&self, what: What) {
        if let Some(upstream) = &self.upstream {
            upstream.send(config::request(what));
        }
    }

    /// Sets the timer to the next thing to do.
    fn rearm(&mut self) {
        let now = monotonic();
        let pending = !self.answered.is_empty()
            || !self.gifts.is_empty()
            || self.runs.has_ended()
            || self.events.as_ref().is_some_and(|events| !events.is_empty());
        let warming = self.runs.next_at(now, config::pace());
        let writing = if clearing::is_running() { Some(now) } else { warming };
        let writing = writing.map(|at| if ffi::writes_paused() { at.max(now + PAUSED) } else { at });
        let pending = pending.then_some(now);
        let at = [pending, writing, self.engine.next_due()].into_iter().flatten().min();
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
    let Launch { flight, bundle, .. } = launch;
    let life = config::lifetime(ffi::now());
    Order { flight, tenant: bundle.tenant, include: bundle.include, life, known: None }
}
