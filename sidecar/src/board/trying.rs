//! Runs what a definition promises, in transactions that are rolled back: types on which a bundle would fail are found before anything is
//! counted, and named by their place in the definition.

use std::time::{Duration, Instant};

use ::board::Board;
use compiler::query::QueryPlan;
use compiler::trial::{self, Trial};
use compiler::{Catalogue, Plan};
use postgres::IsolationLevel;
use postgres::error::SqlState;

use super::look::Database;
use super::{Compiled, PATIENCE};
use crate::db::chain;
use crate::pg::{Client, Queries, Transaction};

/// A parallel worker sees no functions of this session's own.
const ALONE: &str = "SET LOCAL max_parallel_workers_per_gather = 0";

/// What has been found of one board.
#[derive(Default)]
pub(super) struct Tried {
    /// What does not work.
    pub(super) problems: Vec<String>,
    /// What the role may not do.
    pub(super) obstacles: Vec<String>,
    /// What else there is to know.
    pub(super) notes: Vec<String>,
}

/// How a statement failed.
enum Failed {
    /// It is wrong, in the database's words.
    Wrong(String),
    /// The role may not run it.
    Refused(String),
    /// It takes too long.
    Late,
}

/// Tries all of a board.
pub(super) fn board(
    client: &mut Client,
    board: &Board,
    compiled: &Compiled<'_>,
    database: &Database,
    catalogue: &Catalogue,
) -> Result<Tried, postgres::Error> {
    let mut tried = Tried::default();
    let trials = match compiled {
        Compiled::Counted(plan) => trial::trials(plan, &database.facts),
        Compiled::Own(_) => trial::of_tenants(board, &database.facts),
    };
    match trials {
        Ok(trials) => tried.expressions(client, &trials, database)?,
        Err(fault) => tried.problems.push(fault.to_string()),
    }
    if !tried.problems.is_empty() {
        return Ok(tried);
    }
    if !database.all_readable() {
        tried.notes.push("No bundle was made to try: the role may not read all of the tables.".to_owned());
        return Ok(tried);
    }
    let tenant = some_tenant(client, board)?;
    match compiled {
        Compiled::Counted(plan) => tried.read_tables(client, plan, catalogue, tenant)?,
        Compiled::Own(plan) => tried.own_statement(client, plan, tenant)?,
    }
    Ok(tried)
}

impl Tried {
    fn expressions(
        &mut self,
        client: &mut Client,
        trials: &[Trial],
        database: &Database,
    ) -> Result<(), postgres::Error> {
        let mut transaction = client.transaction()?;
        transaction.batch_execute(trial::SETTINGS)?;
        for trial in trials.iter().filter(|trial| database.is_readable(&trial.table)) {
            let place = format!("{}: {}", trial.part, trial.written);
            // Before it is run: who knows what it does.
            let unfit = unfit(&mut transaction, trial)?;
            if !unfit.is_empty() {
                self.problems.extend(unfit.into_iter().map(|why| format!("{place}: {why}")));
                continue;
            }
            let outcome = attempt(&mut transaction, |transaction| {
                transaction.query_one(&trial.statement, &[])?;
                match &trial.adds {
                    None => Ok(None),
                    Some(adds) => text_type(transaction, adds),
                }
            })?;
            match outcome {
                Ok(None) => {}
                Ok(Some(name)) => self.problems.push(format!(
                    "{place} is of type {name}, and numbers are added up; name a column of numbers, or, if every text is one, write {}::numeric",
                    cast(&trial.written)
                )),
                Err(failed) => self.failed(&place, failed),
            }
        }
        transaction.rollback()
    }

    /// The function that reads the tables, made for this session and gone with the transaction.
    fn read_tables(
        &mut self,
        client: &mut Client,
        plan: &Plan<'_>,
        catalogue: &Catalogue,
        tenant: Option<String>,
    ) -> Result<(), postgres::Error> {
        let (creates, ask) = match trial::from_tables(plan, catalogue) {
            Ok(statements) => statements,
            Err(fault) => {
                self.problems.push(fault.to_string());
                return Ok(());
            }
        };
        let asked = tenant.or_else(|| plan.board.tenants.all.as_ref().map(|all| all.as_str().to_owned()));
        let Some(asked) = asked else {
            self.notes.push("No bundle was made to try: there is no tenant yet.".to_owned());
            return Ok(());
        };
        if client.is_in_recovery() {
            self.notes.push(
                "No bundle was made to try: a standby takes no function; run this on the primary.".to_owned(),
            );
            return Ok(());
        }
        let mut transaction = client.transaction_at(IsolationLevel::ReadCommitted, false)?;
        transaction.batch_execute(&format!("{}; {ALONE}", trial::SETTINGS))?;
        let created = attempt(&mut transaction, |transaction| {
            creates.iter().try_for_each(|create| transaction.batch_execute(create))
        })?;
        match created {
            Ok(()) => {}
            Err(Failed::Refused(words)) => {
                self.notes.push(format!(
                    "No bundle was made to try: a function of the session's own is refused ({words})."
                ));
                return transaction.rollback();
            }
            Err(failed) => {
                self.failed("the function that reads the tables", failed);
                return transaction.rollback();
            }
        }
        // From here on nothing can be written, whatever an expression calls.
        transaction.batch_execute("SET TRANSACTION READ ONLY")?;
        let began = Instant::now();
        let outcome = attempt(&mut transaction, |transaction| transaction.query(&ask, &[&asked, &true]))?;
        let is_made = outcome.is_ok();
        self.made(&asked, outcome.map(drop), began.elapsed());
        if is_made && plan.board.leaves_out() {
            let outcome =
                attempt(&mut transaction, |transaction| transaction.query(&ask, &[&asked, &false]))?;
            if let Err(failed) = outcome {
                self.failed(
                    &format!("the bundle of tenant {} without what is left out", printable(&asked)),
                    failed,
                );
            }
        }
        transaction.rollback()
    }

    fn own_statement(
        &mut self,
        client: &mut Client,
        plan: &QueryPlan<'_>,
        tenant: Option<String>,
    ) -> Result<(), postgres::Error> {
        let mut transaction = client.transaction()?;
        // Its names mean what they mean to this role.
        transaction.batch_execute("SET LOCAL timezone = 'UTC'; SET LOCAL row_security = off")?;
        let statement = trial::of_query(plan);
        let began = Instant::now();
        // Without a tenant it is at least read by the database.
        let outcome =
            attempt(&mut transaction, |transaction| transaction.query(&statement, &[&tenant, &true]))?;
        self.made(tenant.as_deref().unwrap_or("none"), outcome.map(drop), began.elapsed());
        transaction.rollback()
    }

    /// How a bundle was made.
    fn made(&mut self, tenant: &str, outcome: Result<(), Failed>, took: Duration) {
        let tenant = printable(tenant);
        match outcome {
            Ok(()) => self.notes.push(format!(
                "Without counters, the bundle of tenant {tenant} took {} ms.",
                took.as_millis()
            )),
            Err(failed) => self.failed(&format!("the bundle of tenant {tenant}"), failed),
        }
    }

    fn failed(&mut self, place: &str, failed: Failed) {
        match failed {
            Failed::Wrong(words) => self.problems.push(format!("{place}: {words}")),
            Failed::Refused(words) => self.obstacles.push(format!("compute {place}: {words}")),
            Failed::Late => {
                self.notes.push(format!("Within {} s there was no answer to {place}.", PATIENCE.as_secs()));
            }
        }
    }
}

/// Runs something whose failure leaves the transaction as it was.
fn attempt<'a, T>(
    transaction: &mut Transaction<'a>,
    work: impl FnOnce(&mut Transaction<'a>) -> Result<T, postgres::Error>,
) -> Result<Result<T, Failed>, postgres::Error> {
    transaction.batch_execute("SAVEPOINT tried")?;
    let failed = match work(transaction) {
        Ok(value) => {
            transaction.batch_execute("RELEASE SAVEPOINT tried")?;
            return Ok(Ok(value));
        }
        Err(error) => match error.code() {
            // The connection is gone.
            None => return Err(error),
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Failed::Refused(words(&error)),
            Some(code) if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE => {
                Failed::Late
            }
            Some(_) => Failed::Wrong(words(&error)),
        },
    };
    transaction.batch_execute("ROLLBACK TO SAVEPOINT tried")?;
    Ok(Err(failed))
}

/// What the database says. A terminal gets no control characters of a row.
fn words(error: &postgres::Error) -> String {
    printable(&chain(error))
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Why it must not call what it calls.
fn unfit(client: &mut impl Queries, trial: &Trial) -> Result<Vec<String>, postgres::Error> {
    if trial.functions.is_empty() {
        return Ok(Vec::new());
    }
    let (schemas, names): (Vec<String>, Vec<String>) = trial.functions.iter().cloned().unzip();
    let rows = client.query(trial::UNFIT, &[&schemas, &names])?;
    rows.iter()
        .map(|row| {
            let (name, volatility, kind): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let why = match (volatility.as_str(), kind.as_str()) {
                (_, "a" | "w") => "looks at several rows, and an expression sees one",
                (_, "p") => "is a procedure, and an expression gives a value",
                ("v", _) => "is VOLATILE, so counters of it could not be kept right; if it gives the same for the same row, declare it IMMUTABLE",
                _ => "returns rows, and an expression gives one value",
            };
            Ok(format!("{name} {why}"))
        })
        .collect()
}

/// The type of what is added up, where that is text.
fn text_type(client: &mut impl Queries, adds: &str) -> Result<Option<String>, postgres::Error> {
    let sql = format!("SELECT format_type(oid, NULL) FROM pg_type WHERE oid = {adds} AND typcategory = 'S'");
    client.query_opt(&sql, &[])?.map(|row| row.try_get(0)).transpose()
}

/// What is written between the quotes, in parentheses.
fn cast(written: &str) -> String {
    let inner = written.split_once(" = ").map_or(written, |(_, text)| text);
    format!("({})", inner.trim_matches('"'))
}

/// One that is there.
fn some_tenant(client: &mut Client, board: &Board) -> Result<Option<String>, postgres::Error> {
    let (key, table) = (board.tenants.key.sql(), board.tenants.table.sql());
    let sql = format!("SELECT t.{key}::text FROM {table} AS t WHERE t.{key} IS NOT NULL LIMIT 1");
    client.query_opt(&sql, &[])?.map(|row| row.try_get(0)).transpose()
}
