//! Whether the schedule is being looked at, for probes and metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// From the time that the next look was due, so long until it must have ended: connecting and its statements have deadlines of their own.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

/// Shared by the scheduler and those who ask.
#[derive(Clone, Default)]
pub struct Pulse {
    /// By when the next look must have ended; none where this process does not look.
    next: Arc<Mutex<Option<Instant>>>,
}

impl Pulse {
    /// It looks now, or has looked, and will again after `pause`.
    pub(super) fn beat(&self, pause: Duration) {
        *self.next.lock() = Some(Instant::now() + pause + LONGEST_LOOK);
    }

    /// It does not look any more.
    pub(super) fn rest(&self) {
        *self.next.lock() = None;
    }

    /// Since when a look has been overdue.
    pub fn overdue(&self) -> Option<Duration> {
        self.next
            .lock()
            .and_then(|next| Instant::now().checked_duration_since(next))
            .filter(|late| !late.is_zero())
    }
}
