//! `GET /api/reports/dashboard-bundle`: one bundle, read through the cache, in the envelope that existing
//! front ends expect.

use ::http::StatusCode;
use bytes::{BufMut, BytesMut};

use super::State;
use crate::cache::Cached;
use crate::error::ApiError;
use crate::http::{self, Params, Reply};
use crate::tenant::BundleId;

impl State {
    /// Answers one read and logs it in one line, with texts that people search their logs for.
    pub(super) async fn dashboard_bundle(&self, query: Option<&str>) -> Result<Reply, ApiError> {
        if !self.insecure_no_auth {
            return Err(ApiError::not_configured(
                "authentication is not set up, so no bundle is served here: on a machine of your own, start the sidecar \
                 with DASHBOARD_INSECURE_NO_AUTH=true (--insecure-no-auth) and DASHBOARD_LISTEN on 127.0.0.1",
            ));
        }
        let params = Params::parse(query, &["tenant_id", "include_test_data", "bust_cache"])?;
        let tenant = params.tenant("tenant_id")?;
        let include_test_data = params.flag("include_test_data")?.unwrap_or(true);
        let refresh = params.flag("bust_cache")?.unwrap_or(false);
        let id = BundleId { tenant, include_test_data };
        let outcome = self.cache.get(&id, refresh).await;
        log(&id, &outcome);
        outcome.map(|cached| http::bytes(StatusCode::OK, "application/json", envelope(&cached).freeze()))
    }
}

fn log(id: &BundleId, outcome: &Result<Cached, ApiError>) {
    let (key, tenant, include_test_data) = (id.cache_key(), id.tenant.as_str(), id.include_test_data);
    match outcome {
        Ok(cached) if cached.status.was_cached() => {
            let (status, age_ms) = (cached.status.name(), cached.age_ms);
            tracing::info!(
                tenant,
                include_test_data,
                status,
                age_ms,
                "[dashboard-bundle] Cache HIT key={key} (redis)"
            );
        }
        Ok(cached) => {
            let status = cached.status.name();
            tracing::info!(
                tenant,
                include_test_data,
                status,
                "[dashboard-bundle] Cache MISS key={key} (compute from db)"
            );
        }
        Err(error) => {
            let code = error.code();
            tracing::warn!(
                tenant,
                include_test_data,
                code,
                "[dashboard-bundle] No bundle for key={key}: {}",
                error.message()
            );
        }
    }
}

fn envelope(cached: &Cached) -> BytesMut {
    let mut body = BytesMut::with_capacity(cached.bundle.len() + 64);
    body.put_slice(b"{\"status\":\"success\",\"data\":");
    body.put_slice(&cached.bundle);
    body.put_slice(if cached.status.was_cached() { b",\"cached\":true}" } else { b",\"cached\":false}" });
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Status;

    #[test]
    fn the_envelope_is_json_and_says_whether_the_bundle_was_cached() {
        for (status, expected) in
            [(Status::Hit, true), (Status::Stale, true), (Status::Miss, false), (Status::Refreshed, false)]
        {
            let cached = Cached { status, age_ms: 1, bundle: br#"{"meta":{}}"#.to_vec() };
            let value: serde_json::Value = serde_json::from_slice(&envelope(&cached)).unwrap();
            assert_eq!(
                value,
                serde_json::json!({"status": "success", "data": {"meta": {}}, "cached": expected})
            );
        }
    }
}
