//! A connection that a part of the program keeps for itself, opened when it is needed and again when it was lost.

use std::error::Error as _;
use std::marker::PhantomData;
use std::sync::Arc;

use postgres::types::WrongType;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::dialer::Dialer;
use crate::pg::{Client, Terms};

/// An error of such a part, as far as this file has to know it.
pub(crate) trait KeptError: From<postgres::Error> + Send + 'static {
    /// Whether the connection is at fault, so that the same may work on another.
    fn is_connection(&self) -> bool;
    /// The thread that did the work has ended abnormally: a defect of ours.
    fn thread() -> Self;
}

/// Whether an error of Postgres is one of the connection.
pub(crate) fn is_of_connection(error: &postgres::Error) -> bool {
    match error.code() {
        Some(code) => ["08", "53", "57P"].iter().any(|class| code.code().starts_with(class)),
        // A column of another type than ours will be that on every connection.
        None => !error.source().is_some_and(|source| source.is::<WrongType>()),
    }
}

/// A session that several share, one piece of work after the other.
pub(crate) struct Kept<E> {
    dialer: Dialer,
    terms: Terms,
    slot: Arc<Mutex<Slot>>,
    error: PhantomData<fn() -> E>,
}

#[derive(Default)]
struct Slot(Option<Client>);

impl<E> Clone for Kept<E> {
    fn clone(&self) -> Self {
        Self {
            dialer: self.dialer.clone(),
            terms: self.terms.clone(),
            slot: self.slot.clone(),
            error: PhantomData,
        }
    }
}

impl<E: KeptError> Kept<E> {
    /// Each of its transactions is on these terms.
    pub(crate) fn new(dialer: Dialer, terms: Terms) -> Self {
        Self { dialer, terms, slot: Arc::default(), error: PhantomData }
    }

    /// Does `work` on a blocking thread. It goes on there even if the future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        let (dialer, terms) = (self.dialer.clone(), self.terms.clone());
        let task = tokio::task::spawn_blocking(move || {
            // Taken out, so that a panic in the work does not leave a session in the middle of something.
            let mut client = match slot.0.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                None => dialer.dial(terms)?,
            };
            let outcome = work(&mut client);
            if !outcome.as_ref().is_err_and(E::is_connection) {
                slot.0 = Some(client);
            }
            outcome
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a thread that talks to Postgres ended abnormally");
            Err(E::thread())
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        if Handle::try_current().is_ok() {
            // Closing a postgres client blocks, which panics on an async thread.
            std::thread::spawn(move || drop(client));
        }
    }
}
