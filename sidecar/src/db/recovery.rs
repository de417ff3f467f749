//! Whether bundles may be computed where a connection leads to.

use crate::pg::{Client, Queries as _};
use postgres::Error;
use postgres::error::SqlState;

/// Why not, for who runs the sidecar.
pub(super) const REFUSAL: &str = "it is a standby, and the counters are enabled: bundles computed on a standby may be older than the change \
     that they are computed for. Set DATABASE_URL to the primary; with several hosts in it, add target_session_attrs=read-write";

/// False on a standby of a database whose counters are enabled: a bundle is computed there because something has changed, from rows in
/// which it may not have changed yet, and nothing would tell the difference later.
pub(super) fn may_compute(client: &mut Client) -> Result<bool, Error> {
    if !client.is_in_recovery() {
        return Ok(true);
    }
    let there: bool =
        client.query_one("SELECT to_regclass('dashboard.counters') IS NOT NULL", &[])?.try_get(0)?;
    if !there {
        return Ok(true);
    }
    match client.query_one("SELECT ready FROM dashboard.counters", &[]) {
        Ok(row) => Ok(!row.try_get::<_, bool>(0)?),
        // Then nor can bundles be computed, which says so itself.
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(true),
        Err(error) => Err(error),
    }
}
