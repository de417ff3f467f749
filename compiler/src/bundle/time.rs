//! Windows, and until when a bundle is valid.
//!
//! Counters know whole days. The rest of a window is its *edge*: the part of its first day that is still in it, which is read by the
//! index on the column of time. Of the period before, the edge is twice: where it begins, and where it ends.

use std::fmt::Write;

use board::definition::Shape;
use board::window::Per;

use super::{Relations, Scope, filter, scope};
use crate::plan::{Plan, WindowUse};
use crate::row::{moment_of, step};
use crate::{Fault, Part};

/// The variables of a board's windows.
pub(super) fn variables(plan: &Plan<'_>) -> Vec<String> {
    let mut variables = vec!["today CONSTANT integer := now()::date - DATE '1970-01-01';".to_owned()];
    for (place, window) in plan.windows.iter().enumerate() {
        let spans = if window.compares { 2 } else { 1 };
        for (name, factor) in [("window", 1), ("before", 2)].into_iter().take(spans) {
            let begins = format!("now() - {factor} * INTERVAL '{}'", window.window.interval());
            variables.push(format!("{name}_{place} CONSTANT timestamptz := {begins};"));
            if window.is_of_hours() {
                continue;
            }
            variables.push(format!(
                "{name}_{place}_day CONSTANT integer := ({begins})::date - DATE '1970-01-01';"
            ));
            variables.push(format!(
                "{name}_{place}_ends CONSTANT timestamptz := (({begins})::date + 1)::timestamp AT TIME ZONE 'UTC';"
            ));
        }
    }
    variables
}

/// Whether a row is in a window, or in the period before, as SQL over `r`.
pub(super) fn in_window(plan: &Plan<'_>, place: usize, before: bool) -> Result<String, Fault> {
    let window = &plan.windows[place];
    let name = source_of(plan, window);
    let (part, row) = (Part::Source(&name), plan.sources[window.source].row());
    let begins = format!("this.window_{place}");
    if before {
        let since = row.since(&window.at, &format!("this.before_{place}"), &part)?;
        Ok(format!("{since} AND {}", row.before(&window.at, &begins, &part)?))
    } else {
        row.since(&window.at, &begins, &part)
    }
}

/// The rows of a window that are in its edge, as SQL over `r`: all of them in a window of hours.
pub(super) fn in_edge(plan: &Plan<'_>, place: usize) -> Result<String, Fault> {
    Ok(ranges(plan, place)?.window)
}

/// The first point of a series.
pub(super) fn first_point(plan: &Plan<'_>, clock: usize, points: u32) -> String {
    format!("this.point_{clock} - {}", (points - 1) * step(plan.clocks[clock].per))
}

/// The ranges of an edge: that of the window, and those of the period before.
struct Ranges {
    window: String,
    before: Vec<String>,
}

fn ranges(plan: &Plan<'_>, place: usize) -> Result<Ranges, Fault> {
    let window = &plan.windows[place];
    let name = source_of(plan, window);
    let part = Part::Source(&name);
    let row = plan.sources[window.source].row();
    let range = |from: &str, to: &str| -> Result<String, Fault> {
        Ok(format!("{} AND {}", row.since(&window.at, from, &part)?, row.before(&window.at, to, &part)?))
    };
    let (begins, before) = (format!("this.window_{place}"), format!("this.before_{place}"));
    if window.is_of_hours() {
        return Ok(Ranges {
            window: row.since(&window.at, &begins, &part)?,
            before: if window.compares { vec![range(&before, &begins)?] } else { Vec::new() },
        });
    }
    let mut ranges =
        Ranges { window: range(&begins, &format!("this.window_{place}_ends"))?, before: Vec::new() };
    if window.compares {
        ranges.before.push(range(&before, &format!("this.before_{place}_ends"))?);
        ranges.before.push(range(&format!("(this.window_{place}_ends - INTERVAL '1 day')"), &begins)?);
    }
    Ok(ranges)
}

fn source_of(plan: &Plan<'_>, window: &WindowUse) -> String {
    plan.declared.sources().nth(window.source).map_or_else(String::new, |(_, source)| source.name.clone())
}

/// One relation for each window, `edge_N`: what its edges count for each figure (`fN_n`, and for the period before `fN_pn`), where
/// `counts`; and in any case when the first row leaves it (`leaves`).
pub(super) fn edges(
    plan: &Plan<'_>,
    in_scope: Scope,
    counts: bool,
    relations: &mut Relations,
) -> Result<(), Fault> {
    for (place, window) in plan.windows.iter().enumerate() {
        let ranges = ranges(plan, place)?;
        let before = ranges.before.iter().map(|range| format!("({range})")).collect::<Vec<_>>().join(" OR ");
        let mut items = Vec::new();
        let mut filters = Vec::new();
        for (figure, _, counted, count) in
            plan.counted().filter(|(_, _, _, count)| count.window == Some(place))
        {
            let own: Vec<String> = count.filter.iter().cloned().collect();
            filters.push(if own.is_empty() { "true".to_owned() } else { own.join(" AND ") });
            if !counts || !counted.shape.is_number() {
                continue;
            }
            let compares = matches!(&counted.shape, Shape::Number { previous: Some(_), .. });
            for (name, range) in
                [("", &ranges.window), ("p", &before)].into_iter().take(1 + usize::from(compares))
            {
                let condition = [&own[..], &[format!("({range})")]].concat().join(" AND ");
                items.push(format!("count(*) FILTER (WHERE {condition}) AS f{figure}_{name}n"));
                if let Some(number) = &count.number {
                    items.push(format!(
                        "coalesce(sum({number}) FILTER (WHERE {condition}), 0) AS f{figure}_{name}a"
                    ));
                    items.push(format!("count({number}) FILTER (WHERE {condition}) AS f{figure}_{name}m"));
                }
            }
        }
        let name = source_of(plan, window);
        let part = Part::Source(&name);
        let moment = plan.sources[window.source].row().moment(&window.at, &part)?;
        // One whose figures cannot be shown has none.
        let any = if filters.is_empty() {
            "false".to_owned()
        } else if filters.iter().any(|filter| filter == "true") {
            "true".to_owned()
        } else {
            filters.join(" OR ")
        };
        let span = window.window.interval();
        // A row that is in no window's edge leaves after all that are.
        let mut leaves =
            format!("min({moment}) FILTER (WHERE ({any}) AND {}) + INTERVAL '{span}'", ranges.window);
        if !window.is_of_hours() {
            leaves = format!("LEAST({leaves}, this.window_{place}_ends + INTERVAL '{span}')");
        }
        if window.compares {
            let first = &ranges.before[0];
            let mut leaves_before =
                format!("min({moment}) FILTER (WHERE ({any}) AND {first}) + 2 * INTERVAL '{span}'");
            if !window.is_of_hours() {
                leaves_before =
                    format!("LEAST({leaves_before}, this.before_{place}_ends + 2 * INTERVAL '{span}')");
            }
            leaves = format!("LEAST({leaves}, {leaves_before})");
        }
        items.push(format!("{leaves} AS leaves"));
        let mut conditions = scope(plan, window.source, in_scope);
        conditions.push(if before.is_empty() {
            ranges.window.clone()
        } else {
            format!("(({}) OR {before})", ranges.window)
        });
        relations.push(format!(
            "(SELECT {}\n      FROM {} AS r{}) AS edge_{place}",
            items.join(",\n             "),
            plan.sources[window.source].facts.qualified,
            filter(&conditions)
        ));
    }
    Ok(())
}

/// The first moment at which a window loses a row, or a day, week or month begins. Months differ in length: what would be over already
/// is looked at again at midnight.
pub(super) fn valid_until(plan: &Plan<'_>) -> String {
    let mut moments: Vec<String> = plan
        .clocks
        .iter()
        .enumerate()
        .map(|(place, clock)| {
            moment_of(clock.per, &format!("this.point_{place} + {}", step(clock.per)), clock.zone)
        })
        .collect();
    let midnight = moment_of(Per::Day, "this.today + 1", "UTC");
    moments.extend((0..plan.windows.len()).map(|place| {
        format!("CASE WHEN edge_{place}.leaves > now() THEN edge_{place}.leaves WHEN edge_{place}.leaves IS NOT NULL THEN {midnight} END")
    }));
    if moments.is_empty() {
        return "NULL::timestamptz".to_owned();
    }
    let mut least = String::from("LEAST(");
    // Writing into a String cannot fail.
    let _ = write!(least, "{})", moments.join(",\n                "));
    least
}
