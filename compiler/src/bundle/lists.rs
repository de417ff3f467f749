//! The lists of a board.

use board::definition::List;

use super::{Scope, filter, scope};
use crate::facts::Kind;
use crate::plan::{Plan, place};
use crate::{Fault, Part};

/// Each list's name, and its rows as an expression of type text.
pub(super) fn lists(plan: &Plan<'_>, in_scope: Scope) -> Result<Vec<(String, String)>, Fault> {
    plan.declared
        .lists
        .iter()
        .zip(&plan.lists)
        .map(|(list, fits)| {
            if !fits {
                return Ok((list.name.clone(), "'null'".to_owned()));
            }
            let source = place(plan.declared, list.source);
            let row = plan.sources[source].row();
            let part = Part::List(&list.name);
            let mut conditions = scope(plan, source, in_scope);
            conditions.extend(list.filter.as_ref().map(|filter| row.condition(filter, &part)).transpose()?);
            let columns = columns(plan, source, list)?;
            let order: Vec<String> = list.order.iter().map(|order| order.sql(Some("r"))).collect();
            let items = format!(
                "array_to_json(ARRAY(
            SELECT item
            FROM (SELECT {}
                  FROM {} AS r{}
                  ORDER BY {}
                  LIMIT {}) AS item))::text",
                columns.join(", "),
                plan.sources[source].facts.qualified,
                filter(&conditions),
                order.join(", "),
                list.limit
            );
            Ok((list.name.clone(), items))
        })
        .collect()
}

/// The columns of a row: texts are cut, and what is no number to JSON is null.
fn columns(plan: &Plan<'_>, source: usize, list: &List) -> Result<Vec<String>, Fault> {
    let row = plan.sources[source].row();
    let part = Part::List(&list.name);
    list.columns
        .iter()
        .map(|column| {
            let (name, cut) = (column.sql(), list.cut);
            Ok(match row.type_of(column, &part)?.kind {
                Kind::Plain | Kind::Moment | Kind::LocalTime | Kind::Date => format!("r.{name}"),
                Kind::Number => format!(
                    "CASE WHEN r.{name}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN r.{name} END AS {name}"
                ),
                Kind::Json => format!(
                    "CASE WHEN length(r.{name}::text) <= {cut} THEN r.{name}::json ELSE to_json(left(r.{name}::text, {cut})) END AS {name}"
                ),
                Kind::Text | Kind::Other | Kind::Composite => format!("left(r.{name}::text, {cut}) AS {name}"),
            })
        })
        .collect()
}
