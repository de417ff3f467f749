//! The schedule in Postgres: reading rows, claiming a run, renewing its lease, writing how it ended.
//!
//! Every function blocks. All time is the database's. A row is locked before its lease, always, and what is
//! locked is never waited for by who only looks for work: another sidecar is at it.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use postgres::Row;
use postgres::types::Json;
use serde_json::{Map, Value};

use super::error::StoreError;
use super::job::{Action, Change, Due, Job, NEXT_RUN, RETRY_AT, WARM_FUNCTION, retry_after, written};
use super::report::Report;
use super::settings::Settings;
use crate::lease::{self, Expiry, Lease};
use crate::pg::{Client, Queries, Terms, Transaction};

/// More rows than that are not looked at.
const MOST_JOBS: i64 = 1_000;

/// What a statement may take, and what each transaction sets, because a role or a database may have other defaults.
pub(crate) const TERMS: Terms = Terms::read_write(
    Duration::from_secs(5),
    "SET LOCAL row_security = off; SET LOCAL TimeZone = 'UTC'; SET LOCAL search_path = pg_catalog, pg_temp;
    SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '10s'",
);

/// What the role may not do and must, for running jobs. Asked for each time: tables and rights change.
const LOCATE: &str = "
    SELECT format('%I.%I', nspname, relname), current_user::text,
           array(SELECT format('SELECT (%I) ON %s', col, crm.oid::regclass)
                 FROM unnest(ARRAY['id', 'tenant_id', 'name', 'schedule', 'function_name', 'is_active', 'last_run',
                                   'next_run', 'metadata']) AS col
                 WHERE NOT has_column_privilege(crm.oid, col, 'SELECT')
                 UNION ALL
                 SELECT format('UPDATE (%I) ON %s', col, crm.oid::regclass)
                 FROM unnest(ARRAY['last_run', 'next_run', 'metadata', 'updated_at']) AS col
                 WHERE NOT has_column_privilege(crm.oid, col, 'UPDATE')
                 UNION ALL
                 SELECT format('%s ON dashboard.lease', verb)
                 FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS verb
                 WHERE NOT has_table_privilege('dashboard.lease', verb))
    FROM pg_class AS crm JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE crm.oid = dashboard.cron_job_table()";

/// Infinite times are brought within what can be read; older tables may have json, and times without a zone, which
/// are UTC. So what is written has its type said, too: by itself it would take the column's.
const COLUMNS: &str = "
    j.id::text, COALESCE(j.name::text, ''), COALESCE(j.schedule::text, ''), COALESCE(j.function_name::text, ''),
    j.tenant_id::text, COALESCE(j.is_active, false),
    CASE WHEN j.last_run IS NOT NULL THEN LEAST(GREATEST(j.last_run::timestamptz, '1900-01-01'), '9999-01-01') END,
    CASE WHEN j.next_run IS NOT NULL THEN LEAST(GREATEST(j.next_run::timestamptz, '1900-01-01'), '9999-01-01') END,
    CASE jsonb_typeof(j.metadata::jsonb) WHEN 'object' THEN j.metadata::jsonb ELSE '{}' END";

const MERGED: &str =
    "CASE jsonb_typeof(metadata::jsonb) WHEN 'object' THEN metadata::jsonb ELSE '{}' END || $2::jsonb";

/// The table `cron_job`, as it must be written in SQL.
#[derive(Clone, Debug)]
pub(crate) struct Table(pub(crate) String);

/// A run that is ours until its lease ends.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) job: Job,
    pub(crate) due: Due,
    started_at: DateTime<Utc>,
    owner: String,
}

/// What came of looking at one row.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It is ours to run.
    Claimed(Box<Claim>),
    /// Another sidecar runs it.
    Held(Lease),
    /// Another session is at the row, or there is no such row any more.
    Passed,
    /// The row was changed; `complaint` is for the log.
    Noted { complaint: Option<String> },
    /// Nothing is due.
    Waits,
}

/// A run that was written down as ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) duration_ms: i64,
}

/// Finds the table, for reading only or for running its jobs.
pub(crate) fn locate(client: &mut Client, to_run: bool) -> Result<Table, StoreError> {
    let migrated = "SELECT to_regprocedure('dashboard.cron_job_table()') IS NOT NULL
                       AND to_regclass('dashboard.lease') IS NOT NULL";
    if !client.query_one(migrated, &[])?.try_get::<_, bool>(0)? {
        return Err(StoreError::NotMigrated);
    }
    let Some(row) = client.query_opt(LOCATE, &[])? else { return Err(StoreError::NoTable) };
    let missing: Vec<String> = row.try_get(2)?;
    if to_run && !missing.is_empty() {
        return Err(StoreError::Rights { role: row.try_get(1)?, missing });
    }
    Ok(Table(row.try_get(0)?))
}

/// The database's time, and all jobs: ours first, so that others may be as many as they are, and of these the longest
/// due.
pub(crate) fn jobs(
    client: &mut Client,
    table: &Table,
    expiry: &Expiry,
) -> Result<(DateTime<Utc>, Vec<Job>), StoreError> {
    let now = client.query_one("SELECT clock_timestamp()", &[])?.try_get(0)?;
    let sql = format!(
        "{} ORDER BY j.function_name::text IS DISTINCT FROM $2, j.is_active IS NOT TRUE, j.next_run NULLS FIRST, j.id
         LIMIT $1",
        select(table)
    );
    let rows = client.query(&sql, &[&MOST_JOBS, &WARM_FUNCTION])?;
    Ok((now, rows.iter().map(|row| read(row, expiry, now)).collect::<Result<_, _>>()?))
}

/// Looks at one row under its lock and does what is to be done: notes what has changed, or claims the run.
/// `by_hand` claims it whatever the schedule says, unless it is being run.
pub(crate) fn settle(
    client: &mut Client,
    table: &Table,
    id: &str,
    settings: &Settings,
    by_hand: bool,
) -> Result<Settled, StoreError> {
    let mut transaction = client.transaction()?;
    if !lock(&mut transaction, table, id, "SKIP LOCKED")? {
        return Ok(Settled::Passed);
    }
    let Some((now, job)) = job(&mut transaction, table, id, &settings.expiry)? else {
        return Ok(Settled::Passed);
    };
    let due = match job.assess(now) {
        _ if by_hand => match job.holder() {
            Some(holder) => return Ok(Settled::Held(holder.clone())),
            None => job.run_by_hand(now),
        },
        Action::Run(due) => due,
        Action::Wait(_) => return Ok(Settled::Waits),
        Action::Note(change) => {
            apply(&mut transaction, table, id, &change)?;
            transaction.commit()?;
            return Ok(Settled::Noted { complaint: change.complaint });
        }
    };
    if !lease::take(&mut transaction, &job.lease_name(), &settings.owner, settings.lease, job.lease.as_ref())?
    {
        return Ok(Settled::Passed);
    }
    let mut metadata = Report::begun();
    metadata.extend([
        member("outcome", "running"),
        member("started_at", written(now)),
        member("attempt", due.attempt),
        member("owner", settings.owner.as_str()),
        member("next_run_for", job.computed_for()),
        member(NEXT_RUN, due.next_run.map(written)),
    ]);
    let sql = format!(
        "UPDATE {} SET last_run = $3::timestamptz, next_run = $4::timestamptz, updated_at = $3::timestamptz,
                metadata = {MERGED}
         WHERE id::text = $1",
        table.0
    );
    transaction.execute(&sql, &[&id, &Json(metadata), &now, &due.next_run])?;
    transaction.commit()?;
    let owner = settings.owner.clone();
    Ok(Settled::Claimed(Box::new(Claim { job, due, started_at: now, owner })))
}

/// Keeps others from taking the run over; false if one has.
pub(crate) fn renew(client: &mut Client, claim: &Claim, settings: &Settings) -> Result<bool, StoreError> {
    Ok(lease::renew(client, &claim.job.lease_name(), &claim.owner, settings.lease)?)
}

/// Writes how a run ended and gives the lease back. Writes nothing, and returns none, if the run has been taken
/// over.
pub(crate) fn finish(
    client: &mut Client,
    table: &Table,
    claim: &Claim,
    report: &Report,
    pause: Option<TimeDelta>,
) -> Result<Option<Finished>, StoreError> {
    let Claim { job, owner, started_at, .. } = claim;
    let mut transaction = client.transaction()?;
    lock(&mut transaction, table, &job.id, "")?;
    let lease = "DELETE FROM dashboard.lease WHERE name = $1 AND owner = $2 RETURNING clock_timestamp()";
    let Some(row) = transaction.query_opt(lease, &[&job.lease_name(), owner])? else { return Ok(None) };
    let now: DateTime<Utc> = row.try_get(0)?;
    let duration_ms = (now - started_at).num_milliseconds();
    let mut metadata = report.metadata();
    metadata.extend([member("finished_at", written(now)), member("duration_ms", duration_ms)]);
    // As exact as it is written.
    let again = pause.and_then(|pause| now.checked_add_signed(pause)).map(|at| at.trunc_subsecs(3));
    metadata.extend([member(RETRY_AT, again.map(written))]);
    let sql = format!(
        "UPDATE {} SET next_run = LEAST(next_run, $3::timestamptz), updated_at = $4::timestamptz, metadata = {MERGED}
         WHERE id::text = $1",
        table.0
    );
    transaction.execute(&sql, &[&job.id, &Json(metadata), &again, &now])?;
    transaction.commit()?;
    Ok(Some(Finished { duration_ms }))
}

impl Claim {
    /// After which pause it is tried again before its next regular time.
    pub(crate) fn retry_after(&self, report: &Report, settings: &Settings) -> Option<TimeDelta> {
        let pause = match report.again_at_once {
            true => Some(TimeDelta::zero()),
            false => retry_after(report.outcome, self.due.attempt, settings.first_retry),
        };
        pause.filter(|_| self.job.active)
    }
}

/// One job, under a lock that [`lock`] has taken.
pub(crate) fn job(
    client: &mut impl Queries,
    table: &Table,
    id: &str,
    expiry: &Expiry,
) -> Result<Option<(DateTime<Utc>, Job)>, StoreError> {
    let now = client.query_one("SELECT clock_timestamp()", &[])?.try_get(0)?;
    let row = client.query_opt(&format!("{} WHERE j.id::text = $1", select(table)), &[&id])?;
    row.map(|row| Ok((now, read(&row, expiry, now)?))).transpose()
}

/// Locks a row until the transaction ends; false if it is gone, or locked and not to be waited for.
pub(crate) fn lock(
    transaction: &mut Transaction<'_>,
    table: &Table,
    id: &str,
    when_locked: &str,
) -> Result<bool, StoreError> {
    let sql = format!("SELECT FROM {} AS j WHERE id::text = $1 FOR UPDATE OF j {when_locked}", table.0);
    Ok(transaction.query_opt(&sql, &[&id])?.is_some())
}

/// Changes what a row says.
pub(crate) fn apply(
    transaction: &mut Transaction<'_>,
    table: &Table,
    id: &str,
    change: &Change,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE {} SET next_run = CASE WHEN $3 THEN $4::timestamptz ELSE next_run END, updated_at = clock_timestamp(),
                metadata = {MERGED}
         WHERE id::text = $1",
        table.0
    );
    let next_run = change.next_run.flatten();
    transaction.execute(&sql, &[&id, &Json(&change.metadata), &change.next_run.is_some(), &next_run])?;
    Ok(())
}

fn select(table: &Table) -> String {
    format!(
        "SELECT {COLUMNS}, {} FROM {} AS j LEFT JOIN dashboard.lease AS held ON held.name = 'cron_job:' || j.id::text",
        lease::COLUMNS,
        table.0
    )
}

fn read(row: &Row, expiry: &Expiry, now: DateTime<Utc>) -> Result<Job, StoreError> {
    columns(row, expiry, now).map_err(StoreError::Unreadable)
}

fn columns(row: &Row, expiry: &Expiry, now: DateTime<Utc>) -> Result<Job, postgres::Error> {
    let metadata: Json<Map<String, Value>> = row.try_get(8)?;
    let mut job = Job {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        schedule: row.try_get(2)?,
        function: row.try_get(3)?,
        tenant: row.try_get(4)?,
        active: row.try_get(5)?,
        last_run: row.try_get(6)?,
        next_run: row.try_get(7)?,
        metadata: metadata.0,
        lease: None,
    };
    job.lease = Lease::read(row, 9, &job.lease_name(), expiry, now)?;
    Ok(job)
}

fn member(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}
