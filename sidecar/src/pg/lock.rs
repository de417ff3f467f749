//! Locks between processes: rows of `dashboard.lock`, which only our own roles can take.

use postgres::Error;
use postgres::error::SqlState;

use super::client::Client;
use super::queries::Queries as _;
use super::terms::Terms;

/// Of a session that holds a lock while another one works.
pub const HOLDER: Terms = Terms::without_end("SET LOCAL idle_in_transaction_session_timeout = 0");

/// Does `work` while `holder`, which is on the terms [`HOLDER`], has the lock; none where somebody else has it. The lock goes with the holder's
/// connection, however this process ends.
///
/// # Errors
/// Those of `work`, and of taking the lock.
pub(crate) fn holding<T, E: From<Error>>(
    holder: &mut Client,
    name: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<Option<T>, E> {
    let mut transaction = holder.transaction()?;
    // By itself, without a portal: one keeps its snapshot until the next statement, and building an index waits for every snapshot.
    let sql = format!("SELECT FROM dashboard.lock WHERE name = '{name}' FOR UPDATE NOWAIT");
    match transaction.batch_execute(&sql) {
        Ok(()) => {}
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let outcome = work();
    if let Err(error) = transaction.rollback() {
        tracing::debug!(%error, name, "a lock goes with its connection");
    }
    outcome.map(Some)
}
