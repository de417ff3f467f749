//! Who a bundle is for: a checked tenant name and the choice whether test data counts.

use std::fmt;

/// The tenant name that means all tenants together.
pub const ALL_TENANTS: &str = "SUPERADMIN_GLOBAL";

/// A tenant's longest name, in bytes.
pub const MAX_TENANT_BYTES: usize = 64;

/// Words that the module's commands read as options.
const RESERVED: [&str; 3] = ["SOFT", "FORCE", "ASYNC"];

/// A tenant name: 1–64 of `[A-Za-z0-9_.-]`, compared byte for byte, and no option of the module's commands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant(String);

/// Why a text is no tenant name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant is 1 to 64 of A-Z a-z 0-9 _ . -, and none of the words SOFT, FORCE and ASYNC")]
pub struct InvalidTenant;

impl Tenant {
    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidTenant`] for an empty or overlong name, a character outside the set, which is what keeps separators
    /// and patterns out of cache keys, or a reserved word.
    pub fn parse(text: &str) -> Result<Self, InvalidTenant> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let reserved = RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text));
        if (1..=MAX_TENANT_BYTES).contains(&text.len()) && text.bytes().all(allowed) && !reserved {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTenant)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all tenants together.
    pub fn is_all_tenants(&self) -> bool {
        self.0 == ALL_TENANTS
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which bundle: one tenant, with or without its test data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BundleId {
    /// Whose figures.
    pub tenant: Tenant,
    /// Whether rows marked as test data count.
    pub include_test_data: bool,
}

impl BundleId {
    /// The key under which the module keeps this bundle (without hash tags), as log lines name it.
    pub fn cache_key(&self) -> String {
        format!("dashboard:bundle:{}:include={}", self.tenant, self.include_test_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_tenants() {
        for name in ["a", "a11dfb63-4b18-4eb8-872e-747af2e37c46", ALL_TENANTS, "x.y_z", &"a".repeat(64)] {
            assert!(Tenant::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_could_break_a_key_are_not() {
        for name in ["", "a b", "a:b", "{a}", "*", "a\n", "é", &"a".repeat(65)] {
            assert_eq!(Tenant::parse(name), Err(InvalidTenant), "{name}");
        }
    }

    #[test]
    fn the_cache_key_names_tenant_and_choice() {
        let id = BundleId { tenant: Tenant::parse("t1").unwrap(), include_test_data: false };
        assert_eq!(id.cache_key(), "dashboard:bundle:t1:include=false");
    }
}
