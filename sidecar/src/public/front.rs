//! What every request goes through, and every answer: a name for the logs, the method, what browsers need to be told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderValue,
    IF_NONE_MATCH, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use ::http::uri::Authority;
use ::http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use hyper::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;

use super::routes::{Entry, Route};
use super::{State, report, request_id, session};
use crate::config::CorsOrigins;
use crate::error::ApiError;
use crate::http::{self, Reply};
use crate::telemetry::metrics;

/// How long a browser remembers what it was told about other sites.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);
/// When a client that was refused for want of room may try again, in seconds.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Whether the page that asks is of this site; browsers say it, and no page can say it otherwise.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Whether the answer is to be shown instead of the page that asks.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

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
        let mut reply = match check_host(&request).and_then(|()| refuse_strangers(&state, &request)) {
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

/// Finds what answers, and has it answer.
pub(super) async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path();
    let Some(entry) = Entry::at(path) else { return refuse(&ApiError::not_found(path)) };
    if !entry.takes(request.method()) {
        let mut reply = refuse(&ApiError::method_not_allowed(entry.path, entry.method.as_str()));
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static(entry.allowed()));
        return reply;
    }
    state.route(entry.route, request).await.unwrap_or_else(|error| refuse(&error))
}

impl State {
    async fn route(self: &Arc<Self>, route: Route, request: Request<Incoming>) -> Result<Reply, ApiError> {
        // Whatever is not for everybody takes who asks as its first argument, so it cannot go without.
        let who = || self.access.authenticate(request.headers());
        match route {
            Route::Live => Ok(http::bytes(StatusCode::OK, "text/plain", "ok\n".into())),
            Route::Ready | Route::Health => Ok(self.health().await),
            Route::OpenApi => Ok(super::openapi::document(self.access.is_open(), request.headers())),
            Route::Metrics => Ok(self.metrics().await),
            Route::Operations => self.operations(&who()?, &request).await,
            Route::Page => super::page::asset(request.uri().path(), request.headers()),
            Route::Session => session::describe(&who()?, request.uri().query()),
            Route::Bundle => self.dashboard_bundle(&who()?, &request).await,
            Route::ClearCache => self.clear_cache(&who()?, request).await,
            Route::Execute => self.execute(&who()?, request).await,
            Route::Tenants => self.tenants(&who()?, &request).await,
            Route::Events => self.dashboard_events(&who()?, &request),
        }
    }
}

/// What was asked for, as every front end reads it.
pub(super) fn succeed(data: &Value) -> Reply {
    http::json(StatusCode::OK, &json!({"status": "success", "data": data}))
}

/// What was done, in words as well.
pub(super) fn succeed_saying(message: &str, data: &Value) -> Reply {
    http::json(StatusCode::OK, &json!({"status": "success", "message": message, "data": data}))
}

/// An error as every front end reads it.
pub(super) fn refuse(error: &ApiError) -> Reply {
    let status = error.status();
    let mut reply = http::json(status, &json!({"status": "error", "message": error.message()}));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        reply.headers_mut().insert(RETRY_AFTER, TRY_AGAIN);
    }
    if let Some(challenge) = error.challenge() {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    reply
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

/// Whom a request is for, it says once: of two, whoever stands in between could take the other one.
fn check_host<B>(request: &Request<B>) -> Result<(), ApiError> {
    let given = request.headers().get_all(HOST).iter().count();
    if given == 1 || (given == 0 && request.version() < Version::HTTP_11) {
        Ok(())
    } else {
        Err(ApiError::bad_request("send the header Host, once"))
    }
}

/// Without authentication, being on this machine is all that a client has to show. A page of some other site that
/// is open in a browser on this machine shows it too: it gives itself away by its origin, by the name that it has had
/// point here, or by what the browser says of a request that has no origin, such as that for an image.
fn refuse_strangers<B>(state: &State, request: &Request<B>) -> Result<(), ApiError> {
    if !state.access.is_open() {
        return Ok(());
    }
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // What stands in the request's line counts for more than Host, where both are there (RFC 9112, 3.2.2).
    let is_for_us = |host: &Authority| is_this_machine(host.host());
    if !host.as_ref().is_some_and(is_for_us) || !request.uri().authority().is_none_or(is_for_us) {
        return Err(ApiError::stranger(
            "without authentication, only localhost and loopback addresses are served",
        ));
    }
    let is_ours = match headers.get(ORIGIN) {
        Some(origin) => {
            let of_the_page = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            of_the_page.is_some_and(|origin| host.as_ref().is_some_and(|host| origin == host.as_str()))
                || state.cors_origins.include(origin)
        }
        None => is_of_no_other_site(headers) || is_link_to_page(request),
    };
    if is_ours {
        Ok(())
    } else {
        Err(ApiError::stranger(
            "without authentication, pages of other sites are not served, unless DASHBOARD_CORS_ORIGINS names them",
        ))
    }
}

/// By what a browser says of itself; another program says nothing.
fn is_of_no_other_site(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_none_or(|site| site == "none" || site == "same-origin")
}

/// Somebody has followed a link. That loads the page, and nothing of what it can be told to do.
fn is_link_to_page<B>(request: &Request<B>) -> bool {
    Entry::at(request.uri().path()).is_some_and(|entry| entry.route == Route::Page)
        && request.headers().get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_few_names() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in
            ["localhost.example.com", "example.com", "10.0.0.1", "0.0.0.0", "", "[::]", "127.0.0.1.nip.io"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
