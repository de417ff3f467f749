//! The answers that the fake upstream can give.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use super::{Known, Request};

/// How one request is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// The right bundle.
    #[default]
    Bundle,
    /// The right bundle, padded to at least this many bytes.
    Sized(usize),
    /// The right bundle, with the same content (and so the same etag) whatever its version.
    Unchanging,
    /// The right bundle, which names its version: `fake:1`, …
    Versioned,
    /// The right bundle, with a figure that time alone makes wrong so many milliseconds from now.
    ValidFor(u64),
    /// In a batch, of a bundle that is known: that nothing has changed. Else the right bundle, which names its version.
    Unchanged,
    /// In a batch: that nothing has changed since a bundle with another etag than the one that is known.
    UnchangedOther,
    /// Another tenant's bundle.
    WrongTenant,
    /// The bundle with the other include value.
    WrongInclude,
    /// 200 with something that is not JSON.
    Garbage,
    /// Valid JSON that is no bundle.
    WrongShape,
    /// The start of the right bundle; then the connection closes.
    HalfBody,
    /// 200 with no bytes in the body.
    EmptyBody,
    /// The connection closes without a byte.
    Close,
    /// Nothing, for as long as the connection lasts.
    Hang,
    /// To a batch, empty lines without end; to anything else, nothing.
    SignsOfLife,
    /// An error of the API: status and code.
    Error(u16, &'static str),
}

impl Answer {
    /// The unknown tenant.
    pub const NO_TENANT: Self = Self::Error(404, "no_tenant");
    /// Postgres is down.
    pub const UNAVAILABLE: Self = Self::Error(503, "postgres_unavailable");

    /// The bytes of the body for a request that is the `version`th for its bundle.
    pub(super) fn body(&self, request: &Request, version: usize) -> Vec<u8> {
        let other = Request { tenant: format!("{}-other", request.tenant), ..request.clone() };
        let opposite = Request { include_test_data: !request.include_test_data, ..request.clone() };
        match self {
            Self::Sized(size) => bundle(request, version, *size, ""),
            Self::Unchanging => bundle(request, 0, 0, ""),
            Self::Versioned | Self::Unchanged | Self::UnchangedOther => {
                bundle(request, version, 0, &format!(r#","version":"fake:{version}""#))
            }
            Self::ValidFor(millis) => {
                let until = SystemTime::now() + Duration::from_millis(*millis);
                let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
                bundle(request, version, 0, &format!(r#","valid_until_ms":{until}"#))
            }
            Self::WrongTenant => bundle(&other, version, 0, ""),
            Self::WrongInclude => bundle(&opposite, version, 0, ""),
            Self::Garbage => b"<html>It works!</html>".to_vec(),
            Self::WrongShape => br#"{"stats":{},"funnel":{},"lists":{}}"#.to_vec(),
            Self::EmptyBody => Vec::new(),
            Self::Error(_, code) => error(code).into_bytes(),
            Self::Bundle | Self::HalfBody | Self::Close | Self::Hang | Self::SignsOfLife => {
                bundle(request, version, 0, "")
            }
        }
    }

    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Error(status, _) => *status,
            _ => 200,
        }
    }

    /// One line of a stream of bundles, without its line end.
    pub(super) fn line(&self, request: &Request, known: Option<&Known>, version: usize) -> Vec<u8> {
        let what = match (self, known) {
            (Self::Error(_, code), _) => {
                format!(r#""error":{{"code":"{code}","message":"{}"}}"#, message(code))
            }
            (Self::Unchanged, Some(Known { etag, .. })) => format!(r#""unchanged":"{etag}""#),
            (Self::UnchangedOther, _) => format!(r#""unchanged":"{}""#, "0123456789abcdef".repeat(2)),
            _ => return self.body(request, version),
        };
        let Request { tenant, include_test_data } = request;
        format!(r#"{{{what},"tenant_id":"{tenant}","include_test_data":{include_test_data}}}"#).into_bytes()
    }
}

fn bundle(request: &Request, version: usize, size: usize, more_meta: &str) -> Vec<u8> {
    let Request { tenant, include_test_data } = request;
    let padding = "x".repeat(size);
    let content = format!(
        r#""stats":{{"totalContacts":{version},"leadsBySource":{{}}}},"funnel":{{}},"lists":{{"padding":"{padding}"}}}}"#
    );
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let etag = format!("{:032x}", hasher.finish());
    let generated_at = humantime::format_rfc3339_micros(SystemTime::now());
    format!(
        r#"{{"meta":{{"tenant_id":"{tenant}","include_test_data":{include_test_data},"generated_at":"{generated_at}","etag":"{etag}","compute_ms":1{more_meta}}},{content}"#
    )
    .into_bytes()
}

pub(super) fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"{}"}}}}"#, message(code))
}

/// A text that must never reach a client of Redis.
fn message(code: &str) -> String {
    format!("the upstream's own words about {code}")
}
