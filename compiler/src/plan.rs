//! What a board needs: its tables as they are, the units that its figures are made of, and the windows and series that they look at.

use board::Board;
use board::definition::{
    Content, Counted, Declared, Figure, Follow, List, Measure, Recent, Series, Shape, SourceId, Whose,
};
use board::path::{Column, Table};
use board::window::{Per, Unit as Span, Window};

use crate::catalogue::{Catalogue, TooManyConditions, Unit};
use crate::facts::{Facts, TableFacts, Type};
use crate::row::Row;
use crate::{Fault, Part};

/// The tenant of a change that concerns all of them. Nobody can be called that.
pub(crate) const EVERYBODY: &str = "*";

/// A board that fits its database.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The board.
    pub board: &'a Board,
    pub(crate) declared: &'a Declared,
    pub(crate) tenants: TenantTable,
    pub(crate) sources: Vec<SourceTable<'a>>,
    /// For each figure that counts, in the order of the definition.
    pub(crate) counts: Vec<Option<Count>>,
    /// For each list, whether it can be shown.
    pub(crate) lists: Vec<bool>,
    pub(crate) windows: Vec<WindowUse>,
    pub(crate) clocks: Vec<Clock>,
    /// All feeds that it reads, by number less one, each once.
    pub(crate) feeds: Vec<usize>,
    /// Units that count what is left out where not everything is included.
    pub(crate) left_out: Vec<usize>,
    /// What cannot be shown, and why: its column has gone, or is something else by now.
    pub(crate) missing: Vec<Fault>,
}

/// Where the tenants are.
#[derive(Debug)]
pub(crate) struct TenantTable {
    pub(crate) table: String,
    pub(crate) key: String,
    pub(crate) key_type: String,
}

/// A source's table.
#[derive(Debug)]
pub(crate) struct SourceTable<'a> {
    pub(crate) facts: &'a TableFacts,
    pub(crate) feed: usize,
    /// The column with the tenant, of `r`.
    pub(crate) tenant: String,
    pub(crate) tenant_type: String,
    pub(crate) leave_out: Option<LeaveOut>,
}

/// Whether a row is left out where not everything is included.
#[derive(Debug)]
pub(crate) struct LeaveOut {
    /// As SQL over `r`.
    pub(crate) sql: String,
    /// Which of the feed's conditions that is.
    condition: usize,
}

impl SourceTable<'_> {
    pub(crate) fn row(&self) -> Row<'_> {
        Row { facts: self.facts }
    }
}

/// How a figure counts.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) source: usize,
    /// Which rows, as SQL over `r`.
    pub(crate) filter: Option<String>,
    /// What is added up, as SQL over `r`.
    pub(crate) number: Option<String>,
    /// Its group or step, as SQL over `r`.
    pub(crate) key: Option<String>,
    /// Which of the board's windows.
    pub(crate) window: Option<usize>,
    /// Which of the board's clocks, and the point that a row is in, as SQL over `r`.
    pub(crate) points: Option<(usize, String)>,
    pub(crate) by: By,
}

/// Where a figure's numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Counters, and of a window the same by hours.
    Counters { units: Units, hours: Option<Units> },
    /// An index: a window of hours is shorter than the days that counters know.
    Index,
}

/// The unit that has the rows and, of an average, the one that has the numbers; of a sum they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) rows: usize,
    pub(crate) numbers: usize,
}

/// A window over one source.
#[derive(Debug)]
pub(crate) struct WindowUse {
    pub(crate) source: usize,
    pub(crate) at: Column,
    pub(crate) window: Window,
    /// Whether some figure shows the period before.
    pub(crate) compares: bool,
}

impl WindowUse {
    pub(crate) fn is_of_hours(&self) -> bool {
        self.window.unit == Span::Hours
    }
}

/// The days, weeks or months of a zone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) per: Per,
    pub(crate) zone: &'static str,
}

impl<'a> Plan<'a> {
    /// Looks whether a board fits its database, and gives what it counts a place in the catalogue. On an error the catalogue is as it
    /// was.
    ///
    /// # Errors
    /// The first [`Fault`] in the order of the definition.
    pub fn of(board: &'a Board, facts: &'a Facts, catalogue: &mut Catalogue) -> Result<Self, Fault> {
        let mut known = catalogue.clone();
        let plan = Self::of_what_fits(board, facts, &mut known)?;
        match plan.missing.first() {
            Some(fault) => Err(fault.clone()),
            None => {
                *catalogue = known;
                Ok(plan)
            }
        }
    }

    /// Likewise, where columns may have gone since the board was applied: figures and lists that need them are null, and
    /// [`Plan::missing`] says why.
    ///
    /// # Errors
    /// A [`Fault`] of what everything else stands on: a table, or the column that says whose a row is.
    pub fn of_what_fits(
        board: &'a Board,
        facts: &'a Facts,
        catalogue: &mut Catalogue,
    ) -> Result<Self, Fault> {
        let Content::Declared(declared) = &board.content else {
            return Err(Fault::NothingToCount { board: board.name.to_string() });
        };
        let mut known = catalogue.clone();
        let tenants = tenants(board, facts)?;
        let mut plan = Self {
            board,
            declared,
            tenants,
            sources: Vec::new(),
            counts: Vec::new(),
            lists: Vec::new(),
            windows: Vec::new(),
            clocks: Vec::new(),
            feeds: Vec::new(),
            left_out: Vec::new(),
            missing: Vec::new(),
        };
        for (_, source) in declared.sources() {
            let part = Part::Source(&source.name);
            let table = table(facts, &source.table, &part)?;
            let row = Row { facts: table };
            let tenant = row.tenant(source)?;
            let out = source.leave_out.as_ref().map(|out| row.condition(out, &part)).transpose()?;
            let feed = known.feed(&table.qualified, &tenant, None);
            let mut leave_out = None;
            if let Some(sql) = out {
                let dimensions = &mut known.feeds[feed];
                let condition =
                    dimensions.condition(sql.clone()).map_err(|TooManyConditions| too_many(&part, table))?;
                let unit = Unit {
                    feed,
                    conditions: vec![condition],
                    leave_out: None,
                    slot: None,
                    key: None,
                    number: None,
                };
                plan.left_out.push(known.unit(unit));
                leave_out = Some(LeaveOut { sql, condition });
            }
            let tenant_type = table.columns[&source.tenant].name.clone();
            plan.sources.push(SourceTable { facts: table, feed, tenant, tenant_type, leave_out });
            plan.feeds.push(feed);
        }
        for figure in &declared.figures {
            let count = figure.counted().map(|counted| plan.count(figure, counted, &mut known)).transpose();
            let count = count.unwrap_or_else(|fault| {
                plan.missing.push(fault);
                None
            });
            plan.counts.push(count);
        }
        plan.feeds.extend(follows(board, facts, &plan.tenants, &mut known)?);
        plan.feeds.sort_unstable();
        plan.feeds.dedup();
        for list in &declared.lists {
            let fits = plan.list(list);
            plan.lists.push(fits.is_ok());
            plan.missing.extend(fits.err());
        }
        *catalogue = known;
        Ok(plan)
    }

    /// Whether a change of some table concerns every tenant.
    pub(crate) fn follows_everybody(&self) -> bool {
        self.board.follow.iter().any(|follow| follow.whose == Whose::Everybody)
    }

    /// What cannot be shown, and why.
    pub fn missing(&self) -> &[Fault] {
        &self.missing
    }

    fn list(&self, list: &List) -> Result<(), Fault> {
        let part = Part::List(&list.name);
        let row = self.sources[place(self.declared, list.source)].row();
        for column in list.columns.iter().chain(list.order.iter().map(|order| &order.column)) {
            row.type_of(column, &part)?;
        }
        list.filter.as_ref().map_or(Ok(()), |filter| row.condition(filter, &part).map(drop))
    }

    fn count(
        &mut self,
        figure: &Figure,
        counted: &Counted,
        catalogue: &mut Catalogue,
    ) -> Result<Count, Fault> {
        let path = figure.path.to_string();
        let part = Part::Figure(&path);
        let source = place(self.declared, counted.source);
        let facts = self.sources[source].facts;
        let row = Row { facts };
        let filter = counted.filter.as_ref().map(|filter| row.condition(filter, &part)).transpose()?;
        let number = match &counted.measure {
            Measure::Count => None,
            Measure::Sum(of) | Measure::Average(of) => Some(row.number(of, &part)?),
        };
        let key = match &counted.shape {
            Shape::Groups { groups, .. } => Some(row.group(groups, &part)?),
            Shape::Series(Series { groups: Some(groups), .. }) => Some(row.group(groups, &part)?),
            Shape::Steps { steps, .. } => Some(row.step(steps, &part)?),
            Shape::Number { .. } | Shape::Series(_) => None,
        };
        let compares = matches!(&counted.shape, Shape::Number { previous: Some(_), .. });
        let window = match counted.shape.recent() {
            Some(recent) => Some(self.window(source, recent, compares, &part)?),
            None => None,
        };
        let points = match &counted.shape {
            Shape::Series(series) => Some((self.clock(series), row.point(series, &part)?)),
            _ => None,
        };
        let by = if window.is_some_and(|window| self.windows[window].is_of_hours()) {
            By::Index
        } else {
            let (slot, hour) = match window {
                Some(window) => {
                    let at = &self.windows[window].at;
                    (Some(row.day(at, &part)?), Some(row.hour(at, &part)?))
                }
                None => (points.as_ref().map(|(_, point)| point.clone()), None),
            };
            let mut unit = |slot: Option<&String>, conditions: &[&String], number: Option<&String>| {
                let feed = self.sources[source].feed;
                let dimensions = &mut catalogue.feeds[feed];
                let mut places = Vec::new();
                for condition in conditions {
                    let place = dimensions.condition((*condition).clone());
                    places.push(place.map_err(|TooManyConditions| too_many(&part, facts))?);
                }
                places.sort_unstable();
                let unit = Unit {
                    feed,
                    conditions: places,
                    leave_out: self.sources[source].leave_out.as_ref().map(|out| out.condition),
                    slot: slot.map(|slot| dimensions.slot(slot.clone())),
                    key: key.clone().map(|key| dimensions.key(key)),
                    number: number.map(|number| dimensions.number(number.clone())),
                };
                Ok(catalogue.unit(unit))
            };
            let conditions: Vec<&String> = filter.iter().collect();
            let mut units = |slot: Option<&String>| match (&counted.measure, &number) {
                (Measure::Average(_), Some(number)) => {
                    let rows = unit(slot, &conditions, None)?;
                    let is_number = format!("({number} IS NOT NULL)");
                    let numbers = unit(slot, &[&conditions[..], &[&is_number]].concat(), Some(number))?;
                    Ok(Units { rows, numbers })
                }
                (_, number) => {
                    let rows = unit(slot, &conditions, number.as_ref())?;
                    Ok(Units { rows, numbers: rows })
                }
            };
            By::Counters {
                units: units(slot.as_ref())?,
                hours: hour.as_ref().map(|hour| units(Some(hour))).transpose()?,
            }
        };
        Ok(Count { source, filter, number, key, window, points, by })
    }

    fn window(
        &mut self,
        source: usize,
        recent: &Recent,
        compares: bool,
        part: &Part<'_>,
    ) -> Result<usize, Fault> {
        self.sources[source].row().moment(&recent.at, part)?;
        let same = |known: &WindowUse| {
            known.source == source && known.at == recent.at && known.window == recent.window
        };
        let known = self.windows.iter().position(same).unwrap_or_else(|| {
            let (at, window) = (recent.at.clone(), recent.window);
            self.windows.push(WindowUse { source, at, window, compares: false });
            self.windows.len() - 1
        });
        self.windows[known].compares |= compares;
        Ok(known)
    }

    fn clock(&mut self, series: &Series) -> usize {
        let clock = Clock { per: series.per, zone: series.zone.name() };
        self.clocks.iter().position(|known| *known == clock).unwrap_or_else(|| {
            self.clocks.push(clock);
            self.clocks.len() - 1
        })
    }

    /// Each figure that counts, with its place.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (usize, &'a Figure, &'a Counted, &Count)> {
        let counts = self.declared.figures.iter().zip(&self.counts).enumerate();
        counts
            .filter_map(|(place, (figure, count))| Some((place, figure, figure.counted()?, count.as_ref()?)))
    }

    /// The type of each feed's tenant column, for [`crate::fan_out::tally_function`].
    pub fn tenant_types(&self, catalogue: &Catalogue) -> Vec<String> {
        (0..catalogue.feeds.len())
            .map(|feed| {
                let own = self.sources.iter().find(|source| source.feed == feed);
                own.map_or_else(|| "text".to_owned(), |source| source.tenant_type.clone())
            })
            .collect()
    }

    /// All feeds that it reads, by number.
    pub fn feeds(&self) -> Vec<usize> {
        self.feeds.iter().map(|feed| feed + 1).collect()
    }

    /// All units that it reads, each once.
    pub(crate) fn units(&self) -> Vec<usize> {
        let mut units: Vec<usize> = self
            .counts
            .iter()
            .flatten()
            .flat_map(|count| match count.by {
                By::Counters { units, hours } => {
                    let all = std::iter::once(units).chain(hours);
                    all.flat_map(|units| [units.rows, units.numbers]).collect()
                }
                By::Index => Vec::new(),
            })
            .chain(self.left_out.iter().copied())
            .collect();
        units.sort_unstable();
        units.dedup();
        units
    }
}

/// Which of a board's sources this is.
pub(crate) fn place(declared: &Declared, source: SourceId) -> usize {
    declared.sources().position(|(id, _)| id == source).unwrap_or_default()
}

fn too_many(part: &Part<'_>, table: &TableFacts) -> Fault {
    Fault::TooManyConditions { part: part.to_string(), table: table.qualified.clone() }
}

/// The feeds of the tables that are followed and not counted, by number less one. The tenants' own is one of them: a tenant that comes or
/// goes is a change, too.
pub(crate) fn follows(
    board: &Board,
    facts: &Facts,
    tenants: &TenantTable,
    catalogue: &mut Catalogue,
) -> Result<Vec<usize>, Fault> {
    let feeds = board.follow.iter().map(|follow| followed(follow, facts, catalogue));
    let mut feeds = feeds.collect::<Result<Vec<_>, _>>()?;
    feeds.push(catalogue.feed(&tenants.table, &format!("r.{}", tenants.key), None));
    Ok(feeds)
}

fn followed(follow: &Follow, facts: &Facts, catalogue: &mut Catalogue) -> Result<usize, Fault> {
    let name = follow.table.to_string();
    let part = Part::Follow(&name);
    let changed = table(facts, &follow.table, &part)?;
    let (tenant, via) = match &follow.whose {
        Whose::Everybody => (format!("'{EVERYBODY}'"), None),
        Whose::Column(column) => {
            Row { facts: changed }.single(column, &part)?;
            (format!("r.{}", column.sql()), None)
        }
        Whose::Through { column, table: through, key, tenant } => {
            let through = table(facts, through, &part)?;
            Row { facts: changed }.single(column, &part)?;
            Row { facts: through }.single(key, &part)?;
            Row { facts: through }.single(tenant, &part)?;
            let via = format!(
                ",\n         LATERAL (SELECT t.{} AS tenant FROM {} AS t WHERE t.{} = r.{}) AS via",
                tenant.sql(),
                through.qualified,
                key.sql(),
                column.sql()
            );
            ("via.tenant".to_owned(), Some(via))
        }
    };
    Ok(catalogue.feed(&changed.qualified, &tenant, via))
}

fn table<'a>(facts: &'a Facts, table: &Table, part: &Part<'_>) -> Result<&'a TableFacts, Fault> {
    facts.table(table).ok_or_else(|| Fault::NoTable { part: part.to_string(), table: table.to_string() })
}

pub(crate) fn tenants(board: &Board, facts: &Facts) -> Result<TenantTable, Fault> {
    let found = table(facts, &board.tenants.table, &Part::Tenants)?;
    let key: &Type = Row { facts: found }.single(&board.tenants.key, &Part::Tenants)?;
    Ok(TenantTable {
        table: found.qualified.clone(),
        key: board.tenants.key.sql(),
        key_type: key.name.clone(),
    })
}
