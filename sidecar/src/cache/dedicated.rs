//! A connection of its own, for what no pool is for: a command that takes as long as it takes, or a question that
//! is asked once.

use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};

use tokio::time::timeout;

use super::{CONNECT_TIMEOUT, MALFORMED_URL, failure};
use crate::config::Secret;
use crate::error::{ApiError, Failure};

/// A connection that has been silent for so long is probed,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// again after so long without an answer,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// so many times; then Redis has gone.
const KEEPALIVE_RETRIES: u32 = 3;

/// What Redis has not acknowledged within so long, it will not: the connection is given up, also where bytes are on their
/// way and keepalive says nothing.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// A client whose connections notice when the other end has gone.
///
/// # Errors
/// If REDIS_URL is malformed.
pub(super) fn client(url: &Secret) -> Result<Client, Failure> {
    let client = address(url).and_then(Client::open);
    client.map_err(|_| Failure::config(MALFORMED_URL))
}

/// Connects, under the name that Redis is to show. Without a `timeout` a reply is waited for as long as Redis is
/// there.
///
/// # Errors
/// If REDIS_URL is malformed, or Redis cannot be reached.
pub(super) async fn open(
    url: &Secret,
    name: &str,
    timeout: Option<Duration>,
) -> Result<MultiplexedConnection, ApiError> {
    open_as_it_is(url, name, timeout).await.map_err(|error| failure::of_warming(&error))
}

/// Likewise, with Redis's own error.
///
/// # Errors
/// If REDIS_URL is malformed, or Redis cannot be reached.
pub(super) async fn open_as_it_is(
    url: &Secret,
    name: &str,
    timeout: Option<Duration>,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new().set_response_timeout(timeout);
    connect(address(url)?, name, config).await
}

/// Connects likewise, for a connection on which Redis also says what nobody has asked; that goes to `push`.
///
/// # Errors
/// If REDIS_URL is malformed, or Redis cannot be reached.
pub(super) async fn open_for_pushes(
    url: &Secret,
    name: &str,
    timeout: Duration,
    push: impl AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let info = address(url)?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(timeout)).set_push_sender(push);
    connect(info.set_redis_settings(settings), name, config).await
}

fn address(url: &Secret) -> Result<ConnectionInfo, RedisError> {
    // Without them, a host that has vanished would be waited for without end.
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let tcp =
        TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(UNACKNOWLEDGED);
    Ok(url.expose().into_connection_info()?.set_tcp_settings(tcp))
}

async fn connect(
    info: ConnectionInfo,
    name: &str,
    config: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let config = config.set_connection_timeout(Some(CONNECT_TIMEOUT));
    let client = Client::open(info)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut command = redis::cmd("CLIENT");
    command.arg("SETNAME").arg(name);
    match timeout(CONNECT_TIMEOUT, command.query_async::<()>(&mut connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is_io_error() => return Err(error),
        // A user with few rights may not name itself, and is not to be stopped by that.
        Ok(Err(error)) => tracing::debug!(%error, name, "a connection to Redis has no name"),
        Err(_silent) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
    Ok(connection)
}
