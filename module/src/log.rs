//! The server's log: causes, which clients are not told. A storm of failures writes a few lines a second,
//! and says how many it left out.

use parking_lot::Mutex;
use redis_module::Context;
use std::time::{Duration, Instant};

const LINES_A_SECOND: u32 = 10;

struct Window {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

static WINDOW: Mutex<Window> = Mutex::new(Window { began: None, written: 0, left_out: 0 });

/// Logs a warning, unless this second has had its share.
pub(crate) fn limited(ctx: &Context, line: impl FnOnce() -> String) {
    let mut window = WINDOW.lock();
    let now = Instant::now();
    if window.began.is_none_or(|began| now - began >= Duration::from_secs(1)) {
        let left_out = window.left_out;
        *window = Window { began: Some(now), written: 0, left_out: 0 };
        if left_out > 0 {
            ctx.log_warning(&format!("{left_out} more warnings were left out"));
        }
    }
    if window.written < LINES_A_SECOND {
        window.written += 1;
        ctx.log_warning(&line());
    } else {
        window.left_out += 1;
    }
}
