//! Ends a query in Postgres when nobody waits for it any more.
//!
//! One pair per query: the async side holds [`CancelOnDrop`], the blocking side [`QueryState`]. Which of the
//! two comes first is decided under one lock, so that a query is never begun after its client left, and the
//! blocking side knows when a cancel request may be on its way.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::tls::Connector;
use crate::pg::{CancelToken, Canceller};

/// How long a cancel request may take, connecting included.
const DEADLINE: Duration = Duration::from_secs(5);
/// A request that reaches Postgres between two statements ends nothing: so long after one another is made, and ever longer after that,
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// up to this, until the query has ended.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

enum Phase {
    /// Not yet on a connection.
    Waiting,
    /// On a connection.
    Running(Canceller),
    /// The query has ended.
    Done,
    /// The client left first.
    Abandoned,
}

/// The blocking side.
pub(super) struct QueryState(Arc<Mutex<Phase>>);

/// The async side: dropped before the query is done, it cancels it.
pub(super) struct CancelOnDrop {
    phase: Arc<Mutex<Phase>>,
    connector: Connector,
    runtime: Handle,
}

/// Makes both sides. Must be called within the runtime.
pub(super) fn pair(connector: Connector) -> (CancelOnDrop, QueryState) {
    let phase = Arc::new(Mutex::new(Phase::Waiting));
    (CancelOnDrop { phase: phase.clone(), connector, runtime: Handle::current() }, QueryState(phase))
}

impl QueryState {
    /// Announces how to end it; false if nobody waits any more and the query must not begin.
    pub(super) fn begin(&self, canceller: Canceller) -> bool {
        let mut phase = self.0.lock();
        if matches!(*phase, Phase::Abandoned) {
            return false;
        }
        *phase = Phase::Running(canceller);
        true
    }

    /// Announces the end; true if a cancel request was made. It may reach Postgres late and would then hit
    /// whatever the connection does next, so the connection must not be used again.
    pub(super) fn end(&self) -> bool {
        let before = std::mem::replace(&mut *self.0.lock(), Phase::Done);
        matches!(before, Phase::Abandoned)
    }
}

/// However it has ended: who asks Postgres to end it asks no more.
impl Drop for QueryState {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Done) {
            return;
        }
        let Phase::Running(canceller) = std::mem::replace(&mut *phase, Phase::Abandoned) else { return };
        match canceller {
            Canceller::Close(closer) => closer.cancel(),
            Canceller::Ask(token) => {
                tracing::debug!("nobody waits for a query any more: cancelling it");
                // Cancelling opens a connection of its own.
                self.runtime.spawn(cancel_until_done(self.phase.clone(), token, self.connector.clone()));
            }
        }
    }
}

async fn cancel_until_done(phase: Arc<Mutex<Phase>>, token: CancelToken, connector: Connector) {
    let mut pause = FIRST_PAUSE;
    loop {
        match tokio::time::timeout(DEADLINE, token.cancel_query(connector.clone())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "a query could not be cancelled; that is tried again until statement_timeout ends it");
            }
            Err(_elapsed) => {
                tracing::warn!(
                    "a query could not be cancelled in time; that is tried again until statement_timeout ends it"
                );
            }
        }
        tokio::time::sleep(pause).await;
        if matches!(*phase.lock(), Phase::Done) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
