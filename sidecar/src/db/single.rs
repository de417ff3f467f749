//! Computes one bundle.

use std::fmt::Display;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postgres::Row;

use super::Database;
use super::failure::classify;
use super::session::{Query, Session};
use crate::bundle::{Bundle, Content, InvalidVersion, Version};
use crate::error::ApiError;
use crate::telemetry::metrics;
use crate::tenant::{BundleId, Tenant};

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
    let statement = session.statement(Query::One).map_err(failed)?;
    let started = Instant::now();
    let row = session
        .client
        .query_one(&statement, &[&id.tenant.as_str(), &id.include_test_data, &i64::from(max_bundle_bytes)]);
    let took = started.elapsed();
    waited(took);
    metrics::computed("single", took, row.is_ok());
    let row = row.map_err(failed)?;
    let generated_at: DateTime<Utc> = row.try_get(0).map_err(failed)?;
    let returned = Returned::of(&row, 1).map_err(failed)?;
    let version = version(&row, 3, &id.tenant).map_err(failed)?;
    let content = returned.content(FUNCTION, &id.tenant, max_bundle_bytes, Content::new)?;
    Ok(assemble(id, &content, generated_at, took, version.as_ref()))
}

/// The version in this column. What cannot be one is left out: then the bundle is computed again each time.
pub(super) fn version(row: &Row, column: usize, tenant: &Tenant) -> Result<Option<Version>, postgres::Error> {
    let text: Option<&str> = row.try_get(column)?;
    let refuse = |reason: &InvalidVersion| tracing::warn!(tenant = tenant.as_str(), %reason, "the database names no version");
    Ok(text.and_then(|text| Version::parse(text).inspect_err(refuse).ok()))
}

/// What a function returned as one bundle.
#[derive(Clone, Copy)]
pub(super) struct Returned<'a> {
    /// None when it was NULL.
    bytes: Option<i64>,
    /// None also when it has more bytes than were allowed: then Postgres keeps it to itself.
    json: Option<&'a str>,
}

impl<'a> Returned<'a> {
    /// Reads the two columns that begin at `column`.
    pub(super) fn of(row: &'a Row, column: usize) -> Result<Self, postgres::Error> {
        Ok(Self { bytes: row.try_get(column)?, json: row.try_get(column + 1)? })
    }

    /// Whether the function said nothing at all.
    pub(super) fn is_null(self) -> bool {
        self.bytes.is_none()
    }

    /// Checks what `function` returned for `tenant`, and makes a bundle's content of it; NULL means that there is no
    /// such tenant.
    pub(super) fn content<E: Display>(
        self,
        function: &'static str,
        tenant: &Tenant,
        max_bundle_bytes: u32,
        make: impl FnOnce(&str) -> Result<Content, E>,
    ) -> Result<Content, ApiError> {
        let tenant = tenant.as_str();
        let too_large = |bytes| {
            tracing::error!(function, tenant, bytes, max_bundle_bytes, "a bundle is too large");
            ApiError::too_large(tenant, bytes, max_bundle_bytes)
        };
        let bytes = self.bytes.ok_or_else(|| ApiError::no_tenant(tenant))?;
        let json = self.json.ok_or_else(|| too_large(bytes))?;
        let content = make(json).map_err(|problem| {
            tracing::error!(function, tenant, %problem, "a dashboard function returned no bundle");
            ApiError::wrong_result(function, &problem.to_string())
        })?;
        match i64::try_from(content.size()) {
            Ok(bytes) if bytes > i64::from(max_bundle_bytes) => Err(too_large(bytes)),
            _ => Ok(content),
        }
    }
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
