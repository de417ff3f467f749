//! Waiting for something that another process does: the only place in the tests that sleeps.

use std::time::{Duration, Instant};

/// Long enough for a loaded two-core machine, short enough that a hang is found while one watches.
pub const DEADLINE: Duration = Duration::from_secs(20);

const INTERVAL: Duration = Duration::from_millis(5);

/// Polls `condition` until it holds or `deadline` has passed; says whether it held.
pub fn poll_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Fails unless the condition comes to hold: `assert_eventually!(cond, "what")`, or with a deadline of
/// its own, `assert_eventually!(cond, Duration::from_secs(1), "what")`.
#[macro_export]
macro_rules! assert_eventually {
    ($condition:expr, $what:literal $(,)?) => {
        $crate::assert_eventually!($condition, $crate::DEADLINE, $what)
    };
    ($condition:expr, $deadline:expr, $what:literal $(,)?) => {
        assert!(
            $crate::poll_until($deadline, || $condition),
            "not within {:?}: {}",
            $deadline,
            format!($what)
        )
    };
}
