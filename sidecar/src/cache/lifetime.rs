//! How long bundles last, as Redis is set.

use std::time::Duration;

use super::{PROBE_TIMEOUT, dedicated};
use crate::config::Secret;

/// How long bundles are served past the time when they were fresh (`dashboard.stale-ttl`). None where Redis does
/// not say: a user may warm and yet not read settings.
pub async fn stale_ttl(url: &Secret, caller: &str) -> Option<Duration> {
    let mut connection = dedicated::open(url, caller, Some(PROBE_TIMEOUT)).await.ok()?;
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
