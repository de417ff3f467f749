//! `demo load`: fills an empty CRM with a business that one can look at. Knows nothing about bundles: what it
//! writes are rows of the CRM tables, as an application would have written them in three years.
//!
//! In reading order: [`plan`] decides which tenants there are and how large, [`people`], [`moments`] and [`words`]
//! what a row looks like, [`tables`] puts the rows of each table together, [`copy`] and [`progress`] carry them.
//!
//! The same seed on the same day gives the same rows, ids included. Each table of each tenant draws from a random
//! stream of its own, so one more column in one table leaves all the others as they were.

mod copy;
mod error;
mod moments;
mod people;
mod plan;
mod progress;
mod tables;
mod words;

use std::fmt;
use std::time::{Duration, Instant};

use chrono::Utc;

pub use self::error::Error;
use self::plan::Plan;
use self::progress::Progress;
use crate::migrate;
use crate::pg::{Client, Queries as _, Transaction};

/// Which demonstration to load.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// How many tenants, from one large one down to many tiny ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tenants: u32,
    /// How many leads the largest tenant has; the other tables and tenants follow from it
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..=2_000_000))]
    pub rows: u32,
    /// The seed: the same one gives the same rows on the same day
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Load it into a database that holds other tenants, too; their rows stay as they are
    #[arg(long)]
    pub force: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self { tenants: 50, rows: 100_000, seed: 42, force: false }
    }
}

/// What [`load`] did. Its `Display` is for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Tenants of this demonstration in the database.
    pub tenants: u64,
    /// Rows written now, over all tables; 0 when this demonstration was there already.
    pub rows: u64,
    /// `tenant.id` of the largest tenant.
    pub largest_tenant: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenants, rows, largest_tenant, elapsed } = self;
        if *rows == 0 {
            write!(f, "nothing to do: this demonstration ({tenants} tenants) is loaded; ")?;
        } else {
            write!(f, "loaded {tenants} tenants with {rows} rows in {:.1} s; ", elapsed.as_secs_f64())?;
        }
        write!(f, "the largest tenant is {largest_tenant}")
    }
}

/// Loads the demonstration in one transaction; a second call with the same arguments does nothing.
///
/// # Errors
/// When the database is not migrated, holds rows that are not of this demonstration (unless [`Args::force`]),
/// or Postgres refuses a statement. Nothing is kept then.
pub fn load(client: &mut Client, args: &Args) -> Result<Summary, Error> {
    if !migrate::is_current(client).map_err(Error::migrations)? {
        return Err(Error::not_migrated());
    }
    let started = Instant::now();
    let plan = Plan::new(args, Utc::now().date_naive());

    let mut transaction =
        client.transaction().map_err(|source| Error::database("starting a transaction", source))?;
    let rows = if is_loaded(&mut transaction, &plan, args.force)? {
        0
    } else {
        let mut progress = Progress::new(plan.rows());
        let rows = tables::write(&mut transaction, &plan, &mut progress)?;
        transaction.commit().map_err(|source| Error::database("committing the rows", source))?;
        progress.step("statistics");
        // VACUUM, too: bundles are counted from indexes alone once pages are known to be visible to all.
        client
            .execute_alone("VACUUM (ANALYZE) tenant, contacts, accounts, leads, opportunities, activities")
            .map_err(|source| Error::database("analysing the tables", source))?;
        rows
    };
    Ok(Summary {
        tenants: plan.tenants.len() as u64,
        rows,
        largest_tenant: plan.largest_tenant(),
        elapsed: started.elapsed(),
    })
}

/// Whether this demonstration is there. Locks out a second load that would come to the same conclusion.
fn is_loaded(transaction: &mut Transaction<'_>, plan: &Plan, force: bool) -> Result<bool, Error> {
    let failed = |source| Error::database("looking for tenants", source);
    transaction.batch_execute("LOCK TABLE tenant IN SHARE ROW EXCLUSIVE MODE").map_err(failed)?;
    let ids: Vec<String> = plan.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let row = transaction
        .query_one(
            "SELECT count(*) FILTER (WHERE id::text = ANY ($1)), count(*) FILTER (WHERE id::text <> ALL ($1)),
                    EXISTS (SELECT FROM leads) OR EXISTS (SELECT FROM contacts) OR EXISTS (SELECT FROM accounts)
                    OR EXISTS (SELECT FROM opportunities) OR EXISTS (SELECT FROM activities)
             FROM tenant",
            &[&ids],
        )
        .map_err(failed)?;
    let ours: i64 = row.try_get(0).map_err(failed)?;
    let others: i64 = row.try_get(1).map_err(failed)?;
    let has_rows: bool = row.try_get(2).map_err(failed)?;
    if ours == ids.len() as i64 {
        return Ok(true);
    }
    if ours > 0 {
        return Err(Error::incomplete(ours, ids.len()));
    }
    if (others > 0 || has_rows) && !force {
        return Err(Error::foreign(others));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        <Cli as clap::Parser>::try_parse_from(line).map(|cli| cli.args)
    }

    #[test]
    fn without_arguments_the_default_demonstration_is_meant() {
        assert_eq!(parse(&["load"]).unwrap(), Args::default());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for line in [
            ["load", "--tenants=0"],
            ["load", "--tenants=10001"],
            ["load", "--rows=9"],
            ["load", "--seed=-1"],
        ] {
            assert!(parse(&line).is_err(), "{line:?}");
        }
    }
}
