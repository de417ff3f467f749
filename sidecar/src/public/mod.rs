//! The public API: for front ends, people and probes.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz`, `GET /api/system/health` | what works and what does not, 200 or 503 |
//! | `GET /api/reports/dashboard-bundle?tenant_id=…` | a bundle, through the cache |

mod health;
mod report;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ALLOW, HeaderValue};
use ::http::{Method, StatusCode};
use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::db::Database;
use crate::error::ApiError;
use crate::http::{self, Limits, Listener, Reply};

/// Longest wait for a request's headers.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the public API works with.
pub struct State {
    /// For probes only: bundles are read through the cache.
    pub database: Arc<Database>,
    /// Where bundles are read.
    pub cache: Arc<Cache>,
    /// Whether bundles are served without authentication.
    pub insecure_no_auth: bool,
}

/// Serves the public API until `shutdown`, then drains.
pub async fn run(listener: Listener, state: Arc<State>, limits: Limits, shutdown: CancellationToken) {
    http::run(listener, limits, shutdown, move |request| {
        let state = state.clone();
        async move { state.answer(&request).await.unwrap_or_else(|error| refuse(&error)) }
    })
    .await;
}

impl State {
    async fn answer(&self, request: &Request<Incoming>) -> Result<Reply, ApiError> {
        let path = request.uri().path();
        if !matches!(path, "/livez" | "/readyz" | "/api/system/health" | "/api/reports/dashboard-bundle") {
            return Err(ApiError::not_found(path));
        }
        // HEAD too, for load balancers; the server leaves the body out.
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut reply = refuse(&ApiError::method_not_allowed(path, "GET"));
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(reply);
        }
        match path {
            "/livez" => Ok(http::bytes(StatusCode::OK, "text/plain", Bytes::from_static(b"ok\n"))),
            "/api/reports/dashboard-bundle" => self.dashboard_bundle(request.uri().query()).await,
            _ => Ok(self.health().await),
        }
    }
}

fn refuse(error: &ApiError) -> Reply {
    http::json(error.status(), &json!({"status": "error", "message": error.message()}))
}
