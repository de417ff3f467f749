//! Who a bundle is for, as the sidecar names it: a tenant and the choice whether test data counts. The rules for
//! names and keys are the wire's, which the module shares.

pub use wire::tenant::{ALL_TENANTS, InvalidTenant, MAX_TENANT_BYTES, Tenant};

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
        wire::key::KeyName::new(self.tenant.as_str(), self.include_test_data, false).to_string()
    }
}
