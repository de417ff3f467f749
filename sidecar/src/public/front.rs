//! What every request goes through, and every answer: a name for the logs, the method, what browsers need to be told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    ORIGIN, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{HeaderMap, Method, StatusCode};
use hyper::Request;
use hyper::body::Incoming;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;

use super::envelope::refuse;
use super::routes::Entry;
use super::state::State;
use super::{report, request_id, strangers};
use crate::config::CorsOrigins;
use crate::error::ApiError;
use crate::http::{self, Reply};
use crate::telemetry::metrics;

/// How long a browser remembers what it was told about other sites.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// What answers, with all that is done to its answers.
pub(super) type Inner = BoxCloneSyncService<Request<Incoming>, Reply, Infallible>;

/// The way in and out: `inner` answers in between.
pub(super) async fn receive(state: Arc<State>, request: Request<Incoming>, inner: Inner) -> Reply {
    let id = request_id::of(request.headers());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let work = async {
        let measured = metrics::Request::new();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let headers = request.headers();
        let mut reply = match strangers::check(&state, &request).and_then(|()| check_room(&request)) {
            Err(error) => refuse(&error),
            Ok(()) if method == Method::OPTIONS && !(state.cors_origins.any() && is_preflight(headers)) => {
                options(&path)
            }
            Ok(()) => {
                let Ok(reply) = inner.oneshot(request).await;
                reply
            }
        };
        let status = reply.status().as_u16();
        let route = Entry::at(&path).map_or("none", |entry| entry.path);
        let ms = measured.answered(route, known_method(&method), status).as_secs_f64() * 1000.0;
        tracing::debug!(%method, path, status, ms, "answered");
        let headers = reply.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(request_id::X_REQUEST_ID, id.clone());
        reply
    };
    work.instrument(span).await
}

/// Where all connections are taken, those of the reserve are for probes.
fn check_room<B>(request: &Request<B>) -> Result<(), ApiError> {
    let is_probe = || Entry::at(request.uri().path()).is_some_and(Entry::is_probe);
    if request.extensions().get::<http::Reserved>().is_none() || is_probe() {
        Ok(())
    } else {
        Err(ApiError::overloaded("every connection is taken (DASHBOARD_MAX_CONNECTIONS)"))
    }
}

/// The method as metrics name it: a client may make up any.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// What may be done at a path.
fn options(path: &str) -> Reply {
    let Some(entry) = Entry::at(path) else { return refuse(&ApiError::not_found(path)) };
    let mut reply = http::empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(entry.allowed()));
    reply
}

fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What other sites' pages may do, where some are named.
pub(super) fn cors(origins: &CorsOrigins) -> Option<CorsLayer> {
    let allowed = match origins {
        CorsOrigins::None => return None,
        CorsOrigins::All => AllowOrigin::any(),
        CorsOrigins::These(origins) => AllowOrigin::list(origins.clone()),
    };
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, request_id::X_REQUEST_ID])
            .expose_headers(
                [ETAG, RETRY_AFTER, request_id::X_REQUEST_ID]
                    .into_iter()
                    .chain(report::HEADERS)
                    .collect::<Vec<_>>(),
            )
            .max_age(PREFLIGHT_MAX_AGE),
    )
}
