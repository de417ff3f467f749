//! Which run of which server a connection is with: another one may have lost what it had acknowledged.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::refusal::Refused;
use super::{dedicated, refusal};
use crate::config::Secret;

/// Who is at the other end.
pub(crate) struct Redis {
    /// Which run of which server, with which data.
    pub(crate) identity: String,
    /// How many keys it has, in all its databases.
    pub(crate) keys: u32,
}

/// Connects for the change feed, under this name, and finds out with whom.
///
/// # Errors
/// If REDIS_URL is malformed, or leads to no primary, or Redis cannot be reached or does not say.
pub(crate) async fn feed_connection(
    url: &Secret,
    name: &str,
    timeout: Duration,
) -> Result<(MultiplexedConnection, Redis), Refused> {
    let open = dedicated::open_as_it_is(url, name, Some(timeout)).await;
    let mut connection = open.map_err(|error| Refused::of(&error))?;
    let mut command = redis::cmd("INFO");
    command.arg("server").arg("replication").arg("keyspace");
    let info: String = match command.query_async(&mut connection).await {
        Ok(info) => info,
        Err(error) if error.code() == Some("NOPERM") => {
            return Err(Refused::saying("NOPERM", refusal::INFO_IS_NEEDED));
        }
        Err(error) => return Err(Refused::of(&error)),
    };
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("role:") == Some("slave") {
        return Err(Refused::saying("READONLY", refusal::REPLICA));
    }
    // The data set is another one also where the server has been somebody's replica meanwhile.
    let (Some(run_id), Some(data)) = (field("run_id:"), field("master_replid:")) else {
        return Err(Refused::saying("INFO", "INFO of Redis has no run_id or master_replid"));
    };
    let keys =
        info.lines().filter_map(|line| line.split_once(":keys=")?.1.split(',').next()?.parse::<u32>().ok());
    let identity = format!("{run_id} {data}");
    Ok((connection, Redis { identity, keys: keys.fold(0, u32::saturating_add) }))
}
