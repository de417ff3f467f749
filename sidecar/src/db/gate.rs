//! Bounds how many requests use a pool and how many may wait for it.
//!
//! Waiting happens here, on an async semaphore, so that a blocking thread is only taken by who has a
//! connection to use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Admission to one pool.
pub(super) struct Gate {
    size: u32,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    queue: u32,
    longest_wait: Duration,
    when_full: WhenFull,
}

/// How many a gate has let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occupancy {
    /// At most.
    pub(super) size: u32,
    /// Now.
    pub(super) inside: u32,
    /// Who waits to be let in.
    pub(super) waiting: u32,
}

/// What a gate says when it cannot let somebody in: which bound was hit, and the setting that moves it.
#[derive(Clone, Copy)]
pub(super) struct WhenFull {
    /// Too many wait already.
    pub(super) queue: &'static str,
    /// The wait was too long.
    pub(super) busy: &'static str,
}

impl Gate {
    /// Admits `size` at once and lets `queue` more wait, each for `longest_wait` at most.
    pub(super) fn new(size: u32, queue: u32, longest_wait: Duration, when_full: WhenFull) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { size, running: semaphore(size), waiting: semaphore(queue), queue, longest_wait, when_full }
    }

    /// Waits for admission, first come first served; who holds the permit is inside.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.waiting.try_acquire().map_err(|_| ApiError::overloaded(self.when_full.queue))?;
        match tokio::time::timeout(self.longest_wait, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(ApiError::internal("waiting for a Postgres connection")),
            Err(_elapsed) => Err(ApiError::overloaded(self.when_full.busy)),
        }
    }

    /// Who is inside and who waits.
    pub(super) fn occupancy(&self) -> Occupancy {
        let taken = |semaphore: &Semaphore, of: u32| {
            of.saturating_sub(u32::try_from(semaphore.available_permits()).unwrap_or(u32::MAX))
        };
        Occupancy {
            size: self.size,
            inside: taken(&self.running, self.size),
            waiting: taken(&self.waiting, self.queue),
        }
    }

    /// Waits until nobody is inside.
    pub(super) async fn idle(&self) {
        // The error, a closed semaphore, cannot happen: nothing closes it.
        let _all = self.running.acquire_many(self.size).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHEN_FULL: WhenFull = WhenFull { queue: "full", busy: "busy" };

    #[tokio::test]
    async fn past_the_queue_a_request_is_refused_at_once() {
        let gate = Gate::new(1, 0, Duration::from_secs(3600), WHEN_FULL);
        let inside = gate.enter().await.unwrap();
        assert!(gate.enter().await.unwrap_err().message().contains("full"));
        drop(inside);
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test]
    async fn a_wait_has_an_end() {
        let gate = Gate::new(1, 1, Duration::from_millis(1), WHEN_FULL);
        let _inside = gate.enter().await.unwrap();
        let error = gate.enter().await.unwrap_err();
        assert!(error.code() == "overloaded" && error.message().contains("busy"), "{error}");
    }
}
