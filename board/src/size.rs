//! How large a bundle of a board can get.
//!
//! It is counted with one byte a character and every listed column as text of its full length: more than any bundle
//! of plain text has. The types of columns, which make it less, are the database's; characters beyond ASCII, which
//! make it more, are the data's.

use crate::definition::{Board, Content, Counted, Groups, List, Measure, Rule, Shape};

/// The most that a bundle may have: what the module takes unless it is told otherwise.
pub const MAX_BUNDLE: usize = 1024 * 1024;
/// A number with its comma.
const NUMBER: usize = 24;
/// Quotes, colon and comma around a name, and brackets around what it names.
const AROUND: usize = 6;

/// The largest bundle of a board, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size(Vec<(String, usize)>);

impl Size {
    /// Each figure by its path and each list as `lists.NAME`, in bytes.
    pub fn parts(&self) -> &[(String, usize)] {
        &self.0
    }

    /// All of it, in bytes.
    pub fn total(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// How large a bundle of this board can get. Of a statement of one's own, nothing is known.
pub fn largest(board: &Board) -> Size {
    let Content::Declared(declared) = &board.content else { return Size(Vec::new()) };
    let mut parts = Vec::new();
    for figure in &declared.figures {
        let bytes = match &figure.rule {
            Rule::Derived(_) => NUMBER,
            Rule::Counted(counted) => of_counted(counted),
        };
        let path = figure.path.to_string();
        parts.push((path.clone(), path.len() + AROUND + bytes));
    }
    for list in &declared.lists {
        parts.push((format!("lists.{}", list.name), list.name.len() + AROUND + of_list(list)));
    }
    Size(parts)
}

fn of_counted(counted: &Counted) -> usize {
    // {"count":1,"value":2}
    let number = if counted.measure == Measure::Count { NUMBER } else { 2 * NUMBER + 20 };
    match &counted.shape {
        Shape::Number { previous: None, .. } => NUMBER,
        Shape::Number { previous: Some(path), .. } => 2 * NUMBER + path.name().len() + AROUND,
        Shape::Groups { groups, .. } => of_groups(groups, number),
        Shape::Steps { steps, .. } => {
            let names =
                steps.steps.iter().map(|step| step.name.len()).chain(steps.other.iter().map(String::len));
            names.map(|name| name + AROUND + number).sum()
        }
        Shape::Series(series) => {
            let arrays = if counted.measure == Measure::Count { 1 } else { 2 };
            let points = arrays * (AROUND + 5 + series.points as usize * NUMBER);
            60 + series.groups.as_ref().map_or(points, |groups| of_groups(groups, points))
        }
    }
}

fn of_groups(groups: &Groups, each: usize) -> usize {
    groups.most as usize * (groups.cut as usize + AROUND + each) + groups.other.len() + AROUND + each
}

fn of_list(list: &List) -> usize {
    let row: usize =
        list.columns.iter().map(|column| column.as_str().len() + AROUND + list.cut as usize).sum();
    list.limit as usize * (row + 3)
}
