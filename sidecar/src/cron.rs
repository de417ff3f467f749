//! `dashboard-sidecar cron`: the schedule, from the command line. Needs no running sidecar, and works beside any.

mod error;
mod list;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{CronCommand, CronRunArgs, CronSetArgs, DatabaseArgs, JobArgs};
use crate::db::Dialer;
use crate::error::Failure;
use crate::lease::{Expiry, Lease};
use crate::output;
use crate::pg::{Client, Queries as _};
use crate::scheduler::StoreError;
use crate::scheduler::job::{Change, Job, WARM_FUNCTION, WARM_NAME, WARM_SCHEDULE};
use crate::scheduler::runner::Runner;
use crate::scheduler::session::session;
use crate::scheduler::settings::Settings;
use crate::scheduler::store::{self, Table};
use error::CronError;

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar cron";

/// Does one of the subcommands, and prints what it did.
///
/// # Errors
/// If a setting or an argument is wrong, there is no such job, Postgres refuses, or a run does not succeed.
pub fn main(command: &CronCommand) -> Result<(), Failure> {
    match command {
        CronCommand::List(database) => list(database),
        CronCommand::Enable(args) => enable(args),
        CronCommand::Disable(args) => disable(args),
        CronCommand::Set(args) => set(args),
        CronCommand::Run(args) => run(args),
    }
}

/// An open session, and the jobs as they are now.
struct Desk {
    client: Client,
    table: Table,
    now: DateTime<Utc>,
    jobs: Vec<Job>,
}

impl Desk {
    fn open(args: &DatabaseArgs) -> Result<Self, Failure> {
        let dialer = Dialer::new(args, APPLICATION_NAME)?;
        let mut client = dialer.dial(store::TERMS).map_err(|error| dialer.failure(&error))?;
        let found = store::locate(&mut client, false).and_then(|table| {
            store::jobs(&mut client, &table, &Expiry::ByClock).map(|(now, jobs)| (table, now, jobs))
        });
        let (table, now, jobs) = found.map_err(failed)?;
        Ok(Self { client, table, now, jobs })
    }

    /// The jobs that are meant; none only if none is named and none warms.
    fn chosen(&self, name: Option<&str>) -> Result<Vec<Job>, CronError> {
        let Some(name) = name else {
            return Ok(self.jobs.iter().filter(|job| job.is_ours()).cloned().collect());
        };
        let found: Vec<Job> =
            self.jobs.iter().filter(|job| job.id == name || job.name == name).cloned().collect();
        match found.len() {
            0 => Err(CronError::NoSuchJob { name: name.to_owned() }),
            1 => Ok(found),
            _ => {
                let ids = found.into_iter().map(|job| job.id).collect();
                Err(CronError::Ambiguous { name: name.to_owned(), ids })
            }
        }
    }

    /// The same for what cannot do without a job.
    fn chosen_at_least_one(&self, name: Option<&str>) -> Result<Vec<Job>, CronError> {
        let chosen = self.chosen(name)?;
        if chosen.is_empty() { Err(CronError::NoWarming) } else { Ok(chosen) }
    }

    /// Changes one job under its lock, in two steps: what is our own to keep, and one column of the CRM's.
    fn change(&mut self, job: &Job, change: &Change, column: Column<'_>) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction()?;
        store::lock(&mut transaction, &self.table, &job.id, "")?;
        let update = |assignment| format!("UPDATE {} SET {assignment} WHERE id::text = $1", self.table.0);
        match column {
            Column::Active(active) => transaction.execute(&update("is_active = $2"), &[&job.id, &active])?,
            Column::Schedule(text) => transaction.execute(&update("schedule = $2"), &[&job.id, &text])?,
        };
        store::apply(&mut transaction, &self.table, &job.id, change)?;
        Ok(transaction.commit()?)
    }
}

/// What a person changes.
#[derive(Clone, Copy)]
enum Column<'a> {
    Active(bool),
    Schedule(&'a str),
}

fn failed(error: impl Into<CronError>) -> Failure {
    error.into().into_failure()
}

fn list(database: &DatabaseArgs) -> Result<(), Failure> {
    let desk = Desk::open(database)?;
    output::line(format_args!("{}", list::table(&desk.jobs)));
    Ok(())
}

fn enable(args: &JobArgs) -> Result<(), Failure> {
    let mut desk = Desk::open(&args.database)?;
    let chosen = desk.chosen(args.job.as_deref()).map_err(failed)?;
    if chosen.is_empty() {
        return add(&mut desk).map_err(failed);
    }
    for job in chosen {
        let mut change = Change::default();
        let mut next = job.next_run;
        if job.is_ours() {
            // It begins with its next time: while it was not enabled, it has missed nothing.
            next = Some(next_time(&job, desk.now).map_err(failed)?);
            change = job.rescheduled(next);
        }
        desk.change(&job, &change, Column::Active(true)).map_err(failed)?;
        output::line(format_args!("{} is enabled, next run {}", job.name, time(next)));
    }
    Ok(())
}

/// Adds the row that `migrate` adds.
fn add(desk: &mut Desk) -> Result<(), CronError> {
    let next = crate::scheduler::schedule::Schedule::parse(WARM_SCHEDULE, None)
        .and_then(|schedule| schedule.next_after(desk.now))
        .map_err(|error| CronError::Schedule { error })?;
    let sql = format!(
        "INSERT INTO {} (name, schedule, function_name, is_active, next_run) VALUES ($1, $2, $3, true, $4::timestamptz)",
        desk.table.0
    );
    desk.client
        .execute(&sql, &[&WARM_NAME, &WARM_SCHEDULE, &WARM_FUNCTION, &next])
        .map_err(StoreError::from)?;
    output::line(format_args!("{WARM_NAME} is added and enabled, next run {}", time(Some(next))));
    Ok(())
}

fn disable(args: &JobArgs) -> Result<(), Failure> {
    let mut desk = Desk::open(&args.database)?;
    for job in desk.chosen_at_least_one(args.job.as_deref()).map_err(failed)? {
        desk.change(&job, &Change::default(), Column::Active(false)).map_err(failed)?;
        output::line(format_args!("{} is disabled", job.name));
    }
    Ok(())
}

fn set(args: &CronSetArgs) -> Result<(), Failure> {
    let mut desk = Desk::open(&args.job.database)?;
    for job in desk.chosen_at_least_one(args.job.job.as_deref()).map_err(failed)? {
        known(&job).map_err(failed)?;
        let job = Job { schedule: args.schedule.trim().to_owned(), ..job };
        let next = next_time(&job, desk.now).map_err(failed)?;
        desk.change(&job, &job.rescheduled(Some(next)), Column::Schedule(&job.schedule)).map_err(failed)?;
        let state = if job.active { "" } else { "; it is disabled: dashboard-sidecar cron enable" };
        output::line(format_args!(
            "{} is set to '{}', next run {}{state}",
            job.name,
            job.schedule,
            time(Some(next))
        ));
    }
    Ok(())
}

fn run(args: &CronRunArgs) -> Result<(), Failure> {
    let desk = Desk::open(&args.job.database)?;
    let jobs = desk.chosen_at_least_one(args.job.job.as_deref()).map_err(failed)?;
    for job in &jobs {
        known(job).map_err(failed)?;
    }
    let table = desk.table.clone();
    // Before the runtime begins: closing it blocks.
    drop(desk);
    let session = session(Dialer::new(&args.job.database, APPLICATION_NAME)?);
    let settings = Settings::new(&args.lease, Expiry::by_watching());
    let runner = Runner { session, settings, redis_url: args.redis.redis_url.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(&error))?;
    let outcome = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate()).map_err(|error| Failure::run(&error))?,
            signal(SignalKind::interrupt()).map_err(|error| Failure::run(&error))?,
        );
        let work = async {
            let mut all_well = true;
            for job in jobs {
                let waits = |lease: &Lease| output::remark(format_args!("{}", job.waits_for(lease)));
                let report = runner.run_by_hand(&table, &job, &shutdown, waits).await;
                let report = report.map_err(|why| failed(CronError::not_run(&job.name, why)))?;
                output::line(format_args!("{}: {report}", job.name));
                all_well &= report.outcome == "success";
                if shutdown.is_cancelled() {
                    break;
                }
            }
            if all_well { Ok(()) } else { Err(Failure::already_reported()) }
        };
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // The second one ends at once: Postgres may never answer.
            if shutdown.is_cancelled() {
                return Err(Failure::already_reported());
            }
            shutdown.cancel();
        }
    });
    // A blocking thread that still waits for Postgres is not waited for.
    runtime.shutdown_background();
    outcome
}

fn known(job: &Job) -> Result<(), CronError> {
    if job.is_ours() {
        return Ok(());
    }
    Err(CronError::NotOurs { name: job.name.clone(), function: job.function.clone() })
}

fn next_time(job: &Job, now: DateTime<Utc>) -> Result<DateTime<Utc>, CronError> {
    job.parsed().and_then(|schedule| schedule.next_after(now)).map_err(|error| CronError::Schedule { error })
}

/// A time as lists and messages have it.
fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
