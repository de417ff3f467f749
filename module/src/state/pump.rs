//! The pump: the timer in which everything that has come moves on. Results land and are stored, clients are
//! released, deadlines end, warming and clearing take their next step; for a slice of well under a
//! millisecond, then the server has its turn.
//!
//! Clients are released nowhere else: see [`crate::ffi::BlockedClient`] for why.

use super::{Answer, STATE, Waiter, monotonic, refused};
use crate::clearing::{self, Step};
use crate::engine::{FlightId, Landing, Refusal, Stored};
use crate::errors::Error;
use crate::store::{self, Written};
use crate::tenant::{BundleId, Tenant};
use crate::upstream::{Event, Failure, Fetched};
use crate::warming::Report;
use crate::{config, ffi, log};
use redis_module::Context;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of one turn: no task of ours on the main thread may take more than a millisecond.
const SLICE: Duration = Duration::from_micros(700);
/// Clients released in one turn. Their replies are all built right after it and then sent: so many that what
/// is built is still in the processor's cache when it is sent, and its memory is there for the next turn.
const RELEASES: usize = 32;

/// One turn: everything that has come moves on, for a slice of time.
pub(crate) fn turn(ctx: &Context) {
    let began = Instant::now();
    let mut released = 0;
    STATE.lock().timer = None;
    loop {
        let mut busy = expire();
        busy |= land_next(ctx);
        busy |= clear_step(ctx);
        busy |= warm_step(ctx);
        while released < RELEASES && release_next() {
            released += 1;
        }
        if !busy || began.elapsed() >= SLICE {
            break;
        }
    }
    let mut state = STATE.lock();
    if state.answered.is_empty() {
        state.rearm();
    } else {
        // A timer that is set in a timer waits a millisecond at least: too long for who has an answer.
        drop(state);
        super::wake();
    }
}

fn expire() -> bool {
    let mut state = STATE.lock();
    let Some(Waiter::Client(client)) = state.engine.expire(monotonic()) else { return false };
    state.answer(client, Answer::Bundle(Err(Error::timeout())));
    true
}

fn release_next() -> bool {
    let blocked = {
        let mut state = STATE.lock();
        let Some(client) = state.answered.pop_front() else { return false };
        state.clients.get_mut(&client).and_then(|client| client.blocked.take())
    };
    drop(blocked);
    true
}

fn land_next(ctx: &Context) -> bool {
    let event = STATE.lock().events.as_ref().and_then(|events| events.try_recv().ok());
    match event {
        Some(Event::Landed { flight, result, cause }) => landed(ctx, flight, &result, cause.as_deref()),
        Some(Event::Tenants { job, result, cause }) => listed(ctx, job, result, cause.as_deref()),
        None => return false,
    }
    true
}

fn landed(ctx: &Context, flight: FlightId, result: &Result<Arc<Fetched>, Failure>, cause: Option<&str>) {
    let now = monotonic();
    let outcome = result.as_ref().map(|_| ());
    let landing = STATE.lock().engine.land(now, &config::limits(), flight, outcome);
    let Some(Landing { bundle, current, waiters, relaunch, refused: unlucky }) = landing else { return };
    // That a tenant is unknown is news only to who warms it: a client is told.
    let warming = waiters.iter().any(|waiter| matches!(waiter, Waiter::Warm(_)));
    if let Some(cause) = cause.filter(|_| warming || !matches!(result, Err(Failure::NoTenant))) {
        log::limited(ctx, || format!("no bundle for tenant {}: {cause}", bundle.tenant));
    }
    let asked = waiters.iter().any(|waiter| matches!(waiter, Waiter::Client(_)));
    let mut gift = Gift { waiters, result: Err(Error::internal()), stored: false };
    let unlucky = Gift { waiters: unlucky, result: Err(refused(Refusal::TooManyFlights)), stored: false };
    STATE.lock().send_all(relaunch.into_iter().collect());
    let written = match result {
        Ok(fetched) if current => store::put(ctx, &bundle, fetched, asked),
        Err(Failure::NoTenant) if current => {
            store::remove_unknown(ctx, &bundle);
            Written::NotHere
        }
        _ => Written::NotHere,
    };
    STATE.lock().counters.landed(result, current, written);
    gift.result = result.clone().map_err(Error::from);
    gift.stored = written == Written::Yes;
    drop((gift, unlucky));
}

/// Who waited in a flight, and what they get. Given in Drop: those who have been taken out of the engine get
/// an answer even if something panics in between.
struct Gift {
    waiters: Vec<Waiter>,
    result: Result<Arc<Fetched>, Error>,
    stored: bool,
}

impl Drop for Gift {
    fn drop(&mut self) {
        let mut state = STATE.lock();
        for waiter in &self.waiters {
            state.give(*waiter, &self.result, self.stored);
        }
    }
}

fn listed(ctx: &Context, run: u64, result: Result<Vec<Tenant>, Failure>, cause: Option<&str>) {
    let mut state = STATE.lock();
    match result {
        Ok(tenants) => state.runs.set_tenants(run, tenants),
        Err(failure) => {
            log::limited(ctx, || format!("no list of tenants to warm: {}", cause.unwrap_or_default()));
            for client in state.runs.abandon(run) {
                state.answer(client, Answer::Bundle(Err(failure.clone().into())));
            }
        }
    }
}

fn clear_step(ctx: &Context) -> bool {
    if !clearing::is_running() || !store::may_write(ctx) {
        return false;
    }
    match clearing::step(ctx) {
        Step::Idle => false,
        Step::Busy => true,
        Step::Ended(client, cleared) => {
            STATE.lock().answer(client, Answer::Cleared(cleared));
            true
        }
    }
}

fn warm_step(ctx: &Context) -> bool {
    let (batch, ended) = {
        let mut state = STATE.lock();
        let batch =
            if state.runs.has_room() && store::may_write(ctx) { state.runs.next_batch() } else { None };
        (batch, state.runs.take_ended(monotonic()))
    };
    let busy = batch.is_some() || ended.is_some();
    if let Some(ended) = ended {
        let Report { tenants, warmed, fresh, failed, elapsed_ms } = ended.report;
        ctx.log_notice(&format!(
            "warmed {warmed} of {tenants} tenants in {elapsed_ms} ms; {fresh} were fresh, {failed} failed"
        ));
        let mut state = STATE.lock();
        for client in ended.clients {
            state.answer(client, Answer::Warmed(ended.report));
        }
    }
    let Some(batch) = batch else { return busy };
    if !ffi::select_db(ctx, batch.db) {
        return busy;
    }
    let mut wanted = Vec::new();
    for (at, tenant) in &batch.tenants {
        let is_fresh = |id: &BundleId| matches!(store::stored(ctx, id), Stored::Fresh { .. });
        let bundles = BundleId::both(batch.db, tenant).into_iter().filter(|id| batch.force || !is_fresh(id));
        wanted.push((*at, bundles.collect::<Vec<_>>()));
    }
    STATE.lock().warm(batch.run, batch.force, wanted);
    true
}
