//! Who a bundle is for: a tenant's name.

use std::fmt;

/// Words that are options of `CLEAR` and `WARM`, so a tenant can never be called that.
const RESERVED: [&str; 3] = ["SOFT", "FORCE", "ASYNC"];

/// A tenant's longest name, in bytes.
pub const MAX_TENANT_BYTES: usize = 64;
/// The name that stands for all tenants together.
pub const ALL_TENANTS: &str = "SUPERADMIN_GLOBAL";

/// A tenant's name: 1 to 64 of `[A-Za-z0-9_.-]`, compared byte for byte.
///
/// The alphabet has no colon, brace or glob character, so a name can never reach another tenant's key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Box<str>);

/// Why a text is no tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant is 1 to 64 of A-Z a-z 0-9 _ . -, and none of the words SOFT, FORCE and ASYNC")]
pub struct InvalidTenant;

impl Tenant {
    /// The tenant called `name`, or `None` where that cannot be a tenant's name.
    pub fn new(name: &[u8]) -> Option<Self> {
        let name = valid_name(name)?;
        Some(Self(name.into()))
    }

    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidTenant`], whose text says what a name may be.
    pub fn parse(text: &str) -> Result<Self, InvalidTenant> {
        Self::new(text.as_bytes()).ok_or(InvalidTenant)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all tenants together.
    pub fn is_all_tenants(&self) -> bool {
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
pub fn valid_name(name: &[u8]) -> Option<&str> {
    if is_name(name) { std::str::from_utf8(name).ok() } else { None }
}

/// Whether `name` is a tenant's name.
#[inline]
pub fn is_name(name: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_reach_another_key_are_no_tenants() {
        for bad in ["", "a:b", "{a}", "a*", "a b", "a\n", "ä", "soft", "ASYNC", &"x".repeat(65)] {
            assert!(Tenant::new(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(Tenant::new(b"\xff").is_none());
        assert!(Tenant::new(b"SUPERADMIN_GLOBAL").is_some());
    }
}
