//! The token in a request's headers.

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;

use super::Refusal;

/// The longest token that is looked at, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The token of the one header `Authorization: Bearer <token>`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    // Which of them counts would be for whoever stands between to decide.
    if values.next().is_some() {
        return Err(Refusal::Several);
    }
    let bytes = value.as_bytes();
    let is_bearer = bytes.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    let Some((b' ', token)) = bytes.get(6..).filter(|_| is_bearer).and_then(<[u8]>::split_first) else {
        return Err(Refusal::Missing);
    };
    let token = token.trim_ascii_start();
    match token.len() {
        0 => Err(Refusal::Missing),
        1..=MAX_TOKEN_BYTES => str::from_utf8(token).map_err(|_| Refusal::Invalid("it is no text")),
        _ => Err(Refusal::Invalid("it is too long")),
    }
}
