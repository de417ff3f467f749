//! What is wanted of a batch, and what is handed over for it.

use crate::bundle::{Bundle, Etag, Known};
use crate::error::ApiError;
use crate::tenant::{BundleId, Tenant};

/// One of a batch's bundles, or why it could not be computed.
pub type BundleItem = (BundleId, Result<Found, ApiError>);

/// What there is of a bundle.
#[derive(Debug)]
pub enum Found {
    /// All of it.
    Computed(Bundle),
    /// Nothing has changed since the one that its asker has, which has this etag.
    Unchanged(Etag),
}

/// A tenant, and which of its bundles are to be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tenant: Tenant,
    pub(super) bundles: Vec<WantedBundle>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedBundle {
    pub(super) include_test_data: bool,
    /// What its asker has already.
    pub(super) known: Option<Known>,
}

impl Wanted {
    /// Its bundles.
    pub(super) fn ids(&self) -> impl Iterator<Item = BundleId> {
        self.bundles.iter().map(|bundle| self.id(bundle))
    }

    /// One of its bundles.
    pub(super) fn id(&self, bundle: &WantedBundle) -> BundleId {
        BundleId { tenant: self.tenant.clone(), include_test_data: bundle.include_test_data }
    }
}
