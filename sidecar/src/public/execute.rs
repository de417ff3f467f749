//! `POST /api/cron/execute`: warms now. For all tenants it is a run of the schedule's job, with its lease and its
//! outcome kept, as `dashboard-sidecar cron run` does it; for one tenant it is a warming and no more.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::{refuse, succeed_saying};
use super::{State, body};
use crate::auth::{Principal, Scope};
use crate::cache::{self, Warmed};
use crate::config::{LeaseArgs, Secret};
use crate::db::{Dialer, KeptError as _};
use crate::error::ApiError;
use crate::http::Reply;
use crate::scheduler::StoreError;
use crate::scheduler::job::{Job, WARM_FUNCTION};
use crate::scheduler::runner::{NotRun, Runner};
use crate::scheduler::session::session;
use crate::scheduler::settings::Settings;
use crate::scheduler::store;
use crate::tenant::Tenant;

/// What Redis calls the connections.
const CALLER: &str = "dashboard-sidecar-execute";
/// Requests that are carried out at a time.
const MOST_RUNS: usize = 16;
/// From the shutdown on, how long a run is waited for that gives its lease back.
const LONGEST_END: Duration = Duration::from_secs(5);

/// Runs what is asked for, whoever is still there to be told how it ended.
pub struct Executor {
    runner: Runner,
    places: Arc<Semaphore>,
    runs: TaskTracker,
    shutdown: CancellationToken,
}

impl Executor {
    /// Prepares it; nothing is asked yet.
    pub fn new(lease: &LeaseArgs, dialer: Dialer, redis_url: &Secret, shutdown: CancellationToken) -> Self {
        let runner =
            Runner { session: session(dialer), settings: Settings::new(lease), redis_url: redis_url.clone() };
        Self { runner, places: Arc::new(Semaphore::new(MOST_RUNS)), runs: TaskTracker::new(), shutdown }
    }

    /// Waits until what is under way has been given back. To be called after the shutdown has begun.
    pub(super) async fn end(&self) {
        self.runs.close();
        if tokio::time::timeout(LONGEST_END, self.runs.wait()).await.is_err() {
            tracing::warn!("a run could not be given back in time; its lease ends by itself");
        }
    }

    /// Warms, for all tenants as the job of the table. A caller that leaves does not end it.
    async fn execute(&self, scope: Scope) -> Result<Warmed, ApiError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_full| {
            ApiError::overloaded("as many runs are under way as may be asked for over HTTP")
        })?;
        let (runner, shutdown) = (self.runner.clone(), self.shutdown.clone());
        let run = self.runs.spawn(async move {
            let _place = place;
            match scope {
                Scope::All => run_job(&runner, &shutdown).await,
                Scope::One(tenant) => tokio::select! {
                    warmed = cache::warm(&runner.redis_url, CALLER, std::slice::from_ref(&tenant), false) =>
                        warmed.map_err(|error| unreachable(error.message())),
                    () = shutdown.cancelled() => Err(ApiError::not_configured(STOPPED)),
                },
            }
        });
        run.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a run ended abnormally");
            Err(ApiError::internal(WARM_FUNCTION))
        })
    }
}

const STOPPED: &str = "the sidecar is being stopped: ask again, or ask another one";

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with the member 'function_name' and, for one tenant, 'tenant_id'"
)]
struct Wanted {
    function_name: String,
    #[serde(default, deserialize_with = "body::tenant")]
    tenant_id: Option<Tenant>,
}

impl State {
    pub(super) async fn execute(
        &self,
        who: &Principal,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        let Wanted { function_name, tenant_id } = body::read(request).await?;
        if function_name != WARM_FUNCTION {
            return Err(ApiError::bad_request(format!(
                "the body, 'function_name': the only function that is known is {WARM_FUNCTION}"
            )));
        }
        let scope = who.may_execute(tenant_id.as_ref())?;
        let of = match &scope {
            Scope::All => None,
            Scope::One(tenant) => Some(tenant.clone()),
        };
        let name = of.as_ref().map_or("all tenants", Tenant::as_str).to_owned();
        tracing::info!(tenant = name, "[cron] {WARM_FUNCTION} is asked for");
        let warmed = self.executor.execute(scope).await?;
        tracing::info!(tenant = name, failed = warmed.failed, "[cron] {WARM_FUNCTION} has ended: {warmed}");
        Ok(describe(&warmed, of.as_ref()))
    }
}

/// What became of it. Where nothing could be warmed, that is an error.
fn describe(warmed: &Warmed, tenant: Option<&Tenant>) -> Reply {
    if warmed.failed > 0 && warmed.warmed + warmed.fresh == 0 {
        return refuse(&failure(warmed, tenant));
    }
    let Warmed { tenants, warmed: computed, fresh, failed, elapsed, .. } = warmed;
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    succeed_saying(
        &format!("{WARM_FUNCTION}: {warmed}"),
        &json!({
            "function_name": WARM_FUNCTION, "tenants": tenants, "warmed": computed, "fresh": fresh,
            "failed": failed, "elapsed_ms": elapsed_ms,
        }),
    )
}

/// Why nothing was warmed, by the reason that the first tenant has.
fn failure(warmed: &Warmed, tenant: Option<&Tenant>) -> ApiError {
    let reason = warmed.failures.first().map_or("unknown", |failed| failed.reason.as_str());
    let what = || format!("warming {}", tenant.map_or("all tenants", Tenant::as_str));
    match (reason, tenant) {
        ("no_tenant", Some(tenant)) => ApiError::no_tenant(tenant.as_str()),
        ("timeout", _) => ApiError::timeout(&what()),
        ("sidecar_down" | "sidecar_busy" | "postgres_down", _) => ApiError::redis_unavailable(format!(
            "{} failed ({reason}): the sidecar or Postgres could not be reached; see Redis's log",
            what()
        )),
        _ => ApiError::internal(&format!("{} ({reason})", what())),
    }
}

/// Runs the job of the table that is about all tenants; the active one, where there are several.
async fn run_job(runner: &Runner, shutdown: &CancellationToken) -> Result<Warmed, ApiError> {
    let found = runner.session.run(|client| {
        let table = store::locate(client, true)?;
        let (_, jobs) = store::jobs(client, &table)?;
        // Active ones come first.
        Ok((table, jobs.into_iter().find(|job| job.is_ours() && job.tenant.is_none())))
    });
    let (table, job) = found.await.map_err(|error| of_store(&error))?;
    let job = job.ok_or_else(|| {
        ApiError::no_job(&format!("no job runs {WARM_FUNCTION}: 'dashboard-sidecar cron enable' adds one"))
    })?;
    match runner.run_by_hand(&table, &job, shutdown).await {
        Ok(report) => match report.counts() {
            Some(warmed) => Ok(warmed.clone()),
            None if shutdown.is_cancelled() => Err(ApiError::not_configured(STOPPED)),
            None => Err(unreachable(report.error.as_deref().unwrap_or_default())),
        },
        Err(NotRun::Held(lease)) => {
            let since = job.metadata.get("started_at").and_then(|at| at.as_str());
            let since = since.map(|at| format!(" since {at}")).unwrap_or_default();
            Err(ApiError::conflict(format!(
                "'{}' is being run by {}{since}: wait for it to end; its outcome will be in the table cron_job",
                name(&job),
                lease.owner
            )))
        }
        Err(NotRun::Passed | NotRun::TakenOver) => Err(ApiError::conflict(format!(
            "'{}' has just been taken by another process: what becomes of it will be in the table cron_job",
            name(&job)
        ))),
        Err(NotRun::Store(error)) => Err(of_store(&error)),
    }
}

/// What Redis said goes to the log, and no further.
fn unreachable(said: &str) -> ApiError {
    tracing::warn!(error = said, "{WARM_FUNCTION} could not be begun");
    ApiError::redis_unavailable("Redis (REDIS_URL) cannot be asked to warm; see the sidecar's log")
}

fn name(job: &Job) -> String {
    job.name.chars().take(100).collect()
}

fn of_store(error: &StoreError) -> ApiError {
    tracing::warn!(%error, "the schedule cannot be used");
    match error {
        StoreError::NotMigrated => ApiError::not_migrated(),
        _ if error.is_connection() => ApiError::postgres_unavailable(),
        _ => ApiError::internal("running the job of cron_job"),
    }
}
