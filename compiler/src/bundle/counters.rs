//! A board's numbers from counters and from the deltas that have not been merged yet.

use board::definition::{Measure, Shape};

use super::assembly::{Number, Numbers};
use super::{Relations, Scope, time};
use crate::plan::{By, Count, Plan};
use crate::triggers::indent;
use crate::vector::cells;
use crate::{Catalogue, Fault, bundle::tables};

/// `WITH fact`: all that counters and deltas know of a tenant, without what is left out. Deltas are read by the feeds of this board only.
pub(super) fn facts(plan: &Plan<'_>, catalogue: &Catalogue, scope: Scope) -> String {
    let units = plan.units();
    let feeds = list(plan.feeds.iter().map(|feed| feed + 1));
    // What concerns everybody is a change of `*`, and counts for nothing else.
    let (whose, owner) = match scope {
        Scope::One | Scope::Many { .. } if plan.follows_everybody() => {
            ("delta.tenant IN (this.asked, '*') AND ", "owner IN (this.owner, '*')")
        }
        Scope::One | Scope::Many { .. } => ("delta.tenant = this.asked AND ", "owner = this.owner"),
        Scope::Every => ("", "owner = this.owner"),
    };
    let included = |left_out: &str| {
        scope.includes(left_out).map_or_else(String::new, |condition| format!(" AND {condition}"))
    };
    let counted = if units.is_empty() {
        String::new()
    } else {
        let numbers = list(units.iter().copied());
        format!(
            "
    UNION ALL
    SELECT cell.unit, cell.slot, cell.key, cell.n, cell.amount
    FROM delta CROSS JOIN LATERAL {}
    WHERE cell.applies{}
    UNION ALL
    SELECT -delta.feed, delta.slots[1], delta.keys[1], delta.n, delta.numbers[1]
    FROM delta
    WHERE -delta.feed IN ({numbers}){}
    UNION ALL
    SELECT unit, slot, key, n, amount
    FROM dashboard.counter
    WHERE owner = this.owner AND unit IN ({numbers}){}",
            indent(&cells(catalogue, "delta", &units), 4),
            included("cell.variant"),
            included("(delta.flags = 1)"),
            included("variant"),
        )
    };
    format!(
        "WITH delta AS MATERIALIZED (
    SELECT feed, flags, slots, keys, n, numbers
    FROM dashboard.delta
    WHERE {whose}delta.xid >= this.merged_before AND feed <> 0
), fact AS MATERIALIZED (
    -- Changes, by feed: unit 0.
    SELECT 0 AS unit, feed AS slot, '' AS key, 1::bigint AS n, 0::numeric AS amount
    FROM delta WHERE feed IN ({feeds})
    UNION ALL
    SELECT unit, slot, key, n, amount
    FROM dashboard.counter WHERE {owner} AND unit = 0 AND slot IN ({feeds}){counted}
)
"
    )
}

/// The numbers of each figure that counts.
pub(super) fn numbers(
    plan: &Plan<'_>,
    _catalogue: &Catalogue,
    scope: Scope,
    relations: &mut Relations,
) -> Result<Vec<Option<Numbers>>, Fault> {
    let mut items = vec!["coalesce(sum(n) FILTER (WHERE unit = 0), 0)::bigint AS changes".to_owned()];
    if !plan.left_out.is_empty() {
        let units = list(plan.left_out.iter().copied());
        items.push(format!("coalesce(sum(n) FILTER (WHERE unit IN ({units})), 0) <> 0 AS leaves_out"));
    }
    let mut numbers: Vec<Option<Numbers>> = plan.counts.iter().map(|_| None).collect();
    for (figure, _, counted, count) in plan.counted() {
        numbers[figure] = Some(match &counted.shape {
            Shape::Number { previous, .. } => {
                let number =
                    |name: &str, items: &mut Vec<String>| one(figure, name, count, &counted.measure, items);
                Numbers::One {
                    now: number("", &mut items),
                    before: previous.as_ref().map(|_| number("p", &mut items)),
                }
            }
            Shape::Groups { .. } | Shape::Steps { .. } => Numbers::Keyed(keyed(plan, count, scope)?),
            Shape::Series(series) => {
                let grouped = series.groups.is_some();
                let relation = points(plan, count, grouped, series.points);
                if grouped { Numbers::KeyedPoints(relation) } else { Numbers::Points(relation) }
            }
        });
    }
    relations.push(format!("(SELECT {}\n      FROM fact) AS total", items.join(",\n             ")));
    time::edges(plan, scope, true, relations)?;
    Ok(numbers)
}

/// A number, of the window or (`p`) of the period before.
fn one(figure: usize, name: &str, count: &Count, measure: &Measure, items: &mut Vec<String>) -> Number {
    let By::Counters { rows, numbers } = count.by else {
        let edge = |what: &str| {
            count.window.map_or_else(String::new, |window| format!("edge_{window}.f{figure}_{name}{what}"))
        };
        return Number { n: edge("n"), a: edge("a"), m: edge("m") };
    };
    let slots = match (count.window, name) {
        (None, _) => String::new(),
        (Some(window), "") => format!(" AND slot > this.window_{window}_day"),
        (Some(window), _) => {
            format!(" AND slot > this.before_{window}_day AND slot < this.window_{window}_day")
        }
    };
    let mut total = |what: &str, column: &str, unit: usize| {
        items.push(format!(
            "coalesce(sum({column}) FILTER (WHERE unit = {unit}{slots}), 0) AS f{figure}_{name}{what}"
        ));
        match count.window {
            None => format!("total.f{figure}_{name}{what}"),
            Some(window) => format!("(total.f{figure}_{name}{what} + edge_{window}.f{figure}_{name}{what})"),
        }
    };
    let n = if matches!(measure, Measure::Count) { total("n", "n", rows) } else { String::new() };
    let a = if matches!(measure, Measure::Count) { String::new() } else { total("a", "amount", numbers) };
    let m = if matches!(measure, Measure::Average(_)) { total("m", "n", numbers) } else { String::new() };
    Number { n, a, m }
}

/// A relation of keys with their numbers: `key`, `n` rows, `a` the sum, `m` rows with a number.
fn keyed(plan: &Plan<'_>, count: &Count, scope: Scope) -> Result<String, Fault> {
    let By::Counters { rows, numbers } = count.by else {
        return tables::keyed(
            plan,
            count,
            scope,
            count.window.map(|window| time::in_edge(plan, window)).transpose()?,
        );
    };
    let slots =
        count.window.map_or_else(String::new, |window| format!(" AND slot > this.window_{window}_day"));
    let known = format!(
        "SELECT key, CASE WHEN unit = {rows} THEN n ELSE 0 END AS n,
           CASE WHEN unit = {numbers} THEN amount ELSE 0 END AS a, CASE WHEN unit = {numbers} THEN n ELSE 0 END AS m
    FROM fact WHERE unit IN ({rows}, {numbers}){slots}"
    );
    let edge = match count.window {
        None => String::new(),
        Some(window) => {
            format!(
                "\n    UNION ALL\n    {}",
                tables::keyed(plan, count, scope, Some(time::in_edge(plan, window)?))?
            )
        }
    };
    Ok(format!(
        "SELECT key, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m\nFROM (\n    {known}{edge}\n) AS entry\nGROUP BY key"
    ))
}

/// Likewise, by the points of a series.
fn points(plan: &Plan<'_>, count: &Count, grouped: bool, points: u32) -> String {
    let (By::Counters { rows, numbers }, Some((clock, _))) = (count.by, &count.points) else {
        return String::new();
    };
    let key = if grouped { "key, " } else { "" };
    let first = time::first_point(plan, *clock, points);
    format!(
        "SELECT {key}slot, coalesce(sum(n) FILTER (WHERE unit = {rows}), 0)::bigint AS n,
       coalesce(sum(amount) FILTER (WHERE unit = {numbers}), 0) AS a,
       coalesce(sum(n) FILTER (WHERE unit = {numbers}), 0)::bigint AS m
FROM fact
WHERE unit IN ({rows}, {numbers}) AND slot BETWEEN {first} AND this.point_{clock}
GROUP BY {key}slot"
    )
}

fn list(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}
