//! Warming runs: which tenants are next, what came of each, and when a run has ended. It knows no keys and
//! sends nothing; `state` does both for it.

use crate::engine::Millis;
use crate::state::ClientId;
use crate::tenant::Tenant;
use std::collections::{BTreeMap, VecDeque};

/// Tenants in one request to the sidecar; each has two bundles.
pub(crate) const BATCH_TENANTS: usize = 16;
/// A run asks for its next batch while fewer bundles than this are under way: two batches overlap, so
/// neither side waits for the other.
const LOW_WATER: usize = BATCH_TENANTS * 2;
/// Runs at a time. One for all tenants is joined by later ones of its kind.
const MAX_RUNS: usize = 8;

/// A bundle that a run waits for: its waiter in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) run: u64,
    /// Twice the tenant's place in the run, plus one for the bundle without test data.
    pub(crate) bundle: u32,
}

/// What a run has done. Every tenant is counted once: `warmed + fresh + failed` is `tenants` at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) tenants: u64,
    /// At least one bundle was computed, and none failed.
    pub(crate) warmed: u64,
    /// Both bundles were fresh already.
    pub(crate) fresh: u64,
    pub(crate) failed: u64,
    pub(crate) elapsed_ms: u64,
}

impl Report {
    pub(crate) fn done(&self) -> u64 {
        self.warmed + self.fresh + self.failed
    }
}

#[derive(Clone, Copy, Default)]
struct Progress {
    open: u8,
    computed: bool,
    failed: bool,
}

struct Run {
    db: i32,
    force: bool,
    /// All active tenants were asked for, not a list.
    all: bool,
    began: Millis,
    /// `None` while the sidecar is asked for the list.
    /// Those that are still to be begun.
    tenants: Option<VecDeque<Tenant>>,
    progress: Vec<Progress>,
    taken: u32,
    under_way: usize,
    report: Report,
    clients: Vec<ClientId>,
}

/// The next tenants of a run.
pub(crate) struct Batch {
    pub(crate) run: u64,
    pub(crate) db: i32,
    pub(crate) force: bool,
    pub(crate) tenants: Vec<(u32, Tenant)>,
}

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) report: Report,
    pub(crate) clients: Vec<ClientId>,
}

/// All runs.
#[derive(Default)]
pub(crate) struct Runs {
    runs: BTreeMap<u64, Run>,
    last: u64,
    /// Of the run that ended last, for `INFO`.
    pub(crate) last_report: Option<Report>,
}

impl Runs {
    /// Whether a run may begin, or there is one to be joined.
    pub(crate) fn may_begin(&self, db: i32, all: bool, force: bool) -> bool {
        self.runs.len() < MAX_RUNS || self.runs.values().any(|run| run.is_joined_by(db, all, force))
    }

    /// Begins a run, or joins one; ask [`Runs::may_begin`] first. `Some`: the number of a run whose list of
    /// tenants has to be asked for.
    pub(crate) fn begin(
        &mut self,
        now: Millis,
        db: i32,
        tenants: Vec<Tenant>,
        force: bool,
        client: Option<ClientId>,
    ) -> Option<u64> {
        let all = tenants.is_empty();
        if let Some(run) = self.runs.values_mut().find(|run| run.is_joined_by(db, all, force)) {
            run.clients.extend(client);
            return None;
        }
        self.last += 1;
        let mut run = Run {
            db,
            force,
            all,
            began: now,
            tenants: None,
            progress: Vec::new(),
            taken: 0,
            under_way: 0,
            report: Report::default(),
            clients: client.into_iter().collect(),
        };
        if !all {
            run.set_tenants(tenants);
        }
        self.runs.insert(self.last, run);
        all.then_some(self.last)
    }

    /// The list of a run has arrived.
    pub(crate) fn set_tenants(&mut self, run: u64, tenants: Vec<Tenant>) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.set_tenants(tenants);
        }
    }

    /// The list of a run could not be had: its clients.
    pub(crate) fn abandon(&mut self, run: u64) -> Vec<ClientId> {
        self.runs.remove(&run).map(|run| run.clients).unwrap_or_default()
    }

    /// The next batch, of the oldest run that has room for one.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        let (id, run) = self.runs.iter_mut().find(|(_, run)| run.has_room())?;
        let tenants = run.tenants.as_mut()?;
        // Taken out, so that a long list is freed bit by bit.
        let batch: Vec<Tenant> = tenants.drain(..BATCH_TENANTS.min(tenants.len())).collect();
        let tenants = (run.taken..).zip(batch).collect();
        run.taken += u32::try_from(BATCH_TENANTS).unwrap_or(u32::MAX);
        Some(Batch { run: *id, db: run.db, force: run.force, tenants })
    }

    /// So many bundles of a tenant of the batch have to be computed.
    pub(crate) fn expect(&mut self, run: u64, tenant: u32, bundles: u8) {
        let Some(run) = self.runs.get_mut(&run) else { return };
        run.under_way += usize::from(bundles);
        if let Some(progress) = run.progress.get_mut(tenant as usize) {
            progress.open = bundles;
        }
        if bundles == 0 {
            run.report.fresh += 1;
        }
    }

    /// A bundle has come, or failed; true where it made a tenant failed that was not yet.
    pub(crate) fn landed(&mut self, seat: Seat, ok: bool) -> bool {
        let Some(run) = self.runs.get_mut(&seat.run) else { return false };
        run.under_way = run.under_way.saturating_sub(1);
        let Some(progress) = run.progress.get_mut((seat.bundle / 2) as usize) else { return false };
        progress.open = progress.open.saturating_sub(1);
        progress.computed |= ok;
        let newly = !ok && !progress.failed;
        progress.failed |= !ok;
        if progress.open == 0 {
            if progress.failed { run.report.failed += 1 } else { run.report.warmed += 1 }
        }
        newly
    }

    /// A run that has ended, taken out.
    pub(crate) fn take_ended(&mut self, now: Millis) -> Option<Ended> {
        let id = *self.runs.iter().find(|(_, run)| run.has_ended())?.0;
        let mut run = self.runs.remove(&id)?;
        run.report.elapsed_ms = now - run.began;
        self.last_report = Some(run.report);
        Some(Ended { report: run.report, clients: run.clients })
    }

    /// Ends all runs: this server may no longer write. Their clients.
    pub(crate) fn abort(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.runs).into_values().flat_map(|run| run.clients).collect()
    }

    /// A client no longer waits for its run, which goes on.
    pub(crate) fn leave(&mut self, client: ClientId) {
        for run in self.runs.values_mut() {
            run.clients.retain(|c| *c != client);
        }
    }

    /// Clients that wait for a run.
    pub(crate) fn clients(&self) -> usize {
        self.runs.values().map(|run| run.clients.len()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// A batch could be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.runs.values().any(Run::has_room)
    }

    /// A run has ended and was not yet taken out.
    pub(crate) fn has_ended(&self) -> bool {
        self.runs.values().any(Run::has_ended)
    }

    /// How far the oldest run is.
    pub(crate) fn progress(&self) -> Option<Report> {
        self.runs.values().next().map(|run| run.report)
    }
}

impl Run {
    fn is_joined_by(&self, db: i32, all: bool, force: bool) -> bool {
        all && self.all && self.db == db && self.force == force
    }

    fn set_tenants(&mut self, tenants: Vec<Tenant>) {
        self.progress = vec![Progress::default(); tenants.len()];
        self.report.tenants = tenants.len() as u64;
        self.tenants = Some(tenants.into());
    }

    fn has_room(&self) -> bool {
        self.under_way < LOW_WATER && self.tenants.as_ref().is_some_and(|tenants| !tenants.is_empty())
    }

    fn has_ended(&self) -> bool {
        self.tenants.is_some() && self.report.done() == self.report.tenants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(n: usize) -> Vec<Tenant> {
        (0..n).map(|i| Tenant::new(format!("t{i}").as_bytes()).unwrap()).collect()
    }

    #[test]
    fn every_tenant_of_a_run_is_counted_once() {
        let mut runs = Runs::default();
        runs.begin(0, 0, tenants(4), false, None);
        let batch = runs.next_batch().unwrap();
        assert_eq!(batch.tenants.len(), 4);
        for (tenant, bundles) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
            runs.expect(batch.run, tenant, bundles);
        }
        let seat = |bundle| Seat { run: batch.run, bundle };
        assert!(!runs.landed(seat(3), true));
        assert!(runs.take_ended(1).is_none());
        runs.landed(seat(4), true);
        runs.landed(seat(5), true);
        assert!(runs.landed(seat(6), false), "its first failure is news");
        assert!(!runs.landed(seat(7), false), "its second is not");
        let report = runs.take_ended(9).unwrap().report;
        assert_eq!(report, Report { tenants: 4, warmed: 2, fresh: 1, failed: 1, elapsed_ms: 9 });
    }

    #[test]
    fn a_run_asks_for_more_only_while_little_is_under_way() {
        let mut runs = Runs::default();
        runs.begin(0, 0, tenants(BATCH_TENANTS * 3), false, None);
        let first = runs.next_batch().unwrap();
        for (tenant, _) in &first.tenants {
            runs.expect(first.run, *tenant, 2);
        }
        assert!(runs.next_batch().is_none(), "a whole batch is under way");
        runs.landed(Seat { run: first.run, bundle: 0 }, true);
        assert!(runs.next_batch().is_some());
    }

    #[test]
    fn a_second_run_over_all_tenants_joins_the_first() {
        let mut runs = Runs::default();
        assert_eq!(runs.begin(0, 0, Vec::new(), false, None), Some(1));
        assert_eq!(runs.begin(0, 0, Vec::new(), false, None), None);
        assert_eq!(runs.begin(0, 0, Vec::new(), true, None), Some(2), "FORCE is another kind");
        assert_eq!(runs.len(), 2);
        while runs.may_begin(0, false, false) {
            runs.begin(0, 0, tenants(1), false, None);
        }
        assert!(runs.may_begin(0, true, true), "joining needs no room");
    }

    #[test]
    fn runs_are_bounded() {
        let mut runs = Runs::default();
        for _ in 0..MAX_RUNS {
            assert!(runs.may_begin(0, true, false));
            runs.begin(0, 0, tenants(1), false, None);
        }
        assert!(!runs.may_begin(0, false, false));
        assert!(!runs.may_begin(0, true, false));
    }

    #[test]
    fn a_run_over_no_tenants_ends_at_once() {
        let mut runs = Runs::default();
        let run = runs.begin(0, 0, Vec::new(), false, None).unwrap();
        assert!(runs.take_ended(0).is_none(), "the list is not there yet");
        runs.set_tenants(run, Vec::new());
        assert_eq!(runs.take_ended(0).unwrap().report.tenants, 0);
    }
}
