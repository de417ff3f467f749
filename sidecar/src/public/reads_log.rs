//! What the log says of reads: a line a minute with counts and, where that is asked for, a line for each read, with texts
//! that people search their logs for. A line for each would be 20 GB a day at a thousand reads a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::cache::Cached;
use crate::error::ApiError;
use crate::tenant::BundleId;

/// At this level, or else at that of debugging.
macro_rules! at {
    ($is:expr, $level:ident, $($what:tt)*) => {
        if $is { tracing::$level!($($what)*) } else { tracing::debug!($($what)*) }
    };
}

/// How often the counts are told.
const SUMMARY: Duration = Duration::from_secs(60);

/// What has been read since the last summary.
pub struct ReadsLog {
    each: bool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl ReadsLog {
    /// With a line for `each` read, or without.
    pub fn new(each: bool) -> Self {
        Self { each, counts: Mutex::default() }
    }

    /// One was read, with this `result`, as metrics name it.
    pub(super) fn read(&self, id: &BundleId, result: &'static str, outcome: &Result<Cached, ApiError>) {
        let name = outcome.as_ref().map_or_else(ApiError::code, |_| result);
        let is_first = {
            let mut counts = self.counts.lock();
            let count = counts.entry(name).or_default();
            *count += 1;
            *count == 1
        };
        // What goes wrong for a thousand readers is told once a minute, and how often stands in the summary.
        match outcome {
            Ok(cached) => line(self.each, id, cached),
            Err(error) => failed(self.each || is_first, id, error),
        }
    }

    /// Tells the counts every minute, for as long as the future lives.
    pub(super) async fn summaries(&self) {
        let mut times = interval(SUMMARY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        times.tick().await;
        loop {
            times.tick().await;
            self.summarize();
        }
    }

    /// Tells the counts, if there are any, and begins anew.
    pub(super) fn summarize(&self) {
        let counts = std::mem::take(&mut *self.counts.lock());
        if !counts.is_empty() {
            let mut text = String::new();
            for (name, count) in &counts {
                // Writing to a String cannot fail.
                let _ = write!(text, "{}{name} {count}", if text.is_empty() { "" } else { ", " });
            }
            tracing::info!("[dashboard-bundle] reads since the last such line: {text}");
        }
    }
}

fn line(each: bool, id: &BundleId, cached: &Cached) {
    let (key, tenant, include_test_data) = (id.cache_key(), id.tenant.as_str(), id.include_test_data);
    let (status, age_ms) = (cached.status.name(), cached.age_ms);
    if cached.status.was_cached() {
        at!(
            each,
            info,
            tenant,
            include_test_data,
            status,
            age_ms,
            "[dashboard-bundle] Cache HIT key={key} (redis)"
        );
    } else {
        at!(
            each,
            info,
            tenant,
            include_test_data,
            status,
            "[dashboard-bundle] Cache MISS key={key} (compute from db)"
        );
    }
}

fn failed(is_news: bool, id: &BundleId, error: &ApiError) {
    let (key, tenant, include_test_data) = (id.cache_key(), id.tenant.as_str(), id.include_test_data);
    let code = error.code();
    at!(
        is_news,
        warn,
        tenant,
        include_test_data,
        code,
        "[dashboard-bundle] No bundle for key={key}: {}",
        error.message()
    );
}
