//! What warms when somebody asks for it over HTTP. For all tenants that is a run of the schedule's job, with its lease
//! and its outcome kept, as `dashboard-sidecar cron run` does it; for one tenant it is a warming and no more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Scope;
use crate::cache::{self, Warmed};
use crate::config::{LeaseArgs, Secret};
use crate::db::{Dialer, KeptError as _};
use crate::descriptors;
use crate::error::ApiError;
use crate::lease::{Expiry, Lease};
use crate::scheduler::StoreError;
use crate::scheduler::job::{Job, WARM_FUNCTION};
use crate::scheduler::runner::{NotRun, Runner};
use crate::scheduler::session::session;
use crate::scheduler::settings::Settings;
use crate::scheduler::store;

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
        let runner = Runner {
            session: session(dialer),
            settings: Settings::new(lease, Expiry::by_watching()),
            redis_url: redis_url.clone(),
        };
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
    pub(super) async fn execute(&self, scope: Scope) -> Result<Warmed, ApiError> {
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
                    () = shutdown.cancelled() => Err(ApiError::stopping()),
                },
            }
        });
        run.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a run ended abnormally");
            Err(ApiError::internal(WARM_FUNCTION))
        })
    }
}

/// Runs the job of the table that is about all tenants; the active one, where there are several.
async fn run_job(runner: &Runner, shutdown: &CancellationToken) -> Result<Warmed, ApiError> {
    let expiry = runner.settings.expiry.clone();
    let found = runner.session.run(move |client| {
        let table = store::locate(client, true)?;
        let (_, jobs) = store::jobs(client, &table, &expiry)?;
        // Active ones come first.
        Ok((table, jobs.into_iter().find(|job| job.is_ours() && job.tenant.is_none())))
    });
    let (table, job) = found.await.map_err(|error| of_store(&error))?;
    let job = job.ok_or_else(|| {
        ApiError::no_job(&format!("no job runs {WARM_FUNCTION}: 'dashboard-sidecar cron enable' adds one"))
    })?;
    let waits = |lease: &Lease| tracing::info!("[cron] {}", job.waits_for(lease));
    match runner.run_by_hand(&table, &job, shutdown, waits).await {
        Ok(report) => match report.counts() {
            Some(warmed) => Ok(warmed.clone()),
            None if shutdown.is_cancelled() => Err(ApiError::stopping()),
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
        Err(NotRun::Stopped) => Err(ApiError::stopping()),
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
        _ if descriptors::is_shortage(error) => ApiError::no_descriptor_for_postgres(),
        _ if error.is_connection() => ApiError::postgres_unavailable(),
        _ => ApiError::internal("running the job of cron_job"),
    }
}
