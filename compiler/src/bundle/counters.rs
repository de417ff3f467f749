//! A board's numbers from counters and from the deltas that have not been merged yet.
//!
//! What is counted by time has a relation of its own for each unit, `unit_N`, of the slots that are looked at; all else is in `fact`. So each
//! figure passes over its own rows only.

use std::collections::BTreeMap;

use board::definition::{Measure, Shape};

use super::assembly::{Number, Numbers};
use super::{Relations, Scope, time};
use crate::plan::{By, Count, Plan, Units};
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
    let slots = looked_at(plan);
    let timeless: Vec<usize> = units.iter().copied().filter(|unit| !slots.contains_key(unit)).collect();
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
            indent(&cells(catalogue, &units), 4),
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
    for (unit, slots) in slots {
        with.push_str(&format!(
            ", unit_{unit} AS MATERIALIZED (
    SELECT slot, key, n, amount
    FROM dashboard.counter WHERE owner = this.owner AND unit = {unit} AND {slots}{}
    UNION ALL
    SELECT slot, key, n, amount FROM fresh WHERE unit = {unit} AND {slots}
)",
            included("variant")
        ));
    }
    with + "\n"
}

/// Each unit that is counted by time, with the slots that are looked at, as SQL.
fn looked_at(plan: &Plan<'_>) -> BTreeMap<usize, String> {
    let mut firsts: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut of_hours: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let note = |slots: &mut BTreeMap<usize, Vec<String>>, units: Units, slot: &String| {
        for unit in [units.rows, units.numbers] {
            let known = slots.entry(unit).or_default();
            if !known.contains(slot) {
                known.push(slot.clone());
            }
        }
    };
    for (_, _, counted, count) in plan.counted() {
        let By::Counters { units, hours } = count.by else { continue };
        let first = match (&counted.shape, count.window, &count.points) {
            (Shape::Number { previous: Some(_), .. }, Some(window), _) => format!("this.before_{window}_day"),
            (_, Some(window), _) => format!("this.window_{window}_day"),
            (Shape::Series(series), _, Some((clock, _))) => time::first_point(plan, *clock, series.points),
            _ => continue,
        };
        note(&mut firsts, units, &first);
        if let (Some(hours), Some(window)) = (hours, count.window) {
            note(&mut of_hours, hours, &time::hours(plan, window));
        }
    }
    let least = |firsts: Vec<String>| match firsts.as_slice() {
        [only] => format!("slot >= {only}"),
        several => format!("slot >= LEAST({})", several.join(", ")),
    };
    let days = firsts.into_iter().map(|(unit, firsts)| (unit, least(firsts)));
    days.chain(of_hours.into_iter().map(|(unit, slots)| (unit, format!("({})", slots.join(" OR ")))))
        .collect()
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
    time::edges(plan, scope, relations)?;
    time::next(plan, relations);
    Ok(numbers)
}

/// What a measure needs of which unit: name, column, unit.
fn needed(units: Units, measure: &Measure) -> Vec<(&'static str, &'static str, usize)> {
    match measure {
        Measure::Count => vec![("n", "n", units.rows)],
        Measure::Sum(_) => vec![("a", "amount", units.numbers)],
        Measure::Average(_) => vec![("a", "amount", units.numbers), ("m", "n", units.numbers)],
    }
}

/// A number of all rows.
fn total(figure: usize, count: &Count, measure: &Measure, items: &mut Vec<String>) -> Number {
    if let By::Counters { units, .. } = count.by {
        for (what, column, unit) in needed(units, measure) {
            items
                .push(format!("coalesce(sum({column}) FILTER (WHERE unit = {unit}), 0) AS f{figure}_{what}"));
        }
    }
    let of = |what: &str| format!("total.f{figure}_{what}");
    Number { n: of("n"), a: of("a"), m: of("m") }
}

/// The whole days and hours of a window, and (`p`) of the period before: relations `days_N` and `hours_N`. None where all is read by an
/// index.
fn of_window(figure: usize, window: usize, count: &Count, measure: &Measure, spans: usize) -> Relations {
    let By::Counters { units, hours } = count.by else { return Relations::new() };
    let days = [
        format!("slot > this.window_{window}_day"),
        format!("slot > this.before_{window}_day AND slot < this.window_{window}_day"),
    ];
    let whole_hours = [time::whole_hours(window, false), time::whole_hours(window, true)];
    let all = [("days", Some(units), days), ("hours", hours, whole_hours)];
    all.into_iter()
        .filter_map(|(relation, units, slots)| {
            let needed = needed(units?, measure);
            let (_, _, unit) = needed.first()?;
            let items: Vec<String> = ["", "p"]
                .iter()
                .zip(&slots)
                .take(spans)
                .flat_map(|(name, slots)| {
                    needed.iter().map(move |(what, column, _)| {
                        format!("coalesce(sum({column}) FILTER (WHERE {slots}), 0) AS {name}{what}")
                    })
                })
                .collect();
            Some(format!(
                "(SELECT {}\n      FROM unit_{unit}) AS {relation}_{figure}",
                items.join(",\n             ")
            ))
        })
        .collect()
}

/// A number of a window: that of its whole days and hours, and that of its edge.
fn sum_with_edge(figure: usize, window: usize, count: &Count, name: &str) -> Number {
    let of = |what: &str| {
        let edge = format!("edge_{window}.f{figure}_{name}{what}");
        match count.by {
            By::Counters { .. } => {
                format!("(days_{figure}.{name}{what} + hours_{figure}.{name}{what} + {edge})")
            }
            By::Index => edge,
        }
    };
    Number { n: of("n"), a: of("a"), m: of("m") }
}

/// The rows of a keyed figure's units, as `columns`, `n` rows, `a` the sum and `m` rows with a number.
fn entries(units: Units, columns: &str, slots: Option<&str>) -> String {
    let of = |unit: usize| match slots {
        Some(slots) => format!("FROM unit_{unit} WHERE {slots}"),
        None => format!("FROM fact WHERE unit = {unit}"),
    };
    let Units { rows, numbers } = units;
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
    let mut known = Vec::new();
    if let By::Counters { units, hours } = count.by {
        let slots = count.window.map(|window| format!("slot > this.window_{window}_day"));
        known.push(entries(units, "key", slots.as_deref()));
        if let (Some(hours), Some(window)) = (hours, count.window) {
            known.push(entries(hours, "key", Some(&time::whole_hours(window, false))));
        }
    }
    if let Some(window) = count.window {
        known.push(indent(&tables::keyed(plan, count, scope, Some(time::in_edge(plan, window)?))?, 4));
    }
    Ok(format!(
        "SELECT key, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m
FROM (
    {}
) AS entry
GROUP BY key",
        known.join("\n    UNION ALL\n    ")
    ))
}

/// Likewise, by the points of a series; of a series without groups as the rows are, which may be several for a point.
fn points(plan: &Plan<'_>, count: &Count, grouped: bool, points: u32) -> String {
    let (By::Counters { units, .. }, Some((clock, _))) = (count.by, &count.points) else {
        return String::new();
    };
    let columns = if grouped { "key, slot" } else { "slot" };
    let first = time::first_point(plan, *clock, points);
    let entries = entries(units, columns, Some(&format!("slot BETWEEN {first} AND this.point_{clock}")));
    if !grouped {
        return entries;
    }
    format!(
        "SELECT {columns}, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m
FROM (
    {entries}
) AS entry
GROUP BY {columns}"
    )
}

fn list(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}
