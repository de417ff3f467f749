//! Computes one bundle.

use std::time::Instant;

use chrono::{DateTime, Utc};
use postgres::Row;

use super::Database;
use super::failure::classify;
use super::session::{Query, Session};
use crate::bundle::{self, Bundle};
use crate::error::ApiError;
use crate::tenant::BundleId;

const FUNCTION: &str = "dashboard.bundle";

impl Database {
    /// Computes one bundle in one statement, so from one snapshot. Dropping the future cancels the statement.
    ///
    /// # Errors
    /// `no_tenant`, or why it could not be computed.
    pub async fn bundle(&self, id: BundleId) -> Result<Bundle, ApiError> {
        let max_bundle_bytes = self.max_bundle_bytes;
        self.misses.run(FUNCTION, move |session| compute(session, &id, max_bundle_bytes)).await
    }
}

/// Computes one bundle on this session.
pub(super) fn compute(
    session: &mut Session,
    id: &BundleId,
    max_bundle_bytes: u32,
) -> Result<Bundle, ApiError> {
    let _named_in_the_log =
        tracing::info_span!("bundle", tenant = %id.tenant, include_test_data = id.include_test_data)
            .entered();
    let failed = |error: postgres::Error| classify(FUNCTION, &error);
    let statement = session.statement(Query::One).map_err(failed)?;
    let started = Instant::now();
    let row = session
        .client
        .query_one(&statement, &[&id.tenant.as_str(), &id.include_test_data, &i64::from(max_bundle_bytes)])
        .map_err(failed)?;
    let took = started.elapsed();
    let generated_at: DateTime<Utc> = row.try_get(0).map_err(failed)?;
    let content = Content::of(&row, 1).map_err(failed)?;
    assemble(FUNCTION, id, &content, max_bundle_bytes, generated_at, took)
}

/// What a function returned for one tenant.
pub(super) struct Content<'a> {
    /// None when there is no such tenant.
    bytes: Option<i64>,
    /// None also when it has more bytes than were allowed: then Postgres keeps it to itself.
    json: Option<&'a str>,
}

impl<'a> Content<'a> {
    /// Reads the two columns that begin at `column`.
    pub(super) fn of(row: &'a Row, column: usize) -> Result<Self, postgres::Error> {
        Ok(Self { bytes: row.try_get(column)?, json: row.try_get(column + 1)? })
    }
}

/// Checks and completes what `function` returned.
pub(super) fn assemble(
    function: &'static str,
    id: &BundleId,
    content: &Content<'_>,
    max_bundle_bytes: u32,
    generated_at: DateTime<Utc>,
    took: std::time::Duration,
) -> Result<Bundle, ApiError> {
    let bytes = content.bytes.ok_or_else(|| ApiError::no_tenant(id.tenant.as_str()))?;
    let content = content.json.ok_or_else(|| {
        tracing::error!(function, tenant = %id.tenant, bytes, max_bundle_bytes, "a bundle is too large");
        ApiError::too_large(id.tenant.as_str(), bytes, max_bundle_bytes)
    })?;
    let content = bundle::Content::new(content).map_err(|problem| {
        tracing::error!(function, tenant = %id.tenant, %problem, "a dashboard function returned no bundle");
        ApiError::wrong_result(function, &problem.to_string())
    })?;
    let bundle = Bundle::new(id, &content, generated_at, took);
    tracing::debug!(
        tenant = %id.tenant,
        include_test_data = id.include_test_data,
        compute_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        bytes = bundle.size(),
        "computed a bundle"
    );
    Ok(bundle)
}
