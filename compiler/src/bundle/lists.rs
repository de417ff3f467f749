//! The lists of a board.

use board::definition::List;
use board::expression::literal;
use board::path::Column;
use xxhash_rust::xxh3::xxh3_64;

use super::{Scope, filter, scope};
use crate::facts::{Kind, Type};
use crate::plan::{Plan, place};
use crate::text::indent;
use crate::{Fault, Part};

/// Each list's name, and its rows as an expression of type text.
pub(super) fn lists(plan: &Plan<'_>, in_scope: Scope) -> Result<Vec<(String, String)>, Fault> {
    let lists = plan.declared.lists.iter().zip(&plan.lists);
    lists
        .map(|(list, fits)| {
            if !fits {
                return Ok((list.name.clone(), "'null'".to_owned()));
            }
            let source = place(plan.declared, list.source);
            let row = plan.sources[source].row();
            let mut columns = Vec::new();
            for column in &list.columns {
                let known = row.type_of(column, &Part::List(&list.name))?;
                columns.push(format!("{} AS {}", value(column, known, list.cut), column.sql()));
            }
            let items = format!(
                "array_to_json(ARRAY(SELECT item FROM (
            SELECT {}
            {}) AS item))::text",
                columns.join(", "),
                indent(&ordered(plan, source, list, in_scope)?, 12)
            );
            Ok((list.name.clone(), items))
        })
        .collect()
}

/// The type of a list's rows, where they leave Postgres as rows.
pub(super) struct RowType {
    pub(super) list: String,
    /// As SQL.
    pub(super) name: String,
    /// The statement that creates it where it is not there.
    pub(super) create: String,
}

/// The types of all lists; none where a list cannot be shown: then they are a part of the bundle. They are called by what they are made of,
/// so that two definitions of a list can stand beside each other.
pub(super) fn row_types(plan: &Plan<'_>) -> Result<Vec<RowType>, Fault> {
    if plan.lists.contains(&false) {
        return Ok(Vec::new());
    }
    let mut types = Vec::new();
    for list in &plan.declared.lists {
        let row = plan.sources[place(plan.declared, list.source)].row();
        let part = Part::List(&list.name);
        let mut members = Vec::new();
        for column in &list.columns {
            members.push(format!("{} {}", column.sql(), member(row.type_of(column, &part)?)));
        }
        let members = members.join(", ");
        let name = format!("dashboard.row_{:016x}", xxh3_64(members.as_bytes()));
        let create = format!(
            "DO $create$ BEGIN
    IF to_regtype({}) IS NULL THEN
        CREATE TYPE {name} AS ({members});
    END IF;
END $create$",
            literal(&name)
        );
        types.push(RowType { list: list.name.clone(), name, create });
    }
    Ok(types)
}

/// What a value leaves Postgres as: itself, where whoever asks can write it as Postgres does; JSON otherwise.
fn member(of: &Type) -> &str {
    match (of.kind, of.name.as_str()) {
        (Kind::Text | Kind::Other | Kind::Composite, _) => "text",
        (Kind::Moment, _) => "timestamptz",
        (Kind::Plain, name @ ("uuid" | "boolean" | "smallint" | "integer" | "bigint")) => name,
        _ => "json",
    }
}

/// The rows of each list, as arrays of these types.
pub(super) fn rows(plan: &Plan<'_>, in_scope: Scope, types: &[RowType]) -> Result<Vec<String>, Fault> {
    let lists = plan.declared.lists.iter().zip(types);
    lists
        .map(|(list, of)| {
            let source = place(plan.declared, list.source);
            let row = plan.sources[source].row();
            let part = Part::List(&list.name);
            let mut values = Vec::new();
            for column in &list.columns {
                let known = row.type_of(column, &part)?;
                let value = value(column, known, list.cut);
                let is_json = member(known) == "json" && known.kind != Kind::Json;
                values.push(if is_json { format!("to_json({value})") } else { value });
            }
            Ok(format!(
                "ARRAY(SELECT ROW({})::{} {})",
                values.join(", "),
                of.name,
                indent(&ordered(plan, source, list, in_scope)?, 9)
            ))
        })
        .collect()
}

/// `FROM … LIMIT …` of a list.
fn ordered(plan: &Plan<'_>, source: usize, list: &List, in_scope: Scope) -> Result<String, Fault> {
    let row = plan.sources[source].row();
    let mut conditions = scope(plan, source, in_scope);
    let own = list.filter.as_ref().map(|filter| row.condition(filter, &Part::List(&list.name)));
    conditions.extend(own.transpose()?);
    let order: Vec<String> = list.order.iter().map(|order| order.sql(Some("r"))).collect();
    Ok(format!(
        "FROM {} AS r{}\nORDER BY {}\nLIMIT {}",
        plan.sources[source].facts.qualified,
        filter(&conditions),
        order.join(", "),
        list.limit
    ))
}

/// A column's value: texts are cut, and what is no number to JSON is NULL.
fn value(column: &Column, of: &Type, cut: u32) -> String {
    let name = column.sql();
    match of.kind {
        Kind::Plain | Kind::Moment | Kind::LocalTime | Kind::Date => format!("r.{name}"),
        Kind::Number => {
            format!("CASE WHEN r.{name}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN r.{name} END")
        }
        Kind::Json => format!(
            "CASE WHEN length(r.{name}::text) <= {cut} THEN r.{name}::json ELSE to_json(left(r.{name}::text, {cut})) END"
        ),
        Kind::Text | Kind::Other | Kind::Composite => format!("left(r.{name}::text, {cut})"),
    }
}
