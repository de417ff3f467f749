//! Tenants by name, for people to pick one.

use super::Database;
use super::failure::classify;
use super::session::Query;
use crate::error::ApiError;
use crate::tenant::Tenant;

const FUNCTION: &str = "dashboard.directory";

/// A tenant as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTenant {
    /// What requests name it by.
    pub tenant: Tenant,
    /// What people call it.
    pub name: String,
}

/// A tenant with all that it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What requests name it by.
    pub tenant: Tenant,
    /// What people call it.
    pub name: String,
    /// Its short name, where there is one.
    pub slug: Option<String>,
}

impl Database {
    /// All active tenants, in the order in which people are shown them. Dropping the future cancels the statement.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn directory(&self) -> Result<Vec<Listed>, ApiError> {
        self.searches
            .run(FUNCTION, move |session| {
                let failed = |error: postgres::Error| classify(FUNCTION, &error);
                let rows = session.query(Query::Directory, &[]).map_err(failed)?;
                let mut tenants = Vec::with_capacity(rows.len());
                for row in rows {
                    let id: String = row.try_get(0).map_err(failed)?;
                    let (name, slug) = (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
                    // One that cannot be asked for is of no use; warming says what is odd about it.
                    tenants.extend(Tenant::parse(&id).ok().map(|tenant| Listed { tenant, name, slug }));
                }
                Ok(tenants)
            })
            .await
    }
}
