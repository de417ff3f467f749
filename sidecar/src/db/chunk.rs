//! Computes a part of a batch by one statement for many tenants, which gives both bundles of each; but first asks
//! of which of those that are known already nothing has changed.
//!
//! What one tenant does wrong costs that tenant only: when the statement fails, the rest of the chunk is computed
//! one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postgres::Row;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::failure::classify;
use super::many::{FUNCTION, Many, mismatch};
use super::meter::Meter;
use super::session::{LOCK_FOR_BUNDLES, Session};
use super::single;
use super::unchanged::{self, Split};
use super::wanted::{BundleItem, Found, Wanted};
use crate::error::ApiError;
use crate::pg::{Param, Queries as _};

/// Rows fetched at once, at most. Postgres sends what it has when a fetch ends; within one, a small bundle may
/// wait in its output buffer for the next ones, so there is more than one only where all of them are quick.
const MOST_ROWS: u32 = 8;
/// How long a fetch of more than one row may take, by what the last one took.
const QUICK: Duration = Duration::from_millis(10);

/// How long statements may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The one for a chunk.
    pub(super) together: Duration,
    /// The one for a single bundle.
    pub(super) one: Duration,
}

/// What has not been handed over yet of a batch, in its order.
#[derive(Clone)]
pub(super) struct Outstanding(Arc<Mutex<VecDeque<Wanted>>>);

impl Outstanding {
    pub(super) fn new(batch: &[Wanted]) -> Self {
        Self(Arc::new(Mutex::new(batch.iter().cloned().collect())))
    }

    /// Of the next `count` tenants, `rest` is left.
    fn narrow(&self, count: usize, rest: &[Wanted]) {
        let mut wanted = self.0.lock();
        let later = wanted.iter().skip(count);
        *wanted = rest.iter().chain(later).cloned().collect();
    }

    /// The next tenant has all that was wanted of it.
    fn delivered(&self) {
        self.0.lock().pop_front();
    }

    /// All of it, as it will not be handed over any more.
    pub(super) fn take(&self) -> VecDeque<Wanted> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Hands a batch's bundles over, tenant by tenant, in the batch's order.
pub(super) struct Delivery {
    pub(super) sender: mpsc::Sender<BundleItem>,
    pub(super) runtime: Handle,
    pub(super) outstanding: Outstanding,
    pub(super) query_time: Meter,
    pub(super) max_bundle_bytes: u32,
}

/// Why a statement ended early.
enum Stop {
    /// Nobody reads any more.
    ReaderGone,
    /// The statement, or what it returned, was wrong.
    Failed(ApiError),
}

impl Delivery {
    /// Hands over all that was wanted of one tenant.
    fn send(&self, bundles: impl IntoIterator<Item = BundleItem>) -> Result<(), Stop> {
        self.send_items(bundles)?;
        self.outstanding.delivered();
        Ok(())
    }

    fn send_items(&self, items: impl IntoIterator<Item = BundleItem>) -> Result<(), Stop> {
        for item in items {
            self.runtime.block_on(self.sender.send(item)).map_err(|_gone| Stop::ReaderGone)?;
        }
        Ok(())
    }

    /// None when there is nothing left to do, the failure if the rest may succeed one by one.
    fn outcome(&self, outcome: Result<(), Stop>) -> Result<Option<ApiError>, ApiError> {
        match outcome {
            Ok(()) | Err(Stop::ReaderGone) => Ok(None),
            // A cancelled statement fails too: then nobody is left to compute for.
            Err(Stop::Failed(_)) if self.sender.is_closed() => Ok(None),
            Err(Stop::Failed(error)) if error.is_about_one_tenant() => Ok(Some(error)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

/// Computes a chunk, which is the next of its batch. Where nobody reads any more, nothing is done.
///
/// # Errors
/// Only what is wrong with the whole database: then none of the rest is handed over.
pub(super) fn compute(
    session: &mut Session,
    chunk: &[Wanted],
    delivery: &Delivery,
    limits: Limits,
) -> Result<(), ApiError> {
    if delivery.sender.is_closed() {
        return Ok(());
    }
    session.limit_statements_to(limits.together);
    let Split { unchanged, rest } = unchanged::split(session, chunk, &delivery.query_time);
    delivery.outstanding.narrow(chunk.len(), &rest);
    // The question may have ended because its reader has gone.
    if delivery.send_items(unchanged).is_err() || delivery.sender.is_closed() || rest.is_empty() {
        return Ok(());
    }
    let mut rest = &rest[..];
    let outcome = match delivery.query_time.time(|| session.many()).0 {
        Ok(Some(many)) => together(session, &many, &mut rest, delivery, limits.together),
        // Behind a pooler nothing is prepared.
        Ok(None) => {
            session.limit_statements_to(limits.one);
            return one_by_one(session, rest, delivery);
        }
        Err(error) => Err(Stop::Failed(error)),
    };
    if let Err(Stop::Failed(_)) = outcome {
        session.forget_many();
    }
    let Some(failed) = delivery.outcome(outcome)? else { return Ok(()) };
    tracing::warn!(%failed, "a statement for many tenants failed; computing the rest of them one by one");
    session.limit_statements_to(limits.one);
    one_by_one(session, rest, delivery)
}

/// Computes tenants by one statement, thus from one snapshot, handing rows over as they come: `rest` are those that
/// were not. Each fetch has the session's statement_timeout to itself; all of them together have `limit`.
fn together(
    session: &mut Session,
    many: &Many,
    rest: &mut &[Wanted],
    delivery: &Delivery,
    limit: Duration,
) -> Result<(), Stop> {
    let failed = |error: postgres::Error| Stop::Failed(classify(FUNCTION, &error));
    let chunk = *rest;
    let tenants: Vec<&str> = chunk.iter().map(|wanted| wanted.tenant.as_str()).collect();
    let parameters: [&dyn Param; 2] = [&tenants, &i64::from(delivery.max_bundle_bytes)];
    let meter = &delivery.query_time;
    // Read-only as the session is. Dropped early, it is rolled back, and the rest is never computed.
    let mut transaction = meter.time(|| session.client.transaction()).0.map_err(failed)?;
    meter.time(|| transaction.batch_execute(LOCK_FOR_BUNDLES)).0.map_err(failed)?;
    let portal = meter.time(|| transaction.bind(&many.statement, &parameters)).0.map_err(failed)?;
    let mut spent = Duration::ZERO;
    let mut share = Duration::ZERO;
    let mut fetched_rows = 1;
    while !rest.is_empty() {
        let (rows, took) = meter.time(|| transaction.query_portal(&portal, fetched_rows));
        let rows = rows.map_err(failed)?;
        let Ok(count @ 1..) = u32::try_from(rows.len()) else {
            return Err(Stop::Failed(mismatch("fewer rows than tenants")));
        };
        // What was computed for all of them before the first row is each one's.
        let is_first = rest.len() == chunk.len();
        if is_first && many.at_once {
            share = took / u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        }
        let each = if is_first && many.at_once { share } else { took / count };
        for row in &rows {
            let Some((wanted, others)) = rest.split_first() else { break };
            deliver_row(row, many, wanted, each.max(share), delivery)?;
            *rest = others;
        }
        spent += took;
        if spent > limit {
            return Err(Stop::Failed(ApiError::timeout(FUNCTION)));
        }
        fetched_rows = next_fetch(each, count, rest.len());
    }
    if !meter.time(|| transaction.query_portal(&portal, 1)).0.map_err(failed)?.is_empty() {
        // Every tenant has its bundle already; whoever wrote the function should know.
        mismatch("more rows than tenants");
    }
    meter.time(|| transaction.commit()).0.map_err(failed)
}

/// How many rows to fetch next, when each of the last `count` took so long and `rest` are to come.
fn next_fetch(took: Duration, count: u32, rest: usize) -> i32 {
    let quick = (1..=MOST_ROWS.min(count * 2)).rev().find(|&rows| took * rows <= QUICK).unwrap_or(1);
    i32::try_from(rest).unwrap_or(i32::MAX).min(quick.cast_signed()).max(1)
}

fn deliver_row(
    row: &Row,
    many: &Many,
    wanted: &Wanted,
    took: Duration,
    delivery: &Delivery,
) -> Result<(), Stop> {
    let pair = many.read(row, &wanted.tenant, delivery.max_bundle_bytes).map_err(Stop::Failed)?;
    delivery.send(wanted.ids().map(|id| {
        let content = if id.include_test_data { &pair.with } else { &pair.without };
        let bundle = match content {
            Ok(content) => {
                let version = pair.version.as_ref();
                Ok(Found::Computed(single::assemble(&id, content, pair.generated_at, took, version)))
            }
            Err(error) => Err(error.clone()),
        };
        (id, bundle)
    }))
}

/// Computes what is left of a chunk, bundle by bundle; only a failure of the whole database ends it.
fn one_by_one(session: &mut Session, rest: &[Wanted], delivery: &Delivery) -> Result<(), ApiError> {
    for wanted in rest {
        let mut bundles = Vec::new();
        for id in wanted.ids() {
            let outcome = single::compute(session, &id, delivery.max_bundle_bytes, |took| {
                delivery.query_time.add(took);
            });
            match outcome {
                Err(error) if !error.is_about_one_tenant() => return Err(error),
                outcome => bundles.push((id, outcome.map(Found::Computed))),
            }
        }
        if delivery.send(bundles).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::wanted::WantedBundle;
    use super::*;
    use crate::tenant::Tenant;

    #[test]
    fn what_is_outstanding_is_what_was_neither_delivered_nor_said_to_be_unchanged() {
        let wanted = |name: &str, bundles: &[bool]| Wanted {
            tenant: Tenant::parse(name).unwrap(),
            bundles: bundles
                .iter()
                .map(|&include_test_data| WantedBundle { include_test_data, known: None })
                .collect(),
        };
        let both = |name: &str| wanted(name, &[true, false]);
        let outstanding = Outstanding::new(&[both("a"), both("b"), both("c"), both("d"), both("e")]);
        // Of the first three, one is unchanged, and one of another's bundles.
        outstanding.narrow(3, &[both("a"), wanted("c", &[false])]);
        outstanding.delivered();
        assert_eq!(outstanding.0.lock().front(), Some(&wanted("c", &[false])));
        outstanding.delivered();
        outstanding.narrow(1, &[]);
        assert_eq!(outstanding.take(), [both("e")]);
        assert!(outstanding.take().is_empty(), "nothing is given up twice");
    }

    #[test]
    fn several_rows_are_fetched_at_once_only_where_each_is_quick() {
        let quick = Duration::from_micros(400);
        assert_eq!([1, 2, 4, 8].map(|count| next_fetch(quick, count, 50)), [2, 4, 8, 8]);
        assert_eq!(next_fetch(quick, 8, 3), 3, "no more than are to come");
        assert_eq!(next_fetch(Duration::from_millis(4), 4, 50), 2);
        assert_eq!(next_fetch(Duration::from_secs(60), 8, 50), 1);
    }
}
