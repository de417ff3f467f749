//! What is measured, each thing under the name that dashboards and alerts know it by. Names, labels and units are
//! part of the interface: they stay.
//!
//! Without [`install`] (in the short-lived subcommands, in unit tests) nothing is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

pub use super::latency::Percentiles;
use super::latency::Recent;
use crate::error::Failure;

/// Answers of the public API: `route`, `method`, `status`.
const HTTP_REQUEST_DURATION: &str = "dashboard_http_request_duration_seconds";
/// Requests of the public API that are being answered.
const HTTP_REQUESTS_IN_FLIGHT: &str = "dashboard_http_requests_in_flight";
/// Bundles read through the cache: `result`.
const BUNDLE_READ_DURATION: &str = "dashboard_bundle_read_duration_seconds";
/// Statements that compute: `kind` (single, batch), `outcome` (ok, error).
const COMPUTE_DURATION: &str = "dashboard_compute_duration_seconds";
/// Scheduled runs: `outcome`.
const SCHEDULED_RUN_DURATION: &str = "dashboard_scheduled_run_duration_seconds";
/// Tenants of which Redis has been told that they have changed.
const FEED_ANNOUNCED: &str = "dashboard_feed_announced_total";
/// Changes that have been merged into the counters.
const FEED_MERGED: &str = "dashboard_feed_merged_total";
/// How often everything had to be announced.
const FEED_GAPS: &str = "dashboard_feed_gaps_total";

/// From a hit in memory to a request that ran into its time-out.
const BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// How often measurements that nobody has collected are put into their buckets, in which they take no room.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
static REQUESTS: AtomicU64 = AtomicU64::new(0);
static IN_FLIGHT: AtomicU64 = AtomicU64::new(0);
static RECENT: LazyLock<Mutex<BTreeMap<Measured, Recent>>> = LazyLock::new(Mutex::default);

/// What percentiles are kept of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measured {
    /// Reads of a bundle, by their result.
    Read(&'static str),
    /// Computing, by its kind.
    Compute(&'static str),
}

/// How a pool of connections is used at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// What it is for.
    pub name: &'static str,
    /// Connections that are open.
    pub connections: u32,
    /// The most that are opened.
    pub size: u32,
    /// Statements under way.
    pub busy: u32,
    /// Who waits for a connection.
    pub waiting: u32,
}

/// Keeps what is measured from now on.
///
/// # Errors
/// If something else keeps it already.
pub fn install() -> Result<(), Failure> {
    let built = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder);
    let handle = built.map_err(|error| Failure::run(&error))?;
    describe_histogram!(
        HTTP_REQUEST_DURATION,
        Unit::Seconds,
        "Time from a request's headers to its answer's."
    );
    describe_gauge!(HTTP_REQUESTS_IN_FLIGHT, "Requests that are being answered.");
    describe_histogram!(
        BUNDLE_READ_DURATION,
        Unit::Seconds,
        "Time of reading a bundle through DASHBOARD.GET."
    );
    describe_histogram!(
        COMPUTE_DURATION,
        Unit::Seconds,
        "Time for which Postgres was waited for, by statement."
    );
    describe_histogram!(SCHEDULED_RUN_DURATION, Unit::Seconds, "Time of a scheduled run.");
    describe_counter!(FEED_ANNOUNCED, "Tenants of which Redis was told that they have changed, each time.");
    describe_counter!(FEED_MERGED, "Recorded changes that were merged into the counters.");
    describe_counter!(
        FEED_GAPS,
        "How often changes may have been missed, so that all bundles were marked as changed."
    );
    // They begin at 0: an increase is seen only of what has been there before.
    for name in [FEED_ANNOUNCED, FEED_MERGED, FEED_GAPS] {
        counter!(name).increment(0);
    }
    // The second one to come would be of another process: there is none.
    let _ = HANDLE.set(handle);
    Ok(())
}

/// Keeps what nobody collects from growing, for as long as the future lives.
pub async fn upkeep() {
    let mut times = tokio::time::interval(UPKEEP);
    loop {
        times.tick().await;
        if let Some(handle) = HANDLE.get() {
            handle.run_upkeep();
        }
    }
}

/// All that was measured, as Prometheus reads it.
pub fn render() -> String {
    gauge!(HTTP_REQUESTS_IN_FLIGHT).set(IN_FLIGHT.load(Ordering::Relaxed) as f64);
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// A request of the public API that is being answered; dropped, it is one no more.
pub struct Request {
    began: Instant,
}

impl Request {
    /// One more.
    #[expect(clippy::new_without_default, reason = "it counts")]
    pub fn new() -> Self {
        IN_FLIGHT.fetch_add(1, Ordering::Relaxed);
        Self { began: Instant::now() }
    }

    /// It is answered: by `route` (a path that we know, never what a client has made up).
    pub fn answered(&self, route: &'static str, method: &'static str, status: u16) -> Duration {
        let took = self.began.elapsed();
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        let status = status.to_string();
        histogram!(HTTP_REQUEST_DURATION, "route" => route, "method" => method, "status" => status)
            .record(took);
        took
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests of the public API: answered since the start, being answered now.
pub fn requests() -> (u64, u64) {
    (REQUESTS.load(Ordering::Relaxed), IN_FLIGHT.load(Ordering::Relaxed))
}

/// A bundle was read, with this result: `hit`, `stale`, `miss`, `refreshed`, `not_modified`, `error`.
pub fn bundle_read(result: &'static str, took: Duration) {
    histogram!(BUNDLE_READ_DURATION, "result" => result).record(took);
    measured(Measured::Read(result), took);
}

/// Postgres was waited for to compute; `kind` is `single` or `batch`.
pub fn computed(kind: &'static str, took: Duration, well: bool) {
    histogram!(COMPUTE_DURATION, "kind" => kind, "outcome" => if well { "ok" } else { "error" }).record(took);
    measured(Measured::Compute(kind), took);
}

/// A scheduled run has ended, with this outcome: `success`, `partial`, `failed`.
pub fn scheduled_run(outcome: &'static str, took: Duration) {
    histogram!(SCHEDULED_RUN_DURATION, "outcome" => outcome).record(took);
}

/// Redis has acknowledged that so many tenants have changed.
pub fn feed_announced(tenants: usize) {
    counter!(FEED_ANNOUNCED).increment(tenants as u64);
}

/// So many changes were merged into the counters.
pub fn feed_merged(changes: u64) {
    counter!(FEED_MERGED).increment(changes);
}

/// Changes may have been missed.
pub fn feed_gap() {
    counter!(FEED_GAPS).increment(1);
}

/// What was measured in the last minutes.
pub fn recent() -> Vec<(Measured, Percentiles)> {
    let now = Instant::now();
    let mut recent = RECENT.lock();
    recent.iter_mut().filter_map(|(what, recent)| Some((*what, recent.percentiles(now)?))).collect()
}

fn measured(what: Measured, took: Duration) {
    RECENT.lock().entry(what).or_default().record(Instant::now(), took);
}
