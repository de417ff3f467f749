//! `GET /metrics`: everything for Prometheus: what the sidecar has measured, its pools, the schedule, and the
//! module's counters. What cannot be asked is left out, and `dashboard_up` says so: a 0 would be a lie.

use std::fmt::{Display, Write as _};

use ::http::StatusCode;
use chrono::{DateTime, Utc};

use super::state::State;
use crate::cache::ModuleInfo;
use crate::feed::{Followed, Part, Role};
use crate::http::{self, Reply};
use crate::scheduler::job::Job;
use crate::telemetry::{self, metrics};

/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Fields of `INFO dashboard` that tell of now; all other numbers only grow.
const GAUGES: [&str; 14] = [
    "flights",
    "waiters",
    "blocked_clients",
    "unknown_tenants",
    "feed_lag_ms",
    "clears_running",
    "warm_running",
    "warm_started",
    "warm_elapsed_ms",
    "warm_tenants",
    "warm_done",
    "warm_warmed",
    "warm_fresh",
    "warm_tenants_per_sec",
];
/// Likewise, but named so that it would be taken for a counter of failures.
const WARM_FAILED: &str = "warm_failed";
/// What the breaker can be.
const BREAKER_STATES: [&str; 3] = ["closed", "half-open", "open"];

impl State {
    /// Asks all parts at once.
    pub(super) async fn metrics(&self) -> Reply {
        let (info, health, internal, database, jobs) = tokio::join!(
            self.module_info(),
            self.redis_health(),
            self.internal_health(),
            self.postgres_health(),
            self.jobs.jobs()
        );
        let mut page = Page(metrics::render());
        page.family("dashboard_up", "gauge", "Whether this part works (1) or not (0).");
        for (part, works) in [
            ("redis", health.redis.is_ok()),
            ("module", info.is_ok()),
            ("internal-api", internal.is_ok()),
            ("postgres", database.postgres.is_ok()),
            ("migrations", database.migrations.is_ok()),
            ("schedule", jobs.is_ok() && self.jobs.is_followed().is_ok()),
            ("change-feed", self.feed.followed().is_well()),
        ] {
            page.sample("dashboard_up", &[("part", part)], u8::from(works));
        }
        page.family("dashboard_event_streams", "gauge", "Event streams that are open.");
        page.sample("dashboard_event_streams", &[], self.streams.open());
        page.family("dashboard_waiting_reads", "gauge", "Requests that wait for bundles.");
        page.sample("dashboard_waiting_reads", &[], self.cache.waiting());
        let (role, lag) = (self.feed.role(), self.feed.lag());
        page.family(
            "dashboard_feed_holder",
            "gauge",
            "Whether it is this sidecar that feeds Redis with changes (1) or not (0).",
        );
        page.sample("dashboard_feed_holder", &[], u8::from(role == Role::Holder));
        let followed = self.feed.followed();
        page.family(
            "dashboard_feed_state",
            "gauge",
            "How changes are followed: 1, with the state as label, and with what holds changes up where it is stuck.",
        );
        let part = followed.part().map_or("", Part::name);
        for state in Followed::NAMES {
            let (is, part) = if state == followed.name() { (1, part) } else { (0, "") };
            page.sample("dashboard_feed_state", &[("state", state), ("part", part)], is);
        }
        if let Some(lag) = lag {
            page.family(
                "dashboard_feed_lag_seconds",
                "gauge",
                "How far the change feed is behind, whoever holds it.",
            );
            page.sample("dashboard_feed_lag_seconds", &[], lag.as_secs_f64());
        }
        if let Some(uncounted) = self.feed.uncounted() {
            page.family(
                "dashboard_uncounted_tenants",
                "gauge",
                "Tenants whose bundles are computed from the tables, as their figures are too large to be summed.",
            );
            page.sample("dashboard_uncounted_tenants", &[], uncounted);
        }
        page.family(
            "dashboard_log_dropped_total",
            "counter",
            "Lines of the log that standard error did not take.",
        );
        page.sample("dashboard_log_dropped_total", &[], telemetry::dropped());
        self.pools(&mut page);
        if let Ok(jobs) = &jobs {
            describe_jobs(&mut page, jobs);
        }
        if let Ok(info) = &info {
            describe_module(&mut page, info);
        }
        http::bytes(StatusCode::OK, CONTENT_TYPE, page.0.into())
    }

    fn pools(&self, page: &mut Page) {
        let pools: Vec<_> = self.database.pools().into_iter().chain(self.cache.pools()).collect();
        for (name, help, value) in [
            (
                "dashboard_pool_size",
                "Connections that a pool may open.",
                (|pool| pool.size) as fn(&metrics::PoolUse) -> u32,
            ),
            ("dashboard_pool_connections", "Connections that are open.", |pool| pool.connections),
            ("dashboard_pool_busy", "Connections in use.", |pool| pool.busy),
            ("dashboard_pool_waiting", "Requests that wait for a connection.", |pool| pool.waiting),
        ] {
            page.family(name, "gauge", help);
            for pool in &pools {
                page.sample(name, &[("pool", pool.name)], value(pool));
            }
        }
    }
}

fn describe_jobs(page: &mut Page, jobs: &[Job]) {
    let seconds = |time: DateTime<Utc>| time.timestamp_millis() as f64 / 1000.0;
    for (name, help, value) in [
        (
            "dashboard_job_last_run_timestamp_seconds",
            "When a job last began, Unix time.",
            (|job| job.last_run) as fn(&Job) -> Option<DateTime<Utc>>,
        ),
        ("dashboard_job_next_run_timestamp_seconds", "When a job begins next, Unix time.", |job| {
            job.next_run
        }),
    ] {
        page.family(name, "gauge", help);
        for job in jobs {
            if let Some(time) = value(job) {
                page.sample(name, &labels(job), seconds(time));
            }
        }
    }
    page.family("dashboard_job_active", "gauge", "Whether a job runs at its times (1) or is disabled (0).");
    for job in jobs {
        page.sample("dashboard_job_active", &labels(job), u8::from(job.active));
    }
    page.family(
        "dashboard_job_last_outcome",
        "gauge",
        "How a job's last run ended: 1, with the outcome as label.",
    );
    for job in jobs {
        if let Some(outcome) = job.shown_outcome() {
            let [id, name] = labels(job);
            page.sample("dashboard_job_last_outcome", &[id, name, ("outcome", outcome)], 1);
        }
    }
}

/// Two jobs may have the same name. (The label `job` is Prometheus's own.)
fn labels(job: &Job) -> [(&'static str, &str); 2] {
    [("job_id", &job.id), ("job_name", &job.name)]
}

/// Every number of the module's, under its own name: a field of a module that is newer than this, too.
fn describe_module(page: &mut Page, info: &ModuleInfo) {
    let help = |field: &str| format!("{field} of INFO dashboard.");
    let mut failures = Vec::new();
    for (field, value) in info.iter() {
        if field == "sidecar_breaker" {
            let name = "dashboard_module_sidecar_breaker";
            page.family(name, "gauge", &help(field));
            for state in BREAKER_STATES {
                page.sample(name, &[("state", state)], u8::from(value == state));
            }
            continue;
        }
        let Ok(number) = value.parse::<f64>() else { continue };
        if !number.is_finite() || field == "warm_run" {
            continue;
        }
        if let Some(kind) = field.strip_prefix("failed_") {
            failures.push((kind, value));
        } else if GAUGES.contains(&field) || field == WARM_FAILED {
            let name = format!("dashboard_module_{field}");
            page.family(&name, "gauge", &help(field));
            page.sample(&name, &[], value);
        } else {
            let name = format!("dashboard_module_{field}_total");
            page.family(&name, "counter", &help(field));
            page.sample(&name, &[], value);
        }
    }
    page.family(
        "dashboard_module_failures_total",
        "counter",
        "Flights that failed: failed_… of INFO dashboard.",
    );
    for (kind, value) in failures {
        page.sample("dashboard_module_failures_total", &[("kind", kind)], value);
    }
}

/// A text that Prometheus reads.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            self.0.push(if n == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// A label's text, of which a job's name may be any.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_fields_keep_their_names_and_kinds() {
        let text = "dashboard_hits:7\r\ndashboard_flights:2\r\ndashboard_failed_timeout:3\r\ndashboard_warm_failed:1\r\n\
                    dashboard_warm_failed_runs:4\r\ndashboard_sidecar_breaker:open\r\ndashboard_warm_by:x\r\n\
                    dashboard_feed_lag_ms:40\r\ndashboard_feed_by:id=7\r\n\
                    dashboard_warm_tenants_per_sec:0.5\r\ndashboard_something_new:9\r\n";
        let mut page = Page(String::new());
        describe_module(&mut page, &ModuleInfo::parse(text));
        for line in [
            "# TYPE dashboard_module_hits_total counter",
            "dashboard_module_hits_total 7",
            "# TYPE dashboard_module_flights gauge",
            "dashboard_module_flights 2",
            "dashboard_module_failures_total{kind=\"timeout\"} 3",
            "dashboard_module_warm_failed 1",
            "dashboard_module_warm_failed_runs_total 4",
            "dashboard_module_sidecar_breaker{state=\"open\"} 1",
            "dashboard_module_sidecar_breaker{state=\"closed\"} 0",
            "dashboard_module_warm_tenants_per_sec 0.5",
            "# TYPE dashboard_module_feed_lag_ms gauge",
            "dashboard_module_feed_lag_ms 40",
            "dashboard_module_something_new_total 9",
        ] {
            assert!(page.0.lines().any(|have| have == line), "{line}\n{}", page.0);
        }
        assert!(!page.0.contains("warm_by"));
    }

    #[test]
    fn a_label_may_have_any_text() {
        let mut page = Page(String::new());
        page.sample("a", &[("job_name", "say \"hi\"\\\n")], 1);
        assert_eq!(page.0, "a{job_name=\"say \\\"hi\\\"\\\\\\n\"} 1\n");
    }
}
