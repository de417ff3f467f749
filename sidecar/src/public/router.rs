//! From a request to what answers it.

use std::sync::Arc;

use ::http::StatusCode;
use ::http::header::{ALLOW, HeaderValue};
use hyper::Request;
use hyper::body::Incoming;

use super::envelope::refuse;
use super::routes::{Entry, Route};
use super::session;
use super::state::State;
use crate::error::ApiError;
use crate::http::{self, Reply};

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
            Route::Ready => Ok(self.ready().await),
            Route::Health => Ok(self.health().await),
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
