//! `/dashboard`: the page, and the files that it is made of. They are part of the binary.

use ::http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY};
use ::http::{HeaderMap, StatusCode};

use super::conditional;
use crate::error::ApiError;
use crate::http::{self, Reply};

/// Only what comes with the page runs or is loaded, and no other page may hold it in a frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

macro_rules! files {
    ($($name:literal: $kind:literal),* $(,)?) => {
        &[$(($name, $kind, include_bytes!(concat!("../../page/", $name)))),*]
    };
}

/// Name, type and content of each file.
const FILES: &[(&str, &str, &[u8])] = files! {
    "index.html": "text/html; charset=utf-8",
    "address.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "clearing.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "expiry.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
    "format.js": "text/javascript; charset=utf-8",
    "lists.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "machinery.js": "text/javascript; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "names.js": "text/javascript; charset=utf-8",
    "operations.js": "text/javascript; charset=utf-8",
    "origin.js": "text/javascript; charset=utf-8",
    "overview.js": "text/javascript; charset=utf-8",
    "parts.css": "text/css; charset=utf-8",
    "picker.js": "text/javascript; charset=utf-8",
    "reader.js": "text/javascript; charset=utf-8",
    "session.js": "text/javascript; charset=utf-8",
    "signin.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "tabs.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "trend.js": "text/javascript; charset=utf-8",
    "trouble.js": "text/javascript; charset=utf-8",
};

/// The file at a path below `/dashboard`; the way there from what people type instead.
pub(super) fn asset(path: &str, headers: &HeaderMap) -> Result<Reply, ApiError> {
    let name = match path.strip_prefix("/dashboard/") {
        None if path == "/" => return Ok(redirect()),
        Some("") => return Ok(redirect()),
        None => "index.html",
        Some(name) => name,
    };
    let (_, kind, content) =
        FILES.iter().find(|(known, _, _)| *known == name).ok_or_else(|| ApiError::not_found(path))?;
    let mut reply = conditional::unless_known(headers, kind, content);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
    }
    Ok(reply)
}

fn redirect() -> Reply {
    let mut reply = http::empty(StatusCode::TEMPORARY_REDIRECT);
    reply.headers_mut().insert(LOCATION, HeaderValue::from_static("/dashboard"));
    reply
}
