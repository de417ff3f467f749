//! Who asks.

use chrono::{DateTime, Utc};

use crate::tenant::Tenant;

/// What a role is good for; [`policy`](super::policy) says what exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads its own tenant. Whatever is no other role, none included.
    Reader,
    /// Also clears and warms its own tenant.
    Admin,
    /// Everything, for everybody.
    Superadmin,
}

impl Role {
    fn parse(text: &str) -> Self {
        match text {
            "superadmin" => Self::Superadmin,
            "admin" => Self::Admin,
            _ => Self::Reader,
        }
    }
}

/// Who asks, by a token that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    tenant: Option<Tenant>,
    role: Role,
    role_name: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

impl Principal {
    pub(super) fn new(
        tenant: Option<Tenant>,
        role_name: Option<String>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Self {
        let role = role_name.as_deref().map_or(Role::Reader, Role::parse);
        Self { tenant, role, role_name, expires_at }
    }

    /// Whoever asks a server that needs no token.
    pub(super) fn everybody() -> Self {
        Self { tenant: None, role: Role::Superadmin, role_name: None, expires_at: None }
    }

    /// The claim `tenant_id`. What it allows is [`policy`](super::policy)'s to say.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// What it counts as.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The claim `role`, as it stands in the token.
    pub fn role_name(&self) -> Option<&str> {
        self.role_name.as_deref()
    }

    /// The claim `exp`: when the token ends; never, if there was none.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }
}
