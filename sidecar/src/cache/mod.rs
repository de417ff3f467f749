//! Redis: the only place that speaks `DASHBOARD.*`. Reads, warming, probes and listening for changes each have
//! connections of their own.

mod dedicated;
mod failure;
mod info;
mod lifetime;
mod reply;
mod tracking;
mod warming;

use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, TimeoutType};
use redis::{AsyncConnectionConfig, ErrorKind, FromRedisValue, RedisError, RedisResult, Value};

pub use info::ModuleInfo;
pub use lifetime::stale_ttl;
pub use reply::{Cached, FailedTenant, Status, Warmed};
pub use tracking::{Subscription, Told, Tracker};
pub use warming::{Progress, warm, watch};

use crate::config::Secret;
use crate::db::PoolUse;
use crate::error::{ApiError, Failure};
use crate::probe::SharedProbe;
use crate::tenant::{BundleId, Tenant};

/// Longest wait for a connection to be made, checked, or given back by another reader.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a probe's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How Redis is.
#[derive(Clone, Debug)]
pub struct Health {
    /// It answers.
    pub redis: Result<(), ApiError>,
    /// It has the dashboard module.
    pub module: Result<(), ApiError>,
}

/// The cache, with its pools.
pub struct Cache {
    reads: Pool,
    probes: Pool,
    shared_probe: SharedProbe<Health>,
}

impl Cache {
    /// Makes the pools; connections are opened when they are needed. `timeout` bounds one read.
    ///
    /// # Errors
    /// If REDIS_URL is malformed.
    pub fn new(url: &Secret, connections: usize, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self {
            reads: pool(url, connections, timeout)?,
            probes: pool(url, 1, PROBE_TIMEOUT)?,
            shared_probe: SharedProbe::default(),
        })
    }

    /// Reads a bundle as any client does; a miss computes it, and `refresh` computes it anew. One that still has the
    /// etag `known` comes without its JSON.
    ///
    /// # Errors
    /// What the module says, or why it could not be asked.
    pub async fn get(&self, id: &BundleId, refresh: bool, known: Option<&str>) -> Result<Cached, ApiError> {
        // One connection each, never a shared one: a miss blocks its connection until the bundle is there.
        let lease = Lease::take(&self.reads).await?;
        let mut command = redis::cmd("DASHBOARD.GET");
        command.arg(id.tenant.as_str()).arg("INCLUDE").arg(if id.include_test_data {
            "true"
        } else {
            "false"
        });
        if refresh {
            command.arg("REFRESH");
        }
        if let Some(etag) = known {
            command.arg("IFNONEMATCH").arg(etag);
        }
        command.arg("WITHMETA");
        let value: Value =
            lease.query(&command).await.map_err(|error| failure::classify(&error, Some(&id.tenant)))?;
        reply::cached(value)
    }

    /// Removes the bundles of a tenant, or of all, and says how many there were.
    ///
    /// # Errors
    /// Why the module could not be asked, or what it said.
    pub async fn clear(&self, tenant: Option<&Tenant>) -> Result<u64, ApiError> {
        let lease = Lease::take(&self.reads).await?;
        let mut command = redis::cmd("DASHBOARD.CLEAR");
        if let Some(tenant) = tenant {
            command.arg(tenant.as_str());
        }
        lease.query(&command).await.map_err(|error| failure::classify(&error, tenant))
    }

    /// How Redis is.
    pub async fn probe(&self) -> Health {
        let question = async {
            let mut command = redis::cmd("COMMAND");
            command.arg("INFO").arg("DASHBOARD.GET");
            let known: Vec<Value> = self.ask(&command).await?;
            let missing = known.iter().all(|command| matches!(command, Value::Nil));
            Ok(if missing { Err(failure::module_missing()) } else { Ok(()) })
        };
        let health = async {
            match question.await {
                Ok(module) => Health { redis: Ok(()), module },
                Err(error) => Health { redis: Err(error), module: Err(failure::module_unknown()) },
            }
        };
        self.shared_probe.ask(health).await
    }

    /// What the module tells of itself: `INFO dashboard`.
    ///
    /// # Errors
    /// Why it could not be asked.
    pub async fn info(&self) -> Result<ModuleInfo, ApiError> {
        let mut command = redis::cmd("INFO");
        command.arg("dashboard");
        let text: String = self.ask(&command).await?;
        let info = ModuleInfo::parse(&text);
        if info.is_empty() { Err(failure::module_missing()) } else { Ok(info) }
    }

    /// Connections for reads: open, at most, in use, and readers that wait for one.
    pub fn pool(&self) -> PoolUse {
        let status = self.reads.status();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        PoolUse {
            name: "redis",
            connections: number(status.size),
            size: number(status.max_size),
            busy: number(status.size.saturating_sub(status.available)),
            waiting: number(status.waiting),
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, ApiError> {
        let lease = Lease::take(&self.probes).await?;
        lease.query(command).await.map_err(|error| failure::classify(&error, None))
    }
}

fn pool(url: &Secret, connections: usize, timeout: Duration) -> Result<Pool, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(timeout));
    let manager = Manager::new_with_config(url.expose(), config).map_err(|_| malformed_url())?;
    Pool::builder(manager)
        .max_size(connections)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| Failure::config(format!("REDIS_URL: {error}")))
}

/// What was given is not repeated: it may hold a password.
const MALFORMED_URL: &str =
    "REDIS_URL is not a Redis address: write redis://[user:password@]host:6380 or unix:///path/to/socket";

fn malformed_url() -> Failure {
    Failure::config(MALFORMED_URL)
}

/// A pooled connection for one command. Left before the reply came, it is closed rather than given back:
/// the next reader would wait for a bundle that it did not ask for, and Redis would go on computing it.
struct Lease {
    connection: Option<Connection>,
    answered: bool,
}

impl Lease {
    async fn take(pool: &Pool) -> Result<Self, ApiError> {
        match pool.get().await {
            Ok(connection) => Ok(Self { connection: Some(connection), answered: false }),
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

    async fn query<T: FromRedisValue>(mut self, command: &redis::Cmd) -> RedisResult<T> {
        let Some(connection) = &mut self.connection else {
            return Err((ErrorKind::Client, "a lease without a connection").into());
        };
        let outcome = command.query_async(connection).await;
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
            drop(Connection::take(connection));
        }
    }
}
