//! Has the pump called: one wake-up is enough for any number of events.

use crate::ffi;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wake-up is on its way.
static WOKEN: AtomicBool = AtomicBool::new(false);

/// Has [`super::server::woken`] called in the next turn of the event loop. From any thread.
pub(super) fn wake() {
    if !WOKEN.swap(true, Ordering::AcqRel) {
        ffi::wake();
    }
}

/// It has come.
pub(super) fn arrived() {
    WOKEN.store(false, Ordering::Release);
}

pub(super) fn is_under_way() -> bool {
    WOKEN.load(Ordering::Acquire)
}
