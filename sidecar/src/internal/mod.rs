//! The internal API: what the Redis module asks for. Its own listener, out of other users' reach.
//!
//! | request | answer |
//! |---|---|
//! | `GET /internal/v1/bundle?tenant=…&include_test_data=…` | one bundle |
//! | `POST /internal/v1/bundles` | many, as lines, each as soon as it is computed |
//! | `GET /internal/v1/tenants` | the tenants that warming covers |
//! | `GET /internal/v1/health` | whether bundles can be computed; with `without_postgres=true`, that this API is there |
//!
//! When the client leaves, what it asked for is cancelled in Postgres.

mod reach;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ALLOW, AUTHORIZATION, HeaderValue};
use ::http::{HeaderMap, Method, StatusCode};
use hyper::Request;
use hyper::body::Incoming;
use serde_json::json;
use wire::protocol;

use crate::config::Secret;
use crate::db::Database;
use crate::error::ApiError;
use crate::http::{self, Limits, Listener, Params, Reply, Stop};
use crate::tenant::{BundleId, Tenant};

pub use reach::{Reach, Remark};

/// How long the module may keep an idle connection: longer than it does, so that a request never meets a
/// connection that is just being closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// None: a miss that finds no place waits for one, instead of being refused.
pub const RESERVE: usize = 0;
/// Leaves Postgres out of the question how this API is.
const WITHOUT_POSTGRES: &str = "without_postgres";

/// What the internal API works with.
pub struct State {
    /// Where bundles come from.
    pub database: Arc<Database>,
    /// What requests must bring, if anything.
    pub token: Option<Secret>,
}

/// Serves the internal API until `stop` closes, then drains.
pub async fn run(listener: Listener, state: Arc<State>, limits: Limits, stop: Stop) {
    http::run(listener, limits, stop, move |request| {
        let state = state.clone();
        async move { state.answer(request).await.unwrap_or_else(|error| refuse(&error)) }
    })
    .await;
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Result<Reply, ApiError> {
        self.authorize(request.headers())?;
        let path = request.uri().path().to_owned();
        let allowed = match path.as_str() {
            protocol::BUNDLE | protocol::TENANTS | protocol::HEALTH => Method::GET,
            protocol::BUNDLES => Method::POST,
            _ => return Err(ApiError::not_found(&path)),
        };
        if request.method() != allowed {
            let mut reply = refuse(&ApiError::method_not_allowed(&path, allowed.as_str()));
            if let Ok(value) = HeaderValue::from_str(allowed.as_str()) {
                reply.headers_mut().insert(ALLOW, value);
            }
            return Ok(reply);
        }
        match path.as_str() {
            protocol::BUNDLE => self.bundle(request.uri().query()).await,
            protocol::BUNDLES => stream::bundles(&self.database, request).await,
            protocol::TENANTS => self.tenants(request.uri().query()).await,
            _ => self.health(request.uri().query()).await,
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if given.is_some_and(|given| token.matches(given)) { Ok(()) } else { Err(ApiError::unauthorized()) }
    }

    async fn bundle(&self, query: Option<&str>) -> Result<Reply, ApiError> {
        const INCLUDE: &str = "include_test_data";
        let params = Params::parse(query, &["tenant", INCLUDE])?;
        let tenant = params.tenant("tenant")?;
        let include_test_data = params
            .flag(INCLUDE)?
            .ok_or_else(|| ApiError::bad_request(format!("parameter '{INCLUDE}' is missing")))?;
        let bundle = self.database.bundle(BundleId { tenant, include_test_data }).await?;
        Ok(http::bytes(StatusCode::OK, "application/json", bundle.into_json()))
    }

    async fn tenants(&self, query: Option<&str>) -> Result<Reply, ApiError> {
        Params::parse(query, &[])?;
        let tenants = self.database.active_tenants().await?;
        let names: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
        Ok(http::json(StatusCode::OK, &json!({"tenants": names})))
    }

    async fn health(&self, query: Option<&str>) -> Result<Reply, ApiError> {
        let params = Params::parse(query, &[WITHOUT_POSTGRES])?;
        if params.flag(WITHOUT_POSTGRES)? == Some(true) {
            return Ok(http::json(StatusCode::OK, &json!({"status": "ok"})));
        }
        Ok(match self.database.probe().await.computes() {
            Ok(()) => http::json(StatusCode::OK, &json!({"status": "ok", "postgres": "ok"})),
            Err(error) => http::json(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({"status": "unavailable", "postgres": error.message()}),
            ),
        })
    }
}

fn refuse(error: &ApiError) -> Reply {
    http::json(error.status(), &json!({"error": http::error_object(error)}))
}
