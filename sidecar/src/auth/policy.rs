//! Who may do what. All of it is here; a route asks, and does nothing if the answer is an error.
//!
//! | | reader | admin | superadmin |
//! |---|---|---|---|
//! | read, list | own tenant | own tenant | all, SUPERADMIN_GLOBAL |
//! | clear | – | own tenant, named | all, SUPERADMIN_GLOBAL, everything at once |
//! | execute | – | own tenant | all, SUPERADMIN_GLOBAL, everything at once |
//! | operate | – | – | yes |
//!
//! The own tenant is the claim `tenant_id`; who has none has nothing of their own. `SUPERADMIN_GLOBAL` is all
//! tenants together, so it is nobody's own, whatever a claim says. Refusals are decided before anything is
//! looked up: they tell nothing about which tenants there are.

use serde::Serialize;

use super::{Principal, Role};
use crate::error::ApiError;
use crate::tenant::{ALL_TENANTS, Tenant};

/// Whom something is done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All tenants there are.
    All,
    /// One.
    One(Tenant),
}

/// What a principal may do, for front ends to show or hide what leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// Every tenant's bundle and `SUPERADMIN_GLOBAL`.
    pub read_all: bool,
    /// Clearing some tenant.
    pub clear: bool,
    /// Clearing all at once.
    pub clear_all: bool,
    /// Warming some tenant.
    pub execute: bool,
    /// Looking at the server itself.
    pub operate: bool,
}

impl Principal {
    /// Whether it may read this tenant's bundle, and hear of its changes.
    ///
    /// # Errors
    /// 403 with what is needed.
    pub fn may_read(&self, tenant: &Tenant) -> Result<(), ApiError> {
        if self.is_superadmin() || self.owns(tenant) { Ok(()) } else { Err(self.no_reading(tenant)) }
    }

    /// Whose names it may list.
    ///
    /// # Errors
    /// 403 with what is needed.
    pub fn may_list(&self) -> Result<Scope, ApiError> {
        match self.own() {
            _ if self.is_superadmin() => Ok(Scope::All),
            Some(own) => Ok(Scope::One(own.clone())),
            None => Err(self.nothing_of_its_own("reads")),
        }
    }

    /// Whether it may clear this tenant's bundles, or, with none, everybody's.
    ///
    /// # Errors
    /// 403 with what is needed.
    pub fn may_clear(&self, tenant: Option<&Tenant>) -> Result<(), ApiError> {
        self.may_change(tenant, "clear")?;
        if tenant.is_none() && !self.is_superadmin() {
            return Err(ApiError::forbidden(
                "clearing all tenants needs the role superadmin: an admin names its own one as tenant_id",
            ));
        }
        Ok(())
    }

    /// For whom it may run the job that warms: for this tenant, or, with none named, for all that it may.
    ///
    /// # Errors
    /// 403 with what is needed.
    pub fn may_execute(&self, tenant: Option<&Tenant>) -> Result<Scope, ApiError> {
        self.may_change(tenant, "warm")?;
        Ok(match (tenant, self.own()) {
            (Some(tenant), _) => Scope::One(tenant.clone()),
            (None, Some(own)) if !self.is_superadmin() => Scope::One(own.clone()),
            (None, _) => Scope::All,
        })
    }

    /// Whether it may look at the server itself: its pools, jobs and counters, which are everybody's.
    ///
    /// # Errors
    /// 403 with what is needed.
    pub fn may_operate(&self) -> Result<(), ApiError> {
        if self.is_superadmin() {
            Ok(())
        } else {
            Err(ApiError::forbidden("this needs the role superadmin: it tells about all tenants together"))
        }
    }

    /// All of it, in short.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            read_all: self.may_list() == Ok(Scope::All),
            clear: self.may_clear(self.own()).is_ok(),
            clear_all: self.may_clear(None).is_ok(),
            execute: self.may_execute(None).is_ok(),
            operate: self.may_operate().is_ok(),
        }
    }

    /// What clearing and warming have in common: an admin's own tenant, or a superadmin's any.
    fn may_change(&self, tenant: Option<&Tenant>, verb: &str) -> Result<(), ApiError> {
        match self.role() {
            Role::Superadmin => Ok(()),
            Role::Reader => {
                Err(ApiError::forbidden(format!("to {verb}, the token needs the role admin or superadmin")))
            }
            Role::Admin if self.own().is_none() => Err(self.nothing_of_its_own("changes")),
            Role::Admin if tenant.is_none_or(|tenant| self.owns(tenant)) => Ok(()),
            Role::Admin => Err(ApiError::forbidden(format!(
                "an admin may {verb} only the tenant of its token: others need the role superadmin"
            ))),
        }
    }

    fn is_superadmin(&self) -> bool {
        self.role() == Role::Superadmin
    }

    fn own(&self) -> Option<&Tenant> {
        self.tenant().filter(|tenant| !tenant.is_all_tenants())
    }

    fn owns(&self, tenant: &Tenant) -> bool {
        self.own() == Some(tenant)
    }

    fn no_reading(&self, tenant: &Tenant) -> ApiError {
        if tenant.is_all_tenants() {
            ApiError::forbidden(format!(
                "{ALL_TENANTS} needs the role superadmin: it holds all tenants together"
            ))
        } else if self.own().is_none() {
            self.nothing_of_its_own("reads")
        } else {
            ApiError::forbidden(
                "the token is for another tenant: ask for its own one, or with the role superadmin",
            )
        }
    }

    fn nothing_of_its_own(&self, does: &str) -> ApiError {
        ApiError::forbidden(format!(
            "the token {does} nothing: it needs the claim tenant_id with a tenant's id, or the role superadmin"
        ))
    }
}
