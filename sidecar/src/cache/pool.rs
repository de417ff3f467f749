//! Connections to Redis, each for one command at a time: a miss blocks its connection until the bundle is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult, TimeoutType};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult};
use tokio::time::{timeout, timeout_at};

use super::role::{self, Role};
use super::{CONNECT_TIMEOUT, Keeping, dedicated, failure, refusal};
use crate::config::Secret;
use crate::error::{ApiError, Failure};
use crate::telemetry::metrics::PoolUse;
use crate::tenant::Tenant;

/// A connection that was used as lately as this is given out as it is. To ask each time whether it still works
/// would double what a read costs.
const TRUSTED: Duration = Duration::from_secs(1);

/// Some connections.
pub struct Pool {
    pool: managed::Pool<Manager>,
    timeout: Duration,
}

impl Pool {
    /// Makes a pool of so many; connections are opened when they are needed. One command takes no longer than is kept to.
    ///
    /// # Errors
    /// If REDIS_URL is malformed.
    pub fn new(url: &Secret, connections: usize, keeping: Keeping) -> Result<Self, Failure> {
        let Keeping { timeout, age } = keeping;
        let client = dedicated::client(url)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout));
        managed::Pool::builder(Manager { client, config, age, generation: AtomicU64::new(0) })
            .max_size(connections)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(2 * CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map(|pool| Self { pool, timeout })
            .map_err(|error| Failure::config(format!("REDIS_URL: {error}")))
    }

    /// Asks Redis. `tenant` is whom it is about, for the error. What is asked here may be asked twice, within the same time:
    /// where Redis has closed the connection, perhaps long ago, or is no primary any more.
    ///
    /// # Errors
    /// What Redis or the module says, or why they could not be asked.
    pub async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        tenant: Option<&Tenant>,
    ) -> Result<T, ApiError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let mut outcome = self.take().await?.query(command).await;
        let again = |error: &RedisError| error.is_connection_dropped() || refusal::is_of_server(error);
        if outcome.as_ref().is_err_and(again) {
            // The others have been with the same server.
            self.pool.manager().doubt_all();
            self.pool.retain(|_, _| false);
            let another = async { Ok::<_, ApiError>(self.take().await?.query(command).await) };
            outcome = timeout_at(deadline, another).await.map_err(|_late| failure::silent())??;
        }
        outcome.map_err(|error| failure::classify(&error, tenant))
    }

    /// How it is used now.
    pub fn usage(&self, name: &'static str) -> PoolUse {
        let status = self.pool.status();
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
        match self.pool.get().await {
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
    /// At this age a connection is replaced: one that is always in use is asked neither PING nor ROLE, and a balancer may
    /// leave it open to a server that it no longer leads to.
    age: Duration,
    /// Of connections that are made now. Earlier ones are not given out any more.
    generation: AtomicU64,
}

struct Connection {
    connection: MultiplexedConnection,
    role: Role,
    since: Instant,
    generation: u64,
}

impl Manager {
    /// No connection that there is now is to be relied upon.
    fn doubt_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Connection> {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        let role = role::ask(&mut connection).await?;
        Ok(Connection { connection, role, since: Instant::now(), generation })
    }

    async fn recycle(&self, kept: &mut Connection, metrics: &Metrics) -> RecycleResult<RedisError> {
        let generation = self.generation.load(Ordering::Relaxed);
        if kept.generation != generation || kept.since.elapsed() > self.age {
            return Err(RecycleError::message("it is replaced"));
        }
        if metrics.last_used() < TRUSTED {
            return Ok(());
        }
        let role = timeout(CONNECT_TIMEOUT, role::is_still(&mut kept.connection, kept.role)).await;
        let error: RedisError = match role {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_silent) => std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
        };
        // The others are as old, and not to be waited for one after the other.
        let _ = self.generation.compare_exchange(
            generation,
            generation + 1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        Err(error.into())
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
        let Some(kept) = &mut self.connection else {
            return Err((ErrorKind::Client, "a lease without a connection").into());
        };
        let outcome = command.query_async(&mut kept.connection).await;
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
