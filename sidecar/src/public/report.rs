//! `GET /api/reports/dashboard-bundle`: one bundle, read through the cache, in the envelope that existing
//! front ends expect.

use std::time::Instant;

use ::http::header::{CACHE_CONTROL, ETAG, HeaderName, HeaderValue, VARY};
use ::http::{Request, StatusCode};
use bytes::{BufMut, Bytes, BytesMut};

use super::conditional::{self, Known};
use super::state::State;
use crate::auth::Principal;
use crate::cache::{Cached, Status};
use crate::error::ApiError;
use crate::http::{self, Params, Reply};
use crate::telemetry::metrics;
use crate::tenant::BundleId;

/// How the answer came about, also where it is 304 and has no body to say it.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// The bundle's key in Redis.
const X_CACHE_KEY: HeaderName = HeaderName::from_static("x-cache-key");
/// Time since the bundle was computed.
const X_CACHE_AGE_MS: HeaderName = HeaderName::from_static("x-cache-age-ms");
/// For so long it stays fresh.
const X_CACHE_TTL_MS: HeaderName = HeaderName::from_static("x-cache-ttl-ms");
/// So far the change feed was behind; absent where no feed has said anything.
const X_CACHE_BEHIND_MS: HeaderName = HeaderName::from_static("x-cache-behind-ms");
/// What pages of other origins may read of an answer.
pub(super) const HEADERS: [HeaderName; 5] =
    [X_CACHE, X_CACHE_KEY, X_CACHE_AGE_MS, X_CACHE_TTL_MS, X_CACHE_BEHIND_MS];

impl State {
    /// Answers one read.
    pub(super) async fn dashboard_bundle<B>(
        &self,
        who: &Principal,
        request: &Request<B>,
    ) -> Result<Reply, ApiError> {
        let params = Params::parse(request.uri().query(), &["tenant_id", "include_test_data", "bust_cache"])?;
        let tenant = params.tenant("tenant_id")?;
        let include_test_data = params.flag("include_test_data")?.unwrap_or(true);
        let refresh = params.flag("bust_cache")?.unwrap_or(false);
        who.may_read(&tenant)?;
        let id = BundleId { tenant, include_test_data };
        let known = Known::of(request.headers());
        let began = Instant::now();
        let outcome = self.cache.get(&id, refresh, known.only()).await;
        let result = result(&outcome);
        metrics::bundle_read(result, began.elapsed());
        self.reads.read(&id, result, &outcome);
        outcome.map(|cached| reply(&id, cached, &known))
    }
}

/// What came of it, as metrics name it.
fn result(outcome: &Result<Cached, ApiError>) -> &'static str {
    match outcome {
        Ok(Cached { bundle: None, status: Status::Hit, .. }) => "not_modified",
        Ok(cached) => cached.status.name(),
        Err(_) => "error",
    }
}

fn reply(id: &BundleId, cached: Cached, known: &Known) -> Reply {
    let Cached { status, age_ms, ttl_ms, etag, behind_ms, bundle } = cached;
    let bundle = bundle.filter(|_| !known.holds(&etag));
    let mut reply = match bundle {
        Some(bundle) => http::bytes(StatusCode::OK, "application/json", envelope(&bundle, status)),
        None => http::empty(StatusCode::NOT_MODIFIED),
    };
    let headers = reply.headers_mut();
    // A browser may keep it and has to ask each time; nobody in between may.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // Of 304 too, which nothing is done to afterwards: a cache takes it for that of what it has.
    headers.insert(VARY, HeaderValue::from_static("authorization, accept-encoding"));
    headers.extend(conditional::header(&etag).map(|etag| (ETAG, etag)));
    headers.insert(X_CACHE, HeaderValue::from_static(word(status)));
    headers.extend(HeaderValue::try_from(id.cache_key()).map(|key| (X_CACHE_KEY, key)));
    headers.insert(X_CACHE_AGE_MS, age_ms.into());
    headers.insert(X_CACHE_TTL_MS, ttl_ms.into());
    headers.extend(behind_ms.map(|ms| (X_CACHE_BEHIND_MS, HeaderValue::from(ms))));
    reply
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Hit => "HIT",
        Status::Stale => "STALE",
        Status::Changed => "CHANGED",
        Status::Miss => "MISS",
        Status::Refreshed => "REFRESHED",
    }
}

fn envelope(bundle: &[u8], status: Status) -> Bytes {
    let mut body = BytesMut::with_capacity(bundle.len() + 64);
    body.put_slice(b"{\"status\":\"success\",\"data\":");
    body.put_slice(bundle);
    body.put_slice(if status.was_cached() { b",\"cached\":true}" } else { b",\"cached\":false}" });
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_json_and_says_whether_the_bundle_was_cached() {
        for (status, expected) in
            [(Status::Hit, true), (Status::Stale, true), (Status::Miss, false), (Status::Refreshed, false)]
        {
            let value: serde_json::Value =
                serde_json::from_slice(&envelope(br#"{"meta":{}}"#, status)).unwrap();
            assert_eq!(
                value,
                serde_json::json!({"status": "success", "data": {"meta": {}}, "cached": expected})
            );
        }
    }
}
