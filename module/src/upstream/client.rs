//! The HTTP calls to the sidecar's internal API. Each ends within its time-out, a batch once it has been
//! silent for so long; dropping one closes its connection, which tells the sidecar to cancel the query.

use super::connector::Connector;
use super::endpoint::Endpoint;
use super::{Failure, Fetched, Order, Problem, response};
use crate::engine::FlightId;
use crate::tenant::Tenant;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use hyper_util::client::legacy::{Client as Http, Error as HttpError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The list of a million tenants fits.
const MAX_TENANT_LIST_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Longer than a pause between two questions, shorter than the sidecar's own idle limit.
const IDLE: Duration = Duration::from_secs(20);

type Pool = Http<Connector, Full<Bytes>>;

/// The settings of one call.
pub(super) struct Call<'a> {
    pub(super) endpoints: &'a [Endpoint],
    pub(super) token: &'a str,
    pub(super) timeout: Duration,
    pub(super) max_bundle_bytes: usize,
}

/// Connection pools, one for each endpoint in use.
#[derive(Clone, Default)]
pub(super) struct Client {
    pools: Arc<Mutex<HashMap<Endpoint, Pool>>>,
}

#[derive(serde::Serialize)]
struct BatchBody<'a> {
    bundles: Vec<BatchItem<'a>>,
}

#[derive(serde::Serialize)]
struct BatchItem<'a> {
    tenant_id: &'a str,
    include_test_data: bool,
}

impl Client {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One bundle.
    pub(super) async fn bundle(&self, call: &Call<'_>, order: &Order) -> Result<Fetched, Problem> {
        let path = format!("/internal/v1/bundle?tenant={}&include_test_data={}", order.tenant, order.include);
        let within = async {
            let response = self.send(call, Method::GET, &path, Bytes::new()).await?;
            let body = read_all(response.into_body(), call.max_bundle_bytes).await?;
            response::bundle(&body, order)
        };
        in_time(call.timeout, within).await
    }

    /// Many bundles: `land` is called for each as its line arrives. The time-out is that of silence: a sidecar
    /// that is still computing sends empty lines.
    pub(super) async fn batch(
        &self,
        call: &Call<'_>,
        orders: &[Order],
        land: impl Fn(FlightId, Result<Fetched, Problem>),
    ) -> Result<(), Problem> {
        let items = orders
            .iter()
            .map(|o| BatchItem { tenant_id: o.tenant.as_str(), include_test_data: o.include })
            .collect();
        let body = serde_json::to_vec(&BatchBody { bundles: items })
            .map_err(|e| Problem::new(Failure::Malformed, e))?;
        let request = self.send(call, Method::POST, "/internal/v1/bundles", Bytes::from(body));
        let mut body = in_time(call.timeout, request).await?.into_body();
        let mut lines = response::Lines::new(call.max_bundle_bytes, orders);
        loop {
            let frame = async { body.frame().await.transpose().map_err(|e| broken(&e)) };
            let Some(frame) = in_time(call.timeout, frame).await? else { break };
            if let Ok(data) = frame.into_data() {
                lines.feed(&data, &land)?;
            }
        }
        lines.finish()
    }

    /// The tenants that warming covers.
    pub(super) async fn tenants(&self, call: &Call<'_>) -> Result<Vec<Tenant>, Problem> {
        let within = async {
            let response = self.send(call, Method::GET, "/internal/v1/tenants", Bytes::new()).await?;
            let body = read_all(response.into_body(), MAX_TENANT_LIST_BYTES).await?;
            response::tenants(&body)
        };
        in_time(call.timeout, within).await
    }

    /// Sends to the first endpoint that takes a connection; only a 200 is returned as a response.
    async fn send(
        &self,
        call: &Call<'_>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Problem> {
        let mut refusals = Vec::new();
        for endpoint in call.endpoints {
            let request = build(call, method.clone(), path, body.clone())?;
            let pool = self.pool(endpoint);
            match pool.request(request).await {
                Ok(response) if response.status() == StatusCode::OK => return Ok(response),
                Ok(response) => {
                    let status = response.status();
                    let body = read_all(response.into_body(), MAX_ERROR_BYTES).await.unwrap_or_default();
                    return Err(response::error(status, &body, endpoint));
                }
                Err(error) if error.is_connect() => {
                    refusals.push(format!("{endpoint}: {}", root_cause(&error)));
                }
                Err(error) => return Err(broken_at(&error, endpoint)),
            }
        }
        Err(Problem::new(Failure::SidecarDown, refusals.join("; ")))
    }

    fn pool(&self, endpoint: &Endpoint) -> Pool {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(endpoint) {
            return pool.clone();
        }
        // A changed setting leaves its old pools behind: their connections end by being idle, and no
        // more than a handful of settings is ever kept.
        if pools.len() >= 64 {
            pools.clear();
        }
        let pool = Http::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector(endpoint.clone()));
        pools.insert(endpoint.clone(), pool.clone());
        pool
    }
}

fn build(
    call: &Call<'_>,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<hyper::Request<Full<Bytes>>, Problem> {
    let mut request = hyper::Request::builder().method(method).uri(format!("http://sidecar{path}"));
    if !call.token.is_empty() {
        let mut value = HeaderValue::try_from(format!("Bearer {}", call.token))
            .map_err(|_| Problem::new(Failure::Token, "dashboard.token cannot stand in an HTTP header"))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::new(body)).map_err(|e| Problem::new(Failure::Malformed, e))
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Problem::new(
            Failure::Timeout,
            format!("no answer from the sidecar within {} ms", limit.as_millis()),
        ))
    })
}

async fn read_all(body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    // A body whose length is announced is refused before it is read.
    if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(limit)),
        Err(error) => Err(broken(error.as_ref())),
    }
}

pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(Failure::TooLarge, format!("the answer is larger than {limit} bytes"))
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(Failure::Incomplete, root_cause(error))
}

/// The connection was made, and then something that is no HTTP answer came, or nothing.
fn broken_at(error: &HttpError, endpoint: &Endpoint) -> Problem {
    let parse = std::iter::successors(std::error::Error::source(error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<hyper::Error>())
        .any(|e| e.is_parse());
    // Hanging up before a single byte of an answer is no better than not being there.
    let failure = if parse { Failure::Malformed } else { Failure::SidecarDown };
    Problem::new(failure, format!("{endpoint}: {}", root_cause(error)))
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
