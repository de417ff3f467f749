//! Whether a server is a primary. PING succeeds on a replica, too, so it says nothing of a fail-over.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult, Value};

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Primary,
    Replica,
    /// The user may not ask.
    Unknown,
}

/// Asks for the role of the server at the other end.
///
/// # Errors
/// If it does not answer.
pub(super) async fn ask(connection: &mut MultiplexedConnection) -> RedisResult<Role> {
    match redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await {
        Ok(said) => Ok(match said.first() {
            Some(Value::BulkString(role)) if role == b"master" => Role::Primary,
            Some(Value::BulkString(_)) => Role::Replica,
            _ => Role::Unknown,
        }),
        Err(error) if error.is_io_error() => Err(error),
        Err(_refused) => Ok(Role::Unknown),
    }
}

/// Fails unless the server answers and is what it `was`, so that a connection outlives no fail-over.
///
/// # Errors
/// If it is a replica now, or does not answer.
pub(super) async fn is_still(connection: &mut MultiplexedConnection, was: Role) -> RedisResult<()> {
    if was == Role::Unknown {
        return redis::cmd("PING").query_async(connection).await;
    }
    match (was, ask(connection).await?) {
        (Role::Primary, Role::Replica) => Err((ErrorKind::Client, "the server has become a replica").into()),
        _ => Ok(()),
    }
}
