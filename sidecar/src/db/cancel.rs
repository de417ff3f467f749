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
use crate::pg::Canceller;

/// How long a cancel request may take, connecting included. Past it, `statement_timeout` ends the query.
const DEADLINE: Duration = Duration::from_secs(5);

enum Phase {
    /// Not yet on a connection.
    Waiting,
    /// On a connection.
    Running(Canceller),
    /// The query has ended by itself.
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
        let mut phase = self.0.lock();
        if matches!(*phase, Phase::Abandoned) {
            return true;
        }
        *phase = Phase::Done;
        false
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Done) {
            return;
        }
        let Phase::Running(canceller) = std::mem::replace(&mut *phase, Phase::Abandoned) else { return };
        if let Canceller::Close(closer) = &canceller {
            closer.cancel();
        }
        if let Canceller::Ask(token) = canceller {
            let connector = self.connector.clone();
            // Cancelling opens a connection of its own.
            self.runtime.spawn(async move {
                tracing::debug!("nobody waits for a query any more: cancelling it");
                match tokio::time::timeout(DEADLINE, token.cancel_query(connector)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "a query could not be cancelled; statement_timeout will end it");
                    }
                    Err(_elapsed) => {
                        tracing::warn!("a query could not be cancelled in time; statement_timeout will end it");
                    }
                }
            });
        }
    }
}
