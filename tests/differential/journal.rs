//! What was done: how often, and, for the message of a failure, the last of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// So many transactions are shown with a failure.
const SHOWN: usize = 30;
/// A statement may be long.
const WIDTH: usize = 800;

/// Shared by all threads of a run.
#[derive(Default)]
pub(super) struct Journal(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    counts: BTreeMap<String, u64>,
    last: VecDeque<String>,
}

impl Journal {
    fn with<T>(&self, use_them: impl FnOnce(&mut Pages) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts something.
    pub(super) fn count(&self, what: &str) {
        self.with(|pages| match pages.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                pages.counts.insert(what.to_owned(), 1);
            }
        });
    }

    pub(super) fn counted(&self, what: &str) -> u64 {
        self.with(|pages| pages.counts.get(what).copied().unwrap_or_default())
    }

    /// Notes a transaction.
    pub(super) fn note(&self, text: &str) {
        let end = text.char_indices().map(|(at, _)| at).nth(WIDTH).unwrap_or(text.len());
        let text = text[..end].to_owned();
        self.with(|pages| {
            pages.last.push_back(text);
            if pages.last.len() > SHOWN {
                pages.last.pop_front();
            }
        });
    }

    /// What was done how often, in one line.
    pub(super) fn counts(&self) -> String {
        self.with(|pages| {
            let counts: Vec<_> = pages.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            counts.join(", ")
        })
    }

    /// The last transactions, oldest first.
    pub(super) fn last(&self) -> String {
        self.with(|pages| {
            let mut text = String::new();
            for (place, transaction) in pages.last.iter().enumerate() {
                let _ = writeln!(text, "{place}: {transaction}");
            }
            text
        })
    }
}
