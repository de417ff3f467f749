//! How a server comes to its end: first it says so and goes on serving, then it closes.

use tokio_util::sync::CancellationToken;

/// The two moments of an end. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    leaving: CancellationToken,
    closing: CancellationToken,
}

impl Stop {
    /// From now on every answer closes its connection, so that its client turns to another server. All is served still.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// From now on nothing new is accepted; requests under way may end.
    pub fn close(&self) {
        self.leaving.cancel();
        self.closing.cancel();
    }

    /// Whether the end has begun.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Fires when the end begins: for what another sidecar can take over at once.
    pub fn leaving(&self) -> CancellationToken {
        self.leaving.clone()
    }

    /// Fires when nothing new is accepted: for what requests need.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }
}
