//! The pump: the timer in which everything that has come moves on. Results land and are stored, clients are
//! released, deadlines end, warming and clearing take their next step; for a slice of well under a
//! millisecond, then the server has its turn.
//!
//! Clients are released nowhere else: see [`crate::ffi::BlockedClient`] for why.

use super::core::{self, monotonic};
use super::news::{self, News};
use super::requests::refresh_behind;
use super::waiters::{Answer, Gift, Waiter};
use super::wake::wake;
use crate::clearing::{self, Step};
use crate::counts::Fate;
use crate::errors::Error;
use crate::store::{self, Written};
use crate::upstream::{Event, Fetched};
use crate::{config, fault, ffi, log, tracking};
use engine::Failure;
use engine::warming::{Brought, Report, Task, Want, Wanted};
use engine::{Cancelled, Expiry, FlightId, Landing, Stored};
use redis_module::{Context, ContextFlags};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::key::BundleId;
use wire::tenant::Tenant;

/// Of one turn: no task of ours on the main thread may take more than a millisecond.
const SLICE: Duration = Duration::from_micros(700);
/// Clients released in one turn. Their replies are all built right after it and then sent: so many that what
/// is built is still in the processor's cache when it is sent, and its memory is there for the next turn.
const RELEASES: usize = 32;
/// Who waited is given what has landed in steps of so many.
const HANDED_OUT: usize = 64;
/// Failed tenants of a run that the log names; INFO and the reply name more.
const LOGGED_FAILURES: usize = 10;
/// What a step of warming copies at most of what is stored, in bytes. What is more is computed.
const COPIED: usize = 2 << 20;

/// One turn: everything that has come moves on, for a slice of time.
pub(crate) fn turn(ctx: &Context) {
    let began = Instant::now();
    let mut released = 0;
    core::lock().timer = None;
    let _next = NextTurn;
    news::tell_all(ctx);
    loop {
        let mut busy = hand_out();
        busy |= land_next(ctx);
        busy |= expire(ctx);
        busy |= clear_step(ctx);
        busy |= warm_step(ctx) | end_run(ctx);
        while released < RELEASES && release_next() {
            released += 1;
        }
        if !busy || began.elapsed() >= SLICE {
            break;
        }
    }
}

/// Sets the timer again at the end of a turn, also where the turn has panicked: deadlines go on.
struct NextTurn;

impl Drop for NextTurn {
    fn drop(&mut self) {
        let mut state = core::lock();
        if state.answered.is_empty() {
            state.rearm();
        } else {
            // A timer that is set in a timer waits a millisecond at least: too long for who has an answer.
            drop(state);
            wake();
        }
    }
}

/// Gives a few of those who waited what has landed.
fn hand_out() -> bool {
    let mut state = core::lock();
    let Some(mut gift) = state.gifts.pop_front() else { return false };
    for _ in 0..HANDED_OUT {
        let Some(waiter) = gift.waiters.pop_first() else { return true };
        if state.engine.release(waiter) {
            state.give(waiter, &gift);
        }
    }
    state.gifts.push_front(gift);
    true
}

/// Looks at one whose time is up. (Not while there are gifts: one of them may be for it.)
fn expire(ctx: &Context) -> bool {
    let (waiter, client, bundle) = {
        let mut state = core::lock();
        if !state.gifts.is_empty() {
            return false;
        }
        let Some(waiter) = state.engine.due(monotonic()) else { return false };
        let client = match waiter {
            Waiter::Client(client) => {
                state.clients.get(&client).map(|found| (client, found.question.bundle()))
            }
            Waiter::Warm(_) => None,
        };
        let Some((client, Some(bundle))) = client else {
            let unwanted = state.engine.leave(waiter);
            state.cancel(unwanted);
            return true;
        };
        (waiter, client, bundle.clone())
    };
    let fallback = ffi::select_db(ctx, bundle.db) && store::stored(ctx, &bundle) != Stored::Absent;
    let mut state = core::lock();
    let mut launches = Vec::new();
    let expiry = state.engine.expire(monotonic(), &config::limits(), waiter, fallback, &mut launches);
    state.send_all(launches);
    if let Expiry::Out { cancel } = expiry {
        state.cancel(cancel);
        state.answer(client, Answer::Bundle(Err(Error::timeout())));
    }
    true
}

fn release_next() -> bool {
    let blocked = {
        let mut state = core::lock();
        let Some(client) = state.answered.pop_front() else { return false };
        state.clients.get_mut(&client).and_then(|client| client.blocked.take())
    };
    drop(blocked);
    true
}

fn land_next(ctx: &Context) -> bool {
    let event = core::lock().events.as_ref().and_then(|events| events.try_recv().ok());
    match event {
        Some(Event::Landed { flight, result, cause }) => landed(ctx, flight, &result, cause.as_deref()),
        Some(Event::Tenants { job, result, cause }) => listed(ctx, job, result, cause.as_deref()),
        Some(Event::BatchEnded { batch, query }) => {
            core::lock().runs.batch_ended(monotonic(), config::pace(), batch, query);
        }
        None => return false,
    }
    true
}

fn landed(ctx: &Context, flight: FlightId, result: &Result<Arc<Fetched>, Failure>, cause: Option<&str>) {
    let now = monotonic();
    let outcome = result.as_ref().map(|_| ());
    let landing = core::lock().engine.land(now, &config::limits(), flight, outcome);
    let Some(Landing { bundle, current, overtaken, cancelled, waiters, relaunch, refused: unlucky, again }) =
        landing
    else {
        return;
    };
    // Clients come before runs in the order of waiters.
    let asked = matches!(waiters.first(), Some(Waiter::Client(_)));
    let warming = matches!(waiters.last(), Some(Waiter::Warm(_)));
    {
        let mut state = core::lock();
        state.send_all(relaunch);
        state.disappoint(unlucky);
        state.warm_again(again);
        // Beforehand, so that everyone has an answer even if something panics in between.
        state.gifts.push_back(Gift {
            waiters,
            result: Err(Error::internal()),
            stored: Err("internal"),
            overtaken,
            tenant: bundle.tenant.clone(),
            news: None,
        });
    }
    // That a tenant is unknown is news only to who warms it: a client is told.
    let silent =
        cancelled == Some(Cancelled::Unwanted) || (matches!(result, Err(Failure::NoTenant)) && !warming);
    let cause = if cancelled == Some(Cancelled::Late) { Some("no answer in time") } else { cause };
    if let Some(cause) = cause.filter(|_| !silent) {
        log::limited(ctx, || format!("no bundle for tenant {}: {cause}", bundle.tenant));
    }
    fault::point("landing", bundle.tenant.as_str());
    let (written, tell) = match result {
        Ok(fetched) if current => store::put(ctx, &bundle, fetched, asked, overtaken),
        // The change that overtook it may have been the tenant's creation.
        Err(Failure::NoTenant) if current && !overtaken => {
            store::remove_unknown(ctx, &bundle);
            (Written::NotHere, false)
        }
        _ => (Written::NotHere, false),
    };
    if tell && !asked {
        tracking::invalidate(ctx, bundle.tenant.as_str());
    }
    if let (Ok(fetched), true, true) = (result, asked, written != Written::Yes || overtaken) {
        tracking::given(ctx, &bundle, fetched.etag.as_bytes());
    }
    // Whoever is told before its answer would not be told of what makes that one wrong.
    let news = (tell && asked).then(|| Arc::new(News::of(&bundle)));
    let mut state = core::lock();
    let fate = match written {
        Written::Yes => Fate::Stored,
        _ if !current => Fate::Orphaned,
        _ => Fate::Refused,
    };
    match cancelled {
        None => state.counters.landed(result, fate),
        Some(Cancelled::Late) => state.counters.landed(&Err(Failure::Timeout), fate),
        Some(Cancelled::Unwanted) => {}
    }
    if let Some(gift) = state.gifts.back_mut() {
        gift.result = result.clone().map_err(Error::from);
        gift.stored = match (result, written) {
            (Ok(fetched), Written::Yes) if fetched.renewed => Ok(Brought::Renewed),
            (_, Written::Yes) => Ok(Brought::Computed),
            (Ok(_), _) => Err("not_stored"),
            (Err(failure), _) => Err(failure.reason()),
        };
        gift.news = news;
    }
}

fn listed(ctx: &Context, run: u64, result: Result<Vec<Tenant>, Failure>, cause: Option<&str>) {
    let mut state = core::lock();
    let failure = match result {
        Ok(tenants) => return state.runs.set_tenants(run, tenants),
        Err(failure) => failure,
    };
    state.counters.failed_runs += 1;
    for client in state.runs.abandon(run) {
        state.answer(client, Answer::Failed(failure.clone().into()));
    }
    drop(state);
    log::limited(ctx, || format!("no list of tenants to warm: {}", cause.unwrap_or_default()));
}

fn clear_step(ctx: &Context) -> bool {
    if !clearing::is_running() {
        return false;
    }
    if !store::may_write(ctx) {
        // A replica looks for the marks that its primary sends.
        return !ctx.get_flags().contains(ContextFlags::MASTER) && clearing::watch(ctx, monotonic());
    }
    let mut hot = Vec::new();
    let step = clearing::step(ctx, &mut hot);
    refresh_behind(ctx, &hot);
    match step {
        Step::Idle => false,
        Step::Busy => true,
        Step::Ended(client, cleared) => {
            if let Some(client) = client {
                core::lock().answer(client, Answer::Cleared(cleared));
            }
            true
        }
        Step::Broken(client) => {
            core::lock().answer(client, Answer::Failed(Error::internal()));
            true
        }
        Step::GivenUp(db) => {
            log::warning(
                ctx,
                &format!(
                    "not every bundle of database {db} was marked as changed after SWAPDB: this failed again and again; run DASHBOARD.CLEAR SOFT"
                ),
            );
            true
        }
    }
}

fn warm_step(ctx: &Context) -> bool {
    if !store::may_write(ctx) {
        return false;
    }
    let Some(task) = core::lock().runs.next_task(monotonic(), config::pace()) else { return false };
    match task {
        Task::Rank { run, db, tenants } => {
            let here = ffi::select_db(ctx, db);
            let unread = |tenant: &Tenant| if here { store::unread(ctx, db, tenant) } else { 0 };
            let ranked = tenants.into_iter().map(|tenant| (tenant.clone(), unread(&tenant))).collect();
            core::lock().runs.rank(run, ranked);
        }
        Task::Look { run, db, force, tenants } => {
            let here = ffi::select_db(ctx, db);
            let mut room = COPIED;
            let mut want = |id: &BundleId| match store::stored(ctx, id) {
                Stored::Fresh { .. } => Want::Nothing,
                Stored::Stale { .. } => store::known(ctx, id, room).map_or(Want::Computed, |known| {
                    room -= known.size();
                    Want::IfChanged(known)
                }),
                Stored::Changed | Stored::Absent => Want::Computed,
            };
            let look = |(place, tenant): (u32, Tenant)| {
                let looked = |id: BundleId| if force || !here { Want::Computed } else { want(&id) };
                Wanted { place, bundles: BundleId::both(db, &tenant).map(looked), tenant }
            };
            core::lock().runs.looked_at(run, tenants.into_iter().map(look).collect());
        }
        Task::Send { run, db, force, mut batch } => {
            let here = ffi::select_db(ctx, db);
            // In the same turn as their flights begin: from there on the fence takes care of what is cleared.
            for Wanted { tenant, bundles, .. } in &mut batch {
                for (id, want) in BundleId::both(db, tenant).into_iter().zip(bundles) {
                    want.compute_unless(|known| here && store::is_stored(ctx, &id, known));
                }
            }
            core::lock().warm(run, db, force, batch);
        }
    }
    true
}

fn end_run(ctx: &Context) -> bool {
    let ended = core::lock().runs.take_ended(monotonic());
    let Some(ended) = ended else { return false };
    let Report { tenants, warmed, fresh, failed, elapsed_ms } = ended.summary.report;
    let by = &ended.summary.by;
    let text = format!(
        "warmed {warmed} of {tenants} tenants in {elapsed_ms} ms; {fresh} were fresh, {failed} failed (asked for by {by})"
    );
    if failed == 0 {
        ctx.log_notice(&text);
    } else {
        log::warning(ctx, &text);
    }
    for failure in ended.summary.failures.iter().take(LOGGED_FAILURES) {
        log::warning(ctx, &format!("not warmed: tenant {}: {}", failure.tenant, failure.reason));
    }
    let mut state = core::lock();
    for client in ended.clients {
        state.answer(client, Answer::Warmed(ended.summary.clone()));
    }
    true
}
