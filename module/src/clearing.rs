//! Taking bundles away: removed, or marked as changed. The fence comes first, always
//! ([`state::fence`]).

use crate::bundle::Stamp;
use crate::ffi::{self, Handle, Held};
use crate::state;
use crate::tenant::{self, BundleId, KeyName, Tenant};
use crate::{config, store};
use redis_module::key::RedisKey;
use redis_module::{Context, KeysCursor, RedisString};
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

/// So many tenants are cleared at once; more than that in slices, where the client may be blocked.
pub(crate) const AT_ONCE: usize = 32;

/// Clears both bundles of each tenant now; how many there were. What it clears has been fenced.
pub(crate) fn now(ctx: &Context, db: i32, tenants: &[Tenant], soft: bool) -> u64 {
    tenants.iter().map(|tenant| both(ctx, db, tenant, soft)).sum()
}

/// Clears the bundles of a tenant that has been fenced; how many were there.
fn both(ctx: &Context, db: i32, tenant: &Tenant, soft: bool) -> u64 {
    let cleared = BundleId::both(db, tenant).into_iter().map(|id| u64::from(one(ctx, &id, soft))).sum();
    // Also where no bundle was: a client may hold a copy of one that has expired since.
    ffi::signal_modified(ctx, tenant.as_str());
    cleared
}

/// Clears one bundle, in whichever form its key has. The context's database is the bundle's.
fn one(ctx: &Context, id: &BundleId, soft: bool) -> bool {
    let mut cleared = false;
    for tagged in config::key_forms() {
        let key = id.key(*tagged);
        cleared |= if soft { mark_changed(ctx, id, &key) } else { store::delete(ctx, &key) };
    }
    cleared
}

fn mark_changed(ctx: &Context, id: &BundleId, key: &KeyName) -> bool {
    let held = ffi::read_string(ctx, key.as_bytes(), false, |value, expires_at| {
        let stamp = Stamp::read(value, id.tenant.as_str(), id.include)?;
        // One that is marked already keeps its mark.
        (expires_at == Some(stamp.life.expires_at)).then(|| stamp.life.changed_mark()).or(Some(0))
    });
    match held {
        Held::String(Some(0)) => {}
        Held::String(Some(mark)) => store::expire_at(ctx, key, mark),
        _ => return false,
    }
    let hot = ffi::idle(ctx, key.as_bytes()).is_some_and(|idle| idle <= config::hot_window());
    if hot {
        state::refresh_behind(ctx, id);
    }
    true
}

/// Clears in slices at a time.
const MAX_RUNNING: usize = 8;

thread_local! {
    /// The clears under way. They hold cursors of the server, which belong to its main thread.
    static RUNNING: RefCell<VecDeque<Clear>> = const { RefCell::new(VecDeque::new()) };
}

/// There is room for one more.
pub(crate) fn may_begin() -> bool {
    RUNNING.with_borrow(|running| running.len() < MAX_RUNNING)
}

pub(crate) fn is_running() -> bool {
    RUNNING.with_borrow(|running| !running.is_empty())
}

/// Begins a clear in slices, for a client that waits for the end. What it clears has been fenced.
pub(crate) fn begin(db: i32, tenants: Vec<Tenant>, soft: bool, client: Handle) {
    let source = if tenants.is_empty() {
        Source::Database { cursor: KeysCursor::new(), seen: HashSet::new() }
    } else {
        Source::Named(tenants.into_iter())
    };
    RUNNING.with_borrow_mut(|running| running.push_back(Clear { db, soft, source, cleared: 0, client }));
}

/// What a step has done.
pub(crate) enum Step {
    Idle,
    Busy,
    /// A clear has ended: its client, and how many bundles there were.
    Ended(Handle, u64),
}

/// Takes one small step of one clear.
pub(crate) fn step(ctx: &Context) -> Step {
    let Some(mut clear) = RUNNING.with_borrow_mut(VecDeque::pop_front) else { return Step::Idle };
    if !clear.step(ctx) {
        return Step::Ended(clear.client, clear.cleared);
    }
    RUNNING.with_borrow_mut(|running| running.push_back(clear));
    Step::Busy
}

/// A clear under way.
struct Clear {
    db: i32,
    soft: bool,
    source: Source,
    cleared: u64,
    client: Handle,
}

/// Where its tenants come from.
enum Source {
    Named(std::vec::IntoIter<Tenant>),
    /// `seen`: a tenant has several keys, and a scan may name one twice.
    Database {
        cursor: KeysCursor,
        seen: HashSet<Tenant>,
    },
}

impl Clear {
    /// One small step; false when all is done.
    fn step(&mut self, ctx: &Context) -> bool {
        if !ffi::select_db(ctx, self.db) {
            return false;
        }
        let (tenants, more) = self.source.next(ctx);
        self.cleared += tenants.iter().map(|tenant| both(ctx, self.db, tenant, self.soft)).sum::<u64>();
        more
    }
}

impl Source {
    /// The next few tenants, and whether there may be more.
    fn next(&mut self, ctx: &Context) -> (Vec<Tenant>, bool) {
        match self {
            Self::Named(tenants) => {
                let next: Vec<Tenant> = tenants.next().into_iter().collect();
                (next, tenants.len() > 0)
            }
            Self::Database { cursor, seen } => {
                let found = RefCell::new(Vec::new());
                let more = cursor.scan(ctx, &|_: &Context, key: &RedisString, _: Option<&RedisKey>| {
                    if let Some((name, _)) = tenant::of_key(key.as_slice()) {
                        found.borrow_mut().extend(Tenant::new(name.as_bytes()));
                    }
                });
                let mut found = found.into_inner();
                found.retain(|tenant| seen.insert(tenant.clone()));
                (found, more)
            }
        }
    }
}
