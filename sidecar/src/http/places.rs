//! How many connections are served at once: the usual places, and a few more that only answer probes, so that these are
//! answered also when clients that say nothing hold all the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one listener.
pub(super) struct Places {
    usual: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

/// One of them; dropped, it is free.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    pub(super) is_reserve: bool,
}

impl Places {
    pub(super) fn new(usual: usize, reserve: usize) -> Self {
        Self { usual: Arc::new(Semaphore::new(usual)), reserve: Arc::new(Semaphore::new(reserve)) }
    }

    /// Waits until there is one.
    pub(super) async fn take(&self) -> Place {
        // Neither is ever closed, so an error cannot come; if it did, nothing more would be accepted.
        let of = |semaphore: &Arc<Semaphore>| {
            let permit = semaphore.clone().acquire_owned();
            async move {
                match permit.await {
                    Ok(permit) => permit,
                    Err(_closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            permit = of(&self.usual) => Place { _permit: permit, is_reserve: false },
            permit = of(&self.reserve) => Place { _permit: permit, is_reserve: true },
        }
    }

    /// A usual one instead, if there is one by now.
    pub(super) fn better(&self, place: Place) -> Place {
        match self.usual.clone().try_acquire_owned() {
            Ok(permit) if place.is_reserve => Place { _permit: permit, is_reserve: false },
            _ => place,
        }
    }
}
