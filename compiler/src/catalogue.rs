//! What is counted, for all boards together, and under which numbers.
//!
//! A *feed* is a table as seen from one of its tenant columns: each of its changed rows appends one delta. A delta carries *dimensions* of
//! the row: conditions, slots of time, keys and numbers. A *unit* is one thing that is counted of them: rows on which some conditions
//! hold, by slot, by key, with a sum. Figures that count the same share a unit, whatever board they stand on.
//!
//! Numbers and places are never given to something else: a delta that was appended before a board was applied is read the same way after
//! it.

/// The most conditions of one table: they share one `bigint`.
const MOST_CONDITIONS: usize = 62;

/// All feeds and units that are known to a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The tables. The first has the number 1.
    pub feeds: Vec<Feed>,
    /// What is counted of them. The first has the number 1.
    pub units: Vec<Unit>,
}

/// A table as seen from one of its tenant columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The table, as SQL.
    pub table: String,
    /// The tenant of the row `r`, as SQL.
    pub tenant: String,
    /// The rows of another table, called `via`, by which the tenant is found: for each of them one. As SQL, with a comma before it.
    pub via: Option<String>,
    /// Whether the row is in something, as SQL.
    pub conditions: Vec<String>,
    /// In which slots of time the row is, as SQL.
    pub slots: Vec<String>,
    /// To which groups and steps it belongs, as SQL.
    pub keys: Vec<String>,
    /// What is added up of it, as SQL.
    pub numbers: Vec<String>,
}

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Of which feed; its number less one.
    pub feed: usize,
    /// Which of its conditions must hold.
    pub conditions: Vec<usize>,
    /// Which condition says that the row is left out where nothing else is included.
    pub leave_out: Option<usize>,
    /// By which slot of time. A row that is in none is not counted.
    pub slot: Option<usize>,
    /// By which key. A row that has none is not counted.
    pub key: Option<usize>,
    /// What is added up. A row without it counts, with 0.
    pub number: Option<usize>,
}

/// A table has more conditions than a delta can carry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyConditions;

impl Catalogue {
    /// The feed of this table and tenant, its number less one.
    pub(crate) fn feed(&mut self, table: &str, tenant: &str, via: Option<String>) -> usize {
        let known = self
            .feeds
            .iter()
            .position(|feed| feed.table == table && feed.tenant == tenant && feed.via == via);
        known.unwrap_or_else(|| {
            self.feeds.push(Feed {
                table: table.to_owned(),
                tenant: tenant.to_owned(),
                via,
                conditions: Vec::new(),
                slots: Vec::new(),
                keys: Vec::new(),
                numbers: Vec::new(),
            });
            self.feeds.len() - 1
        })
    }

    /// This unit's number.
    pub(crate) fn unit(&mut self, unit: Unit) -> usize {
        let known = self.units.iter().position(|known| *known == unit);
        known.unwrap_or_else(|| {
            self.units.push(unit);
            self.units.len() - 1
        }) + 1
    }
}

impl Feed {
    pub(crate) fn condition(&mut self, sql: String) -> Result<usize, TooManyConditions> {
        let place = place(&mut self.conditions, sql);
        if place < MOST_CONDITIONS { Ok(place) } else { Err(TooManyConditions) }
    }

    pub(crate) fn slot(&mut self, sql: String) -> usize {
        place(&mut self.slots, sql)
    }

    pub(crate) fn key(&mut self, sql: String) -> usize {
        place(&mut self.keys, sql)
    }

    pub(crate) fn number(&mut self, sql: String) -> usize {
        place(&mut self.numbers, sql)
    }
}

fn place(known: &mut Vec<String>, sql: String) -> usize {
    known.iter().position(|other| *other == sql).unwrap_or_else(|| {
        known.push(sql);
        known.len() - 1
    })
}
