//! `dashboard-sidecar board`: boards that are declared in files. What a definition is, `dashboard-board` says; what becomes of it,
//! `dashboard-compiler`.
//!
//! - `files`: reads definitions
//! - `look`: asks the database about their tables, and what the role may do with them
//! - `trying`: runs what a definition promises, in transactions that are rolled back
//! - `report` and `sql`: what is printed

mod files;
mod look;
mod report;
mod sql;
mod trying;

use std::time::Duration;

use ::board::Board;
use ::board::definition::Content;
use compiler::query::QueryPlan;
use compiler::{Catalogue, Plan, indexes};

use crate::config::{BoardCommand, BoardPlanArgs};
use crate::db;
use crate::error::Failure;
use crate::output;
use crate::pg::{Client, Terms};
use files::Defined;
use look::Database;
use trying::Tried;

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar board";

/// Each statement has this long: on a live database, whoever only looks gives way.
const PATIENCE: Duration = Duration::from_secs(10);

const TERMS: Terms = Terms::read_only(PATIENCE, "SET LOCAL lock_timeout = '1s'");

/// A board that fits its database.
enum Compiled<'a> {
    Counted(Box<Plan<'a>>),
    Own(QueryPlan<'a>),
}

/// Does one of the subcommands, and prints what it found.
///
/// # Errors
/// If a definition is wrong or does not fit the database, the role may not do something, or Postgres cannot be asked.
pub fn main(command: &BoardCommand) -> Result<(), Failure> {
    match command {
        BoardCommand::Plan(args) => plan(args),
    }
}

fn plan(args: &BoardPlanArgs) -> Result<(), Failure> {
    let defined = files::read(&args.files).map_err(|problems| wrong(&problems))?;
    let mut client = db::connect_once(&args.database, APPLICATION_NAME, TERMS)?;
    plan_on(&mut client, &defined, args.sql)
}

fn plan_on(client: &mut Client, defined: &[Defined], print_sql: bool) -> Result<(), Failure> {
    let database = Database::look(client, defined).map_err(|error| Failure::undecided(&error))?;
    let mut problems = database.problems.clone();
    let mut catalogue = Catalogue::default();
    let mut compiled: Vec<(&Defined, Compiled<'_>)> = Vec::new();
    for definition in defined {
        match compile(&definition.board, &database, &mut catalogue) {
            Ok(board) => compiled.push((definition, board)),
            Err(faults) => {
                problems.extend(faults.into_iter().map(|fault| format!("{}: {fault}", definition.file)));
            }
        }
    }
    let mut tried: Vec<Tried> = Vec::new();
    for (definition, board) in &compiled {
        let outcome = trying::board(client, &definition.board, board, &database, &catalogue)
            .map_err(|error| Failure::undecided(&error))?;
        problems.extend(outcome.problems.iter().map(|problem| format!("{}: {problem}", definition.file)));
        tried.push(outcome);
    }
    if !problems.is_empty() {
        // Where some do not fit, numbers of feeds and triggers are not what they would be.
        return Err(wrong(&problems));
    }
    if print_sql {
        let statements = sql::text(&compiled, &catalogue, &database);
        output::line(format_args!("{}", statements.map_err(|fault| Failure::config(fault.to_string()))?));
        return Ok(());
    }
    let text = report::text(&compiled, &tried, &catalogue, &database);
    output::line(format_args!("{text}"));
    let may_do_all = database.obstacles.is_empty() && tried.iter().all(|tried| tried.obstacles.is_empty());
    if may_do_all { Ok(()) } else { Err(Failure::answered(false)) }
}

/// All that does not fit, not only the first.
fn compile<'a>(
    board: &'a Board,
    database: &'a Database,
    catalogue: &mut Catalogue,
) -> Result<Compiled<'a>, Vec<compiler::Fault>> {
    match &board.content {
        Content::Declared(_) => {
            let plan = Plan::of_what_fits(board, &database.facts, catalogue).map_err(|fault| vec![fault])?;
            if plan.missing().is_empty() {
                Ok(Compiled::Counted(Box::new(plan)))
            } else {
                Err(plan.missing().to_vec())
            }
        }
        Content::Query(_) => {
            let plan = QueryPlan::of(board, &database.facts, catalogue).map_err(|fault| vec![fault])?;
            Ok(Compiled::Own(plan))
        }
    }
}

/// The indexes that these boards need together.
fn needed(compiled: &[(&Defined, Compiled<'_>)], database: &Database) -> Vec<indexes::Index> {
    let mut needed = Vec::new();
    for (definition, board) in compiled {
        needed.extend(indexes::of_board(&definition.board, &database.facts));
        if let Compiled::Counted(plan) = board {
            needed.extend(indexes::of_plan(plan));
        }
    }
    indexes::joined(needed)
}

/// What is wrong with definitions, each beginning with its file.
fn wrong(problems: &[String]) -> Failure {
    Failure::config(format!(
        "nothing was planned, as definitions must be corrected first:\n\n{}",
        problems.join("\n\n")
    ))
}
