//! Which bundle: a tenant, with or without test data, in one database, and the key it is stored under.
//!
//! Nothing here knows how bundles are computed, and no other file spells a key.

use std::fmt;

/// Words that are options of `CLEAR` and `WARM`, so a tenant can never be called that.
const RESERVED: [&str; 3] = ["SOFT", "FORCE", "ASYNC"];

const MAX_TENANT_BYTES: usize = 64;
/// The name that stands for all tenants together.
pub(crate) const ALL_TENANTS: &str = "SUPERADMIN_GLOBAL";
const PREFIX: &[u8] = b"dashboard:bundle:";

/// The tenant of a bundle's key, with or without a hash tag, and its include flag; `None` where `key` is not
/// the name of a bundle's key.
pub(crate) fn of_key(key: &[u8]) -> Option<(&str, bool)> {
    let rest = key.strip_prefix(PREFIX)?;
    let (name, include) = match rest.strip_suffix(b":include=true") {
        Some(name) => (name, true),
        None => (rest.strip_suffix(b":include=false")?, false),
    };
    let untagged = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}"));
    Some((valid_name(untagged.unwrap_or(name))?, include))
}

/// A tenant's name: 1 to 64 of `[A-Za-z0-9_.-]`, compared byte for byte.
///
/// The alphabet has no colon, brace or glob character, so a name can never reach another tenant's key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tenant(Box<str>);

impl Tenant {
    /// The tenant called `name`, or `None` where that cannot be a tenant's name.
    pub(crate) fn new(name: &[u8]) -> Option<Self> {
        let name = valid_name(name)?;
        Some(Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all tenants together.
    pub(crate) fn is_all_tenants(&self) -> bool {
        self.as_str() == ALL_TENANTS
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `name` as text where it is a tenant's name.
pub(crate) fn valid_name(name: &[u8]) -> Option<&str> {
    if is_name(name) { std::str::from_utf8(name).ok() } else { None }
}

/// Whether `name` is a tenant's name.
#[inline]
pub(crate) fn is_name(name: &[u8]) -> bool {
    let in_alphabet = name.iter().fold(true, |all, byte| all & ALPHABET[usize::from(*byte)]);
    let reserved = || RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
    !name.is_empty() && name.len() <= MAX_TENANT_BYTES && in_alphabet && !reserved()
}

/// Which bytes a name may have. A table, as every hit asks for each byte.
static ALPHABET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'.' | b'-');
        byte += 1;
    }
    table
};

/// One bundle of one database.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct BundleId {
    /// The number of the database that `SELECT` chose.
    pub(crate) db: i32,
    pub(crate) tenant: Tenant,
    /// With test data.
    pub(crate) include: bool,
}

impl BundleId {
    /// Both bundles of a tenant.
    pub(crate) fn both(db: i32, tenant: &Tenant) -> [Self; 2] {
        [true, false].map(|include| Self { db, tenant: tenant.clone(), include })
    }

    pub(crate) fn key(&self, tagged: bool) -> KeyName {
        KeyName::new(self.tenant.as_str(), self.include, tagged)
    }
}

/// The name of a bundle's key, built on the stack: a hit allocates nothing of its own.
pub(crate) struct KeyName {
    bytes: [u8; 128],
    len: usize,
}

impl KeyName {
    /// `tagged` puts the tenant in braces, so that the key lies in the cluster slot of the tenant's name.
    pub(crate) fn new(tenant: impl AsRef<[u8]>, include: bool, tagged: bool) -> Self {
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

    pub(crate) fn as_bytes(&self) -> &[u8] {
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

    #[test]
    fn names_that_could_reach_another_key_are_no_tenants() {
        for bad in ["", "a:b", "{a}", "a*", "a b", "a\n", "ä", "soft", "ASYNC", &"x".repeat(65)] {
            assert!(Tenant::new(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(Tenant::new(b"\xff").is_none());
        assert!(Tenant::new(b"SUPERADMIN_GLOBAL").is_some());
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
