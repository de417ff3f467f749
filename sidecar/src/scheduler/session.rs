//! The scheduler's one session with Postgres, opened when it is needed and again when it was lost.

use std::sync::Arc;

use postgres::Client;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::error::StoreError;
use super::store;
use crate::db::Dialer;

/// A session that several runs share, one statement after the other.
#[derive(Clone)]
pub(crate) struct Session {
    dialer: Dialer,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept(Option<Client>);

impl Session {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, kept: Arc::default() }
    }

    /// Does `work` on a blocking thread. It goes on there even if the future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        let dialer = self.dialer.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Taken out, so that a panic in the work does not leave a session in the middle of something.
            let mut client = match kept.0.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                None => {
                    let mut client = dialer.dial()?;
                    store::set_up(&mut client)?;
                    client
                }
            };
            let outcome = work(&mut client);
            if !outcome.as_ref().is_err_and(StoreError::is_connection) {
                kept.0 = Some(client);
            }
            outcome
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a thread of the schedule ended abnormally");
            Err(StoreError::Thread)
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        if Handle::try_current().is_ok() {
            // Closing a postgres client blocks, which panics on an async thread.
            std::thread::spawn(move || drop(client));
        }
    }
}
