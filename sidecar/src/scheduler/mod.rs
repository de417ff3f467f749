//! Runs the jobs of the table `cron_job` when they are due: one sidecar of however many runs each.
//!
//! - [`schedule`]: when a job is due next
//! - `job`: what is to be done with a row, given the time
//! - `store`: the same under the row's lock, and the lease
//! - `runner`: one run; `report`: how it ended
//! - [`Scheduler`]: looks for work; [`crate::cron`] is the command line
//!
//! A run is claimed with a lease that its owner renews. Whose owner dies, it is taken over by another sidecar
//! that has watched the lease stand still for its length, at the next poll ([`crate::lease`]). Nothing of it is kept in memory: any sidecar can be killed at any time.

mod error;
pub(crate) mod job;
pub mod pulse;
pub(crate) mod report;
pub(crate) mod runner;
pub mod schedule;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod store;
pub mod view;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use error::StoreError;

use crate::config::{SchedulerArgs, Secret};
use crate::db::{Dialer, KeptError as _};
use crate::lease::Expiry;
use crate::pg::Client;
use job::{Action, Job};
use pulse::Pulse;
use runner::Runner;
use session::session;
use settings::Settings;
use store::{Settled, Table};

/// What pg_stat_activity shows.
pub const APPLICATION_NAME: &str = "dashboard-sidecar scheduler";
/// Runs at a time, in this process.
const MOST_RUNS: usize = 4;
/// However soon the next job is due: a clock that stands still is not asked without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// From the shutdown on, how long all is waited for: a Postgres that takes what is asked and never answers must not
/// keep the process. Longer than a run takes to give its lease back.
const LONGEST_END: Duration = Duration::from_secs(5);

/// Looks for jobs that are due, and runs them.
pub struct Scheduler {
    runner: Runner,
    poll: Duration,
    pulse: Pulse,
    runs: JoinSet<String>,
    running: HashSet<String>,
    troubles: Troubles,
}

impl Scheduler {
    /// Prepares it; nothing is asked yet.
    pub fn new(args: &SchedulerArgs, dialer: Dialer, redis_url: &Secret, pulse: Pulse) -> Self {
        let settings = Settings::new(&args.lease, Expiry::by_watching());
        let runner = Runner { session: session(dialer), settings, redis_url: redis_url.clone() };
        Self {
            runner,
            poll: Duration::from_millis(args.scheduler_poll_ms),
            pulse,
            runs: JoinSet::new(),
            running: HashSet::new(),
            troubles: Troubles::default(),
        }
    }

    /// Runs until `shutdown`, and gives back then what it holds, as far as Postgres lets it soon.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let too_long = async {
            shutdown.cancelled().await;
            sleep(LONGEST_END).await;
        };
        tokio::select! {
            () = self.work(&shutdown) => {}
            () = too_long => tracing::warn!("Postgres does not answer the schedule; what it holds ends by itself"),
        }
    }

    async fn work(&mut self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            // Not broken off by a shutdown: a run that is claimed must be known, to be given back.
            self.pulse.beat(Duration::ZERO);
            let pause = self.look(shutdown).await;
            self.pulse.beat(pause);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(pause) => {}
                Some(ended) = self.runs.join_next(), if !self.runs.is_empty() => self.forget(ended),
            }
        }
        self.pulse.rest();
        while let Some(ended) = self.runs.join_next().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.running.remove(&id);
            }
            Err(error) => {
                tracing::error!(%error, "a scheduled run ended abnormally");
                // Whose it was is not known any more; the leases keep them from being run twice.
                self.running.clear();
            }
        }
    }

    /// Does what is to be done now, and says how long there is nothing more to do.
    async fn look(&mut self, shutdown: &CancellationToken) -> Duration {
        let session = self.runner.session.clone();
        let expiry = self.runner.settings.expiry.clone();
        let found = session
            .run(move |client| {
                let table = store::locate(client, true)?;
                let (now, jobs) = store::jobs(client, &table, &expiry)?;
                Ok((table, now, jobs))
            })
            .await;
        let (table, now, jobs) = match found {
            Ok(found) => found,
            Err(error) => {
                self.troubles.with_all(&error);
                return self.poll;
            }
        };
        self.troubles.all_is_well(&jobs);
        let mut pause = self.poll;
        for job in jobs {
            if self.running.contains(&job.id) {
                continue;
            }
            match job.assess(now) {
                Action::Wait(until) => {
                    let rest = until.map(|at| (at - now).to_std().unwrap_or_default());
                    pause = pause.min(rest.unwrap_or(pause));
                }
                Action::Run(_) if self.runs.len() >= MOST_RUNS => {}
                Action::Run(_) | Action::Note(_) => self.settle(&table, job, shutdown).await,
            }
        }
        pause.max(SHORTEST_PAUSE)
    }

    async fn settle(&mut self, table: &Table, job: Job, shutdown: &CancellationToken) {
        let (settings, id) = (self.runner.settings.clone(), job.id.clone());
        let there = table.clone();
        let work = move |client: &mut Client| store::settle(client, &there, &id, &settings, false);
        match self.runner.session.run(work).await {
            Ok(Settled::Claimed(claim)) => {
                let (runner, shutdown, table) = (self.runner.clone(), shutdown.clone(), table.clone());
                self.running.insert(job.id.clone());
                self.runs.spawn(async move {
                    runner.run(table, *claim, &shutdown).await;
                    job.id
                });
            }
            Ok(Settled::Noted { complaint: Some(error) }) => {
                tracing::warn!(job = job.name, id = job.id, error, "a job cannot be run");
            }
            Ok(_) => self.troubles.is_well(&job),
            Err(error) => self.troubles.with_job(&job, &error),
        }
    }
}

/// What has been complained of already: once each, not each time.
#[derive(Default)]
struct Troubles {
    all: Option<String>,
    jobs: HashMap<String, String>,
}

impl Troubles {
    fn with_all(&mut self, error: &StoreError) {
        let text = error.to_string();
        if error.is_connection() {
            // The connection says so itself.
            tracing::debug!(error = text, "the schedule cannot be read");
        } else if self.all.as_ref() != Some(&text) {
            tracing::warn!(error = text, "the schedule does not run; trying again");
            self.all = Some(text);
        }
    }

    fn all_is_well(&mut self, jobs: &[Job]) {
        if self.all.take().is_some() {
            tracing::info!("the schedule runs");
        }
        self.jobs.retain(|id, _| jobs.iter().any(|job| job.id == *id));
    }

    fn with_job(&mut self, job: &Job, error: &StoreError) {
        let text = error.to_string();
        if !error.is_connection() && self.jobs.get(&job.id) != Some(&text) {
            tracing::warn!(job = job.name, id = job.id, error = text, "a job cannot be looked after");
            self.jobs.insert(job.id.clone(), text);
        }
    }

    fn is_well(&mut self, job: &Job) {
        self.jobs.remove(&job.id);
    }
}
