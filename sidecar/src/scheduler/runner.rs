//! One run that this process has claimed: it warms, keeps its lease meanwhile, and writes how it ended.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::StoreError;
use super::job::Job;
use super::report::Report;
use super::session::Session;
use super::settings::Settings;
use super::store::{self, Claim, Settled, Table};
use crate::cache;
use crate::config::Secret;
use crate::lease::Lease;
use crate::pg::Client;
use crate::telemetry::metrics;

/// What Redis calls the connection.
const CALLER: &str = "dashboard-sidecar-cron";
/// And the one that asks how far the warming is.
const WATCHER: &str = "dashboard-sidecar-cron-watch";
/// For how many leases Redis may not be at a warming whose end it has not told.
const UNSEEN: u32 = 3;
/// For how many leases a warming may make no progress: a statement for many tenants is given up sooner.
const UNMOVED: u32 = 20;
/// How long a run that has ended waits for a Postgres that is away. By then it has long been taken over.
const LONGEST_WAIT_TO_WRITE: Duration = Duration::from_secs(15 * 60);
/// How many times of a schedule are looked at for the longest pause between two.
const PAUSES_LOOKED_AT: usize = 8;
/// The pause between two attempts to write.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// How often a lease that is in doubt is looked at while it lasts.
const LOOKS: u32 = 10;
/// How long a sidecar that is to end tries to give its lease back. If it cannot, the lease ends by itself.
const GIVE_BACK: Duration = Duration::from_secs(3);

/// What a run needs.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) session: Session,
    pub(crate) settings: Settings,
    pub(crate) redis_url: Secret,
}

/// Why the warming is no longer waited for.
enum End {
    Report(Report),
    Lost,
    Stopped,
}

/// Why a job was not run to its end though a person has asked for it.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// Another process runs it.
    Held(Lease),
    /// Another session is at the row, or there is no such row any more.
    Passed,
    /// Another sidecar has taken it over.
    TakenOver,
    /// The process is to end, and has not begun.
    Stopped,
    /// Postgres does not let us.
    Store(StoreError),
}

impl Runner {
    /// Claims a job whatever its schedule says, and runs it to its end. A lease that is in doubt is watched first, until its owner renews it or
    /// has been seen to be dead; `waits` is told so.
    pub(crate) async fn run_by_hand(
        &self,
        table: &Table,
        job: &Job,
        shutdown: &CancellationToken,
        waits: impl Fn(&Lease),
    ) -> Result<Report, NotRun> {
        let mut watched: Option<Lease> = None;
        loop {
            let (there, id, settings) = (table.clone(), job.id.clone(), self.settings.clone());
            let settle = move |client: &mut Client| store::settle(client, &there, &id, &settings, true);
            let lease = match self.session.run(settle).await.map_err(NotRun::Store)? {
                Settled::Claimed(claim) => {
                    return self.run(table.clone(), *claim, shutdown).await.ok_or(NotRun::TakenOver);
                }
                Settled::Held(lease) => lease,
                Settled::Passed | Settled::Noted { .. } | Settled::Waits => return Err(NotRun::Passed),
            };
            let renewed = watched.as_ref().is_some_and(|before| !lease.is_still(before));
            if renewed || !lease.in_doubt {
                return Err(NotRun::Held(lease));
            }
            if watched.is_none() {
                waits(&lease);
            }
            let pause = lease.lasts / LOOKS;
            watched = Some(lease);
            tokio::select! {
                () = sleep(pause) => {}
                () = shutdown.cancelled() => return Err(NotRun::Stopped),
            }
        }
    }

    /// Runs a claimed job to its end, and returns how it ended; none if another sidecar has taken it over.
    pub(crate) async fn run(
        &self,
        table: Table,
        claim: Claim,
        shutdown: &CancellationToken,
    ) -> Option<Report> {
        let job = claim.job.name.clone();
        tracing::info!(job, attempt = claim.due.attempt, "a scheduled run begins");
        let end = tokio::select! {
            report = self.warm(&claim) => End::Report(report),
            why = self.stands_still() => End::Report(Report::failed(why)),
            () = self.keep_lease(&claim) => End::Lost,
            () = shutdown.cancelled() => End::Stopped,
        };
        match end {
            End::Report(report) => {
                let written = self.write(&table, &claim, &report, shutdown).await;
                written.then_some(report).or_else(|| lost(&job))
            }
            End::Lost => lost(&job),
            End::Stopped => {
                let report = Report::stopped();
                let write = self.write_once(&table, &claim, &report);
                if !matches!(timeout(GIVE_BACK, write).await, Ok(Ok(_))) {
                    tracing::warn!(job, "a lease could not be given back; it ends by itself");
                }
                Some(report)
            }
        }
    }

    async fn warm(&self, claim: &Claim) -> Report {
        let tenants = match claim.job.tenants() {
            Ok(tenants) => tenants,
            Err(error) => return Report::failed(error),
        };
        match cache::warm(&self.redis_url, CALLER, &tenants, false).await {
            Ok(warmed) => Report::warmed(warmed, self.warn_of_cold_mornings(claim).await),
            Err(error) => Report::failed(error.message()),
        }
    }

    /// Returns when the warming makes no progress any more, and why: it is not waited for without end, nor is the lease kept for it.
    async fn stands_still(&self) -> String {
        let lease = self.settings.lease;
        let (lost, stuck) = (lease * UNSEEN, lease * UNMOVED);
        let begun = Instant::now();
        let last = Mutex::new((begun, begun, 0));
        let watch = async {
            loop {
                let seen = |progress: &cache::Progress| {
                    let now = Instant::now();
                    let mut last = last.lock();
                    let moved = if progress.done == last.2 { last.1 } else { now };
                    *last = (now, moved, progress.done);
                };
                let Err(error) = cache::watch(&self.redis_url, WATCHER, seen).await;
                tracing::debug!(%error, "how far the warming is cannot be asked");
                if error.message().starts_with("Redis answered") {
                    // A user that may not ask learns nothing, neither that it goes on nor that it does not.
                    let now = Instant::now();
                    *last.lock() = (now, now, 0);
                }
                sleep(lease / 3).await;
            }
        };
        let clock = async {
            loop {
                sleep(lease / 3).await;
                let (seen, moved, _) = *last.lock();
                if seen.elapsed() > lost {
                    return format!(
                        "Redis has not said how the warming ended, and has not been at it for {} s: the connection has been lost",
                        lost.as_secs()
                    );
                }
                if moved.elapsed() > stuck {
                    return format!("the warming has made no progress for {} s", stuck.as_secs());
                }
            }
        };
        tokio::select! {
            why = clock => why,
            () = watch => String::new(),
        }
    }

    /// Whether bundles end before they are warmed again, as far as Redis lets us know.
    async fn warn_of_cold_mornings(&self, claim: &Claim) -> Option<String> {
        let stale_ttl = cache::stale_ttl(&self.redis_url, CALLER).await?;
        let schedule = claim.job.parsed().ok()?;
        // The longest of some: nights differ, as on weekends.
        let mut at = claim.due.next_run?;
        let mut pause = Duration::ZERO;
        for _ in 0..PAUSES_LOOKED_AT {
            let next = schedule.next_after(at).ok()?;
            pause = pause.max((next - at).to_std().ok()?);
            at = next;
        }
        (pause > stale_ttl).then(|| {
            format!(
                "bundles end {} s after they ceased to be fresh, and the schedule '{}' warms them every {} s: set \
                 dashboard.stale-ttl to {} or more, or warm more often",
                stale_ttl.as_secs(),
                claim.job.schedule,
                pause.as_secs(),
                pause.as_secs()
            )
        })
    }

    /// Returns when the lease is no longer ours.
    async fn keep_lease(&self, claim: &Claim) {
        let period = self.settings.lease / 3;
        let mut times = interval_at(Instant::now() + period, period);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let (claim, settings) = (claim.clone(), self.settings.clone());
            let renewed = self.session.run(move |client| store::renew(client, &claim, &settings)).await;
            match renewed {
                Ok(true) => {}
                Ok(false) => return,
                // Until somebody has taken it, it is still ours.
                Err(error) => tracing::debug!(%error, "a lease could not be renewed"),
            }
        }
    }

    /// Writes how it ended, when Postgres is back if need be; false if it was taken over, or never came back.
    async fn write(
        &self,
        table: &Table,
        claim: &Claim,
        report: &Report,
        shutdown: &CancellationToken,
    ) -> bool {
        let begun = Instant::now();
        loop {
            match self.write_once(table, claim, report).await {
                Ok(written) => return written,
                Err(error) if begun.elapsed() > LONGEST_WAIT_TO_WRITE || shutdown.is_cancelled() => {
                    tracing::error!(job = claim.job.name, %error, "the end of a run could not be written");
                    return false;
                }
                Err(error) => tracing::debug!(%error, "the end of a run could not be written; trying again"),
            }
            tokio::select! {
                () = sleep(WRITE_AGAIN) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn write_once(&self, table: &Table, claim: &Claim, report: &Report) -> Result<bool, StoreError> {
        let pause = claim.retry_after(report, &self.settings);
        let (table, run, ended) = (table.clone(), claim.clone(), report.clone());
        let written =
            self.session.run(move |client| store::finish(client, &table, &run, &ended, pause)).await?;
        if let Some(written) = written {
            report.log(&claim.job.name, written.duration_ms, claim.due.attempt);
            let took = Duration::from_millis(u64::try_from(written.duration_ms).unwrap_or_default());
            metrics::scheduled_run(report.outcome, took);
        }
        Ok(written.is_some())
    }
}

fn lost(job: &str) -> Option<Report> {
    tracing::warn!(job, "another sidecar has taken a run over; it is that one's to write how it ends");
    None
}
