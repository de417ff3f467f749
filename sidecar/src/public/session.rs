//! `GET /api/session`: who asks, as the server sees it, and what they may do; for front ends to show or hide what
//! leads there.

use chrono::SecondsFormat;
use serde_json::json;

use super::envelope::succeed;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::http::{Params, Reply};
use crate::tenant::Tenant;

pub(super) fn describe(who: &Principal, query: Option<&str>) -> Result<Reply, ApiError> {
    Params::parse(query, &[])?;
    let expires_at = who.expires_at().map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    Ok(succeed(&json!({
        "tenant_id": who.tenant().map(Tenant::as_str),
        "role": who.role_name(),
        "expires_at": expires_at,
        "may": who.permissions(),
    })))
}
