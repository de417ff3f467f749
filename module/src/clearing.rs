//! Taking bundles away: removed, or marked as changed. The fence comes first, always ([`state::fence`]).

use crate::bundle::Stamp;
use crate::engine::Scope;
use crate::ffi::{self, Cursor, Handle, Held};
use crate::state;
use crate::tenant::{self, BundleId, KeyName, Tenant};
use crate::{config, store};
use redis_module::Context;
use std::collections::HashSet;

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

/// A clear of all bundles of a database, done in slices.
pub(crate) struct ClearAll {
    pub(crate) db: i32,
    soft: bool,
    cursor: Cursor,
    found: Vec<Vec<u8>>,
    /// What was handled: a scan may name a key twice.
    tenants: HashSet<Tenant>,
    pub(crate) cleared: u64,
    pub(crate) client: Handle,
}

impl ClearAll {
    pub(crate) fn new(db: i32, soft: bool, cursor: Cursor, client: Handle) -> Self {
        Self { db, soft, cursor, found: Vec::new(), tenants: HashSet::new(), cleared: 0, client }
    }

    /// One small step; false when all is done.
    pub(crate) fn step(&mut self, ctx: &Context) -> bool {
        if !ffi::select_db(ctx, self.db) {
            return false;
        }
        let more = self.cursor.step(ctx, &mut self.found);
        for key in std::mem::take(&mut self.found) {
            let Some((name, _)) = tenant::of_key(&key) else { continue };
            let Some(tenant) = Tenant::new(name.as_bytes()) else { continue };
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
