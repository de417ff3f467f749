//! What becomes of a board's numbers: one text of JSON, written the same whichever way they were found.

use board::definition::{Counted, Groups, Measure, Rule, Series, Shape, Steps};
use board::derived::{Arithmetic, plain};
use board::expression::literal;
use board::path::FigurePath;

use super::{Relations, time};
use crate::plan::Plan;
use crate::row::{date_of, step};
use crate::text::indent;

/// A number, as SQL: how many rows, the sum, and how many rows have a number. What the measure does not need may be empty.
pub(super) struct Number {
    pub(super) n: String,
    pub(super) a: String,
    pub(super) m: String,
}

/// What was found for a figure.
pub(super) enum Numbers {
    One {
        now: Number,
        before: Option<Number>,
    },
    /// A relation: `key`, `n`, `a`, `m`.
    Keyed(String),
    /// A relation: `slot`, `n`, `a`, `m`, with any number of rows for a slot.
    Points(String),
    /// A relation: `key`, `slot`, `n`, `a`, `m`.
    KeyedPoints(String),
}

/// The bundle as an expression of type text. Figures that are computed from others become relations.
pub(super) fn json(
    plan: &Plan<'_>,
    numbers: &[Option<Numbers>],
    lists: Option<&[(String, String)]>,
    relations: &mut Relations,
) -> String {
    for place in &plan.declared.derived {
        if let Rule::Derived(arithmetic) = &plan.declared.figures[*place].rule {
            let value = compute(plan, numbers, arithmetic);
            relations.push(format!("(SELECT trim_scale({value}) AS value) AS derived_{place}"));
        }
    }
    let mut members = Members::default();
    for (place, figure) in plan.declared.figures.iter().enumerate() {
        let path = figure.path.parts();
        match (&figure.rule, &numbers[place]) {
            (Rule::Counted(counted), Some(found)) => match (&counted.shape, found) {
                (Shape::Number { previous, .. }, Numbers::One { now, before }) => {
                    members.add(path, value(&counted.measure, now));
                    if let (Some(previous), Some(before)) = (previous, before) {
                        members.add(previous.parts(), value(&counted.measure, before));
                    }
                }
                (shape, found) => members.add(path, many(plan, place, counted, shape, found)),
            },
            // Its columns have gone.
            (Rule::Counted(counted), None) => {
                members.add(path, "'null'".to_owned());
                if let Shape::Number { previous: Some(previous), .. } = &counted.shape {
                    members.add(previous.parts(), "'null'".to_owned());
                }
            }
            (Rule::Derived(_), _) => {
                members.add(path, format!("coalesce(derived_{place}.value::text, 'null')"));
            }
        }
    }
    let mut parts: Vec<String> = Vec::new();
    if !members.0.is_empty() {
        parts.push(members.sql());
    }
    if let Some(lists) = lists {
        let lists: Vec<String> =
            lists.iter().map(|(name, items)| format!("'\"{name}\":' || {items}")).collect();
        let lists = if lists.is_empty() { "''".to_owned() } else { lists.join("\n       || ',' || ") };
        parts.push(format!("'\"lists\":{{' || {lists} || '}}'"));
    }
    let parts = if parts.is_empty() { "''".to_owned() } else { parts.join("\n       || ',' || ") };
    format!("'{{' || {parts} || '}}'")
}

/// Members of an object, by name, in the order in which they first came.
#[derive(Default)]
struct Members(Vec<(String, Member)>);

enum Member {
    Value(String),
    Object(Members),
}

impl Members {
    fn add(&mut self, path: &[String], value: String) {
        let [name, rest @ ..] = path else { return };
        if rest.is_empty() {
            self.0.push((name.clone(), Member::Value(value)));
            return;
        }
        let known = self.0.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            self.0.push((name.clone(), Member::Object(Self::default())));
            self.0.len() - 1
        });
        if let Member::Object(members) = &mut self.0[known].1 {
            members.add(rest, value);
        }
    }

    fn sql(&self) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, member)| match member {
                Member::Value(value) => format!("'\"{name}\":' || {value}"),
                Member::Object(members) => format!("'\"{name}\":{{' || {} || '}}'", members.sql()),
            })
            .collect();
        members.join("\n       || ',' || ")
    }
}

/// A single number, as text.
fn value(measure: &Measure, number: &Number) -> String {
    match measure {
        Measure::Count => format!("{}::text", number.n),
        Measure::Sum(_) => format!("{}::text", numeric(measure, number)),
        Measure::Average(_) => format!("coalesce({}::text, 'null')", numeric(measure, number)),
    }
}

/// A single number, as a numeric; NULL where there is none. Without zeros at its end: how exactly Postgres divides depends on them, and they on
/// the numbers that were added up on the way.
fn numeric(measure: &Measure, number: &Number) -> String {
    match measure {
        Measure::Count => format!("{}::numeric", number.n),
        Measure::Sum(_) => format!("trim_scale({})", number.a),
        Measure::Average(_) => format!("trim_scale(trim_scale({}) / nullif({}, 0))", number.a, number.m),
    }
}

/// Of the relation `named`.
fn own(named: &str) -> Number {
    let of = |what: &str| format!("coalesce({named}.{what}, 0)");
    Number { n: of("n"), a: of("a"), m: of("m") }
}

/// What stands for a group or a step: a number, or both of its numbers.
fn entry(measure: &Measure, named: &str) -> String {
    let own = own(named);
    match measure {
        Measure::Count => format!("{}::text", own.n),
        _ => format!("'{{\"count\":' || {} || ',\"value\":' || {} || '}}'", own.n, value(measure, &own)),
    }
}

fn many(plan: &Plan<'_>, place: usize, counted: &Counted, shape: &Shape, found: &Numbers) -> String {
    let measure = &counted.measure;
    let sql = match (shape, found) {
        (Shape::Groups { groups, .. }, Numbers::Keyed(relation)) => of_groups(groups, measure, relation),
        (Shape::Steps { steps, .. }, Numbers::Keyed(relation)) => of_steps(steps, measure, relation),
        (Shape::Series(series), Numbers::Points(relation)) => {
            of_series(plan, place, series, measure, relation)
        }
        (Shape::Series(series), Numbers::KeyedPoints(relation)) => {
            of_grouped_series(plan, place, series, measure, relation)
        }
        _ => "'null'".to_owned(),
    };
    indent(&sql, 4)
}

/// Groups by rank, the rest together: `name`, and the sums of what else `entry` has.
fn ranked(groups: &Groups, entries: &str) -> String {
    format!(
        "SELECT *, CASE WHEN key <> '' AND rank <= {} THEN substr(key, 2) ELSE {} END AS name
FROM (SELECT *, row_number() OVER (ORDER BY key = '', n DESC, key COLLATE \"C\") AS rank
      FROM ({}) AS found
      WHERE n <> 0) AS ranked",
        groups.most,
        literal(&groups.other),
        indent(entries, 12)
    )
}

fn of_groups(groups: &Groups, measure: &Measure, relation: &str) -> String {
    format!(
        "(SELECT '{{' || coalesce(string_agg(to_json(shown.name)::text || ':' || {}, ',' ORDER BY shown.name COLLATE \"C\"), '') || '}}'
 FROM (SELECT name, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m
       FROM ({}) AS named
       GROUP BY name) AS shown)",
        entry(measure, "shown"),
        indent(&ranked(groups, relation), 13)
    )
}

fn of_steps(steps: &Steps, measure: &Measure, relation: &str) -> String {
    let names: Vec<&String> = steps.steps.iter().map(|step| &step.name).chain(&steps.other).collect();
    let rows: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| format!("({place}, {}, {})", literal(name), literal(&format!("={name}"))))
        .collect();
    format!(
        "(SELECT '{{' || string_agg(to_json(step.name)::text || ':' || {}, ',' ORDER BY step.place) || '}}'
 FROM (VALUES {}) AS step(place, name, key)
 LEFT JOIN ({}) AS found ON found.key = step.key)",
        entry(measure, "found"),
        rows.join(", "),
        indent(relation, 12)
    )
}

/// The clock of a series, and its first point.
fn begins(plan: &Plan<'_>, place: usize, series: &Series) -> (usize, String) {
    let clock =
        plan.counts[place].as_ref().and_then(|count| count.points.as_ref()).map_or(0, |(clock, _)| *clock);
    (clock, time::first_point(plan, clock, series.points))
}

/// `{{"from":…,"per":…` of a series.
fn head(plan: &Plan<'_>, place: usize, series: &Series) -> String {
    let (_, first) = begins(plan, place, series);
    format!(
        "'{{\"from\":\"' || to_char({}, 'YYYY-MM-DD') || '\",\"per\":\"{}\",'",
        date_of(series.per, &first),
        series.per.name()
    )
}

/// The slots of a series, `slot`.
fn slots(plan: &Plan<'_>, place: usize, series: &Series) -> String {
    let (clock, first) = begins(plan, place, series);
    format!("generate_series({first}, this.point_{clock}, {}) AS points(slot)", step(series.per))
}

/// The arrays of a series, of the relation `found`, in the order of `slot`.
fn arrays(measure: &Measure, slot: &str) -> String {
    let array = |name: &str, value: &str| {
        format!("'\"{name}\":[' || string_agg({value}, ',' ORDER BY {slot}) || ']'")
    };
    let own = own("found");
    let count = array("count", &format!("{}::text", own.n));
    match measure {
        Measure::Count => count,
        _ => format!("{count} || ',' || {}", array("value", &value(measure, &own))),
    }
}

/// Each point is there, with 0 where nothing else is.
fn of_series(plan: &Plan<'_>, place: usize, series: &Series, measure: &Measure, relation: &str) -> String {
    format!(
        "(SELECT {} || {} || '}}'
 FROM (SELECT slot, sum(n)::bigint AS n, sum(a) AS a, sum(m)::bigint AS m
       FROM (SELECT slot, 0 AS n, 0 AS a, 0 AS m FROM {}
             UNION ALL
             {}) AS entry
       GROUP BY slot) AS found)",
        head(plan, place, series),
        arrays(measure, "found.slot"),
        slots(plan, place, series),
        indent(relation, 13)
    )
}

fn of_grouped_series(
    plan: &Plan<'_>,
    place: usize,
    series: &Series,
    measure: &Measure,
    relation: &str,
) -> String {
    let Some(groups) = &series.groups else { return "'null'".to_owned() };
    let totals = "SELECT key, sum(n)::bigint AS n FROM entry GROUP BY key";
    format!(
        "(WITH entry AS MATERIALIZED ({}), named AS MATERIALIZED ({}),
     found AS MATERIALIZED (
        SELECT named.name, entry.slot, sum(entry.n)::bigint AS n, sum(entry.a) AS a, sum(entry.m)::bigint AS m
        FROM entry JOIN named ON named.key = entry.key
        GROUP BY named.name, entry.slot)
 SELECT {} || '\"groups\":{{' || coalesce(string_agg(of_group.text, ',' ORDER BY of_group.name COLLATE \"C\"), '') || '}}}}'
 FROM (SELECT groups.name, to_json(groups.name)::text || ':{{' || {} || '}}' AS text
       FROM (SELECT DISTINCT name FROM named) AS groups
       CROSS JOIN {}
       LEFT JOIN found ON found.name = groups.name AND found.slot = points.slot
       GROUP BY groups.name) AS of_group)",
        indent(relation, 8),
        indent(&ranked(groups, totals), 8),
        head(plan, place, series),
        arrays(measure, "points.slot"),
        slots(plan, place, series)
    )
}

/// Arithmetic, as a numeric; NULL where it divides by 0 or has no value.
fn compute(plan: &Plan<'_>, numbers: &[Option<Numbers>], arithmetic: &Arithmetic) -> String {
    match arithmetic {
        Arithmetic::Number(number) => format!("{}::numeric", plain(number)),
        Arithmetic::Figure(path) => figure(plan, numbers, path),
        Arithmetic::Minus(inner) => format!("(-{})", compute(plan, numbers, inner)),
        Arithmetic::Two(left, operator, right) => {
            let (left, right) = (compute(plan, numbers, left), compute(plan, numbers, right));
            match operator {
                board::derived::Operator::Divide => format!("({left} / nullif({right}, 0))"),
                other => format!("({left} {} {right})", other.sign()),
            }
        }
    }
}

/// The figure at a path, as a numeric: also where that is a figure's period before.
fn figure(plan: &Plan<'_>, numbers: &[Option<Numbers>], path: &FigurePath) -> String {
    for (place, figure) in plan.declared.figures.iter().enumerate() {
        match (&figure.rule, &numbers[place]) {
            (Rule::Counted(counted), Some(Numbers::One { now, before })) => {
                if figure.path == *path {
                    return numeric(&counted.measure, now);
                }
                let is_previous = matches!(&counted.shape, Shape::Number { previous: Some(previous), .. } if previous == path);
                if let (true, Some(before)) = (is_previous, before) {
                    return numeric(&counted.measure, before);
                }
            }
            (Rule::Derived(_), _) if figure.path == *path => return format!("derived_{place}.value"),
            _ => {}
        }
    }
    "NULL::numeric".to_owned()
}
