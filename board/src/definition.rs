//! A board that has been read and checked. Whoever holds one need not ask again whether a source exists, a window has
//! a column of time, or a value refers to itself: only [`crate::read`] makes them.
//!
//! What only the database can say is still open: whether tables and columns are there, of which types they are, and
//! whether a function is volatile.

use crate::derived::Arithmetic;
use crate::expression::Expression;
use crate::order::Order;
use crate::path::{BoardName, Column, FigurePath, Table};
use crate::window::{Per, Window};
use chrono_tz::Tz;
use std::collections::BTreeSet;
use std::ops::Index;
use std::time::Duration;
use wire::tenant::Tenant;

/// A board.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Board {
    /// Under which it is asked for.
    pub name: BoardName,
    /// What stands above it.
    pub title: String,
    /// What a reader should know.
    pub note: Option<String>,
    /// Where the tenants are.
    pub tenants: Tenants,
    /// What it shows.
    pub content: Content,
    /// Tables whose changes change it, besides those that it counts.
    pub follow: Vec<Follow>,
}

impl Board {
    /// Whether there are two bundles, with and without what some source leaves out.
    pub fn leaves_out(&self) -> bool {
        match &self.content {
            Content::Declared(declared) => declared.sources.iter().any(|source| source.leave_out.is_some()),
            // Its statement may look at the flag.
            Content::Query(query) => query.uses_include,
        }
    }
}

/// What a board shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Figures and lists that are counted.
    Declared(Declared),
    /// The result of a statement.
    Query(Query),
}

/// Where the tenants are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tenants {
    /// A row for each.
    pub table: Table,
    /// Whose text is the tenant's name.
    pub key: Column,
    /// What people call it.
    pub name: Option<Column>,
    /// Another name that people look for.
    pub slug: Option<Column>,
    /// Which of them WARM covers.
    pub active: Active,
    /// The name for all of them together.
    pub all: Option<Tenant>,
}

/// Which tenants WARM covers.
#[derive(Clone, Debug, PartialEq)]
pub enum Active {
    /// All.
    All,
    /// Those of whose row this is true.
    Where(Expression),
    /// Those of whose row all of these are true. One whose columns the table does not have says nothing.
    WhereKnown(Vec<Expression>),
}

/// What is counted and listed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Declared {
    /// The tables that are read, in the order of the file.
    pub sources: Vec<Source>,
    /// The figures, in the order of the file, which is that of the bundle and of the page.
    pub figures: Vec<Figure>,
    /// The lists, likewise.
    pub lists: Vec<List>,
    /// The places of derived figures in `figures`, so ordered that each follows those that it names.
    pub derived: Vec<usize>,
}

impl Declared {
    /// All columns of a source that the board reads.
    pub fn columns(&self, of: SourceId) -> BTreeSet<&Column> {
        let source = &self[of];
        let mut columns: BTreeSet<&Column> = BTreeSet::from([&source.tenant]);
        columns.extend(source.leave_out.iter().flat_map(Expression::columns));
        for counted in self.figures.iter().filter_map(Figure::counted).filter(|counted| counted.source == of)
        {
            columns.extend(counted.columns());
        }
        for list in self.lists.iter().filter(|list| list.source == of) {
            columns.extend(list.filter.iter().flat_map(Expression::columns));
            columns.extend(&list.columns);
            columns.extend(list.order.iter().map(|order| &order.column));
        }
        columns
    }

    /// Each source with its number.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().enumerate().map(|(number, source)| (SourceId(number), source))
    }
}

/// Which of a board's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub(crate) usize);

impl Index<SourceId> for Declared {
    type Output = Source;

    fn index(&self, source: SourceId) -> &Source {
        &self.sources[source.0]
    }
}

/// A table that figures and lists read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// Its name within the board.
    pub name: String,
    /// The table.
    pub table: Table,
    /// Whose the row is.
    pub tenant: Column,
    /// True of rows that `INCLUDE false` leaves out. NULL is no.
    pub leave_out: Option<Expression>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// Where it stands in the bundle.
    pub path: FigurePath,
    /// What it is called.
    pub title: String,
    /// What a reader should know.
    pub note: Option<String>,
    /// How it is written.
    pub unit: Unit,
    /// What it says.
    pub rule: Rule,
}

impl Figure {
    /// Its rule, where it counts rows.
    pub fn counted(&self) -> Option<&Counted> {
        match &self.rule {
            Rule::Counted(counted) => Some(counted),
            Rule::Derived(_) => None,
        }
    }
}

/// How a page writes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As it is.
    Number,
    /// With two places.
    Money,
    /// 0.25 is 25 %.
    Percent,
    /// As a duration.
    Seconds,
}

impl Unit {
    /// All, as a definition names them.
    pub(crate) const ALL: [Self; 4] = [Self::Number, Self::Money, Self::Percent, Self::Seconds];

    /// Its name in a definition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Money => "money",
            Self::Percent => "percent",
            Self::Seconds => "seconds",
        }
    }
}

/// What a figure says.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// It counts rows.
    Counted(Counted),
    /// It computes with other figures, all of which are single numbers.
    Derived(Arithmetic),
}

/// How rows are counted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Counted {
    /// Whose rows.
    pub source: SourceId,
    /// Which of them. NULL is no.
    pub filter: Option<Expression>,
    /// What is counted of a row.
    pub measure: Measure,
    /// What comes out.
    pub shape: Shape,
}

impl Counted {
    /// The columns that this figure reads, without those of its source's own rules.
    pub fn columns(&self) -> BTreeSet<&Column> {
        let mut columns: BTreeSet<&Column> = self.filter.iter().flat_map(Expression::columns).collect();
        match &self.measure {
            Measure::Count => {}
            Measure::Sum(of) | Measure::Average(of) => columns.extend(of.columns()),
        }
        match &self.shape {
            Shape::Number { .. } => {}
            Shape::Groups { groups, .. } => columns.extend(groups.by.columns()),
            Shape::Steps { steps, .. } => {
                columns.insert(&steps.column);
            }
            Shape::Series(series) => {
                columns.insert(&series.at);
                columns.extend(series.groups.iter().flat_map(|groups| groups.by.columns()));
            }
        }
        columns.extend(self.shape.recent().map(|recent| &recent.at));
        columns
    }
}

/// What is counted of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// The row.
    Count,
    /// A number of it; of no rows 0. NULL and what is no number to JSON count as 0.
    Sum(Expression),
    /// The average over the rows where it is a number; of none null.
    Average(Expression),
}

/// What comes out of counting.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A number.
    Number {
        /// Only of recent rows.
        recent: Option<Recent>,
        /// Where the number of the period before stands. Only where there is a period.
        previous: Option<FigurePath>,
    },
    /// A number for each group.
    Groups {
        /// The groups.
        groups: Groups,
        /// Only of recent rows.
        recent: Option<Recent>,
    },
    /// A number for each step.
    Steps {
        /// The steps.
        steps: Steps,
        /// Only of recent rows.
        recent: Option<Recent>,
    },
    /// Numbers over time.
    Series(Series),
}

impl Shape {
    /// The window that rows must be in. A series has none: it has points.
    pub fn recent(&self) -> Option<&Recent> {
        match self {
            Self::Number { recent, .. } | Self::Groups { recent, .. } | Self::Steps { recent, .. } => {
                recent.as_ref()
            }
            Self::Series(_) => None,
        }
    }

    /// Whether it is one number, with which can be computed.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number { .. })
    }
}

/// Rows of which `now - window <= at`. Not bounded above: a row of tomorrow counts. The period before has `now - 2
/// windows <= at < now - window`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recent {
    /// How long.
    pub window: Window,
    /// The column of the time.
    pub at: Column,
}

/// Groups of rows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Groups {
    /// Whose text, cut, names the group.
    pub by: Expression,
    /// How many are shown: the largest by count, of equals the first by name, byte by byte.
    pub most: u32,
    /// What the rest, and rows without a group, are called. A group of this name is part of it and not one of the
    /// `most`.
    pub other: String,
    /// How many characters of a name count.
    pub cut: u32,
}

/// Steps, such as those of a funnel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Steps {
    /// Whose text says in which step a row is.
    pub column: Column,
    /// In their order; at least one.
    pub steps: Vec<Step>,
    /// The name of a last step for rows that are in none, those where the column is NULL included.
    pub other: Option<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its name in the bundle.
    pub name: String,
    /// The words that mean it; at least one, and no word means two steps.
    pub words: Vec<String>,
}

/// A number for each of the last days, weeks or months, the one that is not over yet included.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// What a point stands for.
    pub per: Per,
    /// How many.
    pub points: u32,
    /// Whose days, weeks or months.
    pub zone: Tz,
    /// The column of the time.
    pub at: Column,
    /// A series for each of these instead of one. Groups are ranked by their rows in all points together.
    pub groups: Option<Groups>,
}

/// One list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct List {
    /// Its name: it stands in the bundle as `lists.NAME`.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// What a reader should know.
    pub note: Option<String>,
    /// Whose rows.
    pub source: SourceId,
    /// Which of them. NULL is no.
    pub filter: Option<Expression>,
    /// The columns of a row, in their order.
    pub columns: Vec<Column>,
    /// The order of the rows; at least one column. Whether it is total, the database's unique indexes say.
    pub order: Vec<Order>,
    /// How many rows.
    pub limit: u32,
    /// How many characters of a text are shown.
    pub cut: u32,
}

/// A table whose changes change the board.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Follow {
    /// The table.
    pub table: Table,
    /// Whose board changes.
    pub whose: Whose,
}

/// Whose board a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every tenant's.
    Everybody,
    /// That of the tenant in this column.
    Column(Column),
    /// That of the tenant in another table's row: `column -> table.key . tenant`.
    Through {
        /// The changed row's column.
        column: Column,
        /// The other table.
        table: Table,
        /// The other table's column that has the same value.
        key: Column,
        /// The other table's column with the tenant.
        tenant: Column,
    },
}

/// A statement of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// The statement, without a `;` at its end. `$1` is the tenant's name, `$2` whether everything is included.
    pub statement: String,
    /// Whether it looks at `$2`: only then are there two bundles.
    pub uses_include: bool,
    /// The shortest time between two computations for a tenant.
    pub at_most_every: Duration,
}
