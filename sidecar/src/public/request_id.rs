//! `X-Request-Id`: what a request is called in the logs of all that it passes through.

use ::http::header::HeaderValue;
use ::http::{HeaderMap, HeaderName};
use rand::RngExt;

/// The header, in a request and in its answer.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that a client may give.
const MAX_LEN: usize = 128;

/// What the client calls its request, or a name of ours if it gives none that is fit for a log.
pub(super) fn of(headers: &HeaderMap) -> HeaderValue {
    let fit = |value: &&HeaderValue| {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=MAX_LEN).contains(&value.len()) && value.as_bytes().iter().all(allowed)
    };
    if let Some(given) = headers.get(X_REQUEST_ID).filter(fit) {
        return given.clone();
    }
    let ours = format!("{:032x}", rand::rng().random::<u128>());
    HeaderValue::try_from(ours).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_is_kept_if_it_is_fit_for_a_log() {
        let given =
            |text: &str| of(&HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(text).unwrap())]));
        assert_eq!(given("req-1_a.b"), "req-1_a.b");
        for unfit in ["", "a b", "a\tb", "{}", &"x".repeat(MAX_LEN + 1)] {
            let made = given(unfit);
            assert!(made.len() == 32 && made != unfit, "{unfit}");
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
