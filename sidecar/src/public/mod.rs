//! The public API: for front ends, people and probes.
//!
//! - [`routes`]: every path; [`front`]: what all requests go through; [`router`]: from a path to what answers
//! - [`state`]: what they work with; [`envelope`]: what answers are wrapped in
//! - one file for what each of them answers
//!
//! Bundles are read through the cache, so that clients of Redis and of HTTP share one.

mod body;
mod clear;
mod conditional;
mod envelope;
mod events;
mod execute;
mod executor;
mod following;
mod front;
mod health;
mod metrics;
mod openapi;
mod operations;
mod page;
mod reads_log;
mod report;
mod request_id;
mod router;
mod routes;
mod session;
mod state;
mod strangers;
mod streams;
mod tenants;

use std::convert::Infallible;
use std::sync::Arc;

use ::http::{Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::http::{self, Limits, Listener, Stop};

pub use executor::Executor;
pub use reads_log::ReadsLog;
pub use state::State;
pub use streams::Streams;

/// Connections beyond DASHBOARD_MAX_CONNECTIONS, for probes and metrics alone.
pub const RESERVE: usize = 32;
/// A smaller body is sent as it is, in bytes.
const COMPRESSED_FROM: u64 = 1024;

/// Serves the public API until `stop` closes, then drains.
pub async fn run(listener: Listener, state: Arc<State>, limits: Limits, stop: Stop) {
    operations::start_clock();
    let answering = state.clone();
    let answer = tower::service_fn(move |request| {
        let state = answering.clone();
        async move { Ok::<_, Infallible>(router::answer(&state, request).await) }
    });
    let fit = SizeAbove::new(COMPRESSED_FROM).and(NotForContentType::SSE);
    let service = ServiceBuilder::new()
        .map_response(|reply: Response<_>| undo_not_acceptable(reply).map(BodyExt::boxed_unsync))
        // What is computed anew is not worth more time than it saves on the way.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(fit))
        .map_response(keep_status)
        .option_layer(front::cors(&state.cors_origins))
        .service(answer);
    let service = BoxCloneSyncService::new(service);
    let own = state.clone();
    let serving = http::run(listener, limits, stop, move |request| {
        let (state, service) = (state.clone(), service.clone());
        front::receive(state, request, service)
    });
    tokio::select! {
        () = serving => {}
        () = own.reads.summaries() => {}
    }
    own.reads.summarize();
    own.executor.end().await;
}

/// What an answer's status was before anything was done to it.
#[derive(Clone, Copy)]
struct Status(StatusCode);

fn keep_status<B>(mut reply: Response<B>) -> Response<B> {
    let status = Status(reply.status());
    reply.extensions_mut().insert(status);
    reply
}

/// Where a client refuses every encoding, the layer that compresses says 406 of an answer that it sends all the same:
/// of work that has been done, of a refusal, of a stream. RFC 9110 (12.5.3) leaves it to us not to mind.
fn undo_not_acceptable<B>(mut reply: Response<B>) -> Response<B> {
    if let Some(Status(status)) = reply.extensions_mut().remove() {
        *reply.status_mut() = status;
    }
    reply
}
