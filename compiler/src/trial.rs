//! What of a definition can fail on the tables that it is about, each with the statement that shows it: a cast of a text that is no number, a
//! type without an order, a function that is not there. What fails is then named by its place in the definition, in the database's words.

use board::Board;
use board::definition::{Active, Measure, Rule, Series, Shape};
use board::expression::Expression;
use board::order::Order;

use crate::facts::Facts;
use crate::plan::{Plan, place};
use crate::query::QueryPlan;
use crate::row::Row;
use crate::{Catalogue, Fault, Part, bundle};

/// Rows of a table on which an expression is tried: the first that come.
const ROWS: u32 = 1000;

/// What transactions in which something is tried must set, so that names and times mean what they mean in a bundle.
pub const SETTINGS: &str =
    "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL timezone = 'UTC'; SET LOCAL row_security = off";

/// The functions `$2` of the schemas `$1`, by place, that an expression must not call: name, volatility (`pg_proc.provolatile`), kind
/// (`pg_proc.prokind`) and whether they return rows.
pub const UNFIT: &str = "
    SELECT DISTINCT format('%I.%I', nspname, proname), provolatile::text, prokind::text, proretset
    FROM unnest($1, $2) AS called(schema, name)
    JOIN pg_namespace ON nspname = schema JOIN pg_proc ON pronamespace = pg_namespace.oid AND proname = name
    WHERE provolatile = 'v' OR prokind <> 'f' OR proretset
    ORDER BY 1";

/// Something to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The part of the definition.
    pub part: String,
    /// The table that it is about, as SQL.
    pub table: String,
    /// What it says, as in `sum = "amount"`.
    pub written: String,
    /// A query that fails if this does, and returns one row.
    pub statement: String,
    /// Of what is added up, an expression that returns its type (`regtype`): a text may be no number tomorrow.
    pub adds: Option<String>,
    /// The functions that it calls, each as schema and name.
    pub functions: Vec<(String, String)>,
}

/// All that is tried of a board of figures, in the order of its definition.
///
/// # Errors
/// A [`Fault`] of what [`Plan::of`] has not looked at: the columns that only the list of tenants needs.
pub fn trials(plan: &Plan<'_>, facts: &Facts) -> Result<Vec<Trial>, Fault> {
    let mut trials = of_tenants(plan.board, facts)?;
    for (number, (_, source)) in plan.declared.sources().enumerate() {
        let part = Part::Source(&source.name);
        let row = plan.sources[number].row();
        if let Some(out) = &source.leave_out {
            trials.push(trial(&row, &part, "leave_out", out, row.condition(out, &part)?));
        }
    }
    for (place, figure) in plan.declared.figures.iter().enumerate() {
        let (Rule::Counted(counted), Some(count)) = (&figure.rule, &plan.counts[place]) else { continue };
        let path = figure.path.to_string();
        let part = Part::Figure(&path);
        let row = plan.sources[count.source].row();
        if let Some(filter) = &counted.filter {
            trials.push(trial(&row, &part, "where", filter, row.condition(filter, &part)?));
        }
        // Also of rows that pass no condition: triggers compute everything of every row.
        match &counted.measure {
            Measure::Count => {}
            Measure::Sum(of) => trials.push(number(&row, &part, "sum", of)?),
            Measure::Average(of) => trials.push(number(&row, &part, "avg", of)?),
        }
        match &counted.shape {
            Shape::Groups { groups, .. } | Shape::Series(Series { groups: Some(groups), .. }) => {
                trials.push(trial(&row, &part, "by", &groups.by, row.group(groups, &part)?));
            }
            Shape::Steps { .. } | Shape::Number { .. } | Shape::Series(_) => {}
        }
    }
    for (list, _) in plan.declared.lists.iter().zip(&plan.lists).filter(|(_, fits)| **fits) {
        let part = Part::List(&list.name);
        let row = plan.sources[place(plan.declared, list.source)].row();
        if let Some(filter) = &list.filter {
            trials.push(trial(&row, &part, "where", filter, row.condition(filter, &part)?));
        }
        trials.push(order(&row, &part, &list.order));
    }
    Ok(trials)
}

/// What is tried of any board's tenants: which of them are active.
///
/// # Errors
/// A [`Fault`] of a column that is not there.
pub fn of_tenants(board: &Board, facts: &Facts) -> Result<Vec<Trial>, Fault> {
    let tenants = &board.tenants;
    let Some(table) = facts.table(&tenants.table) else { return Ok(Vec::new()) };
    let row = Row { facts: table };
    for column in tenants.name.iter().chain(&tenants.slug) {
        row.type_of(column, &Part::Tenants)?;
    }
    let conditions: Vec<&Expression> = match &tenants.active {
        Active::All => Vec::new(),
        Active::Where(condition) => vec![condition],
        Active::WhereKnown(conditions) => conditions
            .iter()
            .filter(|condition| condition.columns().iter().all(|column| table.columns.contains_key(column)))
            .collect(),
    };
    conditions
        .into_iter()
        .map(|condition| {
            let sql = row.condition(condition, &Part::Tenants)?;
            Ok(trial(&row, &Part::Tenants, "active", condition, sql))
        })
        .collect()
}

fn number(row: &Row<'_>, part: &Part<'_>, key: &str, of: &Expression) -> Result<Trial, Fault> {
    let sql = row.expression(of, part)?;
    let adds = format!("pg_typeof((SELECT {sql} FROM {} AS r LIMIT 0))", row.facts.qualified);
    Ok(Trial { adds: Some(adds), ..trial(row, part, key, of, format!("({sql})::numeric")) })
}

fn trial(row: &Row<'_>, part: &Part<'_>, key: &str, expression: &Expression, sql: String) -> Trial {
    let schema = |schema: Option<&str>| schema.unwrap_or("pg_catalog").to_owned();
    let called = expression.functions().map(|(of, name)| (schema(of), name.to_owned()));
    Trial {
        part: part.to_string(),
        table: row.facts.qualified.clone(),
        written: format!("{key} = \"{}\"", expression.sql(None)),
        statement: format!(
            "SELECT count(tried) FROM (SELECT {sql} AS tried FROM {} AS r LIMIT {ROWS}) AS tried",
            row.facts.qualified
        ),
        adds: None,
        functions: called.collect(),
    }
}

fn order(row: &Row<'_>, part: &Part<'_>, order: &[Order]) -> Trial {
    let written: Vec<String> = order.iter().map(|order| order.sql(None)).collect();
    let columns: Vec<String> = order.iter().map(|order| format!("r.{}", order.column.sql())).collect();
    Trial {
        part: part.to_string(),
        table: row.facts.qualified.clone(),
        written: format!("order = \"{}\"", written.join(", ")),
        statement: format!(
            "SELECT count(*) FROM (SELECT FROM (SELECT {} FROM {} AS r LIMIT {ROWS}) AS tried ORDER BY {} OFFSET 0) AS tried",
            columns.join(", "),
            row.facts.qualified,
            written.join(", ")
        ),
        adds: None,
        functions: Vec::new(),
    }
}

/// The statements that create, for one session, what makes a board's bundle from the tables; and the one that asks it for the bundle of
/// the tenant `$1`, with everything included (`$2`) or not. Nothing of the schema `dashboard` need be there.
///
/// # Errors
/// A [`Fault`] as of [`Plan::of`].
pub fn from_tables(plan: &Plan<'_>, catalogue: &Catalogue) -> Result<(Vec<String>, String), Fault> {
    let name = bundle::name_from_tables(plan.board.name.as_str());
    let temporary = name.replacen("dashboard.", "pg_temp.", 1);
    let function = bundle::functions(plan, catalogue)?.swap_remove(0);
    let finite = "CREATE FUNCTION pg_temp.finite(number numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE
AS $$SELECT CASE WHEN $1 - $1 = 0 THEN $1 END$$";
    let function = function.replace(&name, &temporary).replace("dashboard.finite(", "pg_temp.finite(");
    Ok((vec![finite.to_owned(), function], format!("SELECT bundle FROM {temporary}($1, $2)")))
}

/// The statement of a board of one's own SQL, of the tenant `$1`, with everything included (`$2`) or not.
pub fn of_query(plan: &QueryPlan<'_>) -> String {
    format!("SELECT ((\n{}\n)::json)::text", plan.query.statement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_expression_is_tried_by_its_place_in_the_definition() {
        let (board, facts) = (sample::board(), sample::facts());
        let mut catalogue = Catalogue::default();
        let plan = Plan::of(&board, &facts, &mut catalogue).unwrap();
        let trials = trials(&plan, &facts).unwrap();
        let places: Vec<String> =
            trials.iter().map(|trial| format!("{}: {}", trial.part, trial.written)).collect();
        assert_eq!(
            places,
            [
                "[sources.deals]: leave_out = \"is_test\"",
                "[figures.\"stats.won\"]: where = \"lower(stage) = 'won'\"",
                "[figures.\"stats.value\"]: sum = \"amount\"",
                "[figures.\"stats.stages\"]: by = \"stage\"",
                "[lists.recent]: order = \"created_at desc nulls last, id desc nulls first\"",
                "[lists.stages]: where = \"seconds > 3\"",
                "[lists.stages]: order = \"kind asc nulls last, id asc nulls last\"",
            ]
        );
        assert_eq!(trials[1].functions, [("pg_catalog".to_owned(), "lower".to_owned())]);
        assert_eq!(
            trials[2].adds.as_deref(),
            Some("pg_typeof((SELECT r.amount FROM public.deals AS r LIMIT 0))")
        );
    }

    #[test]
    fn what_is_tried_needs_nothing_of_the_schema_dashboard() {
        let (board, facts) = (sample::board(), sample::facts());
        let mut catalogue = Catalogue::default();
        let plan = Plan::of(&board, &facts, &mut catalogue).unwrap();
        let (statements, ask) = from_tables(&plan, &catalogue).unwrap();
        for statement in statements.iter().chain([&ask]) {
            assert!(!statement.contains("dashboard."), "{statement}");
        }
    }

    #[test]
    fn columns_that_only_the_list_of_tenants_needs_are_looked_for() {
        let (board, facts) =
            (sample::board_with("key = \"id\"", "key = \"id\"\nname = \"nam\""), sample::facts());
        let plan = Plan::of(&board, &facts, &mut Catalogue::default()).unwrap();
        let fault = trials(&plan, &facts).unwrap_err().to_string();
        assert!(fault.starts_with("[tenants]: public.accounts has no column nam"), "{fault}");
    }
}
