//! Computes one bundle.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Database;
use super::failure::classify;
use super::returned::{self, Returned};
use super::session::{Query, Session};
use crate::bundle::{Bundle, Content, Version};
use crate::error::ApiError;
use crate::telemetry::metrics;
use crate::tenant::BundleId;

const FUNCTION: &str = "dashboard.bundle";

impl Database {
    /// Computes one bundle in one statement, so from one snapshot. Dropping the future cancels the statement.
    ///
    /// # Errors
    /// `no_tenant`, or why it could not be computed.
    pub async fn bundle(&self, id: BundleId) -> Result<Bundle, ApiError> {
        let max_bundle_bytes = self.max_bundle_bytes;
        self.misses.run(FUNCTION, move |session| compute(session, &id, max_bundle_bytes, |_took| {})).await
    }
}

/// Computes one bundle on this session; `waited` is told for how long Postgres was waited for.
pub(super) fn compute(
    session: &mut Session,
    id: &BundleId,
    max_bundle_bytes: u32,
    waited: impl FnOnce(Duration),
) -> Result<Bundle, ApiError> {
    let _named_in_the_log =
        tracing::info_span!("bundle", tenant = %id.tenant, include_test_data = id.include_test_data)
            .entered();
    let failed = |error: postgres::Error| classify(FUNCTION, &error);
    let started = Instant::now();
    let row = session
        .query_one(Query::One, &[&id.tenant.as_str(), &id.include_test_data, &i64::from(max_bundle_bytes)]);
    let took = started.elapsed();
    waited(took);
    metrics::computed("single", took, row.is_ok());
    let row = row?;
    let answered: &str = row.try_get(4).map_err(failed)?;
    if answered != id.tenant.as_str() {
        // One tenant's figures under another's name would be the worst of errors.
        tracing::error!(answered, "an answer is not the one to what was asked; this connection is closed");
        session.give_up();
        return Err(ApiError::internal(FUNCTION));
    }
    let generated_at: DateTime<Utc> = row.try_get(0).map_err(failed)?;
    let returned = Returned::of(&row, 1).map_err(failed)?;
    let version = returned::version(&row, 3, &id.tenant).map_err(failed)?;
    let content = returned.content(FUNCTION, &id.tenant, max_bundle_bytes, Content::new)?;
    Ok(assemble(id, &content, generated_at, took, version.as_ref()))
}

/// Completes a bundle.
pub(super) fn assemble(
    id: &BundleId,
    content: &Content,
    generated_at: DateTime<Utc>,
    took: Duration,
    version: Option<&Version>,
) -> Bundle {
    let bundle = Bundle::new(id, content, generated_at, took, version);
    tracing::debug!(
        tenant = %id.tenant,
        include_test_data = id.include_test_data,
        compute_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        bytes = bundle.size(),
        "computed a bundle"
    );
    bundle
}
