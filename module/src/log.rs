//! The server's log: causes, which clients are not told. A storm of failures writes a few lines a second,
//! and says how many it left out. What others have said stands in a line as it is said, but for what would
//! break the line.

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

/// `text` fit for one line: not a long one, and without control characters. (The binding to the server's log
/// panics at a zero byte.)
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 600;
    let shown = text.char_indices().nth(MOST).map_or(text, |(end, _)| &text[..end]);
    let mut line = String::with_capacity(shown.len());
    for char in shown.chars() {
        if char.is_control() { line.extend(char.escape_default()) } else { line.push(char) }
    }
    if shown.len() < text.len() {
        line.push('…');
    }
    line
}

/// Logs a warning.
pub(crate) fn warning(ctx: &Context, line: &str) {
    ctx.log_warning(&one_line(line));
}

/// Logs a warning, unless this second has had its share.
pub(crate) fn limited(ctx: &Context, line: impl FnOnce() -> String) {
    let mut window = WINDOW.lock();
    let now = Instant::now();
    if window.began.is_none_or(|began| now - began >= Duration::from_secs(1)) {
        let left_out = window.left_out;
        *window = Window { began: Some(now), written: 0, left_out: 0 };
        if left_out > 0 {
            warning(ctx, &format!("{left_out} more warnings were left out"));
        }
    }
    if window.written < LINES_A_SECOND {
        window.written += 1;
        warning(ctx, &line());
    } else {
        window.left_out += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_has_no_control_characters_and_an_end() {
        assert_eq!(one_line("as said: é"), "as said: é");
        assert_eq!(one_line("a\0b\r\n\u{1b}\u{85}"), r"a\u{0}b\r\n\u{1b}\u{85}");
        assert!(one_line(&"é".repeat(10_000)).len() < 1300);
    }
}
