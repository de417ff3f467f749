//! `GET /api/tenants`: the tenants whose dashboards the caller may open, by name, for front ends to pick one.

use ::http::Request;
use serde_json::{Value, json};

use super::envelope::succeed;
use super::state::State;
use crate::auth::{Principal, Scope};
use crate::db::NamedTenant;
use crate::error::ApiError;
use crate::http::{Params, Reply};

/// A search's greatest length, in characters.
const MOST_SEARCHED: usize = 200;
/// Tenants in an answer, unless another number is asked for.
const DEFAULT_LIMIT: u16 = 20;

impl State {
    pub(super) async fn tenants<B>(&self, who: &Principal, request: &Request<B>) -> Result<Reply, ApiError> {
        let params = Params::parse(request.uri().query(), &["search", "limit"])?;
        let search = params.text("search", MOST_SEARCHED)?.unwrap_or_default().trim().to_owned();
        let limit = params.number("limit", 1..=100)?.unwrap_or(DEFAULT_LIMIT);
        let only = match who.may_list()? {
            Scope::All => None,
            Scope::One(tenant) => Some(tenant),
        };
        let tenants = self.database.search_tenants(search, only, limit).await?;
        let describe =
            |NamedTenant { tenant, name }: &NamedTenant| json!({"tenant_id": tenant.as_str(), "name": name});
        let data: Value = tenants.iter().map(describe).collect();
        Ok(succeed(&data))
    }
}
