//! Which changes are recorded and counted at all: whoever follows cannot announce what nobody has written down.

use super::error::FeedError;
use crate::pg::{Client, Queries as _};

/// What is recorded of changes, and counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    /// Tables whose changes are not recorded, or not all. Before they have been counted there is nothing to be missed.
    pub(super) not: Vec<String>,
    /// Tenants whose bundles are computed from the tables, as their figures cannot be summed.
    pub(super) uncounted: u64,
}

impl Recorded {
    pub(super) fn at(client: &mut Client) -> Result<Self, FeedError> {
        let row = client.query_one(
            "SELECT ARRAY(SELECT place::text FROM dashboard.counters, dashboard.unrecorded() AS place
                          WHERE counters.tables IS NOT NULL),
                    (SELECT count(*) FROM dashboard.uncounted WHERE owner <> dashboard.all_tenants())",
            &[],
        )?;
        let uncounted: i64 = row.try_get(1)?;
        Ok(Self { not: row.try_get(0)?, uncounted: u64::try_from(uncounted).unwrap_or_default() })
    }
}
