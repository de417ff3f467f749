//! `If-None-Match` and `ETag`. The tags are weak: the answer also tells how old the bundle is and where it came from,
//! which is no part of what they stand for.

use ::http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::http::{self, Reply};

/// Tags that are looked at; one more, and the header is taken for none.
const MAX_TAGS: usize = 32;

/// What a client has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    any: bool,
    etags: Vec<String>,
}

impl Known {
    /// Reads the headers. A malformed one is taken for none: the client gets the whole answer.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut known = Self::default();
        for value in headers.get_all(IF_NONE_MATCH) {
            let Ok(mut rest) = value.to_str() else { return Self::default() };
            loop {
                rest = rest.trim_start_matches([' ', '\t', ',']);
                if rest.is_empty() {
                    break;
                }
                if let Some(after) = rest.strip_prefix('*') {
                    known.any = true;
                    rest = after;
                    continue;
                }
                let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"');
                let Some((tag, after)) = quoted.and_then(|text| text.split_once('"')) else {
                    return Self::default();
                };
                known.etags.push(tag.to_owned());
                rest = after;
            }
        }
        if known.etags.len() > MAX_TAGS { Self::default() } else { known }
    }

    /// The one etag that Redis can be asked about. Several are compared here, when the bundle has come.
    pub(super) fn only(&self) -> Option<&str> {
        match self.etags.as_slice() {
            [etag] if !self.any && !etag.is_empty() => Some(etag),
            _ => None,
        }
    }

    /// Whether the client has what has this etag.
    pub(super) fn holds(&self, etag: &str) -> bool {
        self.any || self.etags.iter().any(|known| known == etag)
    }
}

/// The header of an answer.
pub(super) fn header(etag: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("W/\"{etag}\"")).ok()
}

/// What is part of the binary, or 304 for a client that has it. It may be kept, and is asked about each time.
pub(super) fn unless_known(headers: &HeaderMap, kind: &'static str, content: &'static [u8]) -> Reply {
    let etag = format!("{:032x}", xxh3_128(content));
    let mut reply = if Known::of(headers).holds(&etag) {
        http::empty(StatusCode::NOT_MODIFIED)
    } else {
        http::bytes(StatusCode::OK, kind, Bytes::from_static(content))
    };
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply.headers_mut().extend(header(&etag).map(|etag| (ETAG, etag)));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[&'static str]) -> Known {
        let headers = values.iter().map(|value| (IF_NONE_MATCH, HeaderValue::from_static(value)));
        Known::of(&headers.collect())
    }

    #[test]
    fn strong_weak_and_several_tags_are_understood() {
        for (values, only, holds) in [
            (&[][..], None, false),
            (&[r#""a""#], Some("a"), true),
            (&[r#"W/"a""#], Some("a"), true),
            (&[r#""b", W/"a""#], None, true),
            (&[r#""b""#, r#""a""#], None, true),
            (&["*"], None, true),
            (&[r#""b""#], Some("b"), false),
            (&[r#""""#], None, false),
        ] {
            let known = known(values);
            assert_eq!((known.only(), known.holds("a")), (only, holds), "{values:?}");
        }
    }

    #[test]
    fn a_malformed_header_is_taken_for_none() {
        for value in ["a", r#""a"#, r#"w/"a""#, r#""b", a"#, "W/"] {
            assert_eq!(known(&[value]), Known::default(), "{value}");
        }
        let many: &'static str = Box::leak(vec![r#""a""#; MAX_TAGS + 1].join(",").into_boxed_str());
        assert_eq!(known(&[many]), Known::default());
    }

    #[test]
    fn what_is_sent_is_understood_when_it_comes_back() {
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, header("0a1b").unwrap())]);
        assert_eq!(Known::of(&headers).only(), Some("0a1b"));
    }
}
