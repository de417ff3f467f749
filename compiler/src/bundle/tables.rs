//! A board's numbers from the tables: each figure as its definition says it, with no counter in between.

use std::collections::BTreeMap;

use board::definition::Shape;

use super::assembly::{Number, Numbers};
use super::{Relations, Scope, filter, scope, time};
use crate::Fault;
use crate::plan::{Count, Plan};

/// The numbers of each figure that counts. A source is read once for all its single numbers.
pub(super) fn numbers(
    plan: &Plan<'_>,
    in_scope: Scope,
    relations: &mut Relations,
) -> Result<Vec<Option<Numbers>>, Fault> {
    let mut items: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut numbers: Vec<Option<Numbers>> = plan.counts.iter().map(|_| None).collect();
    for (figure, _, counted, count) in plan.counted() {
        numbers[figure] = Some(match &counted.shape {
            Shape::Number { previous, .. } => {
                let items = items.entry(count.source).or_default();
                let before = match previous {
                    Some(_) => Some(one(plan, figure, count, true, items)?),
                    None => None,
                };
                Numbers::One { now: one(plan, figure, count, false, items)?, before }
            }
            Shape::Groups { .. } | Shape::Steps { .. } => {
                let window = count.window.map(|window| time::in_window(plan, window, false)).transpose()?;
                Numbers::Keyed(keyed(plan, count, in_scope, window)?)
            }
            Shape::Series(series) => {
                let grouped = series.groups.is_some();
                let relation = points(plan, count, in_scope, grouped, series.points);
                if grouped { Numbers::KeyedPoints(relation) } else { Numbers::Points(relation) }
            }
        });
    }
    for (source, items) in items {
        relations.push(format!(
            "(SELECT {}\n      FROM {} AS r{}) AS source_{source}",
            items.join(",\n             "),
            plan.sources[source].facts.qualified,
            filter(&scope(plan, source, in_scope))
        ));
    }
    time::whole(plan, in_scope, relations)?;
    Ok(numbers)
}

fn one(
    plan: &Plan<'_>,
    figure: usize,
    count: &Count,
    before: bool,
    items: &mut Vec<String>,
) -> Result<Number, Fault> {
    let mut conditions: Vec<String> = count.filter.iter().cloned().collect();
    if let Some(window) = count.window {
        conditions.push(time::in_window(plan, window, before)?);
    }
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" FILTER (WHERE {})", conditions.join(" AND "))
    };
    let name = format!("f{figure}_{}", if before { "p" } else { "" });
    items.push(format!("count(*){filter} AS {name}n"));
    if let Some(number) = &count.number {
        items.push(format!("coalesce(sum({number}){filter}, 0) AS {name}a"));
        items.push(format!("count({number}){filter} AS {name}m"));
    }
    let of = |what: &str| format!("source_{}.{name}{what}", count.source);
    Ok(Number { n: of("n"), a: of("a"), m: of("m") })
}

/// A relation of keys with their numbers, of rows in `window`: `key`, `n` rows, `a` the sum, `m` rows with a number.
pub(super) fn keyed(
    plan: &Plan<'_>,
    count: &Count,
    in_scope: Scope,
    window: Option<String>,
) -> Result<String, Fault> {
    let mut conditions = scope(plan, count.source, in_scope);
    conditions.extend(count.filter.iter().cloned());
    conditions.extend(window.map(|window| format!("({window})")));
    let key = count.key.clone().unwrap_or_default();
    Ok(format!(
        "SELECT key, count(*) AS n, coalesce(sum(number), 0) AS a, count(number) AS m
FROM (SELECT {key} AS key, {} AS number
      FROM {} AS r{}) AS rows
WHERE key IS NOT NULL
GROUP BY key",
        number(count),
        plan.sources[count.source].facts.qualified,
        filter(&conditions)
    ))
}

fn points(plan: &Plan<'_>, count: &Count, in_scope: Scope, grouped: bool, points: u32) -> String {
    let Some((clock, point)) = &count.points else { return String::new() };
    let mut conditions = scope(plan, count.source, in_scope);
    conditions.extend(count.filter.iter().cloned());
    let key = if grouped { "key, " } else { "" };
    let own =
        if grouped { format!("{} AS key, ", count.key.clone().unwrap_or_default()) } else { String::new() };
    format!(
        "SELECT {key}slot, count(*) AS n, coalesce(sum(number), 0) AS a, count(number) AS m
FROM (SELECT {own}{point} AS slot, {} AS number
      FROM {} AS r{}) AS rows
WHERE slot BETWEEN {} AND this.point_{clock}
GROUP BY {key}slot",
        number(count),
        plan.sources[count.source].facts.qualified,
        filter(&conditions),
        time::first_point(plan, *clock, points)
    )
}

fn number(count: &Count) -> String {
    count.number.clone().unwrap_or_else(|| "NULL::numeric".to_owned())
}
