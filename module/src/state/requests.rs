//! What commands ask for: a read, a fence, a clear in slices, a run.

use super::core::{self, monotonic};
use super::waiters::{Pending, Waiter};
use crate::errors::Error;
use crate::ffi::{self, BlockedClient};
use crate::upstream::What;
use crate::{clearing, config, store};
use engine::warming;
use engine::{Ask, Millis, Plan, Scope, Stored};
use redis_module::Context;
use wire::key::BundleId;
use wire::tenant::Tenant;

/// What became of a read.
pub(crate) enum Outcome {
    /// Answer with what is stored; one that may wait `would_wait` for a new one.
    Serve { would_wait: bool },
    /// The client is blocked.
    Waits,
}

/// Decides what a read gets; where it has to wait, blocks the client.
pub(crate) fn read<P: Pending + 'static>(
    ctx: &Context,
    id: &BundleId,
    stored: Stored,
    ask: Ask,
    waiting: impl FnOnce() -> P,
) -> Result<Outcome, Error> {
    let limits = config::limits();
    let mut state = core::lock();
    let mut launches = Vec::new();
    let plan = state.engine.read(monotonic(), &limits, id, stored, ask, &mut launches);
    let outcome = match plan {
        Plan::Serve => Ok(Outcome::Serve { would_wait: false }),
        Plan::Fallback => Ok(Outcome::Serve { would_wait: true }),
        Plan::Refuse(why) => Err(Error::refused(why, state.engine.breaker_cause())),
        Plan::Wait(seat) => match BlockedClient::block(ctx) {
            Some(blocked) => {
                let client = state.admit(blocked, waiting());
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

/// From now on nothing is stored, or given to later callers, that was under way until now.
pub(crate) fn fence<'a>(scopes: impl IntoIterator<Item = Scope<'a>>) {
    let mut state = core::lock();
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

/// What a clear does to the flights: comes before the keys, always.
pub(crate) fn clear_flights(dbs: &[i32], tenants: &[Tenant], soft: bool) {
    let scopes = dbs.iter().flat_map(|db| {
        let whole = tenants.is_empty().then_some(Scope::Database(*db));
        tenants.iter().map(|tenant| Scope::Tenant(*db, tenant)).chain(whole)
    });
    if soft { overtake(scopes) } else { fence(scopes) }
}

/// A SOFT: flights under way go on, and bring a fallback only. See [`engine::Engine::overtake`].
fn overtake<'a>(scopes: impl IntoIterator<Item = Scope<'a>>) {
    let mut state = core::lock();
    for scope in scopes {
        state.engine.overtake(scope);
        state.counters.fences += 1;
    }
}

/// Where a change of a tenant's data is of any concern: the database of the context, each that holds keys, and each for
/// which something is being computed.
pub(crate) fn databases(ctx: &Context) -> Vec<i32> {
    let mut databases = core::lock().engine.databases();
    databases.insert(ffi::selected_db(ctx));
    databases.extend(ffi::filled_databases(ctx));
    databases.into_iter().collect()
}

/// Has bundles computed that nobody waits for.
pub(crate) fn refresh_behind(ctx: &Context, bundles: &[BundleId]) {
    if bundles.is_empty() || !store::may_write(ctx) {
        return;
    }
    let mut state = core::lock();
    let mut launches = Vec::new();
    for id in bundles {
        state.engine.refresh_behind(monotonic(), &config::limits(), id, None, &mut launches);
    }
    state.send_all(launches);
    state.rearm();
}

/// Begins to clear tenants, or (none named) whole databases, in slices; the client waits for the end.
pub(crate) fn begin_clear(
    ctx: &Context,
    dbs: Vec<i32>,
    tenants: Vec<Tenant>,
    soft: bool,
    question: impl Pending + 'static,
) -> Result<(), Error> {
    if !clearing::may_begin() {
        return Err(Error::too_many_jobs());
    }
    // First, so that a client that cannot be blocked has cleared nothing.
    let client = core::lock().block(ctx, question)?;
    clear_flights(&dbs, &tenants, soft);
    clearing::begin(dbs, tenants, soft, client);
    core::lock().rearm();
    Ok(())
}

/// Begins a warming run over `tenants`, or (none named) all of them, or joins one; a client that `waits` is answered at
/// its end.
pub(crate) fn begin_warm(
    ctx: &Context,
    tenants: Vec<Tenant>,
    force: bool,
    waits: Option<impl Pending + 'static>,
) -> Result<(), Error> {
    let (db, all) = (ffi::selected_db(ctx), tenants.is_empty());
    let order = warming::Order { db, force, all, by: ffi::client(ctx), at: ffi::now() };
    let mut state = core::lock();
    if !state.runs.may_begin(db, all, force) {
        return Err(Error::too_many_jobs());
    }
    if waits.is_some() && state.runs.clients() >= config::limits().max_waiters {
        return Err(Error::too_many_waiters());
    }
    let client = waits.map(|question| state.block(ctx, question)).transpose()?;
    if let Some(run) = state.runs.begin(monotonic(), order, tenants, client) {
        state.send(What::Tenants(run));
    }
    state.rearm();
    Ok(())
}

/// The change feed reports how far behind it is. Returns the position that it reported before, if it reports one now.
pub(crate) fn feed_said(ctx: &Context, lag: Millis, period: Millis, position: Option<u64>) -> Option<u64> {
    let by = ffi::client(ctx);
    let mut core = core::lock();
    core.feed.said(monotonic(), lag, period, by);
    position.and_then(|position| core.feed.has_come_to(position))
}

/// The change feed says that it stops.
pub(crate) fn feed_stopped() {
    core::lock().feed.stopped();
}
