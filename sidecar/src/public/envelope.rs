//! What every answer in JSON is wrapped in: `{"status": "success", …}` or `{"status": "error", …}`.

use ::http::StatusCode;
use ::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::{self, Reply};

/// When a client that was refused for want of room may try again, in seconds.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("1");

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
