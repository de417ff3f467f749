//! One connection that many share, for commands that Redis answers at once. Nothing that waits may be sent by it: what is
//! behind would wait, too.

use std::time::Duration;

use parking_lot::Mutex as Lock;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::{CONNECT_TIMEOUT, dedicated, failure, refusal};
use crate::config::Secret;
use crate::error::{ApiError, Failure};
use crate::telemetry::metrics::PoolUse;

/// Replies that are on their way at once. With bundles of the greatest size, they are what Redis keeps for a client that
/// is slow to read.
const MOST_UNDER_WAY: usize = 64;
/// Longest wait for a reply: nothing is computed for it.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The connection.
pub(super) struct Shared {
    client: Client,
    /// Held while connecting: whoever comes meanwhile waits for that, instead of connecting too.
    connecting: Mutex<Option<(Instant, RedisError)>>,
    current: Lock<Option<Current>>,
    under_way: Semaphore,
    /// A connection is replaced at this age, so that the address may lead to another server.
    age: Duration,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    since: Instant,
}

/// Why there is no reply.
pub(super) enum Trouble {
    /// Redis refuses, cannot be reached or says nothing.
    Redis(RedisError),
    /// So many replies are under way that there was no place for another in time.
    Full,
}

impl Shared {
    /// Prepares it; it connects when it is needed.
    pub(super) fn new(url: &Secret, age: Duration) -> Result<Self, Failure> {
        let client = dedicated::client(url)?;
        Ok(Self {
            client,
            connecting: Mutex::default(),
            current: Lock::default(),
            under_way: Semaphore::new(MOST_UNDER_WAY),
            age,
        })
    }

    /// Asks. What is asked here may be asked twice.
    pub(super) async fn query(&self, command: &Cmd) -> Result<Value, Trouble> {
        let place = tokio::time::timeout(REPLY_TIMEOUT, self.under_way.acquire());
        let Ok(Ok(_place)) = place.await else { return Err(Trouble::Full) };
        let current = self.connection().await.map_err(Trouble::Redis)?;
        match self.ask(&current, command).await {
            Err(error) if error.is_connection_dropped() || refusal::is_of_server(&error) => {
                // Redis has closed it, perhaps long ago, or is no primary any more.
                let current = self.connection().await.map_err(Trouble::Redis)?;
                self.ask(&current, command).await.map_err(Trouble::Redis)
            }
            outcome => outcome.map_err(Trouble::Redis),
        }
    }

    /// How it is used now.
    pub(super) fn usage(&self, name: &'static str) -> PoolUse {
        let busy = MOST_UNDER_WAY - self.under_way.available_permits();
        let connections = u32::from(self.current.lock().is_some());
        PoolUse { name, connections, size: 1, busy: u32::try_from(busy).unwrap_or(u32::MAX), waiting: 0 }
    }

    async fn ask(&self, current: &Current, command: &Cmd) -> Result<Value, RedisError> {
        let outcome = command.query_async(&mut current.connection.clone()).await;
        // One on which a reply is outstanding is not to be relied upon; and a server that has become a replica, or
        // that is none of ours any more, is to be looked for anew.
        let spoilt = |error: &RedisError| error.is_io_error() || refusal::is_of_server(error);
        if outcome.as_ref().is_err_and(spoilt) {
            self.forget(current);
        }
        outcome
    }

    async fn connection(&self) -> Result<Current, RedisError> {
        let asked = Instant::now();
        if let Some(current) = self.usable() {
            return Ok(current);
        }
        let mut failed = self.connecting.lock().await;
        if let Some(current) = self.usable() {
            return Ok(current);
        }
        // Somebody has tried since this one began to wait: trying again, one after the other, would take for ever.
        if let Some((at, error)) = &*failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                let current = Current { connection, since: Instant::now() };
                *self.current.lock() = Some(current.clone());
                *failed = None;
                Ok(current)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn usable(&self) -> Option<Current> {
        self.current.lock().clone().filter(|current| current.since.elapsed() < self.age)
    }

    fn forget(&self, spoilt: &Current) {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|current| current.since == spoilt.since) {
            *current = None;
        }
    }
}

impl Trouble {
    /// As clients are told.
    pub(super) fn classify(&self, tenant: Option<&crate::tenant::Tenant>) -> ApiError {
        match self {
            Self::Redis(error) => failure::classify(error, tenant),
            Self::Full => ApiError::overloaded("Redis has not answered earlier reads yet"),
        }
    }
}
