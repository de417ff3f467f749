//! Asking the module to warm, on a connection of its own: that takes as long as it takes.

use redis::{AsyncConnectionConfig, RedisError, Value};

use super::failure;
use super::reply::{self, Warmed};
use super::{CONNECT_TIMEOUT, MALFORMED_URL};
use crate::config::Secret;
use crate::error::ApiError;
use crate::tenant::Tenant;

/// Warms these tenants, or all active ones, and waits for the end, however long it takes. Dropping the future
/// does not end the run in Redis. `caller` names the connection, so that Redis can say who has begun the run.
///
/// # Errors
/// If REDIS_URL is malformed, Redis cannot be reached, or it refuses.
pub async fn warm(url: &Secret, caller: &str, tenants: &[Tenant], force: bool) -> Result<Warmed, ApiError> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
    let client = redis::Client::open(url.expose()).map_err(|_| ApiError::redis_unavailable(MALFORMED_URL))?;
    let refused = |error: RedisError| failure::of_warming(&error);
    let mut connection =
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(refused)?;
    let mut name = redis::cmd("CLIENT");
    name.arg("SETNAME").arg(caller);
    // A user that may only warm may not name itself, and is not to be stopped by that.
    if let Err(error) = name.query_async::<()>(&mut connection).await {
        tracing::debug!(%error, "the connection that warms has no name");
    }
    let mut command = redis::cmd("DASHBOARD.WARM");
    for tenant in tenants {
        command.arg(tenant.as_str());
    }
    if force {
        command.arg("FORCE");
    }
    let value: Value = command.query_async(&mut connection).await.map_err(refused)?;
    reply::warmed(value)
}
