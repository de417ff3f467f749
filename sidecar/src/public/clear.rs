//! `POST /api/reports/clear-cache`: removes the bundles of a tenant, or of all.

use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::body;
use super::envelope::succeed_saying;
use super::state::State;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::http::Reply;
use crate::tenant::Tenant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, with the member 'tenant_id' or none")]
struct Wanted {
    #[serde(default, deserialize_with = "body::tenant")]
    tenant_id: Option<Tenant>,
}

impl State {
    pub(super) async fn clear_cache(
        &self,
        who: &Principal,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        let Wanted { tenant_id } = body::read(request).await?;
        who.may_clear(tenant_id.as_ref())?;
        let cleared = self.cache.clear(tenant_id.as_ref()).await?;
        let of = tenant_id.as_ref().map_or("all tenants", Tenant::as_str);
        tracing::info!(tenant = of, cleared, "[dashboard-bundle] cache cleared");
        let bundles = if cleared == 1 { "bundle" } else { "bundles" };
        Ok(succeed_saying(
            &format!("{cleared} {bundles} of {of} cleared"),
            &json!({"tenant_id": tenant_id.as_ref().map(Tenant::as_str), "cleared": cleared}),
        ))
    }
}
