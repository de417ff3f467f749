//! The HTTP calls to the sidecar's internal API. Each ends within its time-out, a batch once it has been
//! silent for so long; dropping one closes its connection, which tells the sidecar to cancel the query.

use super::connector::{Connector, Used};
use super::endpoint::Endpoint;
use super::lines::Lines;
use super::response;
use super::suspects::Suspects;
use super::terms::{Fetched, Order, Problem, too_large};
use engine::{Failure, FlightId};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use hyper_util::client::legacy::{Client as Http, Error as HttpError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::known::Known;
use wire::protocol::{self, Wanted, WantedBundle};
use wire::tenant::Tenant;

/// The list of a million tenants fits.
const MAX_TENANT_LIST_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How long a connection may have been idle to be used again. Questions that follow each other share connections; after
/// a pause a new one is made, which costs little and proves that somebody is there. One that has been idle for longer
/// may have gone silent without a word: behind a balancer, or a tunnel whose far end has gone.
const IDLE: Duration = Duration::from_millis(500);
/// A stream of bundles is never silent for longer than a second: while nothing is computed, it brings empty lines.
const STREAM_SILENCE: Duration = Duration::from_secs(5);

/// A batch may have to wait for others in the sidecar; not for ever.
const MOST_TIMEOUTS_WITHOUT_A_BUNDLE: u32 = 12;

type Pool = Http<Connector, Full<Bytes>>;

/// The settings of one call.
pub(super) struct Call<'a> {
    pub(super) endpoints: &'a [Endpoint],
    pub(super) token: &'a str,
    pub(super) timeout: Duration,
    pub(super) max_bundle_bytes: usize,
}

/// What is asked, of whichever endpoint.
pub(super) struct Question<'a> {
    pub(super) call: &'a Call<'a>,
    /// How long the answer may take; of a stream, its beginning and each part of it.
    pub(super) limit: Duration,
    method: Method,
    path: String,
    body: Bytes,
}

/// Connection pools, one for each endpoint in use, and what is known of the endpoints.
#[derive(Clone, Default)]
pub(super) struct Client {
    pools: Arc<Mutex<HashMap<Endpoint, Pool>>>,
    pub(super) suspects: Arc<Suspects>,
}

fn wanted(order: &Order) -> WantedBundle<'_> {
    WantedBundle {
        tenant_id: order.tenant.as_str().into(),
        include_test_data: order.include,
        known: order.known.as_ref().map(Known::said),
    }
}

impl Client {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One bundle.
    pub(super) async fn bundle(&self, call: &Call<'_>, order: &Order) -> Result<Fetched, Problem> {
        let path =
            format!("{}?tenant={}&include_test_data={}", protocol::BUNDLE, order.tenant, order.include);
        let read = |response: Response<Incoming>| read_all(response.into_body(), call.max_bundle_bytes);
        let (body, _) = self.ask(&Question::get(call, path), read).await?;
        response::bundle(&body, order)
    }

    /// Many bundles: `land` is called for each as its line arrives. The time-out is that of silence: a sidecar
    /// that is still computing sends empty lines. Once there is a byte of the answer no other endpoint is asked.
    /// Returns what it has cost the database, where the sidecar says so.
    pub(super) async fn batch(
        &self,
        call: &Call<'_>,
        orders: &[Order],
        land: impl Fn(FlightId, Result<Fetched, Problem>),
    ) -> Result<Option<Duration>, Problem> {
        let body = serde_json::to_vec(&Wanted { bundles: orders.iter().map(wanted).collect() })
            .map_err(|e| Problem::new(Failure::Malformed, e))?;
        let question = Question {
            call,
            limit: call.timeout.min(STREAM_SILENCE),
            method: Method::POST,
            path: protocol::BUNDLES.into(),
            body: body.into(),
        };
        let begun = |response: Response<Incoming>| async {
            let mut body = response.into_body();
            let first = next_frame(&mut body).await?;
            Ok((first, body))
        };
        let ((mut next, mut body), endpoint) = self.ask(&question, begun).await?;
        let landed_at = Mutex::new(Instant::now());
        let land = |flight, result: Result<Fetched, Problem>| {
            *landed_at.lock() = Instant::now();
            // Too late for another endpoint to be asked for this one; not for those that come after.
            if result.as_ref().is_err_and(|problem| problem.failure == Failure::PostgresDown) {
                self.suspects.failed(Instant::now(), endpoint);
            }
            land(flight, result);
        };
        let mut lines = Lines::new(call.max_bundle_bytes, orders);
        while let Some(frame) = next {
            if let Ok(data) = frame.into_data() {
                lines.feed(&data, &land)?;
            }
            // It says that it is at work, and brings nothing.
            if landed_at.lock().elapsed() > call.timeout * MOST_TIMEOUTS_WITHOUT_A_BUNDLE {
                return Err(silence(call.timeout * MOST_TIMEOUTS_WITHOUT_A_BUNDLE));
            }
            next = in_time(question.limit, next_frame(&mut body)).await.inspect_err(|problem| {
                self.suspects.failed(Instant::now(), endpoint);
                if problem.failure == Failure::Timeout {
                    self.forget_connections(endpoint);
                }
            })?;
        }
        lines.finish()
    }

    /// The tenants that warming covers.
    pub(super) async fn tenants(&self, call: &Call<'_>) -> Result<Vec<Tenant>, Problem> {
        let read = |response: Response<Incoming>| read_all(response.into_body(), MAX_TENANT_LIST_BYTES);
        let (body, _) = self.ask(&Question::get(call, protocol::TENANTS.into()), read).await?;
        response::tenants(&body)
    }

    /// Sends to one endpoint; only a 200 is returned as a response.
    pub(super) async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Problem> {
        let response = match self.pool(endpoint).request(request.clone()).await {
            Err(error) if hung_up_on_a_used_connection(&error) => {
                self.forget_connections(endpoint);
                self.pool(endpoint).request(request).await
            }
            other => other,
        };
        let response = response.map_err(|e| no_answer(&e))?;
        if let Some(used) = response.extensions().get::<Used>() {
            used.note();
        }
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        match read_all(response.into_body(), MAX_ERROR_BYTES).await {
            Err(problem) if problem.failure == Failure::Incomplete => Err(problem),
            body => Err(response::error(status, &body.unwrap_or_default(), endpoint)),
        }
    }

    /// What is asked next goes over a new connection. Questions under way keep theirs.
    pub(super) fn forget_connections(&self, endpoint: &Endpoint) {
        self.pools.lock().remove(endpoint);
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

impl<'a> Question<'a> {
    fn get(call: &'a Call<'a>, path: String) -> Self {
        Self { call, limit: call.timeout, method: Method::GET, path, body: Bytes::new() }
    }

    pub(super) fn request(&self) -> Result<hyper::Request<Full<Bytes>>, Problem> {
        let Self { call, method, path, body, .. } = self;
        let mut request = hyper::Request::builder().method(method).uri(format!("http://sidecar{path}"));
        if !call.token.is_empty() {
            let mut value = HeaderValue::try_from(format!("Bearer {}", call.token)).map_err(|_| {
                Problem::new(Failure::Token, "dashboard.token cannot stand in an HTTP header")
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body.clone())).map_err(|e| Problem::new(Failure::Malformed, e))
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(silence(limit)))
}

pub(super) fn silence(limit: Duration) -> Problem {
    let cause = format!("no answer from the sidecar within {} ms", limit.as_millis());
    Problem::new(Failure::Timeout, cause)
}

async fn next_frame(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, Problem> {
    body.frame().await.transpose().map_err(|e| broken(&e))
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

fn broken(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(Failure::Incomplete, root_cause(error))
}

/// No connection could be made; or it was, and then something that is no HTTP answer came, or nothing.
fn no_answer(error: &HttpError) -> Problem {
    let parse = std::iter::successors(std::error::Error::source(error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<hyper::Error>())
        .any(|e| e.is_parse());
    // Hanging up before a single byte of an answer is no better than not being there.
    let failure = if parse { Failure::Malformed } else { Failure::SidecarDown };
    Problem::new(failure, root_cause(error))
}

/// The sidecar may have closed the connection just when the question was sent.
fn hung_up_on_a_used_connection(error: &HttpError) -> bool {
    let mut extras = hyper::http::Extensions::new();
    error.connect_info().into_iter().for_each(|connected| connected.get_extras(&mut extras));
    let used = extras.get::<Used>().is_some_and(Used::is);
    used && no_answer(error).failure == Failure::SidecarDown
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
