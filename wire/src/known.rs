//! What is stored already, and is past its `ttl`: the sidecar is told its version, and says that nothing has
//! changed since instead of computing it. Then what is stored begins a new life.

use crate::bundle::{Lifetime, Stamp, version};
use crate::protocol::KnownBundle;
use bytes::Bytes;

/// A copy of a stored bundle that names its version.
#[derive(Clone, Debug)]
pub struct Known {
    value: Bytes,
    etag: String,
    version: String,
    life: Lifetime,
}

impl Known {
    /// Copies `value`, where that is a bundle of this tenant and include flag that names its version.
    pub fn copy(value: &[u8], tenant: &str, include: bool) -> Option<Self> {
        let Stamp { etag, life, .. } = Stamp::read(value, tenant, include)?;
        Some(Self {
            etag: str::from_utf8(etag).ok()?.to_owned(),
            version: version(value, tenant, include)?.to_owned(),
            value: Bytes::copy_from_slice(value),
            life,
        })
    }

    /// Whether what is stored under this stamp is what was copied.
    pub fn is(&self, stamp: &Stamp<'_>) -> bool {
        self.life == stamp.life && self.etag.as_bytes() == stamp.etag
    }

    /// Its bytes.
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// How many bytes that are.
    pub fn size(&self) -> usize {
        self.value.len()
    }

    /// What names its content.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// What the sidecar is told of it.
    pub fn said(&self) -> KnownBundle<'_> {
        KnownBundle { etag: self.etag.as_str().into(), version: self.version.as_str().into() }
    }
}
