//! What a function of the database returned as one bundle, and the version that goes with it.

use std::fmt::Display;

use postgres::Row;

use crate::bundle::{Content, InvalidVersion, Version};
use crate::error::ApiError;
use crate::tenant::Tenant;

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
