//! The engine against a model that is too simple to be wrong: thousands of random interleavings of reads,
//! clears, warming, late and failed answers, departures and time, with the invariants checked at every step.
//!
//! The model's database has one number for each tenant, which commits raise. A flight carries the number
//! as it was when it began, the oldest that it may bring. A clear notes the number of its moment: no
//! later read may get less. A SOFT does not touch what is under way: that lands as a fallback, so what is served is
//! never older than two computations, however often SOFT comes.

use crate::engine::BATCH_PATIENCE;
use crate::{
    Again, Ask, Cancelled, Carrier, Engine, Expiry, Failure, FlightId, Landing, Launch, Limits, Millis, Plan,
    Refusal, Scope, Stored,
};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use wire::key::BundleId;
use wire::tenant::Tenant;

const TENANTS: usize = 3;
const TTL: Millis = 300;
const LIMITS: Limits =
    Limits { max_flights: 4, max_waiters: 5, timeout: 500, soft_timeout: 50, negative_ttl: 100 };

#[derive(Clone, Debug)]
enum Op {
    Commit(usize),
    Clear(usize),
    Soft(usize),
    ClearAll,
    Get {
        bundle: usize,
        max_age: Option<Millis>,
        may_wait: bool,
        may_store: bool,
    },
    /// A bundle reaches the end of its `stale-ttl`, or is evicted.
    Evict(usize),
    Warm {
        bundle: usize,
        force: bool,
    },
    Land {
        which: usize,
        how: How,
    },
    Leave(usize),
    Advance(Millis),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Bundle,
    NoTenant,
    SidecarDown,
    Timeout,
    /// What a worker that panicked, or an unload, leaves behind.
    Abandoned,
}

impl How {
    fn outcome(self) -> Result<(), Failure> {
        match self {
            Self::Bundle => Ok(()),
            Self::NoTenant => Err(Failure::NoTenant),
            Self::SidecarDown => Err(Failure::SidecarDown),
            Self::Timeout => Err(Failure::Timeout),
            Self::Abandoned => Err(Failure::Abandoned),
        }
    }
}

fn ops() -> impl Strategy<Value = Op> {
    let tenant = 0..TENANTS;
    let bundle = 0..TENANTS * 2;
    let max_age = prop_oneof![4 => Just(None), 1 => Just(Some(0)), 1 => (1_u64..400).prop_map(Some)];
    let how = prop_oneof![
        6 => Just(How::Bundle), 1 => Just(How::NoTenant), 2 => Just(How::SidecarDown),
        1 => Just(How::Timeout), 1 => Just(How::Abandoned),
    ];
    prop_oneof![
        3 => tenant.clone().prop_map(Op::Commit),
        2 => tenant.clone().prop_map(Op::Clear),
        2 => tenant.prop_map(Op::Soft),
        1 => Just(Op::ClearAll),
        10 => (bundle.clone(), max_age, prop::bool::weighted(0.8), prop::bool::weighted(0.9))
            .prop_map(|(bundle, max_age, may_wait, may_store)| {
                Op::Get { bundle, max_age, may_wait, may_store }
            }),
        1 => bundle.clone().prop_map(Op::Evict),
        2 => (bundle, any::<bool>()).prop_map(|(bundle, force)| Op::Warm { bundle, force }),
        8 => (0_usize..16, how).prop_map(|(which, how)| Op::Land { which, how }),
        1 => (0_usize..16).prop_map(Op::Leave),
        4 => prop_oneof![0_u64..20, 0_u64..600].prop_map(Op::Advance),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    version: u64,
    at: Millis,
    changed: bool,
    /// How many computations of the bundle have ended well since this one took off, its own not counted.
    outdated: u32,
}

#[derive(Clone, Debug)]
struct InAir {
    flight: FlightId,
    bundle: BundleId,
    version: u64,
    orphan: bool,
    /// A SOFT came since it began.
    overtaken: bool,
    carrier: Carrier,
    /// The engine has said that nobody waits for it any more.
    cancelled: bool,
    /// It is of use although nobody waits: a refresh behind, or warming.
    kept: bool,
    /// Somebody who waited for its bundle fell back, and may have sat in it; or it follows one that was to be followed.
    may_be_of_use: bool,
    /// Somebody who may not wait has asked meanwhile, perhaps for something newer.
    again: bool,
}

#[derive(Clone, Debug)]
struct Waits {
    bundle: BundleId,
    /// Its answer may not be older than this.
    floor: u64,
    /// When it gives up; `None`: never.
    hard: Option<Millis>,
    /// When it is content with something to fall back on.
    soft: Millis,
    since: Millis,
}

struct World {
    engine: Engine<u64>,
    now: Millis,
    versions: [u64; TENANTS],
    floors: [u64; TENANTS],
    kept: HashMap<BundleId, Kept>,
    in_air: Vec<InAir>,
    waiting: HashMap<u64, Waits>,
    /// Whose next flight, which may wait in the queue, may be of use although nobody waits.
    next_of_use: HashSet<BundleId>,
    last_waiter: u64,
    /// Whose last flight failed: they may be in their back-off.
    failed: HashSet<BundleId>,
    /// Failures in a row that count against the sidecar: the breaker may be open.
    dead: u32,
}

fn tenant(n: usize) -> Tenant {
    Tenant::new(format!("t{n}").as_bytes()).unwrap()
}

fn number(id: &BundleId) -> usize {
    id.tenant.as_str()[1..].parse().unwrap()
}

fn bundle(n: usize) -> BundleId {
    BundleId { db: 0, tenant: tenant(n / 2), include: n.is_multiple_of(2) }
}

impl World {
    fn new() -> Self {
        Self {
            engine: Engine::new(),
            now: 1_000,
            versions: [0; TENANTS],
            floors: [0; TENANTS],
            kept: HashMap::new(),
            in_air: Vec::new(),
            waiting: HashMap::new(),
            next_of_use: HashSet::new(),
            last_waiter: 0,
            failed: HashSet::new(),
            dead: 0,
        }
    }

    fn stored(&self, id: &BundleId) -> Stored {
        match self.kept.get(id) {
            None => Stored::Absent,
            Some(kept) if kept.changed => Stored::Changed,
            Some(kept) if self.now - kept.at < TTL => Stored::Fresh { age: self.now - kept.at },
            Some(kept) => Stored::Stale { age: self.now - kept.at },
        }
    }

    fn took_off(&mut self, launches: Vec<Launch>, kept: bool) {
        for Launch { flight, carrier, bundle } in launches {
            let version = self.versions[number(&bundle)];
            let may_be_of_use = self.next_of_use.remove(&bundle);
            let begun = InAir {
                flight,
                bundle,
                version,
                orphan: false,
                overtaken: false,
                carrier,
                cancelled: false,
                kept,
                may_be_of_use,
                again: false,
            };
            self.in_air.push(begun);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Commit(n) => self.versions[n] += 1,
            Op::Clear(n) => {
                self.fence(Some(n));
                self.kept.retain(|id, _| number(id) != n);
            }
            Op::Soft(n) => {
                self.floors[n] = self.versions[n];
                self.failed.retain(|id| number(id) != n);
                self.in_air.iter_mut().filter(|f| number(&f.bundle) == n).for_each(|f| f.overtaken = true);
                self.engine.overtake(Scope::Tenant(0, &tenant(n)));
                self.kept
                    .iter_mut()
                    .filter(|(id, _)| number(id) == n)
                    .for_each(|(_, kept)| kept.changed = true);
            }
            Op::ClearAll => {
                self.fence(None);
                self.kept.clear();
            }
            Op::Get { bundle: n, max_age, may_wait, may_store } => {
                self.get(&bundle(n), max_age, may_wait, may_store);
            }
            Op::Evict(n) => {
                self.kept.remove(&bundle(n));
            }
            Op::Warm { bundle: n, force } => self.warm(&bundle(n), force),
            Op::Land { which, how } => {
                if !self.in_air.is_empty() {
                    self.land(which % self.in_air.len(), how);
                }
            }
            Op::Leave(which) => {
                let mut all: Vec<u64> = self.waiting.keys().copied().collect();
                all.sort_unstable();
                if let Some(waiter) = all.get(which).filter(|w| self.waiting[w].hard.is_some()) {
                    self.waiting.remove(waiter);
                    let cancelled = self.engine.leave(*waiter);
                    self.cancelled(cancelled);
                }
            }
            Op::Advance(by) => self.now += by,
        }
        self.expire();
        self.check();
    }

    fn fence(&mut self, only: Option<usize>) {
        for n in 0..TENANTS {
            if only.is_none_or(|o| o == n) {
                self.floors[n] = self.versions[n];
            }
        }
        self.failed.retain(|id| only.is_some_and(|n| n != number(id)));
        for flight in &mut self.in_air {
            flight.orphan |= only.is_none_or(|n| n == number(&flight.bundle));
        }
        let named = only.map(tenant);
        let scope = named.as_ref().map_or(Scope::Database(0), |tenant| Scope::Tenant(0, tenant));
        let fenced = self.engine.invalidate(self.now, &LIMITS, scope);
        fenced.cancel.into_iter().for_each(|flight| self.cancelled(Some(flight)));
        self.took_off(fenced.launches, false);
        for waiter in fenced.refused.into_iter().flat_map(|refused| refused.waiters) {
            let waits = self.release(waiter);
            assert!(waits.hard.is_some(), "a run is not refused");
        }
        self.warm_again(fenced.again);
    }

    /// Runs get no flight at once, and ask once more for what they need.
    fn warm_again(&mut self, again: impl IntoIterator<Item = Again<u64>>) {
        for Again { bundle, waiters } in again {
            for waiter in waiters {
                let waits = self.release(waiter);
                assert!(waits.hard.is_none() && waits.bundle == bundle, "only runs are asked to come again");
                self.warm(&bundle, true);
            }
        }
    }

    fn release(&mut self, waiter: u64) -> Waits {
        assert!(self.engine.release(waiter), "who is handed back has a seat");
        self.waiting.remove(&waiter).expect("5. a waiter is handed back once")
    }

    /// What the engine wants broken off is a request that nobody waits for, and that was somebody's.
    fn cancelled(&mut self, flight: Option<FlightId>) {
        let Some(flight) = flight else { return };
        let found = self.in_air.iter_mut().find(|f| f.flight == flight).expect("only what is under way");
        assert_ne!(found.carrier, Carrier::Batch, "a batch is not broken off for one of its bundles");
        assert!(!found.cancelled, "once");
        assert!(!found.kept || found.orphan, "what is to be stored goes on");
        found.cancelled = true;
        found.orphan = true;
    }

    fn get(&mut self, id: &BundleId, max_age: Option<Millis>, may_wait: bool, may_store: bool) {
        let stored = self.stored(id);
        let ask = Ask { max_age, may_wait, may_store };
        let mut launches = Vec::new();
        let plan = self.engine.read(self.now, &LIMITS, id, stored, ask, &mut launches);
        let (flights, waiters) = (self.singles(), self.engine.waiters());
        self.took_off(launches, !matches!(plan, Plan::Wait(_)));
        if !may_wait && may_store {
            self.in_air
                .iter_mut()
                .filter(|f| f.bundle == *id)
                .for_each(|f| (f.again, f.may_be_of_use) = (true, true));
        }
        let too_old = |age| max_age.is_some_and(|max| max == 0 || age > max);
        // 3. Serve order.
        match stored {
            Stored::Fresh { age } | Stored::Stale { age } if !too_old(age) => assert_eq!(plan, Plan::Serve),
            Stored::Absent => assert_ne!(plan, Plan::Serve, "nothing can be served where nothing is"),
            _ if !may_wait => {
                let fallback = matches!(plan, Plan::Serve | Plan::Fallback);
                assert!(fallback, "who cannot wait gets the fallback: {plan:?}");
            }
            _ => {
                assert!(!matches!(plan, Plan::Refuse(_)), "a fallback is better than an error: {plan:?}");
                let excuse = self.failed.contains(id)
                    || self.dead >= 5
                    || flights >= LIMITS.max_flights
                    || waiters + 1 >= LIMITS.max_waiters;
                assert!(plan != Plan::Serve || excuse, "a changed bundle was served as it is");
            }
        }
        if matches!(plan, Plan::Serve | Plan::Fallback) {
            self.served(id);
        }
        match plan {
            // 2. Fence: what is served as unchanged is not older than the last clear.
            Plan::Serve if stored != Stored::Changed => {
                assert!(self.kept[id].version >= self.floors[number(id)]);
            }
            Plan::Refuse(Refusal::Miss) => assert!(!may_wait),
            Plan::Serve | Plan::Fallback | Plan::Refuse(_) => {}
            Plan::Wait(seat) => {
                assert!(may_wait);
                self.last_waiter += 1;
                self.engine.join(seat, self.last_waiter);
                let n = number(id);
                // REFRESH, and any question to a replica: from after this moment.
                let anew = max_age == Some(0) || !may_store;
                let waits = Waits {
                    bundle: id.clone(),
                    floor: if anew { self.versions[n] } else { self.floors[n] },
                    hard: Some(self.now + LIMITS.timeout),
                    soft: self.now
                        + if stored == Stored::Absent { LIMITS.timeout } else { LIMITS.soft_timeout },
                    since: self.now,
                };
                self.waiting.insert(self.last_waiter, waits);
            }
        }
    }

    /// What is stored is served: it may be old, but not starved of what was computed since.
    fn served(&self, id: &BundleId) {
        assert!(self.kept[id].outdated == 0, "2. SOFT must not starve: {:?}", self.kept[id]);
    }

    fn warm(&mut self, id: &BundleId, force: bool) {
        if !force && matches!(self.stored(id), Stored::Fresh { .. }) {
            return;
        }
        let mut launches = Vec::new();
        let seat = self.engine.warm(self.now, id, force, &mut launches);
        self.took_off(launches, true);
        self.last_waiter += 1;
        self.engine.join(seat, self.last_waiter);
        let n = number(id);
        let floor = if force { self.versions[n] } else { self.floors[n] };
        let waits = Waits { bundle: id.clone(), floor, hard: None, soft: Millis::MAX, since: self.now };
        self.waiting.insert(self.last_waiter, waits);
    }

    fn land(&mut self, which: usize, how: How) {
        let flight = self.in_air.remove(which);
        // A request that is broken off may have been answered just before.
        let how = if flight.cancelled && how != How::Bundle { How::Abandoned } else { how };
        let outcome = how.outcome();
        let before = self.kept.get(&flight.bundle).copied();
        let landing = self.engine.land(self.now, &LIMITS, flight.flight, outcome.as_ref().copied());
        let Landing { bundle, current, overtaken, cancelled, waiters, relaunch, refused, again } =
            landing.expect("a flight lands once");
        assert_eq!(overtaken && current, flight.overtaken && !flight.orphan);
        assert_eq!(cancelled.is_some(), flight.cancelled && how == How::Abandoned);
        assert_eq!(bundle, flight.bundle, "7. Isolation");
        // 2. Fence: an orphan is never stored, and everything else is.
        assert_eq!(current, !flight.orphan);
        if current && how == How::Bundle {
            let fresh = flight.version >= self.floors[number(&bundle)];
            assert!(fresh || overtaken, "an old result was stored as right after a change");
            let kept = Kept { version: flight.version, at: self.now, changed: overtaken, outdated: 0 };
            self.kept.insert(bundle.clone(), kept);
        } else if current && !overtaken && how == How::NoTenant {
            self.kept.remove(&bundle);
        } else {
            // 4. Stale if error.
            assert_eq!(before.map(|k| k.version), self.kept.get(&bundle).map(|k| k.version));
        }
        match how {
            How::Bundle => self.failed.remove(&bundle),
            How::NoTenant => false,
            How::Abandoned if cancelled == Some(Cancelled::Unwanted) => false,
            _ => self.failed.insert(bundle.clone()),
        };
        match how {
            How::Bundle | How::NoTenant => self.dead = 0,
            How::SidecarDown | How::Timeout => self.dead += 1,
            How::Abandoned if cancelled == Some(Cancelled::Late) => self.dead += 1,
            How::Abandoned => {}
        }
        // What no clear has fenced and came in order is what is served from then on.
        if how == How::Bundle && !flight.orphan && !current {
            self.kept.entry(bundle.clone()).and_modify(|kept| kept.outdated += 1);
        }
        let of_use = flight.again || overtaken && flight.may_be_of_use;
        self.took_off(relaunch, false);
        if of_use {
            self.is_of_use(&bundle);
        }
        for waiter in waiters {
            let waits = self.release(waiter);
            assert_eq!(waits.bundle, bundle);
            assert!(!flight.cancelled, "somebody waited for what was broken off");
            assert!(current || waits.hard.is_some(), "warming waits for what is stored");
            assert!(
                how != How::Bundle || flight.version >= waits.floor,
                "an answer older than its question allows"
            );
        }
        for waiter in refused.into_iter().flat_map(|refused| refused.waiters) {
            let waits = self.release(waiter);
            assert!(waits.hard.is_some(), "a run is not refused");
        }
        self.warm_again(again);
    }

    fn expire(&mut self) {
        while let Some(waiter) = self.engine.due(self.now) {
            let waits = self.waiting[&waiter].clone();
            let hard = waits.hard.expect("a run waits as long as it takes");
            let fallback = self.kept.contains_key(&waits.bundle);
            let mut launches = Vec::new();
            let expiry = self.engine.expire(self.now, &LIMITS, waiter, fallback, &mut launches);
            for launch in &launches {
                // The flight of a batch that takes too long gives way.
                let old = self.in_air.iter_mut().find(|f| !f.orphan && f.bundle == launch.bundle);
                if let Some(old) = old {
                    assert_eq!(old.carrier, Carrier::Batch);
                    assert!(self.now >= waits.since + BATCH_PATIENCE.min(LIMITS.soft_timeout));
                    old.orphan = true;
                }
            }
            self.took_off(launches, false);
            match expiry {
                Expiry::Stays => {
                    assert!(!fallback && self.now < hard, "a waiter waits past its time");
                    if let Some(waits) = self.waiting.get_mut(&waiter).filter(|w| w.soft <= self.now) {
                        waits.soft = hard;
                    }
                }
                Expiry::Out { cancel } => {
                    assert!(fallback || self.now >= hard, "not before its deadline");
                    let soft = waits.since + LIMITS.soft_timeout.min(BATCH_PATIENCE);
                    assert!(self.now >= soft.min(hard), "not before its deadline");
                    self.waiting.remove(&waiter);
                    if fallback {
                        self.is_of_use(&waits.bundle);
                    }
                    self.cancelled(cancel);
                }
            }
        }
    }

    /// What its flight brings, or the next one's, may be of use although nobody waits for it.
    fn is_of_use(&mut self, bundle: &BundleId) {
        let mut in_air: Vec<_> = self.in_air.iter_mut().filter(|f| f.bundle == *bundle).collect();
        in_air.iter_mut().for_each(|f| f.may_be_of_use = true);
        if in_air.iter().all(|f| f.orphan) {
            self.next_of_use.insert(bundle.clone());
        }
    }

    fn singles(&self) -> usize {
        self.in_air.iter().filter(|f| f.carrier == Carrier::Single).count()
    }

    fn check(&self) {
        // 1. One flight.
        let mut current: Vec<&BundleId> =
            self.in_air.iter().filter(|f| !f.orphan).map(|f| &f.bundle).collect();
        let flights = current.len();
        current.sort();
        current.dedup();
        assert_eq!(current.len(), flights, "two flights for one bundle");
        assert_eq!(self.engine.flights(), self.in_air.len());
        // 5. By its deadline, or once it can fall back.
        assert!(self.waiting.values().all(|w| w.hard.is_none_or(|hard| hard.min(w.soft) > self.now)));
        let clients = self.waiting.values().filter(|w| w.hard.is_some()).count();
        assert_eq!(self.engine.waiters(), clients);
        assert!(self.engine.next_due().is_none_or(|due| due > self.now));
        assert_eq!(self.engine.next_due().is_none(), clients == 0);
        // What is under way is waited for, or is to be stored.
        let of_use = |f: &InAir| {
            f.cancelled || f.carrier == Carrier::Batch || ((f.kept || f.may_be_of_use) && !f.orphan)
        };
        for flight in self.in_air.iter().filter(|f| !of_use(f)) {
            assert!(
                self.waiting.values().any(|w| w.bundle == flight.bundle),
                "computed for nobody: {flight:?}"
            );
        }
        // 8. Bounds.
        let singles = self.singles();
        assert!(singles <= LIMITS.max_flights, "{singles} flights");
        assert!(clients <= LIMITS.max_waiters);
    }

    /// Everything in the air lands: nobody may be left, and nothing kept.
    fn finish(mut self) {
        while !self.in_air.is_empty() {
            self.land(0, How::Bundle);
        }
        assert!(self.waiting.is_empty(), "left without an answer: {:?}", self.waiting);
        assert_eq!((self.engine.flights(), self.engine.waiters()), (0, 0));
        assert_eq!(self.engine.next_due(), None);
    }
}

proptest! {
    // 600 runs of 250 steps on average: 150,000 steps.
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn no_interleaving_breaks_an_invariant(ops in prop::collection::vec(ops(), 0..500)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.finish();
    }
}

mod by_hand {
    use super::*;

    const WAIT: Ask = Ask { max_age: None, may_wait: true, may_store: true };

    fn read(engine: &mut Engine<u64>, stored: Stored, ask: Ask, launches: &mut Vec<Launch>) -> Plan {
        engine.read(0, &LIMITS, &bundle(0), stored, ask, launches)
    }

    #[test]
    fn a_thousand_clients_on_a_cold_bundle_are_one_flight() {
        let mut engine = Engine::new();
        let mut launches = Vec::new();
        let limits = Limits { max_waiters: 1000, ..LIMITS };
        for waiter in 0..1000 {
            let Plan::Wait(seat) = engine.read(0, &limits, &bundle(0), Stored::Absent, WAIT, &mut launches)
            else {
                panic!("a cold bundle has to be waited for");
            };
            engine.join(seat, waiter);
        }
        assert_eq!(launches.len(), 1);
        let landing = engine.land(1, &limits, launches[0].flight, Ok(())).unwrap();
        assert_eq!(landing.waiters.len(), 1000);
        assert_eq!(engine.counters.joined, 999);
    }

    #[test]
    fn refreshes_that_come_together_are_two_flights_at_most() {
        let mut engine = Engine::new();
        let mut launches = Vec::new();
        let refresh = Ask { max_age: Some(0), ..WAIT };
        for waiter in 0..5 {
            let Plan::Wait(seat) = read(&mut engine, Stored::Fresh { age: 1 }, refresh, &mut launches) else {
                panic!("REFRESH waits");
            };
            engine.join(seat, waiter);
        }
        assert_eq!(launches.len(), 1, "the others wait for the next one");
        let landing = engine.land(1, &LIMITS, launches[0].flight, Ok(())).unwrap();
        assert_eq!(landing.waiters, [0].into());
        let second = engine.land(2, &LIMITS, landing.relaunch[0].flight, Ok(())).unwrap();
        assert_eq!(second.waiters.len(), 4);
        assert!(second.relaunch.is_empty());
    }

    #[test]
    fn an_unknown_tenant_is_asked_for_once_until_its_time_or_a_clear() {
        let mut engine = Engine::new();
        let mut launches = Vec::new();
        let Plan::Wait(seat) = read(&mut engine, Stored::Absent, WAIT, &mut launches) else { panic!() };
        engine.join(seat, 1);
        engine.land(0, &LIMITS, launches[0].flight, Err(&Failure::NoTenant));
        assert_eq!(read(&mut engine, Stored::Absent, WAIT, &mut launches), Plan::Refuse(Refusal::NoTenant));
        engine.invalidate(0, &LIMITS, Scope::Tenant(0, &tenant(0)));
        assert!(matches!(read(&mut engine, Stored::Absent, WAIT, &mut launches), Plan::Wait(_)));
    }

    #[test]
    fn refreshes_behind_leave_half_of_the_flights_to_those_who_wait() {
        let mut engine = Engine::<u64>::new();
        let mut launches = Vec::new();
        for n in 0..LIMITS.max_flights {
            let plan = engine.read(0, &LIMITS, &bundle(n), Stored::Stale { age: 1 }, WAIT, &mut launches);
            assert_eq!(plan, Plan::Serve);
        }
        assert_eq!(launches.len(), LIMITS.max_flights / 2);
    }

    #[test]
    fn at_the_bound_a_cold_bundle_waits_for_a_flight_while_that_can_be_in_time_and_an_old_one_is_served() {
        let mut engine = Engine::<u64>::new();
        let mut launches = Vec::new();
        for n in 0..LIMITS.max_flights {
            assert!(matches!(
                engine.read(0, &LIMITS, &bundle(n), Stored::Absent, WAIT, &mut launches),
                Plan::Wait(_)
            ));
        }
        let last = bundle(LIMITS.max_flights);
        assert_eq!(engine.read(0, &LIMITS, &last, Stored::Changed, WAIT, &mut launches), Plan::Serve);
        let Plan::Wait(seat) = engine.read(0, &LIMITS, &last, Stored::Absent, WAIT, &mut launches) else {
            panic!("a cold one waits for a flight");
        };
        engine.join(seat, 9);
        assert_eq!(
            (launches.len(), engine.flights(), engine.queued()),
            (LIMITS.max_flights, LIMITS.max_flights, 1)
        );
        // The others take half a second each: a place is free too late for one more.
        let landing = engine.land(400, &LIMITS, launches[0].flight, Ok(())).unwrap();
        assert_eq!(landing.relaunch.len(), 1, "its turn has come");
        assert_eq!((engine.flights(), engine.queued()), (LIMITS.max_flights, 0));
        let refused = Plan::Refuse(Refusal::TooManyFlights);
        assert_eq!(engine.read(400, &LIMITS, &bundle(0), Stored::Absent, WAIT, &mut launches), refused);
    }

    #[test]
    fn one_tenant_never_takes_every_place_among_those_who_wait() {
        let mut engine = Engine::new();
        let mut launches = Vec::new();
        let limits = Limits { max_waiters: 4_000, ..LIMITS };
        let mut ask = |n: usize, waiter: u64| {
            let plan = engine.read(0, &limits, &bundle(n), Stored::Absent, WAIT, &mut launches);
            if let Plan::Wait(seat) = plan {
                engine.join(seat, waiter);
            }
            plan
        };
        assert!((0..3_000).all(|waiter| matches!(ask(0, waiter), Plan::Wait(_))));
        assert_eq!(ask(0, 3_000), Plan::Refuse(Refusal::TooManyWaiters));
        assert!(matches!(ask(2, 3_001), Plan::Wait(_)), "another tenant");
    }

    #[test]
    fn changes_that_come_faster_than_a_bundle_is_computed_do_not_starve_it() {
        let mut engine = Engine::new();
        let mut launches = Vec::new();
        let Plan::Wait(seat) = read(&mut engine, Stored::Changed, WAIT, &mut launches) else { panic!() };
        engine.join(seat, 0);
        for n in 1..20 {
            let flight = launches.pop().expect("a flight is under way").flight;
            engine.overtake(Scope::Tenant(0, &tenant(0)));
            let Plan::Wait(seat) = engine.read(n, &LIMITS, &bundle(0), Stored::Changed, WAIT, &mut launches)
            else {
                panic!("one who asks after the change waits for the next");
            };
            engine.join(seat, n);
            assert!(launches.is_empty(), "1. one flight");
            let landing = engine.land(n, &LIMITS, flight, Ok(())).unwrap();
            assert!(landing.current && landing.overtaken, "it is kept, as a fallback");
            assert_eq!(landing.waiters, [n - 1].into());
            assert!(engine.release(n - 1));
            launches = landing.relaunch;
        }
    }

    #[test]
    fn a_changed_bundle_that_is_in_use_is_computed_again_when_the_overtaken_flight_lands() {
        let mut engine = Engine::<u64>::new();
        let mut launches = Vec::new();
        engine.refresh_behind(0, &LIMITS, &bundle(0), None, &mut launches);
        engine.overtake(Scope::Tenant(0, &tenant(0)));
        engine.refresh_behind(1, &LIMITS, &bundle(0), None, &mut launches);
        assert_eq!(launches.len(), 1, "one flight");
        let landing = engine.land(2, &LIMITS, launches[0].flight, Ok(())).unwrap();
        assert_eq!(landing.relaunch.len(), 1);
        let landing = engine.land(3, &LIMITS, landing.relaunch[0].flight, Ok(())).unwrap();
        assert!(landing.current && !landing.overtaken && landing.relaunch.is_empty());
    }

    /// A cold bundle of a tenant in a database, and who waits for it.
    fn cold(
        engine: &mut Engine<u64>,
        limits: &Limits,
        (db, n, waiter): (i32, usize, u64),
        launches: &mut Vec<Launch>,
    ) -> Plan {
        let id = BundleId { db, tenant: tenant(n), include: true };
        let plan = engine.read(0, limits, &id, Stored::Absent, WAIT, launches);
        if let Plan::Wait(seat) = plan {
            engine.join(seat, waiter);
        }
        plan
    }

    #[test]
    fn flights_that_left_the_queue_too_late_say_nothing_about_the_sidecar() {
        let mut engine = Engine::new();
        let (mut launches, limits) = (Vec::new(), Limits { max_flights: 5, max_waiters: 100, ..LIMITS });
        for n in 0..10 {
            assert!(matches!(cold(&mut engine, &limits, (0, n, n as u64), &mut launches), Plan::Wait(_)));
        }
        assert_eq!(engine.queued(), 5);
        let begun = std::mem::take(&mut launches);
        for launch in begun {
            let landing = engine.land(400, &limits, launch.flight, Ok(())).unwrap();
            landing.waiters.into_iter().for_each(|waiter| assert!(engine.release(waiter)));
            launches.extend(landing.relaunch);
        }
        // Each of these has a tenth of a second, which is not the time that the sidecar is given.
        while let Some(waiter) = engine.due(500) {
            let expiry = engine.expire(500, &limits, waiter, false, &mut Vec::new());
            let Expiry::Out { cancel: Some(flight) } = expiry else { panic!("{expiry:?}") };
            engine.land(500, &limits, flight, Err(&Failure::Abandoned)).unwrap();
        }
        assert_eq!((engine.breaker_state(500), engine.flights()), ("closed", 0));
        assert_eq!(engine.counters.cancelled, 5);
    }

    #[test]
    fn a_bundle_that_is_asked_for_without_end_does_not_keep_the_queue_waiting() {
        let mut engine = Engine::new();
        let (mut launches, limits) = (Vec::new(), Limits { max_flights: 1, max_waiters: 100, ..LIMITS });
        let refresh = Ask { max_age: Some(0), ..WAIT };
        let ask = |engine: &mut Engine<u64>, now, waiter, launches: &mut Vec<Launch>| {
            let plan = engine.read(now, &limits, &bundle(0), Stored::Changed, refresh, launches);
            let Plan::Wait(seat) = plan else { panic!("{plan:?}") };
            engine.join(seat, waiter);
        };
        ask(&mut engine, 0, 1, &mut launches);
        assert!(matches!(cold(&mut engine, &limits, (0, 1, 2), &mut launches), Plan::Wait(_)));
        ask(&mut engine, 1, 3, &mut launches);
        let landing = engine.land(10, &limits, launches[0].flight, Ok(())).unwrap();
        let begun: Vec<&str> = landing.relaunch.iter().map(|l| l.bundle.tenant.as_str()).collect();
        assert_eq!(begun, ["t1"], "its turn has come");
        let landing = engine.land(20, &limits, landing.relaunch[0].flight, Ok(())).unwrap();
        let begun: Vec<&str> = landing.relaunch.iter().map(|l| l.bundle.tenant.as_str()).collect();
        assert_eq!((begun, engine.queued()), (vec!["t0"], 0), "then that of the other again");
    }

    #[test]
    fn what_changed_while_the_queue_is_full_has_its_turn_though_its_readers_fell_back() {
        let mut engine = Engine::new();
        let (mut launches, limits) = (Vec::new(), Limits { max_flights: 1, max_waiters: 100, ..LIMITS });
        let Plan::Wait(seat) = engine.read(0, &limits, &bundle(0), Stored::Changed, WAIT, &mut launches)
        else {
            panic!()
        };
        engine.join(seat, 1);
        engine.overtake(Scope::Tenant(0, &tenant(0)));
        let Plan::Wait(seat) = engine.read(1, &limits, &bundle(0), Stored::Changed, WAIT, &mut launches)
        else {
            panic!()
        };
        engine.join(seat, 2);
        assert!(matches!(cold(&mut engine, &limits, (0, 1, 3), &mut launches), Plan::Wait(_)));
        let landing = engine.land(10, &limits, launches[0].flight, Ok(())).unwrap();
        assert_eq!((landing.relaunch.len(), engine.queued()), (1, 1));
        assert!(engine.release(1));
        assert_eq!(engine.due(60), Some(2));
        assert_eq!(engine.expire(60, &limits, 2, true, &mut launches), Expiry::Out { cancel: None });
        let landing = engine.land(70, &limits, landing.relaunch[0].flight, Ok(())).unwrap();
        assert_eq!(landing.relaunch.len(), 1, "the next one finds the new bundle");
        assert_eq!(landing.relaunch[0].bundle, bundle(0));
    }

    #[test]
    fn the_bundles_that_one_tenant_waits_for_do_not_make_another_one_late() {
        let mut engine = Engine::new();
        let (mut launches, limits) = (Vec::new(), Limits { max_flights: 1, max_waiters: 100, ..LIMITS });
        assert!(matches!(cold(&mut engine, &limits, (0, 0, 0), &mut launches), Plan::Wait(_)));
        let landing = engine.land(100, &limits, launches[0].flight, Ok(())).unwrap();
        assert!(engine.release(*landing.waiters.first().unwrap()));
        let plans: Vec<Plan> =
            (0..16).map(|db| cold(&mut engine, &limits, (db, 0, 10 + db as u64), &mut launches)).collect();
        assert_eq!(plans.last(), Some(&Plan::Refuse(Refusal::TooManyFlights)), "its own are too many");
        let plan = cold(&mut engine, &limits, (0, 1, 90), &mut launches);
        assert!(matches!(plan, Plan::Wait(_)), "it is next but one: {plan:?}");
    }
}
