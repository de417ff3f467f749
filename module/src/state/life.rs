//! How it begins and ends: with the thread to the sidecar.

use super::core::{self, State};
use super::wake;
use crate::upstream::Upstream;
use crate::{clearing, counts, ffi};
use crossbeam_channel::Receiver;

/// Starts the thread to the sidecar.
pub(crate) fn start() -> std::io::Result<()> {
    core::monotonic();
    let (upstream, events) = Upstream::start(wake::wake)?;
    // Anew, also where an unloaded module is loaded again: its memory may still be there.
    let fresh = State { upstream: Some(upstream), events: Some(events), ..State::new() };
    fresh.feed.publish();
    *core::lock() = fresh;
    counts::reset();
    Ok(())
}

/// Ends the thread to the sidecar, for an unload; false while something is under way: the server may not
/// unload code that it has promised to call.
pub(crate) fn stop() -> bool {
    let upstream = {
        let mut state = core::lock();
        // In this order: whoever still owes something may wake us, and has done so once it owes nothing.
        let idle = state.clients.is_empty()
            && state.gifts.is_empty()
            && state.runs.is_empty()
            && !clearing::is_running()
            && state.upstream.as_ref().is_none_or(Upstream::owes_nothing)
            && !wake::is_under_way()
            && state.events.as_ref().is_none_or(Receiver::is_empty);
        if !idle {
            return false;
        }
        if let Some((timer, _)) = state.timer.take() {
            ffi::disarm(&timer);
        }
        state.upstream.take()
    };
    drop(upstream);
    true
}
