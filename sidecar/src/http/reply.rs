//! Building replies.

use std::convert::Infallible;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ::http::{Response, StatusCode};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::ApiError;

/// A reply's body: whole or streamed. An error cuts the connection, so that nobody takes a part for the whole.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a streamed body cannot be finished.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A reply.
pub type Reply = Response<Body>;

/// A reply with a whole body, which the server measures for Content-Length.
pub fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = whole(status, body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A reply without a body.
pub fn empty(status: StatusCode) -> Reply {
    whole(status, Bytes::new())
}

fn whole(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    // Tenants' data: no proxy on the way may keep it.
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A JSON reply.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, "application/json", body.into()),
        Err(error) => {
            tracing::error!(%error, "a reply could not be written as JSON");
            bytes(StatusCode::INTERNAL_SERVER_ERROR, "application/json", Bytes::from_static(b"{}"))
        }
    }
}

/// An error as the internal API writes it, alone or as a line of a stream.
pub fn error_object(error: &ApiError) -> Value {
    json!({"code": error.code(), "message": error.message()})
}
