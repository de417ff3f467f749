//! News for clients that keep copies, told once those who waited for the new bundle have it.
//!
//! The server forgets that a client has read a key when it tells the client that the key has changed. One that
//! were told before its answer comes would never hear what makes that answer wrong.

use super::wake::wake;
use crate::tracking;
use parking_lot::Mutex;
use redis_module::Context;
use std::sync::Arc;
use wire::key::BundleId;
use wire::tenant::Tenant;

/// That a tenant's bundle is another one now: shared by those who wait for it. The last of them tells.
#[derive(Debug)]
pub(super) struct News {
    of: Option<(i32, Tenant)>,
}

/// News whose last holder has gone without an answer.
static LEFT_BEHIND: Mutex<Vec<(i32, Tenant)>> = Mutex::new(Vec::new());

impl News {
    pub(super) fn of(bundle: &BundleId) -> Self {
        Self { of: Some((bundle.db, bundle.tenant.clone())) }
    }

    /// One has its answer: if it was the last one, all others are told.
    pub(super) fn answered(self: Arc<Self>, ctx: &Context) {
        if let Some(mut news) = Arc::into_inner(self) {
            news.of.take().into_iter().for_each(|(db, tenant)| tell(ctx, db, &tenant));
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            LEFT_BEHIND.lock().push(of);
            wake();
        }
    }
}

/// Tells what nobody was left to tell.
pub(super) fn tell_all(ctx: &Context) {
    let left: Vec<_> = std::mem::take(&mut *LEFT_BEHIND.lock());
    left.iter().for_each(|(db, tenant)| tell(ctx, *db, tenant));
}

fn tell(ctx: &Context, db: i32, tenant: &Tenant) {
    tracking::invalidate_in(ctx, db, tenant.as_str());
}
