//! Tenants by name, for people to pick one.

use super::Database;
use super::failure::classify;
use super::session::Query;
use crate::error::ApiError;
use crate::tenant::Tenant;

const FUNCTION: &str = "dashboard.tenants";

/// A tenant as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTenant {
    /// What requests name it by.
    pub tenant: Tenant,
    /// What people call it.
    pub name: String,
}

impl Database {
    /// The active tenants that the search fits, of one tenant alone where `only` names it; `most` at most. Dropping the
    /// future cancels the statement.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn search_tenants(
        &self,
        search: String,
        only: Option<Tenant>,
        most: u16,
    ) -> Result<Vec<NamedTenant>, ApiError> {
        self.searches
            .run(FUNCTION, move |session| {
                let failed = |error: postgres::Error| classify(FUNCTION, &error);
                let only = only.as_ref().map(Tenant::as_str);
                let rows =
                    session.query(Query::Search, &[&search, &only, &i32::from(most)]).map_err(failed)?;
                let mut tenants = Vec::with_capacity(rows.len());
                for row in rows {
                    let (id, name): (String, String) =
                        (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
                    // One that cannot be asked for is of no use; warming says what is odd about it.
                    tenants.extend(Tenant::parse(&id).ok().map(|tenant| NamedTenant { tenant, name }));
                }
                Ok(tenants)
            })
            .await
    }
}
