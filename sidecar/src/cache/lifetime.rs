//! How long bundles last, as Redis is set.

use std::time::Duration;

use redis::AsyncConnectionConfig;

use super::{CONNECT_TIMEOUT, PROBE_TIMEOUT};
use crate::config::Secret;

/// How long bundles are served past the time when they were fresh (`dashboard.stale-ttl`). None where Redis does
/// not say: a user may warm and yet not read settings.
pub async fn stale_ttl(url: &Secret, caller: &str) -> Option<Duration> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(PROBE_TIMEOUT));
    let client = redis::Client::open(url.expose()).ok()?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.ok()?;
    let mut name = redis::cmd("CLIENT");
    name.arg("SETNAME").arg(caller);
    let _ = name.query_async::<()>(&mut connection).await;
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("dashboard.stale-ttl");
    let answer: Result<Vec<String>, _> = command.query_async(&mut connection).await;
    match answer {
        Ok(pair) => pair.get(1)?.parse().ok().map(Duration::from_secs),
        Err(error) => {
            tracing::debug!(%error, "Redis does not say how long bundles last");
            None
        }
    }
}
