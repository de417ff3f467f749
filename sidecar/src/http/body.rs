//! Reading a request's body: bounded in size and time, and JSON or an error that names what is wrong with it.

use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body, Incoming};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Longest wait for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of a body beyond what it may have.
const MOST_DISCARDED: usize = 1 << 20;
/// What an error repeats of a body at most, in characters.
const REPEATED: usize = 200;

/// Reads a body of at most `most` bytes. What is somewhat larger is read to its end all the same: who is still sending
/// when the connection closes may not see why.
///
/// # Errors
/// If it is larger, breaks off, or does not come in time.
pub async fn read_body(body: Incoming, most: usize) -> Result<Bytes, ApiError> {
    let readable = most.saturating_add(MOST_DISCARDED);
    // Said beforehand, it need not come at all.
    if body.size_hint().lower() > readable as u64 {
        return Err(ApiError::body_too_large(most));
    }
    let mut body = Limited::new(body, readable);
    let mut read = BytesMut::new();
    let mut too_large = false;
    let whole = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            too_large |= read.len() + data.len() > most;
            if !too_large {
                read.extend_from_slice(&data);
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        _ if too_large => Err(ApiError::body_too_large(most)),
        Ok(Ok(())) => Ok(read.freeze()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::body_too_large(most)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a request's body broke off");
            Err(ApiError::bad_request("the body broke off"))
        }
        Err(_elapsed) => Err(ApiError::body_timeout(BODY_TIMEOUT)),
    }
}

/// Reads a body that says that it is JSON, or says nothing of itself as `curl -d` does.
///
/// # Errors
/// As [`read_body`], and if it is something else, or not the JSON that is wanted.
pub async fn read_json<T: DeserializeOwned>(request: Request<Incoming>, most: usize) -> Result<T, ApiError> {
    check_media_type(request.headers())?;
    parse_json(&read_body(request.into_body(), most).await?)
}

/// Reads a JSON object; an error names the member that is wrong.
///
/// # Errors
/// `bad_request`.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let wrong = |place: Option<String>, error: &serde_json::Error| {
        let place = place.map(|path| format!(", '{path}'")).unwrap_or_default();
        // A wrong member's name is repeated; a client could make it as long as the body.
        let reason: String = format!("the body{place}: {error}").chars().take(REPEATED).collect();
        ApiError::bad_request(reason)
    };
    // An array would be taken for the members' values in their order, and an empty one for an object without any.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad_request("the body must be a JSON object; {} if it has nothing to say"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        wrong((path != ".").then_some(path), error.inner())
    })?;
    reader.end().map_err(|error| wrong(None, &error))?;
    Ok(value)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        return Err(ApiError::media_type(&format!("Content-Encoding {}", encoding.to_str().unwrap_or("?"))));
    }
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let given = given.to_str().unwrap_or("?");
    let kind = given.split(';').next().unwrap_or_default().trim();
    // The second is what `curl -d '{}'` calls its body.
    let known = ["application/json", "application/x-www-form-urlencoded"];
    if known.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        Ok(())
    } else {
        Err(ApiError::media_type(&format!("the type {given}")))
    }
}

#[cfg(test)]
mod tests {
    use ::http::header::HeaderValue;
    use ::http::{HeaderName, StatusCode};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        items: Vec<u8>,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        for (body, named) in [
            (r#"{"items":[1,"x"]}"#, "'items[1]'"),
            (r#"{"itms":[]}"#, "`itms`"),
            (r#"{"items":[]} x"#, "trailing characters"),
            (r#"{"items":["#, "EOF"),
            ("", "JSON object"),
            ("[]", "JSON object"),
            ("[[1]]", "JSON object"),
            ("\u{0}", "JSON object"),
        ] {
            let error = parse_json::<Wanted>(body.as_bytes()).unwrap_err();
            assert!(error.message().contains(named), "{body}: {}", error.message());
        }
        let long = parse_json::<Wanted>(format!(r#"{{"{}":1}}"#, "x".repeat(5000)).as_bytes()).unwrap_err();
        assert_eq!(long.message().chars().count(), REPEATED);
    }

    #[test]
    fn only_json_is_read() {
        let check = |name: HeaderName, value: &'static str| {
            check_media_type(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
        };
        for known in
            ["application/json", "Application/JSON; charset=utf-8", "application/x-www-form-urlencoded"]
        {
            check(CONTENT_TYPE, known).unwrap();
        }
        for (name, value) in [
            (CONTENT_TYPE, "text/plain"),
            (CONTENT_TYPE, ""),
            (CONTENT_TYPE, "application/jsonx"),
            (CONTENT_TYPE, "multipart/form-data; boundary=application/json"),
            (CONTENT_ENCODING, "gzip"),
        ] {
            let error = check(name, value).unwrap_err();
            assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{value}");
        }
    }
}
