//! Warming runs: which tenants are next, at what pace, what came of each, and when a run has ended. It knows
//! no keys and sends nothing; `state` does both for it.

mod pace;
mod run;

mod words;

pub use pace::Pace;
pub use run::{Order, Want, Wanted};
pub use words::{Brought, FailedTenant, Report, Seat, Summary};

use crate::units::{BatchId, ClientId, Millis};
use pace::Ledger;
use run::Run;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wire::tenant::Tenant;

/// Tenants in one request to the sidecar, which computes them by one statement; each has two bundles.
pub const BATCH_TENANTS: usize = 64;
/// Tenants that are looked at in one step, so that a step is far from a millisecond.
const STEP: usize = 16;
/// Runs at a time. One for all tenants is joined by later ones of its kind.
const MAX_RUNS: usize = 8;
/// While warming pauses, how often to look whether its settings have changed.
const LONGEST_PAUSE: Millis = 1_000;

/// What is to be done next for a run. Each is small.
#[allow(missing_docs, reason = "each task says what its fields are for")]
pub enum Task {
    /// Say for how long nobody has read these tenants' bundles: [`Runs::rank`].
    Rank { run: u64, db: i32, tenants: Vec<Tenant> },
    /// Look which bundles of these are to be computed: [`Runs::looked_at`].
    Look { run: u64, db: i32, force: bool, tenants: Vec<(u32, Tenant)> },
    /// Have these computed: [`Runs::sent`].
    Send { run: u64, db: i32, force: bool, batch: Vec<Wanted> },
}

/// A run that has ended.
pub struct Ended {
    /// What it has done.
    pub summary: Arc<Summary>,
    /// Who waits for its end.
    pub clients: Vec<ClientId>,
}

/// All runs.
#[derive(Default)]
pub struct Runs {
    runs: BTreeMap<u64, Run>,
    last: u64,
    /// Requests under way, with their numbers of tenants and what was reserved for each.
    batches: BTreeMap<BatchId, (usize, Duration)>,
    last_batch: BatchId,
    ledger: Ledger,
    /// The run that ended last, for `INFO`.
    last_summary: Option<Arc<Summary>>,
}

impl Runs {
    /// Whether a run may begin, or there is one to be joined.
    pub fn may_begin(&self, db: i32, all: bool, force: bool) -> bool {
        self.runs.len() < MAX_RUNS || self.runs.values().any(|run| run.is_joined_by(db, all, force))
    }

    /// Begins a run over `tenants`, or over all (then there are none), or joins one; ask [`Runs::may_begin`]
    /// first. `Some`: the number of a run whose list of tenants has to be asked for.
    pub fn begin(
        &mut self,
        now: Millis,
        order: Order,
        tenants: Vec<Tenant>,
        client: Option<ClientId>,
    ) -> Option<u64> {
        let all = order.all;
        if let Some(run) =
            self.runs.values_mut().find(|run| run.is_joined_by(order.db, order.all, order.force))
        {
            run.clients.extend(client);
            return None;
        }
        self.last += 1;
        let mut run = Run::new(order, now, client);
        if !all {
            run.set_tenants(tenants);
        }
        self.runs.insert(self.last, run);
        all.then_some(self.last)
    }

    /// The list of a run has arrived.
    pub fn set_tenants(&mut self, run: u64, tenants: Vec<Tenant>) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.set_tenants(tenants);
        }
    }

    /// The list of a run could not be had: its clients.
    pub fn abandon(&mut self, run: u64) -> Vec<ClientId> {
        self.runs.remove(&run).map(|run| run.clients).unwrap_or_default()
    }

    /// What to do next, if anything can be done now. Runs take turns: the one that has least under way is next.
    pub fn next_task(&mut self, now: Millis, pace: Pace) -> Option<Task> {
        if let Some((&id, run)) = self.runs.iter_mut().find(|(_, run)| run.is_unranked()) {
            return Some(Task::Rank { run: id, db: run.order.db, tenants: run.take_unranked(STEP) });
        }
        if self.is_full(pace) || self.ledger.ready_at(now, pace) > now {
            return None;
        }
        let size = self.ledger.tenants(pace, BATCH_TENANTS);
        let runs = self.runs.iter_mut().filter(|(_, run)| run.has_work());
        let (&id, run) = runs.min_by_key(|(id, run)| (run.under_way, **id))?;
        let (db, force) = (run.order.db, run.order.force);
        let tenants = run.take_ranked(size, STEP);
        if tenants.is_empty() {
            return Some(Task::Send { run: id, db, force, batch: run.take_wanted(size) });
        }
        Some(Task::Look { run: id, db, force, tenants })
    }

    /// When there is something to do next; `None`: not before something comes.
    pub fn next_at(&self, now: Millis, pace: Pace) -> Option<Millis> {
        if self.runs.values().any(Run::is_unranked) {
            return Some(now);
        }
        let waits = self.is_full(pace) || !self.runs.values().any(Run::has_work);
        (!waits).then(|| self.ledger.ready_at(now, pace).min(now + LONGEST_PAUSE))
    }

    /// No further request may begin before one has ended.
    fn is_full(&self, pace: Pace) -> bool {
        let most = if self.ledger.is_learning(pace) { 1 } else { pace.concurrency };
        self.batches.len() >= most
    }

    /// For how long nobody has read each of these, in milliseconds.
    pub fn rank(&mut self, run: u64, tenants: Vec<(Tenant, u64)>) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.rank(tenants);
        }
    }

    /// Which bundles of these are to be computed.
    pub fn looked_at(&mut self, run: u64, tenants: Vec<Wanted>) {
        if let Some(run) = self.runs.get_mut(&run) {
            tenants.into_iter().for_each(|wanted| run.looked_at(wanted));
        }
    }

    /// A request for so many tenants goes to the sidecar: the number it has.
    pub fn sent(&mut self, now: Millis, pace: Pace, tenants: usize) -> BatchId {
        self.last_batch += 1;
        let reserved = self.ledger.reserve(now, pace, tenants);
        self.batches.insert(self.last_batch, (tenants, reserved));
        self.last_batch
    }

    /// That request has ended, and the database has worked so long for it.
    pub fn batch_ended(&mut self, now: Millis, pace: Pace, batch: BatchId, query: Duration) {
        if let Some((tenants, reserved)) = self.batches.remove(&batch) {
            self.ledger.spend(now, pace, query, reserved, tenants);
        }
    }

    /// A bundle has come, or has failed for a reason; true where it made a tenant failed that was not yet.
    pub fn landed(&mut self, seat: Seat, outcome: Result<Brought, (&Tenant, &'static str)>) -> bool {
        self.runs.get_mut(&seat.run).is_some_and(|run| run.landed(seat, outcome))
    }

    /// A bundle is needed once more: a clear has come between, or the one that was under way began too early. True
    /// where that has been so too often, and made a tenant failed.
    pub fn again(&mut self, seat: Seat, tenant: &Tenant) -> bool {
        self.runs.get_mut(&seat.run).is_some_and(|run| run.again(seat, tenant))
    }

    /// A run that has ended, taken out.
    pub fn take_ended(&mut self, now: Millis) -> Option<Ended> {
        let id = *self.runs.iter().find(|(_, run)| run.has_ended())?.0;
        let mut run = self.runs.remove(&id)?;
        let clients = std::mem::take(&mut run.clients);
        let summary = Arc::new(summary(now, id, &run));
        self.last_summary = Some(summary.clone());
        Some(Ended { summary, clients })
    }

    /// Ends all runs: this server may no longer write. Their clients.
    pub fn abort(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.runs).into_values().flat_map(|run| run.clients).collect()
    }

    /// A client no longer waits for its run, which goes on.
    pub fn leave(&mut self, client: ClientId) {
        for run in self.runs.values_mut() {
            run.clients.retain(|c| *c != client);
        }
    }

    /// Clients that wait for a run.
    pub fn clients(&self) -> usize {
        self.runs.values().map(|run| run.clients.len()).sum()
    }

    /// No run is under way.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Runs under way.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// A run has ended and was not yet taken out.
    pub fn has_ended(&self) -> bool {
        self.runs.values().any(Run::has_ended)
    }

    /// The oldest run under way, else the one that ended last; `None` before the first.
    pub fn shown(&self, now: Millis) -> Option<Arc<Summary>> {
        let oldest = self.runs.first_key_value().map(|(id, run)| Arc::new(summary(now, *id, run)));
        oldest.or_else(|| self.last_summary.clone())
    }
}

fn summary(now: Millis, id: u64, run: &Run) -> Summary {
    Summary {
        run: id,
        by: run.order.by.clone(),
        started: run.order.at,
        report: Report { elapsed_ms: now - run.began, ..run.report },
        failures: run.failures.clone(),
    }
}

#[cfg(test)]
mod tests;
