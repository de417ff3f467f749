//! Which bundle, and the key it is stored under. No other file spells a key.

use crate::tenant::{Tenant, valid_name};
use std::fmt;

const PREFIX: &[u8] = b"dashboard:bundle:";

/// The tenant of a bundle's key, with or without a hash tag, and its include flag; `None` where `key` is not
/// the name of a bundle's key.
pub fn of_key(key: &[u8]) -> Option<(&str, bool)> {
    let rest = key.strip_prefix(PREFIX)?;
    let (name, include) = match rest.strip_suffix(b":include=true") {
        Some(name) => (name, true),
        None => (rest.strip_suffix(b":include=false")?, false),
    };
    let untagged = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}"));
    Some((valid_name(untagged.unwrap_or(name))?, include))
}

/// One bundle of one database.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BundleId {
    /// The number of the database that `SELECT` chose.
    pub db: i32,
    /// Whose figures.
    pub tenant: Tenant,
    /// With test data.
    pub include: bool,
}

impl BundleId {
    /// Both bundles of a tenant.
    pub fn both(db: i32, tenant: &Tenant) -> [Self; 2] {
        [true, false].map(|include| Self { db, tenant: tenant.clone(), include })
    }

    /// The name of its key.
    pub fn key(&self, tagged: bool) -> KeyName {
        KeyName::new(self.tenant.as_str(), self.include, tagged)
    }
}

/// The name of a bundle's key, built on the stack: a hit allocates nothing of its own.
pub struct KeyName {
    bytes: [u8; 128],
    len: usize,
}

impl KeyName {
    /// `tagged` puts the tenant in braces, so that the key lies in the cluster slot of the tenant's name.
    pub fn new(tenant: impl AsRef<[u8]>, include: bool, tagged: bool) -> Self {
        let mut key = Self { bytes: [0; 128], len: 0 };
        key.push(PREFIX);
        if tagged {
            key.push(b"{");
        }
        key.push(tenant.as_ref());
        if tagged {
            key.push(b"}");
        }
        key.push(if include { b":include=true" } else { b":include=false" });
        key
    }

    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::MAX_TENANT_BYTES;
    use proptest::prelude::*;

    #[test]
    fn a_key_names_the_tenant_and_the_include_flag() {
        assert_eq!(KeyName::new("t1", true, false).as_bytes(), b"dashboard:bundle:t1:include=true");
        assert_eq!(KeyName::new("t1", false, true).as_bytes(), b"dashboard:bundle:{t1}:include=false");
    }

    #[test]
    fn the_longest_name_fits_a_key() {
        let name = "x".repeat(MAX_TENANT_BYTES);
        assert_eq!(of_key(KeyName::new(&name, false, true).as_bytes()), Some((name.as_str(), false)));
    }

    proptest! {
        #[test]
        fn a_key_tells_its_bundle(name in "[A-Za-z0-9_.-]{1,64}", include: bool, tagged: bool) {
            prop_assume!(valid_name(name.as_bytes()).is_some());
            let key = KeyName::new(&name, include, tagged);
            prop_assert_eq!(of_key(key.as_bytes()), Some((name.as_str(), include)));
        }

        #[test]
        fn different_bundles_never_share_a_key(a in "[A-Za-z0-9_.-]{1,64}", b in "[A-Za-z0-9_.-]{1,64}",
                                               x: bool, y: bool, tagged: bool) {
            let same = a == b && x == y;
            prop_assert_eq!(KeyName::new(&a, x, tagged).as_bytes() == KeyName::new(&b, y, tagged).as_bytes(), same);
        }
    }
}
