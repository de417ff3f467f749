//! Computes many bundles and hands each over as soon as it is there.
//!
//! A batch is cut into chunks, one statement each, that share the warm lane's connections. What one tenant
//! does wrong costs that tenant only: when a chunk's statement fails, the rest of the chunk is computed one
//! by one. A reader that is slow slows the computing down; one that is gone ends it. A reader that stays but
//! takes nothing is the connection's to notice: it cuts itself off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postgres::Row;
use postgres::types::ToSql;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::Database;
use super::failure::classify;
use super::session::{Query, Session};
use super::single::{self, Content};
use crate::bundle::Bundle;
use crate::error::ApiError;
use crate::tenant::BundleId;

const FUNCTION: &str = "dashboard.bundles";
/// Finished bundles that wait for the reader.
const BUFFERED: usize = 16;
/// Rows fetched at once, at most. Postgres sends what it has when a fetch ends; within one, a small bundle may
/// wait in its output buffer for the next ones, so there is more than one only where all of them are quick.
const MOST_ROWS: u32 = 8;
/// How long a fetch of more than one row may take, by what the last one took.
const QUICK: Duration = Duration::from_millis(10);

/// One of a batch's bundles, or why it could not be computed.
pub type BundleItem = (BundleId, Result<Bundle, ApiError>);

/// A batch under way. Dropping it cancels what still runs.
pub struct BundleStream {
    items: mpsc::Receiver<BundleItem>,
    /// Bundles still to come.
    missing: usize,
    _chunks: JoinSet<()>,
    _admission: OwnedSemaphorePermit,
}

/// A batch ended before each of its bundles had been handed over.
#[derive(Debug, thiserror::Error)]
#[error("a batch ended with {0} bundles missing")]
pub struct Incomplete(usize);

impl BundleStream {
    /// The next finished bundle, in no particular order; none when all have been handed over.
    ///
    /// # Errors
    /// [`Incomplete`], when no more come although some are missing.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<BundleItem, Incomplete>>> {
        Poll::Ready(match ready!(self.items.poll_recv(context)) {
            Some(item) => {
                self.missing = self.missing.saturating_sub(1);
                Some(Ok(item))
            }
            None if self.missing == 0 => None,
            None => Some(Err(Incomplete(self.missing))),
        })
    }
}

impl Database {
    /// Begins to compute these bundles; each comes out once.
    ///
    /// # Errors
    /// `overloaded`, if too many batches are under way.
    pub fn bundles(self: &Arc<Self>, ids: Vec<BundleId>) -> Result<BundleStream, ApiError> {
        let admission = self
            .batches
            .clone()
            .try_acquire_owned()
            .map_err(|_| ApiError::overloaded("too many batches under way"))?;
        let (sender, items) = mpsc::channel(BUFFERED);
        let missing = ids.len();
        let mut chunks = JoinSet::new();
        for chunk in cut(ids, self.warm_batch, self.warm_connections) {
            chunks.spawn(self.clone().compute_chunk(chunk, sender.clone()));
        }
        Ok(BundleStream { items, missing, _chunks: chunks, _admission: admission })
    }

    async fn compute_chunk(self: Arc<Self>, chunk: Vec<BundleId>, sender: mpsc::Sender<BundleItem>) {
        let chunk = Arc::new(chunk);
        let delivery = Delivery {
            sender: sender.clone(),
            runtime: Handle::current(),
            delivered: Arc::new(AtomicUsize::new(0)),
            max_bundle_bytes: self.max_bundle_bytes,
        };
        let delivered = delivery.delivered.clone();
        let (many_timeout, one_timeout) = (self.warm_statement_timeout, self.statement_timeout);
        let work = {
            let chunk = chunk.clone();
            move |session: &mut Session| {
                session.limit_statements_to(many_timeout).map_err(|error| classify(FUNCTION, &error))?;
                let Some(failed) = delivery.outcome(together(session, &chunk, &delivery, many_timeout))?
                else {
                    return Ok(());
                };
                tracing::warn!(%failed, "a statement for many tenants failed; computing the rest of them one by one");
                session.limit_statements_to(one_timeout).map_err(|error| classify(FUNCTION, &error))?;
                one_by_one(session, &chunk, &delivery)
            }
        };
        if let Err(error) = self.warming.run(FUNCTION, work).await {
            for id in &chunk[delivered.load(Ordering::Acquire)..] {
                if sender.send((id.clone(), Err(error.clone()))).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Cuts a batch into chunks of one include flag each, at most `largest` long and short enough that every
/// connection has work. All tenants together are a chunk of their own, and first: it takes longest.
fn cut(ids: Vec<BundleId>, largest: usize, connections: usize) -> VecDeque<Vec<BundleId>> {
    let (all_tenants, ids): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| id.tenant.is_all_tenants());
    let length = ids.len().div_ceil(connections.max(1)).clamp(1, largest.max(1));
    let (with, without): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| id.include_test_data);
    let mut chunks: VecDeque<Vec<BundleId>> = all_tenants.into_iter().map(|id| vec![id]).collect();
    for group in [with, without] {
        chunks.extend(group.chunks(length).map(<[BundleId]>::to_vec));
    }
    chunks
}

/// Hands a chunk's bundles over, in the chunk's order.
struct Delivery {
    sender: mpsc::Sender<BundleItem>,
    runtime: Handle,
    delivered: Arc<AtomicUsize>,
    max_bundle_bytes: u32,
}

/// Why the statement for many tenants ended early.
enum Stop {
    /// Nobody reads any more.
    ReaderGone,
    /// The statement, or what it returned, was wrong.
    Failed(ApiError),
}

impl Delivery {
    fn send(&self, id: &BundleId, outcome: Result<Bundle, ApiError>) -> Result<(), Stop> {
        self.runtime.block_on(self.sender.send((id.clone(), outcome))).map_err(|_gone| Stop::ReaderGone)?;
        self.delivered.fetch_add(1, Ordering::AcqRel);
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

/// Computes a chunk by one statement, thus from one snapshot, handing rows over as they come. Each fetch has
/// the session's statement_timeout to itself; all of them together have `limit`.
fn together(
    session: &mut Session,
    chunk: &[BundleId],
    delivery: &Delivery,
    limit: Duration,
) -> Result<(), Stop> {
    let failed = |error: postgres::Error| Stop::Failed(classify(FUNCTION, &error));
    let Some(first) = chunk.first() else { return Ok(()) };
    let tenants: Vec<&str> = chunk.iter().map(|id| id.tenant.as_str()).collect();
    let parameters: [&(dyn ToSql + Sync); 3] =
        [&tenants, &first.include_test_data, &i64::from(delivery.max_bundle_bytes)];
    let statement = session.statement(Query::Many).map_err(failed)?;
    let began = Instant::now();
    // Read-only as the session is. Dropped early, it is rolled back, and the rest is never computed.
    let mut transaction = session.client.transaction().map_err(failed)?;
    let portal = transaction.bind(&statement, &parameters).map_err(failed)?;
    let mut rest = chunk;
    let mut fetched_rows = 1;
    while !rest.is_empty() {
        let started = Instant::now();
        let rows = transaction.query_portal(&portal, fetched_rows).map_err(failed)?;
        let Ok(count @ 1..) = u32::try_from(rows.len()) else {
            return Err(Stop::Failed(mismatch("fewer rows than tenants")));
        };
        let took = started.elapsed() / count;
        for row in &rows {
            let Some((id, others)) = rest.split_first() else { break };
            deliver_row(row, id, took, delivery)?;
            rest = others;
        }
        if began.elapsed() > limit {
            return Err(Stop::Failed(ApiError::timeout(FUNCTION)));
        }
        fetched_rows = next_fetch(took, count, rest.len());
    }
    if !transaction.query_portal(&portal, 1).map_err(failed)?.is_empty() {
        // Every tenant has its bundle already; whoever wrote the function should know.
        mismatch("more rows than tenants");
    }
    transaction.commit().map_err(failed)
}

/// How many rows to fetch next, when each of the last `count` took so long and `rest` are to come.
fn next_fetch(took: Duration, count: u32, rest: usize) -> i32 {
    let quick = (1..=MOST_ROWS.min(count * 2)).rev().find(|&rows| took * rows <= QUICK).unwrap_or(1);
    i32::try_from(rest).unwrap_or(i32::MAX).min(quick.cast_signed()).max(1)
}

fn deliver_row(row: &Row, id: &BundleId, took: Duration, delivery: &Delivery) -> Result<(), Stop> {
    let failed = |error: postgres::Error| Stop::Failed(classify(FUNCTION, &error));
    let generated_at: DateTime<Utc> = row.try_get(0).map_err(failed)?;
    let tenant: Option<&str> = row.try_get(1).map_err(failed)?;
    // One tenant's figures under another's name would be the worst of errors.
    if tenant != Some(id.tenant.as_str()) {
        return Err(Stop::Failed(mismatch("rows in another order than the tenants asked for")));
    }
    let content = Content::of(row, 2).map_err(failed)?;
    let bundle = single::assemble(FUNCTION, id, &content, delivery.max_bundle_bytes, generated_at, took);
    delivery.send(id, bundle)
}

fn mismatch(problem: &str) -> ApiError {
    tracing::error!(problem, "dashboard.bundles must return one row for each tenant, in order");
    ApiError::wrong_result(FUNCTION, problem)
}

/// Computes what is left of a chunk, tenant by tenant; only a failure of the whole database ends it.
fn one_by_one(session: &mut Session, chunk: &[BundleId], delivery: &Delivery) -> Result<(), ApiError> {
    for id in &chunk[delivery.delivered.load(Ordering::Acquire)..] {
        let outcome = single::compute(session, id, delivery.max_bundle_bytes);
        if let Err(error) = &outcome
            && !error.is_about_one_tenant()
        {
            return Err(error.clone());
        }
        if delivery.send(id, outcome).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{ALL_TENANTS, Tenant};

    fn ids(names: &[(&str, bool)]) -> Vec<BundleId> {
        names
            .iter()
            .map(|(name, include)| BundleId {
                tenant: Tenant::parse(name).unwrap(),
                include_test_data: *include,
            })
            .collect()
    }

    #[test]
    fn a_chunk_has_one_flag_and_all_tenants_together_come_first() {
        let batch = ids(&[("a", true), ("b", false), (ALL_TENANTS, true), ("c", true), ("d", true)]);
        let chunks: Vec<_> = cut(batch, 50, 2).into();
        assert_eq!(
            chunks,
            [
                ids(&[(ALL_TENANTS, true)]),
                ids(&[("a", true), ("c", true)]),
                ids(&[("d", true)]),
                ids(&[("b", false)])
            ]
        );
    }

    #[test]
    fn several_rows_are_fetched_at_once_only_where_each_is_quick() {
        let quick = Duration::from_micros(400);
        assert_eq!([1, 2, 4, 8].map(|count| next_fetch(quick, count, 50)), [2, 4, 8, 8]);
        assert_eq!(next_fetch(quick, 8, 3), 3, "no more than are to come");
        assert_eq!(next_fetch(Duration::from_millis(4), 4, 50), 2);
        assert_eq!(next_fetch(Duration::from_secs(60), 8, 50), 1);
    }

    #[test]
    fn a_chunk_is_never_longer_than_the_setting() {
        let names: Vec<String> = (0..200).map(|n| format!("t{n}")).collect();
        let batch = ids(&names.iter().map(|name| (name.as_str(), true)).collect::<Vec<_>>());
        let chunks = cut(batch, 30, 2);
        assert!(chunks.iter().all(|chunk| chunk.len() <= 30));
        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 200);
    }
}
