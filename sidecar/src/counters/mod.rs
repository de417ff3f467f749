//! `dashboard-sidecar counters`: whether bundles are computed from counters, and whether these are right. What is counted, and how, is
//! `migrations/V6__counters.sql`'s to say.

mod error;
mod triggers;
mod verify;

use crate::config::{CountersCommand, DatabaseArgs};
use crate::db;
use crate::error::Failure;
use crate::output;
use crate::pg::{self, Client, Queries as _, Terms};
use error::CountersError;

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar counters";

/// The lock of whoever is at the counters.
const LOCK: &str = "counters";

/// Whatever it takes takes as long as it takes, and a policy that hides rows is an error.
const TERMS: Terms =
    Terms::without_end("SET LOCAL row_security = off; SET LOCAL idle_in_transaction_session_timeout = 0");

/// A type of leads.source of which two values may be equal and not the same: they would be counted apart.
const UNFIT: &str = "
    SELECT format_type(atttypid, atttypmod) || CASE WHEN collisdeterministic THEN '' ELSE ' (with a nondeterministic collation)' END
    FROM dashboard.crm_tables() AS crm
    JOIN pg_attribute ON attrelid = crm.place AND attname = 'source'
    LEFT JOIN pg_collation ON pg_collation.oid = attcollation
    WHERE crm.name = 'leads' AND NOT (atttypid IN ('text'::regtype, 'varchar'::regtype) AND COALESCE(collisdeterministic, true))";

/// Does one of the subcommands, and prints what it did.
///
/// # Errors
/// If DATABASE_URL is wrong, the database is not migrated, its bundles are somebody's own, or Postgres refuses.
pub fn main(command: &CountersCommand) -> Result<(), Failure> {
    match command {
        CountersCommand::Enable(database) => alone(database, |client| Ok(enable(client)?)),
        CountersCommand::Disable(database) => alone(database, |client| Ok(disable(client)?)),
        CountersCommand::Rebuild(database) => alone(database, |client| Ok(rebuild(client)?)),
        CountersCommand::Verify(args) => alone(&args.database, |client| {
            must_be_ready(client)?;
            verify::run(client, !args.check, args.limit.duration())
        }),
    }
}

/// Does it in a session of its own, while another one keeps others from the counters.
fn alone(
    database: &DatabaseArgs,
    work: impl FnOnce(&mut Client) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut client = db::connect_once(database, APPLICATION_NAME, TERMS)?;
    prepare(&mut client)?;
    let mut holder = db::connect_once(database, APPLICATION_NAME, pg::HOLDER)?;
    match pg::holding(&mut holder, LOCK, || Ok(work(&mut client))) {
        Ok(Some(done)) => done,
        Ok(None) => Err(CountersError::Busy.into()),
        Err(error) => Err(CountersError::Postgres(error).into()),
    }
}

fn prepare(client: &mut Client) -> Result<(), CountersError> {
    let migrated = "SELECT to_regclass('dashboard.lock') IS NOT NULL";
    if !client.query_one(migrated, &[])?.try_get::<_, bool>(0)? {
        return Err(CountersError::NotMigrated);
    }
    if !client.query_one("SELECT dashboard.bundle_is_ours()", &[])?.try_get::<_, bool>(0)? {
        return Err(CountersError::NotOurs);
    }
    Ok(())
}

fn must_be_ready(client: &mut Client) -> Result<(), CountersError> {
    let row =
        client.query_one("SELECT ready, ARRAY(SELECT dashboard.replaced()) FROM dashboard.counters", &[])?;
    let names: Vec<String> = row.try_get(1)?;
    match row.try_get(0)? {
        true => Ok(()),
        false if names.is_empty() => Err(CountersError::NotEnabled),
        false => Err(CountersError::Replaced { names: names.join(", ") }),
    }
}

fn enable(client: &mut Client) -> Result<(), CountersError> {
    let other = "SELECT crm.place::text FROM dashboard.crm_tables() AS crm
                 JOIN pg_class ON pg_class.oid = crm.place WHERE relkind NOT IN ('r', 'p')";
    if let Some(row) = client.query_opt(other, &[])? {
        return Err(CountersError::NotATable { name: row.try_get(0)? });
    }
    if let Some(row) = client.query_opt(UNFIT, &[])? {
        return Err(CountersError::UnfitSource { type_: row.try_get(0)? });
    }
    // What keeps the tables from being counted keeps them from being truncated, too, once there are triggers.
    client.execute("SELECT FROM dashboard.tally('{}', 0)", &[])?;
    let created = triggers::create(client)?;
    if created == 0 && must_be_ready(client).is_ok() {
        output::line(format_args!("nothing to do: the counters are enabled"));
        return Ok(());
    }
    let counted = count(client)?;
    output::line(format_args!("the counters are enabled: {counted} counters over all tenants"));
    Ok(())
}

/// What the triggers miss from here on is nothing; what was there before is counted in one snapshot.
fn count(client: &mut Client) -> Result<i64, CountersError> {
    tracing::info!("counting what is there; writers go on");
    let counted = client.query_one("SELECT dashboard.recount($1)", &[&chrono::Utc::now()])?.try_get(0)?;
    // Nobody has to wait for the next autovacuum to read them well.
    if let Err(error) = client.execute_alone("VACUUM (ANALYZE) dashboard.counter") {
        tracing::debug!(%error, "dashboard.counter is left to autovacuum");
    }
    let aside = client.query(
        "SELECT owner::text, why FROM dashboard.uncounted WHERE owner <> dashboard.all_tenants() ORDER BY 1",
        &[],
    )?;
    for row in aside {
        let (tenant, why): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        output::line(format_args!(
            "{tenant} is not counted: {why}; its bundles, and those of all tenants together, are computed from the tables. Correct its rows, then \
             run 'dashboard-sidecar counters rebuild'"
        ));
    }
    Ok(counted)
}

fn disable(client: &mut Client) -> Result<(), CountersError> {
    // First nobody reads them, then nobody writes them.
    client.execute("UPDATE dashboard.counters SET ready = false, tables = NULL", &[])?;
    triggers::drop(client)?;
    client.batch_execute(
        "DELETE FROM dashboard.delta; DELETE FROM dashboard.counter; DELETE FROM dashboard.pending;
         UPDATE dashboard.feed SET heartbeat_at = NULL, lag_ms = NULL",
    )?;
    output::line(format_args!("the counters are disabled: bundles are computed from the tables"));
    Ok(())
}

fn rebuild(client: &mut Client) -> Result<(), CountersError> {
    // Also where they are not used any more, as a table has been replaced.
    let counted: bool =
        client.query_one("SELECT tables IS NOT NULL FROM dashboard.counters", &[])?.try_get(0)?;
    if !counted {
        return Err(CountersError::NotEnabled);
    }
    triggers::create(client)?;
    let counted = count(client)?;
    output::line(format_args!("counted anew: {counted} counters over all tenants"));
    Ok(())
}
