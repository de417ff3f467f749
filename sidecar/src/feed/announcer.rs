//! Telling Redis what has changed, on one connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};

use crate::cache::{self, Redis, Refused};
use crate::config::Secret;

/// What Redis calls the connection.
const CALLER: &str = "dashboard-sidecar-feed";
/// Longest wait for a reply to what is done at once. A Redis that is away longer is asked again on another connection.
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a clear of everything in an empty Redis,
const SWEEP_TIMEOUT: Duration = Duration::from_secs(10);
/// and so much more for each of its keys: it is done in slices, and is ten times as fast where nothing else is done.
const SWEEP_TIMEOUT_PER_KEY: Duration = Duration::from_micros(50);
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
    pub(super) async fn connect(url: &Secret) -> Result<Self, Refused> {
        let (connection, Redis { identity, .. }) = cache::feed_connection(url, CALLER, REPLY_TIMEOUT).await?;
        Ok(Self { connection, redis: identity })
    }

    /// These have changed. Returns once Redis has acknowledged all of them.
    pub(super) async fn changed(&mut self, tenants: &[&str]) -> Result<(), Refused> {
        if tenants.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for chunk in tenants.chunks(TENANTS) {
            pipeline.cmd("DASHBOARD.CLEAR").arg(chunk).arg("SOFT").ignore();
        }
        pipeline.query_async::<()>(&mut self.connection).await.map_err(|error| Refused::of(&error))
    }

    /// Anything may have changed: all bundles are kept as fallbacks only, and computed anew, at the rate that the module's settings for
    /// warming allow. It takes as long as there are keys, so on a connection of its own. Returns which run of which server has done it.
    pub(super) async fn everything_changed(url: &Secret) -> Result<String, Refused> {
        let (mut connection, Redis { identity, keys }) =
            cache::feed_connection(url, CALLER, REPLY_TIMEOUT).await?;
        connection.set_response_timeout(SWEEP_TIMEOUT + SWEEP_TIMEOUT_PER_KEY * keys);
        let mut clear = redis::cmd("DASHBOARD.CLEAR");
        clear.arg("SOFT");
        clear.query_async::<Value>(&mut connection).await.map_err(|error| Refused::of(&error))?;
        connection.set_response_timeout(REPLY_TIMEOUT);
        let mut warm = redis::cmd("DASHBOARD.WARM");
        warm.arg("ASYNC");
        // From here on everything is right; what is not warmed is computed when it is asked for.
        if let Err(error) = warm.query_async::<Value>(&mut connection).await {
            tracing::warn!(%error, "bundles are not warmed after a gap");
        }
        Ok(identity)
    }

    /// Changes are followed within `lag`, the next word comes within `period`, and the feed has come to this position. Redis says which one
    /// it was told before.
    pub(super) async fn lag(
        &mut self,
        lag: Duration,
        period: Duration,
        position: i64,
    ) -> Result<Option<i64>, RedisError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("DASHBOARD.FEED");
        command.arg(millis(lag)).arg(millis(period)).arg("POSITION").arg(position);
        command.query_async(&mut self.connection).await
    }

    /// Nothing is followed any more, so that nothing is late.
    pub(super) async fn off(&mut self) -> Result<(), Refused> {
        let mut command = redis::cmd("DASHBOARD.FEED");
        command.arg("OFF");
        let told = command.query_async::<Value>(&mut self.connection).await;
        told.map(drop).map_err(|error| Refused::of(&error))
    }
}
