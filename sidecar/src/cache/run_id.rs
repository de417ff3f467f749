//! Which run of which server a connection is with: another one may have lost what it had acknowledged.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::{dedicated, failure};
use crate::config::Secret;
use crate::error::ApiError;

/// Connects for the change feed, under this name, and says with which run of which server.
///
/// # Errors
/// If REDIS_URL is malformed, or Redis cannot be reached or does not say.
pub(crate) async fn feed_connection(
    url: &Secret,
    name: &str,
    timeout: Duration,
) -> Result<(MultiplexedConnection, String), ApiError> {
    let mut connection = dedicated::open(url, name, Some(timeout)).await?;
    let mut command = redis::cmd("INFO");
    command.arg("server").arg("replication");
    let info: String =
        command.query_async(&mut connection).await.map_err(|error| failure::of_warming(&error))?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // The data set is another one also where the server has been somebody's replica meanwhile.
    match (field("run_id:"), field("master_replid:")) {
        (Some(run_id), Some(data)) => Ok((connection, format!("{run_id} {data}"))),
        _ => Err(ApiError::redis_unavailable("INFO of Redis has no run_id or master_replid")),
    }
}
