//! Computes many bundles and hands each over as soon as it is there.
//!
//! A batch is computed on one connection of the warm lane, chunk after chunk, see [`super::chunk`]: how many batches
//! are computed at a time is for those to say who ask for them. A reader that is slow slows the computing down; one
//! that is gone ends it. A reader that stays but takes nothing is the connection's to notice: it cuts itself off.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::Database;
use super::chunk::{self, Delivery, Limits, Outstanding};
use super::many;
use super::meter::Meter;
use super::session::Session;
use super::wanted::{BundleItem, Wanted, WantedBundle};
use crate::bundle::Known;
use crate::error::ApiError;
use crate::telemetry::metrics;
use crate::tenant::BundleId;

/// Finished bundles that wait for the reader.
const BUFFERED: usize = 16;

/// What comes out of a batch.
#[derive(Debug)]
pub enum BatchItem {
    /// A bundle that was asked for.
    Bundle(BundleItem),
    /// The last: for how long Postgres was waited for.
    QueryTime(Duration),
}

/// A batch under way. Dropping it cancels what still runs.
pub struct BundleStream {
    bundles: mpsc::Receiver<BundleItem>,
    /// Bundles still to come.
    missing: usize,
    /// What was spent on statements; none once it has been told.
    query_time: Option<Meter>,
    _work: AbortOnDropHandle<()>,
    _admission: OwnedSemaphorePermit,
}

/// A batch ended before each of its bundles had been handed over.
#[derive(Debug, thiserror::Error)]
#[error("a batch ended with {0} bundles missing")]
pub struct Incomplete(usize);

impl BundleStream {
    /// The next finished bundle, in no particular order; after all of them what they cost, and then none.
    ///
    /// # Errors
    /// [`Incomplete`], when no more come although some are missing.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<BatchItem, Incomplete>>> {
        Poll::Ready(match ready!(self.bundles.poll_recv(context)) {
            Some(item) => {
                self.missing = self.missing.saturating_sub(1);
                Some(Ok(BatchItem::Bundle(item)))
            }
            None if self.missing == 0 => self.query_time.take().map(|time| {
                let took = time.total();
                metrics::computed("batch", took, true);
                Ok(BatchItem::QueryTime(took))
            }),
            None => Some(Err(Incomplete(self.missing))),
        })
    }
}

impl Database {
    /// Begins to compute these bundles, of which some may be known already; each comes out once.
    ///
    /// # Errors
    /// `overloaded`, if too many batches are under way.
    pub fn bundles(self: &Arc<Self>, ids: Vec<(BundleId, Option<Known>)>) -> Result<BundleStream, ApiError> {
        let admission = self
            .batches
            .clone()
            .try_acquire_owned()
            .map_err(|_| ApiError::overloaded("too many batches under way"))?;
        let (sender, bundles) = mpsc::channel(BUFFERED);
        let missing = ids.len();
        let query_time = Meter::default();
        let work = self.clone().compute_batch(by_tenant(ids), sender, query_time.clone());
        Ok(BundleStream {
            bundles,
            missing,
            query_time: Some(query_time),
            _work: AbortOnDropHandle::new(tokio::spawn(work)),
            _admission: admission,
        })
    }

    async fn compute_batch(
        self: Arc<Self>,
        batch: Vec<Wanted>,
        sender: mpsc::Sender<BundleItem>,
        query_time: Meter,
    ) {
        let outstanding = Outstanding::new(&batch);
        let delivery = Delivery {
            sender: sender.clone(),
            runtime: Handle::current(),
            outstanding: outstanding.clone(),
            query_time,
            max_bundle_bytes: self.max_bundle_bytes,
        };
        let limits = Limits { together: self.warm_statement_timeout, one: self.statement_timeout };
        let work = {
            let largest = self.warm_batch;
            move |session: &mut Session| {
                chunks(&batch, largest)
                    .try_for_each(|chunk| chunk::compute(session, chunk, &delivery, limits))
            }
        };
        let Err(error) = self.warming.run(many::FUNCTION, work).await else { return };
        for wanted in outstanding.take() {
            for id in wanted.ids() {
                if sender.send((id, Err(error.clone()))).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Each tenant once, as they come; all tenants together are the last: they take longest.
fn by_tenant(ids: Vec<(BundleId, Option<Known>)>) -> Vec<Wanted> {
    let mut places = HashMap::new();
    let mut batch: Vec<Wanted> = Vec::new();
    for (BundleId { tenant, include_test_data }, known) in ids {
        let bundle = WantedBundle { include_test_data, known };
        let place = *places.entry(tenant.clone()).or_insert(batch.len());
        match batch.get_mut(place) {
            Some(wanted) => wanted.bundles.push(bundle),
            None => batch.push(Wanted { tenant, bundles: vec![bundle] }),
        }
    }
    batch.sort_by_key(|wanted| wanted.tenant.is_all_tenants());
    batch
}

/// Cuts a batch into what one statement computes: `largest` tenants at most, and all tenants together by themselves.
fn chunks(batch: &[Wanted], largest: usize) -> impl Iterator<Item = &[Wanted]> {
    let ordinary = batch.partition_point(|wanted| !wanted.tenant.is_all_tenants());
    let (ordinary, all_tenants) = batch.split_at(ordinary);
    ordinary.chunks(largest.max(1)).chain(all_tenants.chunks(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{ALL_TENANTS, Tenant};

    fn batch(names: &[(&str, bool)]) -> Vec<Wanted> {
        let id = |&(name, include_test_data): &(&str, bool)| {
            (BundleId { tenant: Tenant::parse(name).unwrap(), include_test_data }, None)
        };
        by_tenant(names.iter().map(id).collect())
    }

    fn names(chunks: &[&[Wanted]]) -> Vec<Vec<String>> {
        let names = |chunk: &&[Wanted]| chunk.iter().map(|wanted| wanted.tenant.to_string()).collect();
        chunks.iter().map(names).collect()
    }

    #[test]
    fn a_tenant_is_computed_once_and_each_of_its_bundles_is_handed_over() {
        let batch = batch(&[("a", true), ("b", false), ("a", false), ("b", false)]);
        let flags = |w: &Wanted| w.ids().map(|id| id.include_test_data).collect();
        let wanted: Vec<(_, Vec<bool>)> = batch.iter().map(|w| (w.tenant.as_str(), flags(w))).collect();
        assert_eq!(wanted, [("a", vec![true, false]), ("b", vec![false, false])]);
    }

    #[test]
    fn all_tenants_together_are_a_statement_of_their_own_and_the_last() {
        let batch =
            batch(&[("a", true), (ALL_TENANTS, true), ("b", true), ("c", true), (ALL_TENANTS, false)]);
        let chunks: Vec<_> = chunks(&batch, 2).collect();
        assert_eq!(names(&chunks), [vec!["a", "b"], vec!["c"], vec![ALL_TENANTS]]);
    }

    #[test]
    fn a_chunk_is_never_longer_than_the_setting() {
        let names: Vec<String> = (0..200).map(|n| format!("t{n}")).collect();
        let batch = batch(&names.iter().map(|name| (name.as_str(), true)).collect::<Vec<_>>());
        let lengths: Vec<_> = chunks(&batch, 30).map(<[Wanted]>::len).collect();
        assert_eq!(lengths, [30, 30, 30, 30, 30, 30, 20]);
    }
}
