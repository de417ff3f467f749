//! Taking bundles away: removed, or marked as changed. The fence comes first, always
//! ([`state::fence`]).

use crate::bundle::Stamp;
use crate::ffi::{self, Held};
use crate::state::{self, ClientId};
use crate::tenant::{self, BundleId, Tenant};
use crate::{config, store};
use redis_module::key::RedisKey;
use redis_module::{Context, KeysCursor, RedisString};
use std::cell::RefCell;
use std::collections::VecDeque;

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
    config::key_forms()
        .iter()
        .map(|tagged| at_key(ctx, id, id.key(*tagged).as_bytes(), soft))
        .fold(false, std::ops::BitOr::bitor)
}

/// Clears the bundle at a key; false where there is none. Another type is left alone: it is not ours.
fn at_key(ctx: &Context, id: &BundleId, key: &[u8], soft: bool) -> bool {
    if soft { mark_changed(ctx, id, key) } else { store::delete(ctx, key) }
}

fn mark_changed(ctx: &Context, id: &BundleId, key: &[u8]) -> bool {
    let held = ffi::read_string(ctx, key, false, |value, expires_at| {
        let life = Stamp::read(value, id.tenant.as_str(), id.include)?.life;
        // One that is marked already keeps its mark.
        Some((expires_at == Some(life.expires_at)).then(|| life.changed_mark()))
    });
    let Held::String(Some(mark)) = held else { return false };
    if let Some(mark) = mark {
        store::expire_at(ctx, key, mark);
    }
    if ffi::idle(ctx, key).is_some_and(|idle| idle <= config::hot_window()) {
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
pub(crate) fn begin(db: i32, tenants: Vec<Tenant>, soft: bool, client: ClientId) {
    let source = if tenants.is_empty() {
        Source::Database(KeysCursor::new())
    } else {
        Source::Named(tenants.into_iter())
    };
    RUNNING.with_borrow_mut(|running| running.push_back(Clear { db, soft, source, cleared: 0, client }));
}

/// Ends all clears: this server may no longer write. Their clients.
pub(crate) fn abort() -> Vec<ClientId> {
    RUNNING.take().into_iter().map(|clear| clear.client).collect()
}

/// What a step has done.
pub(crate) enum Step {
    Idle,
    Busy,
    /// A clear has ended: its client, and how many bundles there were.
    Ended(ClientId, u64),
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
    client: ClientId,
}

/// What it clears.
enum Source {
    Named(std::vec::IntoIter<Tenant>),
    Database(KeysCursor),
}

impl Clear {
    /// One small step; false when all is done.
    fn step(&mut self, ctx: &Context) -> bool {
        if !ffi::select_db(ctx, self.db) {
            return false;
        }
        match &mut self.source {
            Source::Named(tenants) => {
                self.cleared += tenants.next().map_or(0, |tenant| both(ctx, self.db, &tenant, self.soft));
                tenants.len() > 0
            }
            Source::Database(cursor) => {
                let found = RefCell::new(Vec::new());
                let more = cursor.scan(ctx, &|_: &Context, key: &RedisString, _: Option<&RedisKey>| {
                    if let Some((name, include)) = tenant::of_key(key.as_slice())
                        && let Some(tenant) = Tenant::new(name.as_bytes())
                    {
                        let id = BundleId { db: self.db, tenant, include };
                        found.borrow_mut().push((key.as_slice().to_vec(), id));
                    }
                });
                for (key, id) in found.into_inner() {
                    if at_key(ctx, &id, &key, self.soft) {
                        self.cleared += 1;
                        ffi::signal_modified(ctx, id.tenant.as_str());
                    }
                }
                more
            }
        }
    }
}
