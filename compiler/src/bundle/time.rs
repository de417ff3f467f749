//! Windows, and until when a bundle is valid.
//!
//! Counters know whole days, and whole hours of the day in which a window begins. The rest of a window is its *edge*: the part of its first
//! hour that is still in it, which is read by the index on the column of time. Of the period before, the edge is twice: where it begins, and
//! where it ends.

use board::definition::{Counted, Figure, Shape};
use board::window::Per;

use super::{Relations, Scope, Way, filter, scope};
use crate::plan::{By, Count, Plan, WindowUse};
use crate::row::{hour_of, moment_of, slot_now, step};
use crate::{Fault, Part};

/// The variables of a board's windows and series.
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
                "{name}_{place}_hour CONSTANT integer := {};",
                hour_of(&format!("({begins})"))
            ));
            variables.push(format!(
                "{name}_{place}_ends CONSTANT timestamptz := date_trunc('hour', {begins}) + INTERVAL '1 hour';"
            ));
        }
    }
    variables.extend(plan.clocks.iter().enumerate().map(|(place, clock)| {
        format!("point_{place} CONSTANT integer := {};", slot_now(clock.per, clock.zone))
    }));
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
        ranges.before.push(range(&format!("(this.window_{place}_ends - INTERVAL '1 hour')"), &begins)?);
    }
    Ok(ranges)
}

fn source_of(plan: &Plan<'_>, window: &WindowUse) -> String {
    plan.declared.sources().nth(window.source).map_or_else(String::new, |(_, source)| source.name.clone())
}

/// One relation for each window, `edge_N`: what its edges count for each figure (`fN_n`, and for the period before `fN_pn`), and when the
/// first row in them leaves (`leaves`).
pub(super) fn edges(plan: &Plan<'_>, in_scope: Scope, relations: &mut Relations) -> Result<(), Fault> {
    for (place, window) in plan.windows.iter().enumerate() {
        let ranges = ranges(plan, place)?;
        let before = ranges.before.iter().map(|range| format!("({range})")).collect::<Vec<_>>().join(" OR ");
        let mut items = Vec::new();
        for (figure, _, counted, count) in of_window(plan, place) {
            if !counted.shape.is_number() {
                continue;
            }
            let compares = matches!(&counted.shape, Shape::Number { previous: Some(_), .. });
            for (name, range) in
                [("", &ranges.window), ("p", &before)].into_iter().take(1 + usize::from(compares))
            {
                let condition =
                    count.filter.iter().chain([&format!("({range})")]).cloned().collect::<Vec<_>>();
                let condition = condition.join(" AND ");
                items.push(format!("count(*) FILTER (WHERE {condition}) AS f{figure}_{name}n"));
                if let Some(number) = &count.number {
                    items.push(format!(
                        "coalesce(sum({number}) FILTER (WHERE {condition}), 0) AS f{figure}_{name}a"
                    ));
                    items.push(format!("count({number}) FILTER (WHERE {condition}) AS f{figure}_{name}m"));
                }
            }
        }
        items.push(leaves(plan, place, &ranges.window, ranges.before.first())?);
        let range = if before.is_empty() {
            ranges.window.clone()
        } else {
            format!("(({}) OR {before})", ranges.window)
        };
        relations.push(relation(plan, window, in_scope, &items, range, &format!("edge_{place}")));
    }
    Ok(())
}

/// Likewise of whole windows, and only when the first row leaves.
pub(super) fn whole(plan: &Plan<'_>, in_scope: Scope, relations: &mut Relations) -> Result<(), Fault> {
    for (place, window) in plan.windows.iter().enumerate() {
        let now = in_window(plan, place, false)?;
        let before = if window.compares { Some(in_window(plan, place, true)?) } else { None };
        let item = leaves(plan, place, &now, before.as_ref())?;
        let range = before.map_or_else(|| now.clone(), |before| format!("({now} OR {before})"));
        relations.push(relation(plan, window, in_scope, &[item], range, &format!("edge_{place}")));
    }
    Ok(())
}

/// The figures of a window.
fn of_window<'p>(
    plan: &'p Plan<'_>,
    place: usize,
) -> impl Iterator<Item = (usize, &'p Figure, &'p Counted, &'p Count)> {
    plan.counted().filter(move |(_, _, _, count)| count.window == Some(place))
}

/// When the first of the rows in these ranges that some figure counts leaves the window, or the period before.
fn leaves(plan: &Plan<'_>, place: usize, now: &str, before: Option<&String>) -> Result<String, Fault> {
    let window = &plan.windows[place];
    let name = source_of(plan, window);
    let moment = plan.sources[window.source].row().moment(&window.at, &Part::Source(&name))?;
    let filters: Option<Vec<&str>> =
        of_window(plan, place).map(|(_, _, _, count)| count.filter.as_deref()).collect();
    let any = match filters {
        None => String::new(),
        // One whose figures cannot be shown has none.
        Some(filters) if filters.is_empty() => "false AND ".to_owned(),
        Some(filters) => format!("({}) AND ", filters.join(" OR ")),
    };
    let span = window.window.interval();
    let of = |range: &str, factor: u32| {
        format!("min({moment}) FILTER (WHERE {any}{range}) + {factor} * INTERVAL '{span}'")
    };
    Ok(match before {
        None => format!("{} AS leaves", of(now, 1)),
        Some(before) => format!("LEAST({}, {}) AS leaves", of(now, 1), of(before, 2)),
    })
}

fn relation(
    plan: &Plan<'_>,
    window: &WindowUse,
    in_scope: Scope,
    items: &[String],
    range: String,
    name: &str,
) -> String {
    let mut conditions = scope(plan, window.source, in_scope);
    conditions.push(range);
    format!(
        "(SELECT {}\n      FROM {} AS r{}) AS {name}",
        items.join(",\n             "),
        plan.sources[window.source].facts.qualified,
        filter(&conditions)
    )
}

/// The slots of hours that are looked at.
pub(super) fn hours(plan: &Plan<'_>, place: usize) -> String {
    let of = |name: &str| {
        format!("slot BETWEEN this.{name}_{place}_day * 24 AND this.{name}_{place}_day * 24 + 23")
    };
    if plan.windows[place].compares {
        format!("({} OR {})", of("window"), of("before"))
    } else {
        of("window")
    }
}

/// The whole hours of a window's first day, and (`before`) those of the period before at both of its ends.
pub(super) fn whole_hours(place: usize, before: bool) -> String {
    if before {
        format!(
            "(slot > this.before_{place}_hour AND slot < (this.before_{place}_day + 1) * 24
                OR slot >= this.window_{place}_day * 24 AND slot < this.window_{place}_hour)"
        )
    } else {
        format!("slot > this.window_{place}_hour AND slot < (this.window_{place}_day + 1) * 24")
    }
}

/// One relation for each window, `next_N`: when the first hour leaves that is behind the edge and has rows, or else the first day
/// (`leaves`).
pub(super) fn next(plan: &Plan<'_>, relations: &mut Relations) {
    for (place, window) in plan.windows.iter().enumerate().filter(|(_, window)| !window.is_of_hours()) {
        let mut units: Vec<usize> = of_window(plan, place)
            .filter_map(|(_, _, _, count)| match count.by {
                By::Counters { hours, .. } => hours.map(|hours| hours.rows),
                By::Index => None,
            })
            .collect();
        units.sort_unstable();
        units.dedup();
        let span = window.window.interval();
        let of = |name: &str, factor: u32| {
            format!(
                "to_timestamp(3600 * coalesce(min(slot) FILTER (WHERE slot > this.{name}_{place}_hour AND slot < (this.{name}_{place}_day + 1) * 24), \
                 (this.{name}_{place}_day + 1) * 24)::float8) + {factor} * INTERVAL '{span}'"
            )
        };
        let leaves = if window.compares {
            format!("LEAST({}, {})", of("window", 1), of("before", 2))
        } else {
            of("window", 1)
        };
        let from = if units.is_empty() {
            "SELECT NULL::integer AS slot WHERE false".to_owned()
        } else {
            let units: Vec<String> =
                units.iter().map(|unit| format!("SELECT slot FROM unit_{unit} WHERE n <> 0")).collect();
            units.join(" UNION ALL ")
        };
        relations.push(format!("(SELECT {leaves} AS leaves\n      FROM ({from}) AS known) AS next_{place}"));
    }
}

/// The first moment at which a window loses a row, or a day, week or month begins. Months differ in length: what would be over already
/// is looked at again at midnight.
pub(super) fn valid_until(plan: &Plan<'_>, way: Way) -> String {
    let mut moments: Vec<String> = plan
        .clocks
        .iter()
        .enumerate()
        .map(|(place, clock)| {
            moment_of(clock.per, &format!("this.point_{place} + {}", step(clock.per)), clock.zone)
        })
        .collect();
    let midnight = moment_of(Per::Day, "this.today + 1", "UTC");
    for (place, window) in plan.windows.iter().enumerate() {
        let next = way == Way::Counters && !window.is_of_hours();
        for name in ["edge", "next"].into_iter().take(1 + usize::from(next)) {
            let leaves = format!("{name}_{place}.leaves");
            moments.push(format!(
                "CASE WHEN {leaves} > now() THEN {leaves} WHEN {leaves} IS NOT NULL THEN {midnight} END"
            ));
        }
    }
    if moments.is_empty() {
        return "NULL::timestamptz".to_owned();
    }
    format!("LEAST({})", moments.join(",\n                "))
}
