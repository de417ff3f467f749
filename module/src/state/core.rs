//! The state itself, behind one mutex, and its own small steps. The mutex is never held while the server is called
//! in a way that could call us back.

use super::waiters::{Client, Gift, Waiter};
use crate::counts::Counters;
use crate::feed::Feed;
use crate::ffi::{self, Handle, Timer};
use crate::upstream::{Event, Order, Upstream, What};
use crate::{clearing, config};
use crossbeam_channel::Receiver;
use engine::warming::{Runs, Seat, Want, Wanted};
use engine::{Again, ClientId, Engine, FlightId, Launch, Millis};
use once_cell::sync::Lazy;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use wire::key::BundleId;

pub(crate) struct State {
    pub(crate) engine: Engine<Waiter>,
    pub(crate) runs: Runs,
    pub(crate) counters: Counters,
    pub(crate) feed: Feed,
    pub(super) clients: HashMap<ClientId, Client>,
    pub(super) handles: HashMap<Handle, ClientId>,
    pub(super) last_client: u64,
    /// Those to be released; some may have gone meanwhile.
    pub(super) answered: VecDeque<ClientId>,
    /// What has landed, for those who waited for it.
    pub(super) gifts: VecDeque<Gift>,
    pub(super) upstream: Option<Upstream>,
    pub(super) events: Option<Receiver<Event>>,
    pub(super) timer: Option<(Timer, Millis)>,
}

static STATE: Lazy<Mutex<State>> = Lazy::new(|| Mutex::new(State::new()));

static LOADED: Lazy<Instant> = Lazy::new(Instant::now);

/// How often to look whether writing goes on, in milliseconds.
const PAUSED: Millis = 10;

/// Milliseconds since the module was loaded.
pub(crate) fn monotonic() -> Millis {
    Millis::try_from(LOADED.elapsed().as_millis()).unwrap_or(Millis::MAX)
}

pub(super) fn lock() -> MutexGuard<'static, State> {
    STATE.lock()
}

/// Looks at the state, for `INFO`; `None` if it is in use (a crash report may come at any moment).
pub(crate) fn peek<T>(look: impl FnOnce(&mut State) -> T) -> Option<T> {
    STATE.try_lock().map(|mut state| look(&mut state))
}

impl State {
    pub(super) fn new() -> Self {
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
    pub(super) fn warm(&mut self, run: u64, db: i32, force: bool, batch: Vec<Wanted>) {
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
    pub(super) fn warm_again(&mut self, again: impl IntoIterator<Item = Again<Waiter>>) {
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

    pub(super) fn send_all(&self, launches: Vec<Launch>) {
        for launch in launches {
            self.send(What::Bundle(order(launch)));
        }
    }

    /// Breaks off a flight that nobody waits for any more.
    pub(super) fn cancel(&self, flight: Option<FlightId>) {
        if let (Some(upstream), Some(flight)) = (&self.upstream, flight) {
            upstream.cancel(flight);
        }
    }

    pub(super) fn send(&self, what: What) {
        if let Some(upstream) = &self.upstream {
            upstream.send(config::request(what));
        }
    }

    /// Sets the timer to the next thing to do.
    pub(super) fn rearm(&mut self) {
        let now = monotonic();
        let pending = !self.answered.is_empty()
            || !self.gifts.is_empty()
            || self.runs.has_ended()
            || self.events.as_ref().is_some_and(|events| !events.is_empty());
        let warming = self.runs.next_at(now, config::pace());
        let writing = [clearing::next_at(now), warming].into_iter().flatten().min();
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
    pub(super) fn arm_at(&mut self, at: Millis) {
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
