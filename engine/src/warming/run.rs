//! One run: its tenants from the list to the last bundle, and what came of each.

use super::words::{Brought, FailedTenant, Report, Seat};
use crate::units::{ClientId, Millis};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use wire::bundle::UnixMillis;
use wire::known::Known;
use wire::tenant::Tenant;

/// Failed tenants that a run names; it counts all of them.
const NAMED_FAILURES: usize = 100;

/// How often a tenant's bundles are sent once more because of clears: a run has an end.
const MOST_AGAIN: u8 = 32;

/// Who asked for a run, for what, and when.
#[derive(Clone, Debug)]
pub struct Order {
    /// The database.
    pub db: i32,
    /// Fresh bundles, too.
    pub force: bool,
    /// All active tenants, not a list.
    pub all: bool,
    /// The client, in words.
    pub by: String,
    /// When.
    pub at: UnixMillis,
}

/// A tenant that is still to be begun. The one that was read last comes first; those that were never read, and
/// those of equal rank, as they were listed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    unread: u64,
    place: u32,
    tenant: Tenant,
}

/// The bundles of a tenant that a run waits for.
#[derive(Default)]
struct Progress {
    open: u8,
    failed: bool,
    /// One of them was computed.
    computed: bool,
    /// How often one of them had to be sent once more.
    again: u8,
}

/// What a run wants of a bundle.
pub enum Want {
    /// It is fresh.
    Nothing,
    /// Computed, whatever is stored.
    Computed,
    /// Computed, unless nothing has changed since this was.
    IfChanged(Known),
}

impl Want {
    /// It wants nothing.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Has it computed whatever has changed, unless what is known will `do`.
    pub fn compute_unless(&mut self, will_do: impl FnOnce(&Known) -> bool) {
        if let Self::IfChanged(known) = self
            && !will_do(known)
        {
            *self = Self::Computed;
        }
    }
}

/// A tenant of a batch, and which of its bundles are to be computed.
pub struct Wanted {
    /// Its place in the list.
    pub place: u32,
    /// Which.
    pub tenant: Tenant,
    /// With test data, and without.
    pub bundles: [Want; 2],
}

pub(super) struct Run {
    pub(super) order: Order,
    pub(super) began: Millis,
    /// Listed and not ranked yet; `None` while the sidecar is asked for the list.
    unranked: Option<VecDeque<Tenant>>,
    listed: u32,
    ranked: BinaryHeap<Reverse<Ranked>>,
    /// The next batch, as far as it is known.
    wanted: Vec<Wanted>,
    progress: BTreeMap<u32, Progress>,
    /// Bundles that are being computed.
    pub(super) under_way: usize,
    pub(super) report: Report,
    pub(super) failures: Vec<FailedTenant>,
    pub(super) clients: Vec<ClientId>,
}

impl Run {
    pub(super) fn new(order: Order, began: Millis, client: Option<ClientId>) -> Self {
        Self {
            order,
            began,
            unranked: None,
            listed: 0,
            ranked: BinaryHeap::new(),
            wanted: Vec::new(),
            progress: BTreeMap::new(),
            under_way: 0,
            report: Report::default(),
            failures: Vec::new(),
            clients: client.into_iter().collect(),
        }
    }

    pub(super) fn is_joined_by(&self, db: i32, all: bool, force: bool) -> bool {
        all && self.order.all && self.order.db == db && self.order.force == force
    }

    /// Takes the list. One that was given keeps its order.
    pub(super) fn set_tenants(&mut self, tenants: Vec<Tenant>) {
        self.report.tenants = tenants.len() as u64;
        self.ranked.reserve(tenants.len());
        self.unranked = Some(tenants.into());
        if !self.order.all {
            let given = self.take_unranked(usize::MAX);
            self.rank(given.into_iter().map(|tenant| (tenant, 0)).collect());
        }
    }

    pub(super) fn is_unranked(&self) -> bool {
        self.unranked.as_ref().is_some_and(|tenants| !tenants.is_empty())
    }

    pub(super) fn take_unranked(&mut self, most: usize) -> Vec<Tenant> {
        let Some(tenants) = &mut self.unranked else { return Vec::new() };
        tenants.drain(..most.min(tenants.len())).collect()
    }

    /// Tenants, and for how long nobody has read each, in the order of the list. All of them together come before
    /// any: that one takes longest, so the others are warmed beside it.
    pub(super) fn rank(&mut self, tenants: Vec<(Tenant, u64)>) {
        for (tenant, unread) in tenants {
            let unread = if tenant.is_all_tenants() { 0 } else { unread.saturating_add(1) };
            self.ranked.push(Reverse(Ranked { unread, place: self.listed, tenant }));
            self.listed += 1;
        }
    }

    /// Something is left to be looked at or sent.
    pub(super) fn has_work(&self) -> bool {
        !self.ranked.is_empty() || !self.wanted.is_empty()
    }

    /// The next tenants to look at, for a batch of `size`; none when the batch is complete.
    pub(super) fn take_ranked(&mut self, size: usize, most: usize) -> Vec<(u32, Tenant)> {
        let room = size.saturating_sub(self.wanted.len()).min(most);
        let next = std::iter::from_fn(|| self.ranked.pop()).take(room);
        next.map(|Reverse(Ranked { place, tenant, .. })| (place, tenant)).collect()
    }

    /// What has been seen of a tenant: which of its bundles are to be computed.
    pub(super) fn looked_at(&mut self, wanted: Wanted) {
        if wanted.bundles.iter().all(Want::is_nothing) {
            self.report.fresh += 1;
        } else {
            self.wanted.push(wanted);
        }
    }

    /// The batch. From here on its bundles count as under way.
    pub(super) fn take_wanted(&mut self, size: usize) -> Vec<Wanted> {
        let batch: Vec<Wanted> = self.wanted.drain(..size.min(self.wanted.len())).collect();
        for wanted in &batch {
            let open = wanted.bundles.iter().map(|want| u8::from(!want.is_nothing())).sum();
            self.under_way += usize::from(open);
            // What is sent once more is open already.
            self.progress.entry(wanted.place).or_insert(Progress { open, ..Progress::default() });
        }
        batch
    }

    /// A bundle that was under way goes into a later batch. Its tenant is open until then; true where it has failed
    /// instead, because it is cleared again and again.
    pub(super) fn again(&mut self, seat: Seat, tenant: &Tenant) -> bool {
        let (place, bundle) = (seat.bundle / 2, usize::from(!seat.bundle.is_multiple_of(2)));
        if let Some(progress) = self.progress.get_mut(&place) {
            progress.again = progress.again.saturating_add(1);
            if progress.again > MOST_AGAIN {
                return self.landed(seat, Err((tenant, "cleared")));
            }
        }
        self.under_way = self.under_way.saturating_sub(1);
        let mut bundles = [Want::Nothing, Want::Nothing];
        match self.wanted.last_mut().filter(|wanted| wanted.place == place) {
            Some(wanted) => wanted.bundles[bundle] = Want::Computed,
            None => {
                bundles[bundle] = Want::Computed;
                self.wanted.push(Wanted { place, tenant: tenant.clone(), bundles });
            }
        }
        false
    }

    /// A bundle has come, or has failed; true where that made a tenant failed that was not yet.
    pub(super) fn landed(&mut self, seat: Seat, outcome: Result<Brought, (&Tenant, &'static str)>) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        let place = seat.bundle / 2;
        let Some(progress) = self.progress.get_mut(&place) else { return false };
        progress.open = progress.open.saturating_sub(1);
        let newly = outcome.is_err() && !progress.failed;
        progress.failed |= outcome.is_err();
        progress.computed |= outcome == Ok(Brought::Computed);
        if progress.open == 0 {
            let count = match progress {
                Progress { failed: true, .. } => &mut self.report.failed,
                Progress { computed: true, .. } => &mut self.report.warmed,
                _ => &mut self.report.fresh,
            };
            *count += 1;
            self.progress.remove(&place);
        }
        if let Err((tenant, reason)) = outcome
            && newly
            && self.failures.len() < NAMED_FAILURES
        {
            self.failures.push(FailedTenant { tenant: tenant.clone(), reason });
        }
        newly
    }

    pub(super) fn has_ended(&self) -> bool {
        self.unranked.is_some() && self.report.done() == self.report.tenants
    }
}
