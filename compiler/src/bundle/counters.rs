//! A board's numbers from counters and from the deltas that have not been merged yet.
//!
//! What is counted by time has a relation of its own for each unit, `unit_N`, of the slots that are looked at; all else is in `fact`. So each
//! figure passes over its own rows only.

use std::collections::BTreeMap;

use board::definition::{Measure, Shape};

use super::assembly::{Number, Numbers};
use super::{Relations, Scope, time};
use crate::plan::{By, Count, Plan};
use crate::text::indent;
use crate::vector::cells;
use crate::{Catalogue, Fault, bundle::tables};

/// `WITH`: all that counters and deltas know of a tenant, without what is left out. Deltas are read by the feeds of this board only.
pub(super) fn facts(plan: &Plan<'_>, catalogue: &Catalogue, scope: Scope) -> String {
    let units = plan.units();
    let feeds = list(plan.feeds.iter().map(|feed| feed + 1));
    // What concerns everybody is a change of `*`, and counts for nothing else.
    let (whose, owner) = match scope {
        Scope::One | Scope::Many { .. } if plan.follows_everybody() => {
            ("tenant IN (this.asked, '*') AND ", "owner IN (this.owner, '*')")
        }
        Scope::One | Scope::Many { .. } => ("tenant = this.asked AND ", "owner = this.owner"),
        Scope::Every => ("", "owner = this.owner"),
    };
    let included = |left_out: &str| {
        scope.includes(left_out).map_or_else(String::new, |condition| format!(" AND {condition}"))
    };
    let mut with = format!(
        "WITH delta AS MATERIALIZED (
    SELECT feed, flags, slots, keys, n, numbers
    FROM dashboard.delta
    WHERE {whose}xid >= this.merged_before AND feed <> 0
)"
    );
    let first = first_slots(plan);
    let timeless: Vec<usize> = units.iter().copied().filter(|unit| !first.contains_key(unit)).collect();
    if !units.is_empty() {
        with.push_str(&format!(
            ", fresh AS MATERIALIZED (
    -- What has not been merged yet.
    SELECT cell.unit, cell.slot, cell.key, cell.n, cell.amount
    FROM delta CROSS JOIN LATERAL {}
    WHERE cell.applies{}
    UNION ALL
    SELECT -feed, slots[1], keys[1], n, numbers[1]
    FROM delta
    WHERE feed < 0{}
)",
            indent(&cells(catalogue, "delta", &units), 4),
            included("cell.variant"),
            included("(flags = 1)"),
        ));
    }
    with.push_str(&format!(
        ", fact AS MATERIALIZED (
    -- Changes, by feed: unit 0.
    SELECT 0 AS unit, '' AS key, 1::bigint AS n, 0::numeric AS amount
    FROM delta WHERE feed IN ({feeds})
    UNION ALL
    SELECT unit, key, n, amount
    FROM dashboard.counter WHERE {owner} AND unit = 0 AND slot IN ({feeds})"
    ));
    if !timeless.is_empty() {
        let numbers = list(timeless.into_iter());
        with.push_str(&format!(
            "
    UNION ALL
    SELECT unit, key, n, amount FROM fresh WHERE unit IN ({numbers})
    UNION ALL
    SELECT unit, key, n, amount
    FROM dashboard.counter WHERE owner = this.owner AND unit IN ({numbers}){}",
            included("variant")
        ));
    }
    with.push_str("\n)");
    for (unit, first) in first {
        with.push_str(&format!(
            ", unit_{unit} AS MATERIALIZED (
    SELECT slot, key, n, amount
    FROM dashboard.counter WHERE owner = this.owner AND unit = {unit} AND slot >= {first}{}
    UNION ALL
    SELECT slot, key, n, amount FROM fresh WHERE unit = {unit}
)",
            included("variant")
        ));
    }
    with + "\n"
}

/// Each unit that is counted by time, with the first slot that is looked at.
fn first_slots(plan: &Plan<'_>) -> BTreeMap<usize, String> {
    let mut firsts: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (_, _, counted, count) in plan.counted() {
        let By::Counters { rows, numbers } = count.by else { continue };
        let first = match (&counted.shape, count.window, &count.points) {
            (Shape::Number { previous: Some(_), .. }, Some(window), _) => format!("this.before_{window}_day"),
            (_, Some(window), _) => format!("this.window_{window}_day"),
            (Shape::Series(series), _, Some((clock, _))) => time::first_point(plan, *clock, series.points),
            _ => continue,
        };
        for unit in [rows, numbers] {
            let known = firsts.entry(unit).or_default();
            if !known.contains(&first) {
                known.push(first.clone());
            }
        }
    }
    let least = |mut firsts: Vec<String>| match firsts.as_mut_slice() {
        [only] => std::mem::take(only),
        several => format!("LEAST({})", several.join(", ")),
    };
    firsts.into_iter().map(|(unit, firsts)| (unit, least(firsts))).collect()
}

/// The numbers of each figure that counts.
pub(super) fn numbers(
    plan: &Plan<'_>,
    scope: Scope,
    relations: &mut Relations,
) -> Result<Vec<Option<Numbers>>, Fault> {
    let mut items = vec!["coalesce(sum(n) FILTER (WHERE unit = 0), 0)::bigint AS changes".to_owned()];
    if !plan.left_out.is_empty() {
        let units = list(plan.left_out.iter().copied());
        items.push(format!("coalesce(sum(n) FILTER (WHERE unit IN ({units})), 0) <> 0 AS leaves_out"));
    }
    let mut numbers: Vec<Option<Numbers>> = plan.counts.iter().map(|_| None).collect();
    let mut recent = Relations::new();
    for (figure, _, counted, count) in plan.counted() {
        numbers[figure] = Some(match &counted.shape {
            Shape::Number { previous, .. } => match count.window {
                None => {
                    Numbers::One { now: total(figure, count, &counted.measure, &mut items), before: None }
                }
                Some(window) => {
                    let spans = 1 + usize::from(previous.is_some());
                    recent.extend(of_window(figure, window, count, &counted.measure, spans));
                    let number = |name: &str| sum_with_edge(figure, window, count, name);
                    Numbers::One { now: number(""), before: previous.as_ref().map(|_| number("p")) }
                }
            },
            Shape::Groups { .. } | Shape::Steps { .. } => Numbers::Keyed(keyed(plan, count, scope)?),
            Shape::Series(series) => {
                let grouped = series.groups.is_some();
                let relation = points(plan, count, grouped, series.points);
                if grouped { Numbers::KeyedPoints(relation) } else { Numbers::Points(relation) }
            }
        });
    }
    relations.push(format!("(SELECT {}\n      FROM fact) AS total", items.join(",\n             ")));
    relations.append(&mut recent);
    time::edges(plan, scope, true, relations)?;
    Ok(numbers)
}

/// What a measure needs of which unit: name, column, unit.
fn needed(count: &Count, measure: &Measure) -> Vec<(&'static str, &'static str, usize)> {
    let By::Counters { rows, numbers } = count.by else { return Vec::new() };
    match measure {
        Measure::Count => vec![("n", "n", rows)],
        Measure::Sum(_) => vec![("a", "amount", numbers)],
        Measure::Average(_) => vec![("a", "amount", numbers), ("m", "n", numbers)],
    }
}

/// A number of all rows.
fn total(figure: usize, count: &Count, measure: &Measure, items: &mut Vec<String>) -> Number {
    for (what, column, unit) in needed(count, measure) {
        items.push(format!("coalesce(sum({column}) FILTER (WHERE unit = {unit}), 0) AS f{figure}_{what}"));
    }
    let of = |what: &str| format!("total.f{figure}_{what}");
    Number { n: of("n"), a: of("a"), m: of("m") }
}

/// The whole days of a window, and (`p`) of the period before, of a relation `figure_N`. None where they are read by an index.
fn of_window(figure: usize, window: usize, count: &Count, measure: &Measure, spans: usize) -> Option<String> {
    let needed = needed(count, measure);
    let (_, _, unit) = needed.first()?;
    let whole = [
        ("", format!("slot > this.window_{window}_day")),
        ("p", format!("slot > this.before_{window}_day AND slot < this.window_{window}_day")),
    ];
    let items: Vec<String> = whole
        .iter()
        .take(spans)
        .flat_map(|(name, slots)| {
            needed.iter().map(move |(what, column, _)| {
                format!("coalesce(sum({column}) FILTER (WHERE {slots}), 0) AS {name}{what}")
            })
        })
        .collect();
    Some(format!("(SELECT {}\n      FROM unit_{unit}) AS figure_{figure}", items.join(",\n             ")))
}

/// A number of a window: that of its whole days and that of its edge.
fn sum_with_edge(figure: usize, window: usize, count: &Count, name: &str) -> Number {
    let of = |what: &str| {
        let edge = format!("edge_{window}.f{figure}_{name}{what}");
        match count.by {
            By::Counters { .. } => format!("(figure_{figure}.{name}{what} + {edge})"),
            By::Index => edge,
        }
    };
    Number { n: of("n"), a: of("a"), m: of("m") }
}

/// The rows of a keyed figure's units, as `columns`, `n` rows, `a` the sum and `m` rows with a number.
fn entries(count: &Count, columns: &str, slots: Option<&str>) -> String {
    let By::Counters { rows, numbers } = count.by else { return String::new() };
    let of = |unit: usize| match slots {
        Some(slots) => format!("FROM unit_{unit} WHERE {slots}"),
        None => format!("FROM fact WHERE unit = {unit}"),
    };
    if rows == numbers {
        return format!("SELECT {columns}, n, amount AS a, n AS m {}", of(rows));
    }
    format!(
        "SELECT {columns}, n, 0 AS a, 0 AS m {}\n    UNION ALL\n    SELECT {columns}, 0, amount, n {}",
        of(rows),
        of(numbers)
    )
}

/// A relation of keys with their numbers: `key`, `n` rows, `a` the sum, `m` rows with a number.
fn keyed(plan: &Plan<'_>, count: &Count, scope: Scope) -> Result<String, Fault> {
    let edge = match count.window {
        Some(window) => Some(tables::keyed(plan, count, scope, Some(time::in_edge(plan, window)?))?),
        None => None,
    };
    if let (By::Index, Some(edge)) = (count.by, &edge) {
        return Ok(edge.clone());
    }
    let slots = count.window.map(|window| format!("slot > this.window_{window}_day"));
    let known = entries(count, "key", slots.as_deref());
    let edge = edge.map_or_else(String::new, |edge| format!("\n    UNION ALL\n    {}", indent(&edge, 4)));
    Ok(format!(
        "SELECT key, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m
FROM (
    {known}{edge}
) AS entry
GROUP BY key"
    ))
}

/// Likewise, by the points of a series; of a series without groups as the rows are, which may be several for a point.
fn points(plan: &Plan<'_>, count: &Count, grouped: bool, points: u32) -> String {
    let Some((clock, _)) = &count.points else { return String::new() };
    let columns = if grouped { "key, slot" } else { "slot" };
    let first = time::first_point(plan, *clock, points);
    let slots = format!("slot BETWEEN {first} AND this.point_{clock}");
    if !grouped {
        return entries(count, columns, Some(&slots));
    }
    format!(
        "SELECT {columns}, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m
FROM (
    {}
) AS entry
GROUP BY {columns}",
        entries(count, columns, Some(&slots))
    )
}

fn list(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}
