//! `GET /api/session`: who asks, as the server sees it, and what they may do; for front ends to show or hide what
//! leads there.

use ::http::StatusCode;
use chrono::SecondsFormat;
use serde_json::json;

use crate::auth::Principal;
use crate::error::ApiError;
use crate::http::{self, Params, Reply};
use crate::tenant::Tenant;

pub(super) fn describe(who: &Principal, query: Option<&str>) -> Result<Reply, ApiError> {
    Params::parse(query, &[])?;
    let expires_at = who.expires_at().map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    Ok(http::json(
        StatusCode::OK,
        &json!({
            "status": "success",
            "data": {
                "tenant_id": who.tenant().map(Tenant::as_str),
                "role": who.role_name(),
                "expires_at": expires_at,
                "may": who.permissions(),
            },
        }),
    ))
}
