//! Taking bundles away: removed, or marked as changed. The fence comes first, always ([`state::fence`]).

use crate::bundle::Stamp;
use crate::engine::Scope;
use crate::ffi::{self, Handle, Held};
use crate::state;
use crate::tenant::{self, BundleId, KeyName, Tenant};
use crate::{config, store};
use redis_module::key::RedisKey;
use redis_module::{Context, KeysCursor, RedisString};
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

/// Clears both bundles of each tenant; how many were there.
pub(crate) fn tenants(ctx: &Context, db: i32, tenants: &[Tenant], soft: bool) -> u64 {
    let mut cleared = 0;
    for tenant in tenants {
        state::fence(Scope::Tenant(db, tenant));
        for id in BundleId::both(db, tenant) {
            cleared += u64::from(one(ctx, &id, soft));
        }
        // Also where no bundle was: a client may hold a copy of one that has expired since.
        ffi::signal_modified(ctx, tenant.as_str());
    }
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

/// Clears of whole databases at a time.
const MAX_RUNNING: usize = 8;

thread_local! {
    /// The clears under way. They hold cursors of the server, which belong to its main thread.
    static RUNNING: RefCell<VecDeque<ClearAll>> = const { RefCell::new(VecDeque::new()) };
}

/// There is room for one more clear of a database.
pub(crate) fn may_begin() -> bool {
    RUNNING.with_borrow(|running| running.len() < MAX_RUNNING)
}

pub(crate) fn is_running() -> bool {
    RUNNING.with_borrow(|running| !running.is_empty())
}

/// Begins to clear a database in slices, for a client that waits for the end.
pub(crate) fn begin_all(db: i32, soft: bool, client: Handle) {
    let clear = ClearAll { db, soft, cursor: KeysCursor::new(), tenants: HashSet::new(), cleared: 0, client };
    RUNNING.with_borrow_mut(|running| running.push_back(clear));
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

/// A clear of all bundles of a database.
struct ClearAll {
    db: i32,
    soft: bool,
    cursor: KeysCursor,
    /// What was handled: a tenant has several keys, and a scan may name one twice.
    tenants: HashSet<Tenant>,
    cleared: u64,
    client: Handle,
}

impl ClearAll {
    /// One small step; false when all is done.
    fn step(&mut self, ctx: &Context) -> bool {
        if !ffi::select_db(ctx, self.db) {
            return false;
        }
        let found = RefCell::new(Vec::new());
        let more = self.cursor.scan(ctx, &|_: &Context, key: &RedisString, _: Option<&RedisKey>| {
            if let Some((name, _)) = tenant::of_key(key.as_slice()) {
                found.borrow_mut().extend(Tenant::new(name.as_bytes()));
            }
        });
        for tenant in found.into_inner() {
            if self.tenants.contains(&tenant) {
                continue;
            }
            // No fence here: flights that began after this clear did are right.
            for id in BundleId::both(self.db, &tenant) {
                self.cleared += u64::from(one(ctx, &id, self.soft));
            }
            ffi::signal_modified(ctx, tenant.as_str());
            self.tenants.insert(tenant);
        }
        more
    }
}
