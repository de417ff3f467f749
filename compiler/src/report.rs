//! What a board costs: where each of its figures is read from and why, and what a changed row appends.

use std::time::Duration;

use board::Board;
use board::definition::{Content, Counted, Rule, Shape};
use board::path::FigurePath;
use board::size;
use board::window::Per;

use crate::catalogue::Catalogue;
use crate::plan::{By, Count, Plan};
use crate::query::QueryPlan;

/// Where a part of a bundle is read from; the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Counters, however many rows there are.
    Counter,
    /// Counters, and the rows at the edge of a window.
    CounterAndEdge,
    /// Rows, in the order of an index.
    Index,
    /// A statement of one's own.
    Query,
}

impl Cost {
    /// As reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::CounterAndEdge => "counter + edge",
            Self::Index => "index",
            Self::Query => "query",
        }
    }
}

/// A figure or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// A figure's path, or `lists.NAME`.
    pub part: String,
    /// Where it is read from.
    pub cost: Cost,
    /// Why.
    pub why: String,
}

/// What a board costs to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each figure and list, in the order of the bundle.
    pub lines: Vec<Line>,
    /// How large a bundle can get, in bytes. Unknown of a statement of one's own.
    pub largest: Option<usize>,
    /// The part of it that can get largest, and how large.
    pub largest_part: Option<(String, usize)>,
}

/// A table whose changes are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The table, as SQL.
    pub table: String,
    /// Its feeds, by number: a changed row appends a delta for each.
    pub feeds: Vec<usize>,
}

/// What a board of figures costs to read.
pub fn of_plan(plan: &Plan<'_>) -> Report {
    let mut lines: Vec<Line> = Vec::new();
    for (place, figure) in plan.declared.figures.iter().enumerate() {
        let (cost, why) = match (&figure.rule, &plan.counts[place]) {
            (Rule::Derived(arithmetic), _) => {
                let named: Vec<String> = arithmetic.figures().iter().map(ToString::to_string).collect();
                let why = if named.is_empty() {
                    "a constant".to_owned()
                } else {
                    format!("computed from {} when it is read", named.join(", "))
                };
                (cost_at(plan, &figure.path), why)
            }
            (Rule::Counted(counted), Some(count)) => (cost(count), why(plan, counted, count)),
            // It cannot be shown, and `Plan::missing` says why.
            (Rule::Counted(_), None) => continue,
        };
        lines.push(Line { part: figure.path.to_string(), cost, why });
    }
    for (list, _) in plan.declared.lists.iter().zip(&plan.lists).filter(|(_, fits)| **fits) {
        let filter = if list.filter.is_some() { " that pass its condition" } else { "" };
        let why = format!("the first {} rows{filter}, in the order of an index", list.limit);
        lines.push(Line { part: format!("lists.{}", list.name), cost: Cost::Index, why });
    }
    with_size(plan.board, lines)
}

/// What a board of one's own SQL costs to read.
pub fn of_query(plan: &QueryPlan<'_>) -> Report {
    let every = match &plan.board.content {
        Content::Query(query) => query.at_most_every,
        Content::Declared(_) => Duration::ZERO,
    };
    let why = format!(
        "a statement of its own runs after a change of what it follows, at most every {} s for a tenant",
        every.as_secs()
    );
    let line = Line { part: "the bundle".to_owned(), cost: Cost::Query, why };
    with_size(plan.board, vec![line])
}

/// The tables whose changes are followed, in the order of their feeds.
pub fn followed(catalogue: &Catalogue) -> Vec<Followed> {
    let mut followed: Vec<Followed> = Vec::new();
    for (place, feed) in catalogue.feeds.iter().enumerate() {
        match followed.iter_mut().find(|known| known.table == feed.table) {
            Some(known) => known.feeds.push(place + 1),
            None => followed.push(Followed { table: feed.table.clone(), feeds: vec![place + 1] }),
        }
    }
    followed
}

fn with_size(board: &Board, lines: Vec<Line>) -> Report {
    let size = size::largest(board);
    let largest_part = size.parts().iter().max_by_key(|(_, bytes)| *bytes).cloned();
    Report { lines, largest: largest_part.is_some().then(|| size.total()), largest_part }
}

fn cost(count: &Count) -> Cost {
    match (count.by, count.window) {
        (By::Index, _) => Cost::Index,
        (By::Counters { .. }, Some(_)) => Cost::CounterAndEdge,
        (By::Counters { .. }, None) => Cost::Counter,
    }
}

/// What the figure at a path costs: a derived one as much as the most expensive that it is computed from. Definitions have no circles.
fn cost_at(plan: &Plan<'_>, path: &FigurePath) -> Cost {
    let figures = plan.declared.figures.iter().zip(&plan.counts);
    let of = figures.filter_map(|(figure, count)| match &figure.rule {
        Rule::Derived(arithmetic) => (figure.path == *path)
            .then(|| arithmetic.figures().into_iter().map(|path| cost_at(plan, path)).max())?,
        Rule::Counted(counted) => {
            let is_previous =
                matches!(&counted.shape, Shape::Number { previous: Some(previous), .. } if previous == path);
            count.as_ref().filter(|_| figure.path == *path || is_previous).map(cost)
        }
    });
    of.max().unwrap_or(Cost::Counter)
}

fn why(plan: &Plan<'_>, counted: &Counted, count: &Count) -> String {
    let by = match &counted.shape {
        Shape::Number { .. } => String::new(),
        Shape::Groups { groups, .. } => format!(", by group ({} are shown)", groups.most),
        Shape::Steps { .. } => ", by step".to_owned(),
        Shape::Series(series) => {
            let per = match series.per {
                Per::Day => "day",
                Per::Week => "week",
                Per::Month => "month",
            };
            let group = if series.groups.is_some() { " and group" } else { "" };
            return format!("rows are counted by {per}{group} as they change: {} points", series.points);
        }
    };
    let Some(window) = count.window.map(|window| &plan.windows[window]) else {
        return format!("rows are counted as they change{by}");
    };
    let (at, last) = (&window.at, window.window.interval());
    match count.by {
        By::Index => format!(
            "days are counted, and a window of hours is shorter: the rows of the last {last} are read by an index on {at}"
        ),
        By::Counters { .. } => format!(
            "whole hours and days of the last {last} are counted{by}; the rest is read by an index on {at}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_part_says_where_it_is_read_from_and_a_derived_figure_costs_as_much_as_its_dearest() {
        let (board, facts) = (sample::board(), sample::facts());
        let mut catalogue = Catalogue::default();
        let plan = Plan::of(&board, &facts, &mut catalogue).unwrap();
        let report = of_plan(&plan);
        let costs: Vec<(&str, &str)> =
            report.lines.iter().map(|line| (line.part.as_str(), line.cost.name())).collect();
        assert_eq!(
            costs,
            [
                ("stats.won", "counter"),
                ("stats.new", "counter + edge"),
                ("stats.value", "counter + edge"),
                ("stats.stages", "counter"),
                ("stats.steps", "counter"),
                ("stats.calls", "index"),
                ("stats.share", "counter + edge"),
                ("stats.twice", "index"),
                ("series.days", "counter"),
                ("lists.recent", "index"),
                ("lists.stages", "index"),
            ]
        );
        assert_eq!(report.lines[3].why, "rows are counted as they change, by group (4 are shown)");
        assert!(report.lines[5].why.contains("the rows of the last 36 hours are read by an index on at"));
        assert_eq!(report.lines[6].why, "computed from stats.newPrevious, stats.won when it is read");
        let parts: usize = size::largest(&board).parts().iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(report.largest, Some(parts));
        assert_eq!(report.largest_part.unwrap().0, "lists.stages");
    }

    #[test]
    fn a_table_that_is_seen_from_two_tenant_columns_appends_two_deltas_a_row() {
        let second = "[sources.others]\ntable = \"deals\"\ntenant = \"id\"\n[figures]\n\"stats.others\" = { from = \"others\" }";
        let (board, facts) = (sample::board_with("[figures]", second), sample::facts());
        let mut catalogue = Catalogue::default();
        Plan::of(&board, &facts, &mut catalogue).unwrap();
        let followed: Vec<(String, usize)> =
            followed(&catalogue).into_iter().map(|of| (of.table, of.feeds.len())).collect();
        let of = |table: &str, feeds| (table.to_owned(), feeds);
        assert_eq!(followed, [of("public.deals", 2), of("public.calls", 1), of("public.accounts", 1)]);
    }
}
