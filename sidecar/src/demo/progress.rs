//! What one sees while rows are written: a bar on a terminal, a line for each step elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// How often a bar is told of new rows.
const EVERY: u64 = 1_000;

/// Progress on standard error; gone when dropped.
pub(super) struct Progress {
    /// `None` where standard error is no terminal.
    bar: Option<ProgressBar>,
    done: u64,
}

impl Progress {
    /// Progress towards so many rows.
    pub(super) fn new(rows: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(rows);
            let template = "{msg:14} [{bar:40}] {human_pos}/{human_len} rows, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { bar, done: 0 }
    }

    /// What is being done now.
    pub(super) fn step(&mut self, name: &'static str) {
        match &self.bar {
            Some(bar) => bar.set_message(name),
            None => output::remark(format_args!("demo: {name}, {} rows so far", self.done)),
        }
    }

    /// One more row.
    pub(super) fn row(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar
            && self.done.is_multiple_of(EVERY)
        {
            bar.set_position(self.done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
