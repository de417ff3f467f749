//! Connections to Redis, each for one command at a time: a miss blocks its connection until the bundle is there.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleResult, TimeoutType};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult};

use super::{CONNECT_TIMEOUT, MALFORMED_URL, failure};
use crate::config::Secret;
use crate::error::{ApiError, Failure};
use crate::telemetry::metrics::PoolUse;
use crate::tenant::Tenant;

/// A connection that was used as lately as this is given out as it is. To ask each time whether it still works
/// would double what a read costs.
const TRUSTED: Duration = Duration::from_secs(1);

/// Some connections.
pub struct Pool(managed::Pool<Manager>);

impl Pool {
    /// Makes a pool of so many; connections are opened when they are needed. `timeout` bounds one command.
    ///
    /// # Errors
    /// If REDIS_URL is malformed.
    pub fn new(url: &Secret, connections: usize, timeout: Duration) -> Result<Self, Failure> {
        let client = Client::open(url.expose()).map_err(|_| Failure::config(MALFORMED_URL))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout));
        managed::Pool::builder(Manager { client, config })
            .max_size(connections)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map(Self)
            .map_err(|error| Failure::config(format!("REDIS_URL: {error}")))
    }

    /// Asks Redis. `tenant` is whom it is about, for the error.
    ///
    /// # Errors
    /// What Redis or the module says, or why they could not be asked.
    pub async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        tenant: Option<&Tenant>,
    ) -> Result<T, ApiError> {
        let mut outcome = self.take().await?.query(command).await;
        if outcome.as_ref().is_err_and(RedisError::is_connection_dropped) {
            // Redis has closed it, perhaps long ago, and the others with it. What is asked here may be asked twice.
            self.0.retain(|_, _| false);
            outcome = self.take().await?.query(command).await;
        }
        outcome.map_err(|error| failure::classify(&error, tenant))
    }

    /// How it is used now.
    pub fn usage(&self, name: &'static str) -> PoolUse {
        let status = self.0.status();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        PoolUse {
            name,
            connections: number(status.size),
            size: number(status.max_size),
            busy: number(status.size.saturating_sub(status.available)),
            waiting: number(status.waiting),
        }
    }

    async fn take(&self) -> Result<Lease, ApiError> {
        match self.0.get().await {
            Ok(connection) => Ok(Lease { connection: Some(connection), answered: false }),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                Err(ApiError::overloaded("every connection to Redis stayed busy (DASHBOARD_REDIS_POOL)"))
            }
            Err(PoolError::Backend(error)) => Err(failure::classify(&error, None)),
            Err(error) => {
                tracing::warn!(%error, "Redis (REDIS_URL) gives no connection");
                Err(failure::unreachable())
            }
        }
    }
}

/// Opens connections, and looks whether one that has lain idle still works.
struct Manager {
    client: Client,
    config: AsyncConnectionConfig,
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection_with_config(&self.config).await
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        metrics: &Metrics,
    ) -> RecycleResult<RedisError> {
        if metrics.last_used() < TRUSTED {
            return Ok(());
        }
        redis::cmd("PING").query_async::<()>(connection).await.map_err(Into::into)
    }
}

/// A pooled connection for one command. Left before the reply came, it is closed rather than given back:
/// the next reader would wait for a bundle that it did not ask for, and Redis would go on computing it.
struct Lease {
    connection: Option<Object<Manager>>,
    answered: bool,
}

impl Lease {
    async fn query<T: FromRedisValue>(mut self, command: &Cmd) -> RedisResult<T> {
        let Some(connection) = &mut self.connection else {
            return Err((ErrorKind::Client, "a lease without a connection").into());
        };
        let outcome = command.query_async(&mut **connection).await;
        // After a time-out the reply is outstanding too.
        self.answered = !outcome.as_ref().is_err_and(RedisError::is_io_error);
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.answered
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}
