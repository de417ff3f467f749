//! `POST /api/reports/clear-cache`: removes the bundles of a tenant, or of all.

use ::http::StatusCode;
use hyper::Request;
use hyper::body::Incoming;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::State;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::http::{self, Params, Reply};
use crate::tenant::Tenant;

/// The largest body of any request, in bytes.
pub(super) const MAX_BODY: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, with the member 'tenant_id' or none")]
struct Wanted {
    #[serde(default, deserialize_with = "tenant")]
    tenant_id: Option<Tenant>,
}

/// A tenant that is named. Not null: that is how a program says that it knows none, and would mean all of them.
pub(super) fn tenant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tenant>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Tenant::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

impl State {
    pub(super) async fn clear_cache(
        &self,
        who: &Principal,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        Params::parse(request.uri().query(), &[])?;
        let Wanted { tenant_id } = http::read_json(request, MAX_BODY).await?;
        who.may_clear(tenant_id.as_ref())?;
        let cleared = self.cache.clear(tenant_id.as_ref()).await?;
        let of = tenant_id.as_ref().map_or("all tenants", Tenant::as_str);
        tracing::info!(tenant = of, cleared, "[dashboard-bundle] cache cleared");
        let bundles = if cleared == 1 { "bundle" } else { "bundles" };
        Ok(http::json(
            StatusCode::OK,
            &json!({
                "status": "success",
                "message": format!("{cleared} {bundles} of {of} cleared"),
                "data": {"tenant_id": tenant_id.as_ref().map(Tenant::as_str), "cleared": cleared},
            }),
        ))
    }
}
