//! `GET /api/tenants`: the tenants whose dashboards the caller may open, by name, for front ends to pick one.

use ::http::header::{AGE, AUTHORIZATION};
use ::http::{HeaderMap, Request};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

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
        let (tenants, age) =
            self.directory.search(caller(request.headers()), &search, only.as_ref(), limit.into()).await?;
        let describe =
            |NamedTenant { tenant, name }: &NamedTenant| json!({"tenant_id": tenant.as_str(), "name": name});
        let data: Value = tenants.iter().map(describe).collect();
        let mut reply = succeed(&data);
        reply.headers_mut().insert(AGE, age.as_secs().into());
        Ok(reply)
    }
}

/// A number for who asks, by the token; those without one are one.
fn caller(headers: &HeaderMap) -> u64 {
    headers.get(AUTHORIZATION).map_or(0, |token| xxh3_64(token.as_bytes()))
}
