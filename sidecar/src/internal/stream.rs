//! `POST /internal/v1/bundles`: many bundles as lines of JSON, each sent as soon as it is computed. While none
//! is, empty lines tell the reader that work goes on. The last line tells what the batch has cost: `{"query_us":41700}`,
//! the microseconds for which Postgres was waited for.
//!
//! Who has a bundle already may say so: `"known": {"etag": …, "version": …}`, with what stands in its `meta`. If
//! nothing has changed since, its line is `{"unchanged": etag, "tenant_id": …, "include_test_data": …}`.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use serde_json::json;
use tokio::time::{Instant, Sleep};
use wire::protocol::{self, Cost, KnownBundle, Unchanged, Wanted, WantedBundle};

use crate::bundle::{Etag, Known, Version};
use crate::db::{BatchItem, BundleStream, Database, Found};
use crate::error::ApiError;
use crate::http::{self, BodyError, Params, Reply};
use crate::tenant::{BundleId, Tenant};

/// Bundles that one request may ask for.
const MAX_BUNDLES: usize = 400;
/// The request's largest body, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// Longest silence between two lines.
const HEARTBEAT: Duration = Duration::from_secs(protocol::HEARTBEAT_S);

pub(super) async fn bundles(database: &Arc<Database>, request: Request<Incoming>) -> Result<Reply, ApiError> {
    Params::parse(request.uri().query(), &[])?;
    let body = http::read_body(request.into_body(), MAX_BODY).await?;
    let stream = database.bundles(parse(&body)?)?;
    let mut reply = http::bytes(StatusCode::OK, "application/x-ndjson", Bytes::new());
    *reply.body_mut() = Lines::new(stream).boxed_unsync();
    Ok(reply)
}

fn parse(body: &[u8]) -> Result<Vec<(BundleId, Option<Known>)>, ApiError> {
    let wanted: Wanted<'_> = http::parse_json(body)?;
    if !(1..=MAX_BUNDLES).contains(&wanted.bundles.len()) {
        let given = wanted.bundles.len();
        return Err(ApiError::bad_request(format!(
            "'bundles' must have 1 to {MAX_BUNDLES} items, not {given}"
        )));
    }
    let check = |(n, wanted): (usize, WantedBundle<'_>)| {
        let wrong = |member: &str, reason: &dyn Display| {
            ApiError::bad_request(format!("bundles[{n}].{member}: {reason}"))
        };
        let tenant = Tenant::parse(&wanted.tenant_id).map_err(|reason| wrong("tenant_id", &reason))?;
        let known = |known: KnownBundle<'_>| -> Result<Known, ApiError> {
            let etag = Etag::parse(&known.etag).map_err(|reason| wrong("known.etag", &reason))?;
            let version = Version::parse(&known.version).map_err(|reason| wrong("known.version", &reason))?;
            Ok(Known { etag, version })
        };
        let known = wanted.known.map(known).transpose()?;
        Ok((BundleId { tenant, include_test_data: wanted.include_test_data }, known))
    };
    wanted.bundles.into_iter().enumerate().map(check).collect()
}

/// The reply's body. Dropped with the connection, it takes what still computes with it.
struct Lines {
    stream: BundleStream,
    /// The rest of a line that has begun.
    rest: Option<Bytes>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Lines {
    fn new(stream: BundleStream) -> Self {
        Self { stream, rest: None, heartbeat: Box::pin(tokio::time::sleep(HEARTBEAT)) }
    }

    /// A line, or what a bundle's line begins with.
    fn begin(&mut self, item: BatchItem) -> Bytes {
        let json = match item {
            BatchItem::Bundle((_, Ok(Found::Computed(bundle)))) => {
                let [head, rest] = bundle.into_line();
                self.rest = Some(rest);
                return head;
            }
            BatchItem::Bundle((id, Ok(Found::Unchanged(etag)))) => json!(Unchanged {
                unchanged: etag.as_str().into(),
                tenant_id: id.tenant.as_str().into(),
                include_test_data: id.include_test_data,
            }),
            BatchItem::Bundle((id, Err(error))) => json!({
                "error": http::error_object(&error),
                "tenant_id": id.tenant.as_str(),
                "include_test_data": id.include_test_data,
            }),
            BatchItem::QueryTime(time) => {
                json!(Cost { query_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX) })
            }
        };
        format!("{json}\n").into()
    }
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        let next = match self.stream.poll_next(context) {
            Poll::Ready(next) => next.map(|item| item.map(|item| self.begin(item))),
            Poll::Pending => {
                ready!(self.heartbeat.as_mut().poll(context));
                Some(Ok(Bytes::from_static(b"\n")))
            }
        };
        self.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        Poll::Ready(next.map(|line| line.map(Frame::data).map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_batch_is_read() {
        let ids = parse(br#"{"bundles":[{"tenant_id":"a","include_test_data":true}]}"#).unwrap();
        assert_eq!((ids[0].0.tenant.as_str(), &ids[0].1), ("a", &None));
    }

    fn known(known: &str) -> String {
        format!(r#"{{"bundles":[{{"tenant_id":"a","include_test_data":true,"known":{known}}}]}}"#)
    }

    #[test]
    fn what_is_known_is_read_and_what_is_wrong_with_it_is_named() {
        let etag = "00112233445566778899aabbccddeeff";
        let body = known(&format!(r#"{{"etag":"{etag}","version":"1:2"}}"#));
        let (_, read) = parse(body.as_bytes()).unwrap().remove(0);
        let Known { etag: read_etag, version } = read.unwrap();
        assert_eq!((read_etag.as_str(), version.as_str()), (etag, "1:2"));
        for (body, named) in [
            (format!(r#"{{"etag":"{etag}","version":"a b"}}"#), "bundles[0].known.version"),
            (r#"{"etag":"x","version":"1"}"#.to_owned(), "bundles[0].known.etag"),
            (format!(r#"{{"etag":"{etag}"}}"#), "version"),
            (format!(r#"{{"etag":"{etag}","version":"1","age":2}}"#), "age"),
            ("true".to_owned(), "known"),
        ] {
            assert!(error(&known(&body)).contains(named), "{body}: {}", error(&known(&body)));
        }
    }

    #[test]
    fn what_is_wrong_in_a_batch_is_named() {
        assert!(error(r#"{"bundles":[]}"#).contains("1 to 400 items, not 0"));
        assert!(
            error(r#"{"bundles":[{"tenant_id":"a b","include_test_data":true}]}"#)
                .starts_with("bundles[0].tenant_id")
        );
        assert!(error(r#"{"bundles":[{"tenant_id":"a"}]}"#).contains("include_test_data"));
        assert!(error(r#"{"bundels":[]}"#).contains("bundels"));
        assert!(error("\u{0}").starts_with("the body"));
        let many = vec![r#"{"tenant_id":"a","include_test_data":true}"#; 401].join(",");
        assert!(error(&format!(r#"{{"bundles":[{many}]}}"#)).contains("not 401"));
    }
}
