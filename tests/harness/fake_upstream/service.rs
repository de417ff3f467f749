//! The HTTP side of the fake upstream.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use super::answer::error;
use super::{Answer, Known, Request, Shared};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Failure>;
type HttpResponse = hyper::Response<Body>;

/// Serves until dropped.
pub(super) async fn run(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(request, Arc::clone(&shared)));
            // A test that breaks connections gets errors here; they are what it wants.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Counts a request as abandoned unless it was answered.
struct Pending(Option<Arc<Shared>>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.lock().abandoned += 1;
        }
    }
}

async fn serve(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<HttpResponse, Failure> {
    let token = shared.lock().token.clone();
    let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if token.is_some_and(|token| given != Some(&format!("Bearer {token}"))) {
        return whole(401, error("unauthorized"));
    }
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/internal/v1/bundle") => one(&request, shared).await,
        ("POST", "/internal/v1/bundles") => many(request, shared).await,
        ("GET", "/internal/v1/tenants") => {
            let tenants = shared.lock().tenants.clone();
            whole(200, serde_json::json!({ "tenants": tenants }).to_string())
        }
        ("GET", "/internal/v1/health") => whole(200, r#"{"status":"ok","postgres":"ok"}"#),
        _ => whole(404, error("not_found")),
    }
}

async fn one(request: &hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<HttpResponse, Failure> {
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("the module sends {name}: {query}")).to_owned()
    };
    let wanted =
        Request { tenant: parameter("tenant"), include_test_data: parameter("include_test_data") == "true" };
    shared.lock().exchanges += 1;
    let (answer, version) = answer_to(&wanted, &shared).await;

    let bytes = answer.body(&wanted, version);
    match answer {
        Answer::Close => Err("closed on request".into()),
        Answer::HalfBody => {
            let half = Bytes::from(bytes).slice(..20);
            // In between, so that the half is sent and not thrown away with the connection.
            let stream =
                stream::iter([Ok(Frame::data(half)), Err("cut on request".into())]).then(|frame| async {
                    tokio::task::yield_now().await;
                    frame
                });
            let response = hyper::Response::builder().header("content-length", 10_000);
            Ok(response
                .header("content-type", "application/json")
                .body(StreamBody::new(stream).boxed_unsync())?)
        }
        answer => whole(answer.status(), bytes),
    }
}

async fn many(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<HttpResponse, Failure> {
    let body = request.into_body().collect().await?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let wanted: Vec<(Request, Option<Known>)> = body["bundles"]
        .as_array()
        .ok_or("no list of bundles")?
        .iter()
        .map(|item| {
            let known = item.get("known");
            let known = known.map(|k| Known { etag: text(&k["etag"]), version: text(&k["version"]) });
            let include_test_data = item["include_test_data"].as_bool().unwrap_or_default();
            (Request { tenant: text(&item["tenant_id"]), include_test_data }, known)
        })
        .collect();
    shared.lock().exchanges += 1;

    if shared.lock().default == Answer::SignsOfLife {
        shared.lock().requests.extend(wanted.into_iter().map(|(wanted, _)| wanted));
        let lines = stream::unfold((), |()| async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"\n"))), ()))
        });
        return Ok(hyper::Response::builder()
            .header("content-type", "application/x-ndjson")
            .body(StreamBody::new(lines).boxed_unsync())?);
    }
    let query_time = shared.lock().query_time;
    let cost = query_time.map(|time| format!("{{\"query_us\":{}}}\n", time.as_micros()));
    let lines = stream::iter(wanted).then(move |(wanted, known)| {
        let shared = Arc::clone(&shared);
        async move {
            shared.lock().known.extend(known.clone().map(|known| (wanted.clone(), known)));
            let (answer, version) = answer_to(&wanted, &shared).await;
            let mut line = answer.line(&wanted, known.as_ref(), version);
            match answer {
                Answer::Close => Err("closed on request".into()),
                Answer::HalfBody => {
                    line.truncate(20);
                    Ok(Frame::data(Bytes::from(line)))
                }
                _ => {
                    line.push(b'\n');
                    Ok(Frame::data(Bytes::from(line)))
                }
            }
        }
    });
    Ok(hyper::Response::builder().header("content-type", "application/x-ndjson").body(
        StreamBody::new(lines.chain(stream::iter(cost.map(|line| Ok(Frame::data(line.into()))))))
            .boxed_unsync(),
    )?)
}

/// Notes the request, waits at the gate, and says how to answer.
async fn answer_to(wanted: &Request, shared: &Arc<Shared>) -> (Answer, usize) {
    let mut pending = Pending(Some(Arc::clone(shared)));
    let (gate, version) = {
        let mut state = shared.lock();
        state.requests.push(wanted.clone());
        let version = state.versions.entry(wanted.clone()).or_default();
        *version += 1;
        let version = *version;
        (state.gate.clone(), version)
    };
    if let Ok(permit) = gate.0.acquire_owned().await {
        permit.forget();
    }
    let answer = {
        let state = shared.lock();
        state.by_tenant.get(&wanted.tenant).unwrap_or(&state.default).clone()
    };
    if matches!(answer, Answer::Hang | Answer::SignsOfLife) {
        std::future::pending::<()>().await;
    }
    pending.0 = None;
    (answer, version)
}

fn whole(status: u16, body: impl Into<Bytes>) -> Result<HttpResponse, Failure> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    Ok(hyper::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body.boxed_unsync())?)
}
