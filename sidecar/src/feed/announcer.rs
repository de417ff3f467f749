//! Telling Redis what has changed, on one connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};

use crate::cache;
use crate::config::Secret;
use crate::error::ApiError;

/// What Redis calls the connection.
const CALLER: &str = "dashboard-sidecar-feed";
/// Longest wait for a reply. A Redis that is away longer is asked again on another connection.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a clear of everything, which is done in slices.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(300);
/// Tenants in one command: so many the module clears at once, without blocking the connection.
const TENANTS: usize = 32;

/// A Redis that can be told.
pub(super) struct Announcer {
    connection: MultiplexedConnection,
    /// Which run of which server this is.
    pub(super) redis: String,
}

impl Announcer {
    /// Connects, and finds out with whom.
    pub(super) async fn connect(url: &Secret) -> Result<Self, ApiError> {
        let (connection, redis) = cache::feed_connection(url, CALLER, REPLY_TIMEOUT).await?;
        Ok(Self { connection, redis })
    }

    /// These have changed. Returns once Redis has acknowledged all of them.
    pub(super) async fn changed(&mut self, tenants: &[&str]) -> Result<(), RedisError> {
        if tenants.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for chunk in tenants.chunks(TENANTS) {
            pipeline.cmd("DASHBOARD.CLEAR").arg(chunk).arg("SOFT").ignore();
        }
        pipeline.query_async(&mut self.connection).await
    }

    /// Anything may have changed: all bundles are kept as fallbacks only, and computed anew, at the rate that the module's settings for
    /// warming allow. It takes as long as it takes, so on a connection of its own.
    /// Which Redis it was.
    pub(super) async fn everything_changed(url: &Secret) -> Result<String, ApiError> {
        let (mut connection, redis) = cache::feed_connection(url, CALLER, SWEEP_TIMEOUT).await?;
        let mut clear = redis::cmd("DASHBOARD.CLEAR");
        clear.arg("SOFT");
        clear.query_async::<Value>(&mut connection).await.map_err(|error| cache::refused(&error))?;
        let mut warm = redis::cmd("DASHBOARD.WARM");
        warm.arg("ASYNC");
        // From here on everything is right; what is not warmed is computed when it is asked for.
        if let Err(error) = warm.query_async::<Value>(&mut connection).await {
            tracing::warn!(%error, "bundles are not warmed after a gap");
        }
        Ok(redis)
    }

    /// Changes are followed within `lag`, and the next word comes within `period`.
    pub(super) async fn lag(&mut self, lag: Duration, period: Duration) -> Result<(), RedisError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("DASHBOARD.FEED");
        command.arg(millis(lag)).arg(millis(period));
        command.query_async(&mut self.connection).await
    }
}
