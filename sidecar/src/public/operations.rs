//! `GET /api/system/operations`: how all of it works at this moment, for the people who run it. The page draws it.
//! What could not be asked is null, and `problems` says why.

use std::sync::LazyLock;
use std::time::Instant;

use ::http::Request;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::envelope::succeed;
use super::state::State;

use crate::auth::Principal;
use crate::cache::ModuleInfo;
use crate::error::ApiError;
use crate::http::{Params, Reply};
use crate::scheduler::job::Job;
use crate::telemetry::metrics::{self, Measured, Percentiles, PoolUse};

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// From now on counts how long the sidecar has run.
pub(super) fn start_clock() {
    LazyLock::force(&STARTED);
}

impl State {
    pub(super) async fn operations<B>(
        &self,
        who: &Principal,
        request: &Request<B>,
    ) -> Result<Reply, ApiError> {
        Params::parse(request.uri().query(), &[])?;
        who.may_operate()?;
        let (info, internal, database, jobs) = tokio::join!(
            self.module_info(),
            self.internal_health(),
            self.postgres_health(),
            self.jobs.jobs()
        );
        let mut problems = Vec::new();
        problems.extend(internal.err().map(|error| error.message().to_owned()));
        let module =
            known(info.map_err(|error| error.message().to_owned()), &mut problems).as_ref().map(module);
        // Postgres being away is told once.
        match database.postgres.and(database.migrations) {
            Err(error) => problems.push(error.message().to_owned()),
            Ok(()) => problems.extend(jobs.as_ref().err().cloned()),
        }
        let pools: Vec<Value> =
            self.database.pools().into_iter().chain(self.cache.pools()).map(pool).collect();
        let data = json!({
            "generated_at": time(Utc::now()),
            "sidecar": sidecar(self.streams.open()),
            "pools": pools,
            "feed": self.describe_feed(),
            "module": module,
            "jobs": jobs.ok().as_deref().map(describe_jobs),
            "problems": problems,
        });
        Ok(succeed(&data))
    }

    /// What this sidecar is to the change feed, and how far behind that is, whoever holds it.
    fn describe_feed(&self) -> Value {
        let (role, lag) = (self.feed.role(), self.feed.lag());
        let lag_ms = lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        let followed = self.feed.followed();
        json!({
            "role": role.name(), "lag_ms": lag_ms, "state": followed.name(), "message": followed.to_string(),
        })
    }
}

fn known<T>(outcome: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    outcome.map_err(|problem| problems.push(problem)).ok()
}

fn sidecar(event_streams: usize) -> Value {
    let (requests_total, in_flight) = metrics::requests();
    let (mut latency, mut compute) = (Vec::new(), Vec::new());
    for (what, Percentiles { count, p50_ms, p99_ms }) in metrics::recent() {
        let (name, value, list) = match what {
            Measured::Read(result) => ("result", result, &mut latency),
            Measured::Compute(kind) => ("kind", kind, &mut compute),
        };
        list.push(json!({name: value, "count": count, "p50_ms": p50_ms, "p99_ms": p99_ms}));
    }
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": STARTED.elapsed().as_secs(),
        "requests_total": requests_total,
        "in_flight": in_flight,
        "event_streams": event_streams,
        "latency": latency,
        "compute": compute,
    })
}

fn pool(pool: PoolUse) -> Value {
    let PoolUse { name, connections, size, busy, waiting } = pool;
    json!({"name": name, "connections": connections, "size": size, "busy": busy, "waiting": waiting})
}

/// Numbers as numbers, all else as text.
fn module(info: &ModuleInfo) -> Value {
    let value = |text: &str| match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) if number.is_finite() => json!(number),
        _ => json!(text),
    };
    Value::Object(info.iter().map(|(field, text)| (field.to_owned(), value(text))).collect::<Map<_, _>>())
}

fn describe_jobs(jobs: &[Job]) -> Vec<Value> {
    let describe = |job: &Job| {
        json!({
            "name": job.name,
            "schedule": job.schedule,
            "active": job.active,
            "last_run": job.last_run.map(time),
            "next_run": job.next_run.map(time),
            "outcome": job.shown_outcome(),
            "metadata": (!job.metadata.is_empty()).then_some(&job.metadata),
        })
    };
    jobs.iter().map(describe).collect()
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
