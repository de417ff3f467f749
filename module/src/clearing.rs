//! Taking bundles away: removed, or marked as changed. The fence comes first, always
//! (`state::fence`).
//!
//! Databases that have changed places ([`changed_places`]) are cleared softly, for no client: what was cleared in one
//! of them was not in the other.

use crate::counts::{Count, count};
use crate::ffi::{self, Held};
use crate::sweep::{self, Place, Sweep};
use crate::{config, fault, store, tracking};
use engine::{ClientId, Millis, Stored};
use redis_module::key::RedisKey;
use redis_module::{Context, KeysCursor, RedisString};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use wire::bundle::Stamp;
use wire::key::{self, BundleId};
use wire::tenant::Tenant;

/// So many tenants are cleared at once, each counted once for each database; more than that in slices, where the client
/// may be blocked.
pub(crate) const AT_ONCE: usize = 32;

/// What has been cleared.
#[derive(Default)]
pub(crate) struct Cleared {
    /// How many bundles there were.
    pub(crate) count: u64,
    /// Those that were read lately and are to be computed anew.
    pub(crate) hot: Vec<BundleId>,
}

/// Clears both bundles of each tenant now, in each of these databases. What it clears has been fenced. The context works
/// on the same database afterwards.
pub(crate) fn now(ctx: &Context, dbs: &[i32], tenants: &[Tenant], soft: bool) -> Cleared {
    let (mut cleared, _return) = (Cleared::default(), ffi::return_here(ctx));
    for db in dbs.iter().filter(|db| ffi::select_db(ctx, **db)) {
        tenants.iter().for_each(|tenant| both(ctx, *db, tenant, soft, &mut cleared));
    }
    cleared
}

/// Clears the bundles of a tenant that has been fenced.
fn both(ctx: &Context, db: i32, tenant: &Tenant, soft: bool, cleared: &mut Cleared) {
    for id in BundleId::both(db, tenant) {
        one(ctx, &id, soft, cleared);
    }
    // Also where no bundle was: a client may hold a copy of one that has expired since.
    tracking::invalidate(ctx, tenant.as_str());
}

/// Clears one bundle, in whichever form its key has. The context's database is the bundle's.
fn one(ctx: &Context, id: &BundleId, soft: bool, cleared: &mut Cleared) {
    let forms = config::key_forms().iter();
    let found = forms.map(|tagged| at_key(ctx, id, id.key(*tagged).as_bytes(), soft, &mut cleared.hot));
    // Each form, also where the first was there.
    cleared.count += u64::from(found.fold(false, std::ops::BitOr::bitor));
}

/// Clears the bundle at a key; false where there is none. Another type is left alone: it is not ours.
fn at_key(ctx: &Context, id: &BundleId, key: &[u8], soft: bool, hot: &mut Vec<BundleId>) -> bool {
    fault::point("clear", id.tenant.as_str());
    if soft {
        return mark_changed(ctx, id, key, hot);
    }
    let removed = store::delete(ctx, key);
    if removed {
        count(Count::Cleared);
    }
    removed
}

fn mark_changed(ctx: &Context, id: &BundleId, key: &[u8], hot: &mut Vec<BundleId>) -> bool {
    let held = ffi::read_string(ctx, key, false, |value, expires_at| {
        let stamp = Stamp::read(value, id.tenant.as_str(), id.include)?;
        // One that is marked already keeps its mark.
        Some((!stamp.is_marked(expires_at)).then(|| stamp.life.changed_mark()))
    });
    let Held::String(Some(mark)) = held else { return false };
    if ffi::read_within(ctx, key, config::hot_window()) {
        hot.push(id.clone());
    }
    count(Count::MarkedChanged);
    if let Some(mark) = mark {
        let idle = ffi::idle(ctx, key);
        store::expire_at(ctx, key, mark);
        // For the server a new expiry is a use of the key; for us it is not.
        if let Some(idle) = idle {
            ffi::set_idle(ctx, key, idle);
        }
    }
    true
}

/// Clears in slices at a time, for clients.
const MAX_RUNNING: usize = 8;
/// A clear after a SWAPDB begins anew so many times when a step panics.
const MOST_PANICS: u32 = 3;
/// A replica that has found a bundle without a mark looks at it again after so long. The pause doubles each time.
const LOOK_AGAIN: Millis = 200;
/// The longest such pause. The primary may be paused for minutes, or have no module and never mark anything.
const LONGEST_PAUSE: Millis = 5_000;

thread_local! {
    /// The clears under way. They hold cursors of the server, which belong to its main thread.
    static RUNNING: RefCell<VecDeque<Clear>> = const { RefCell::new(VecDeque::new()) };
}

/// There is room for one more.
pub(crate) fn may_begin() -> bool {
    let clients =
        RUNNING.with_borrow(|running| running.iter().filter(|clear| clear.client.is_some()).count());
    clients < MAX_RUNNING
}

pub(crate) fn is_running() -> bool {
    next_at(0).is_some()
}

/// How many are under way, with those of databases that have changed places.
pub(crate) fn running() -> usize {
    RUNNING.with_borrow(VecDeque::len)
}

/// When there is something to do next; `None`: nothing is being cleared.
pub(crate) fn next_at(now: Millis) -> Option<Millis> {
    if sweep::has_arrivals() {
        return Some(now);
    }
    RUNNING.with_borrow(|running| running.iter().map(|clear| clear.not_before.max(now)).min())
}

/// Begins a clear in slices, for a client that waits for the end. What it clears has been fenced.
pub(crate) fn begin(dbs: Vec<i32>, tenants: Vec<Tenant>, soft: bool, client: ClientId) {
    let source = |db: i32| match &tenants[..] {
        [] => Source::database(db, soft),
        tenants => Source::Named(Vec::from(tenants).into_iter(), Sweep::of_tenants()),
    };
    let sources = dbs.into_iter().map(|db| (db, source(db))).collect();
    let clear =
        Clear { soft, sources, cleared: 0, client: Some(client), panics: 0, not_before: 0, watch: None };
    RUNNING.with_borrow_mut(|running| running.push_back(clear));
}

/// These two databases have changed places. Each holds what was not cleared where it was: from now on all of it counts
/// as changed. What is under way has been fenced. On a replica the marks come from its primary.
pub(crate) fn changed_places(dbs: [i32; 2]) {
    RUNNING.with_borrow_mut(|running| {
        for db in dbs {
            // One that began before covers less.
            running.retain(|clear| {
                clear.client.is_some() || clear.sources.iter().any(|(other, _)| *other != db)
            });
            running.push_back(Clear {
                soft: true,
                sources: VecDeque::from([(db, Source::database(db, true))]),
                cleared: 0,
                client: None,
                panics: 0,
                not_before: 0,
                watch: Some(Watch::new()),
            });
        }
    });
}

/// Ends the clears of clients, because this server becomes a replica or a primary. Returns these clients. The clears
/// after a SWAPDB go on, from the beginning.
pub(crate) fn abort() -> Vec<ClientId> {
    sweep::forget_arrivals();
    RUNNING.with_borrow_mut(|running| {
        let (ended, kept): (VecDeque<Clear>, _) = running.drain(..).partition(|clear| clear.client.is_some());
        *running = kept;
        // A replica's search has marked nothing.
        running.iter_mut().for_each(Clear::search_anew);
        ended.into_iter().filter_map(|clear| clear.client).collect()
    })
}

/// The data has been replaced: what was searched is not what is there.
pub(crate) fn search_anew() {
    RUNNING.with_borrow_mut(|running| running.iter_mut().for_each(Clear::search_anew));
}

/// The data is replaced by that of a primary. Which of it was stored after the swap, this server has not seen: it takes
/// the marks that it comes with for all there are. Otherwise right bundles would count as changed until they expire.
pub(crate) fn forget_swaps() {
    RUNNING.with_borrow_mut(|running| running.retain(|clear| clear.client.is_some()));
}

/// Two databases have changed places, and what is to be cleared with them.
pub(crate) fn swap(a: i32, b: i32) {
    RUNNING.with_borrow_mut(|running| {
        let sources = running.iter_mut().flat_map(|clear| &mut clear.sources);
        sources.for_each(|(db, _)| *db = sweep::swapped(*db, a, b));
    });
    sweep::swap(a, b);
}

/// What a step has done.
pub(crate) enum Step {
    Idle,
    Busy,
    /// A clear has ended: its client, where it has one, and how many bundles there were.
    Ended(Option<ClientId>, u64),
    /// A step of a client's clear has panicked.
    Broken(ClientId),
    /// Steps of a clear after a SWAPDB have panicked again and again, and it has ended: its database.
    GivenUp(i32),
}

/// Takes one small step of one clear. What it found hot is added to `hot`.
pub(crate) fn step(ctx: &Context, hot: &mut Vec<BundleId>) -> Step {
    // First: when a clear ends, nothing that came meanwhile is left.
    if let Some((Place { id, tagged }, soft)) = sweep::take_arrived() {
        if ffi::select_db(ctx, id.db) && at_key(ctx, &id, id.key(tagged).as_bytes(), soft, hot) {
            tracking::invalidate(ctx, id.tenant.as_str());
        }
        return Step::Busy;
    }
    // What it removes must not find the list in use. If the step panics, it is the list that knows of it.
    let taken = RUNNING.with_borrow_mut(|running| {
        let clear = running.front_mut()?;
        let (db, source) = clear.sources.front_mut()?;
        let taken = Source::Taken(source.sweep());
        Some((*db, clear.soft, std::mem::replace(source, taken)))
    });
    let Some((db, soft, mut source)) = taken else { return Step::Idle };
    let mut cleared = Cleared::default();
    let more = match &source {
        Source::Taken(_) => None,
        _ => Some(source.step(ctx, db, soft, &mut cleared)),
    };
    hot.append(&mut cleared.hot);
    RUNNING.with_borrow_mut(|running| {
        let Some(mut clear) = running.pop_front() else { return Step::Idle };
        clear.cleared += cleared.count;
        match (more, clear.sources.front_mut()) {
            (None, _) | (_, None) => return broken(clear, db, running),
            (Some(true), Some((_, taken))) => *taken = source,
            (Some(false), Some(_)) => {
                clear.cleared += source.replaced();
                clear.sources.pop_front();
            }
        }
        if clear.sources.is_empty() {
            return Step::Ended(clear.client, clear.cleared);
        }
        running.push_back(clear);
        Step::Busy
    })
}

/// A step of this clear has panicked. A client is told. After a SWAPDB there is nobody to tell, and what is unmarked
/// would become a hit: the clear begins anew a few times.
fn broken(mut clear: Clear, db: i32, running: &mut VecDeque<Clear>) -> Step {
    if let Some(client) = clear.client {
        return Step::Broken(client);
    }
    clear.panics += 1;
    if clear.panics > MOST_PANICS {
        return Step::GivenUp(db);
    }
    clear.search_anew();
    running.push_back(clear);
    Step::Busy
}

/// Takes one small step of looking, on a replica, whether all that counts as changed has been marked by its primary;
/// whether there is more to do now. While one bundle is known that is not, nothing else is searched, and the clear goes
/// on: no bundle of the database becomes a hit too early, and this server marks the rest if it takes over.
pub(crate) fn watch(ctx: &Context, now: Millis) -> bool {
    RUNNING.with_borrow_mut(|running| {
        let due = |clear: &Clear| clear.not_before <= now && clear.watch.is_some();
        let Some(place) = running.iter().position(due) else { return false };
        let Some(mut clear) = running.remove(place) else { return false };
        let (Some(watch), Some((db, Source::Database(cursor, sweep)))) =
            (&mut clear.watch, clear.sources.front_mut())
        else {
            return true;
        };
        if !ffi::select_db(ctx, *db) {
            return true;
        }
        let is_unmarked = |key: &[u8], id: &BundleId| {
            sweep.covers(id, key == id.key(true).as_bytes())
                && !matches!(store::at_key(ctx, id, key), Stored::Changed | Stored::Absent)
        };
        match watch.unmarked.front() {
            Some((key, id)) if is_unmarked(key, id) => clear.not_before = now + watch.next_pause(),
            Some(_) => {
                watch.unmarked.pop_front();
                watch.pause = LOOK_AGAIN;
            }
            None if !watch.searched => {
                let (found, more) = bundles(ctx, cursor, *db);
                watch.unmarked.extend(found.into_iter().filter(|(key, id)| is_unmarked(key, id)));
                watch.searched = !more;
            }
            None if sweep.take_unsettled() => {
                cursor.restart();
                watch.searched = false;
            }
            None => return true,
        }
        running.push_back(clear);
        true
    })
}

/// The next bundles that a search of the context's database finds, with their keys; whether there is more to search.
fn bundles(ctx: &Context, cursor: &KeysCursor, db: i32) -> (Vec<(Vec<u8>, BundleId)>, bool) {
    let found = RefCell::new(Vec::new());
    let more = cursor.scan(ctx, &|_: &Context, key: &RedisString, _: Option<&RedisKey>| {
        // redis-module 2.0.8 holds on to each name and forgets that it does: it is let go here.
        let _held = RedisString::from_redis_module_string(ctx.ctx, key.inner);
        if let Some((name, include)) = key::of_key(key.as_slice())
            && let Some(tenant) = Tenant::new(name.as_bytes())
        {
            found.borrow_mut().push((key.as_slice().to_vec(), BundleId { db, tenant, include }));
        }
    });
    (found.into_inner(), more)
}

/// A clear under way.
struct Clear {
    soft: bool,
    /// The databases that are left, each with what is to be done there.
    sources: VecDeque<(i32, Source)>,
    cleared: u64,
    /// Who waits for its end.
    client: Option<ClientId>,
    /// So many of its steps have panicked.
    panics: u32,
    /// On a replica, when the next look is due.
    not_before: Millis,
    /// Of databases that have changed places: what a replica does with it.
    watch: Option<Watch>,
}

impl Clear {
    fn search_anew(&mut self) {
        for (_, source) in &mut self.sources {
            if let Some(sweep) = source.sweep() {
                *source = Source::Database(KeysCursor::new(), sweep);
            }
        }
        self.not_before = 0;
        self.watch = self.watch.take().map(|_| Watch::new());
    }
}

/// How a replica finds out that its primary has marked everything: by one search that stops at each bundle without a
/// mark until that has one. The bundles before it keep their marks.
struct Watch {
    /// Found without a mark. Only the first is looked at again.
    unmarked: VecDeque<(Vec<u8>, BundleId)>,
    /// The search has come round.
    searched: bool,
    /// Before the next look at the first of them.
    pause: Millis,
}

impl Watch {
    fn new() -> Self {
        Self { unmarked: VecDeque::new(), searched: false, pause: LOOK_AGAIN }
    }

    fn next_pause(&mut self) -> Millis {
        let longer = (self.pause * 2).min(LONGEST_PAUSE);
        std::mem::replace(&mut self.pause, longer)
    }
}

/// What it clears.
enum Source {
    Named(std::vec::IntoIter<Tenant>, #[allow(dead_code, reason = "ends with it")] Sweep),
    Database(KeysCursor, Rc<Sweep>),
    /// It is being worked on. The sweep of a database stays open if that panics: its bundles still count as cleared.
    Taken(Option<Rc<Sweep>>),
}

impl Source {
    fn database(db: i32, soft: bool) -> Self {
        Self::Database(KeysCursor::new(), Rc::new(Sweep::begin(db, soft)))
    }

    fn sweep(&self) -> Option<Rc<Sweep>> {
        if let Self::Database(_, sweep) | Self::Taken(Some(sweep)) = self {
            Some(sweep.clone())
        } else {
            None
        }
    }

    fn replaced(&self) -> u64 {
        if let Self::Database(_, sweep) = self { sweep.replaced() } else { 0 }
    }

    /// One small step; whether there is more to do.
    fn step(&mut self, ctx: &Context, db: i32, soft: bool, cleared: &mut Cleared) -> bool {
        if !ffi::select_db(ctx, db) {
            return false;
        }
        match self {
            Self::Named(tenants, _) => {
                if let Some(tenant) = tenants.next() {
                    both(ctx, db, &tenant, soft, cleared);
                }
                tenants.len() > 0
            }
            Self::Database(cursor, sweep) => {
                let (found, more) = bundles(ctx, cursor, db);
                for (key, id) in found {
                    let tagged = key == id.key(true).as_bytes();
                    if sweep.covers(&id, tagged) && at_key(ctx, &id, &key, soft, &mut cleared.hot) {
                        cleared.count += 1;
                        tracking::invalidate(ctx, id.tenant.as_str());
                    }
                }
                more
            }
            Self::Taken(_) => false,
        }
    }
}
