//! `cron list`: every job on a line of its own, and what is wrong below.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use super::time;
use crate::scheduler::job::{Job, WARM_FUNCTION};

/// The jobs at this time, for a person.
pub(super) fn table(jobs: &[Job]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["name", "function", "schedule", "active", "last run", "next run", "outcome", "id"]);
    for job in jobs {
        table.add_row([
            printable(&job.name),
            printable(&job.function),
            printable(&job.schedule),
            if job.active { "yes" } else { "no" }.to_owned(),
            time(job.last_run),
            time(job.next_run),
            outcome(job),
            printable(&job.id),
        ]);
    }
    let mut text = table.trim_fmt();
    for job in jobs {
        for (what, words) in [("error", job.error()), ("warning", job.warning())] {
            if let Some(words) = words {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n{}: {what}: {}", printable(&job.name), printable(words));
            }
        }
    }
    if jobs.iter().any(|job| !job.is_ours()) {
        let _ = write!(text, "\nOnly {WARM_FUNCTION} is run by the sidecar; the others are other programs'.");
    }
    text
}

fn outcome(job: &Job) -> String {
    if !job.is_ours() {
        return "not ours".to_owned();
    }
    job.shown_outcome().map_or_else(|| "-".to_owned(), printable)
}

/// Whatever somebody has written into a row, a terminal gets no control characters of it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
