//! A lane is a pool with its admission: one for misses, one for warming, one for listing tenants, one for searching
//! them, one for probes, so that none can starve another. All blocking work on Postgres happens inside [`Lane::run`].

use std::time::Duration;

use tokio::runtime::Handle;

use super::cancel;
use super::gate::{Gate, Occupancy, WhenFull};
use super::session::{Manager, Session, Shortage};
use super::target::Target;
use crate::error::ApiError;
use crate::telemetry::metrics::PoolUse;

/// Wait for a connection while Postgres is known to be down: long enough to pick up one that is just made.
const ACQUIRE_WHILE_DOWN: Duration = Duration::from_millis(50);

/// A lane's bounds, and how to say that one of them was hit.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Connections, and so statements at once.
    pub(super) connections: u32,
    /// Who may wait for one.
    pub(super) queue: u32,
    /// How long.
    pub(super) longest_wait: Duration,
    /// How long making a connection may take.
    pub(super) acquire_timeout: Duration,
    /// How long a statement may take.
    pub(super) statement_timeout: Duration,
    /// How long all the work on a connection may take, making it included. Postgres ends slow statements by
    /// itself; this is for a server that has vanished.
    pub(super) deadline: Option<Duration>,
    /// What to say to whom finds every connection busy, or the queue full.
    pub(super) when_full: WhenFull,
}

/// A pool of sessions with bounded admission.
pub(super) struct Lane {
    // Some until dropped.
    pool: Option<r2d2::Pool<Manager>>,
    gate: Gate,
    target: Target,
    short: Shortage,
    deadline: Option<Duration>,
}

impl Lane {
    /// Makes the pool; its connections are opened in the background, so Postgres may be down.
    pub(super) fn new(target: &Target, bounds: Bounds) -> Self {
        let short = Shortage::default();
        let pool = r2d2::Pool::builder()
            .max_size(bounds.connections)
            .min_idle(Some(1))
            .connection_timeout(bounds.acquire_timeout)
            // The manager logs, once per outage rather than once per attempt.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Manager::new(target, bounds.statement_timeout, short.clone()));
        Self {
            pool: Some(pool),
            gate: Gate::new(bounds.connections, bounds.queue, bounds.longest_wait, bounds.when_full),
            target: target.clone(),
            short,
            deadline: bounds.deadline,
        }
    }

    /// Runs `work` with a session on a blocking thread. Dropping the future cancels the query in Postgres.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Session) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Some(pool) = self.pool.clone() else { return Err(ApiError::internal(what)) };
        let permit = self.gate.enter().await?;
        let (_cancel_on_drop, query) = cancel::pair(self.target.connector.clone());
        let (target, short) = (self.target.clone(), self.short.clone());
        let task = tokio::task::spawn_blocking(move || {
            // Declared first, so that it is released last, when the session is back in the pool.
            let _permit = permit;
            let mut session = acquire(&pool, target.is_down(), &short)?;
            if !query.begin(session.client.canceller()) {
                return Err(ApiError::timeout(what));
            }
            // A panic in the work leaves the session marked, and the pool drops it.
            session.discard();
            let outcome = work(&mut session);
            if !query.end() {
                session.keep();
            }
            outcome
        });
        let ended = match self.deadline {
            None => task.await,
            Some(deadline) => match tokio::time::timeout(deadline, task).await {
                Ok(ended) => ended,
                Err(_elapsed) => return Err(ApiError::timeout(what)),
            },
        };
        ended.unwrap_or_else(|error| {
            tracing::error!(%error, what, "a computing thread ended abnormally");
            Err(ApiError::internal(what))
        })
    }

    /// How it is used now.
    pub(super) fn usage(&self, name: &'static str) -> PoolUse {
        let connections = self.pool.as_ref().map_or(0, |pool| pool.state().connections);
        let Occupancy { size, inside, waiting } = self.gate.occupancy();
        PoolUse { name, connections, size, busy: inside, waiting }
    }

    /// Waits until no statement runs any more.
    pub(super) async fn idle(&self) {
        self.gate.idle().await;
    }
}

fn acquire(
    pool: &r2d2::Pool<Manager>,
    down: bool,
    short: &Shortage,
) -> Result<r2d2::PooledConnection<Manager>, ApiError> {
    // With no connection and the last attempt failed, waiting out the whole time-out would only make every
    // client wait for an answer that is known already.
    let known_down = down && pool.state().connections == 0;
    let timeout = if known_down { ACQUIRE_WHILE_DOWN } else { pool.connection_timeout() };
    pool.get_timeout(timeout).map_err(|error| {
        tracing::debug!(%error, "no Postgres connection");
        if short.is() { ApiError::no_descriptor_for_postgres() } else { ApiError::postgres_unavailable() }
    })
}

impl Drop for Lane {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        if Handle::try_current().is_ok() {
            // Closing a postgres client blocks, which panics on an async thread.
            std::thread::spawn(move || drop(pool));
        }
    }
}
