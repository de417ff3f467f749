//! What is stored already, and is past its `ttl`: the sidecar is told its version, and says that nothing has
//! changed since instead of computing it. Then what is stored begins a new life.
//!
//! Here is both sides of that in the protocol: the member `known` of a question, and the line that answers it.

use super::{Failure, Fetched, Order, Problem, response};
use crate::bundle::{Lifetime, Stamp, version};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

/// A copy of a stored bundle.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    value: Bytes,
    etag: String,
    version: String,
    life: Lifetime,
}

/// What the sidecar is told of it.
#[derive(Serialize)]
pub(super) struct Said<'a> {
    etag: &'a str,
    version: &'a str,
}

/// The line for a bundle of which nothing has changed: its etag, and whose it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unchanged {
    unchanged: String,
    pub(super) tenant_id: String,
    pub(super) include_test_data: bool,
}

impl Known {
    /// Copies `value`, where that is a bundle of this tenant and include flag that names its version.
    pub(crate) fn copy(value: &[u8], tenant: &str, include: bool) -> Option<Self> {
        let Stamp { etag, life } = Stamp::read(value, tenant, include)?;
        Some(Self {
            etag: str::from_utf8(etag).ok()?.to_owned(),
            version: version(value, tenant, include)?.to_owned(),
            value: Bytes::copy_from_slice(value),
            life,
        })
    }

    /// Whether what is stored under this stamp is what was copied.
    pub(crate) fn is(&self, stamp: &Stamp<'_>) -> bool {
        self.life == stamp.life && self.etag.as_bytes() == stamp.etag
    }

    pub(crate) fn size(&self) -> usize {
        self.value.len()
    }

    pub(super) fn said(&self) -> Said<'_> {
        Said { etag: &self.etag, version: &self.version }
    }
}

impl Unchanged {
    /// The stored bundle of `order` with its new life. The etag proves that the sidecar means that one.
    pub(super) fn renew(&self, order: &Order) -> Result<Fetched, Problem> {
        let wrong = |what: &str| {
            let cause = format!("{}: {what} is said to be unchanged", order.tenant);
            Problem::new(Failure::WrongBundle, cause)
        };
        let known = order.known.as_ref().ok_or_else(|| wrong("what was to be computed"))?;
        if known.etag != self.unchanged {
            return Err(wrong("another bundle than the one that is stored"));
        }
        // What is stored reads like an answer.
        Ok(Fetched { renewed: true, ..response::bundle(&known.value, order)? })
    }
}
