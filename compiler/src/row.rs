//! What is computed of one row, as SQL over the alias `r`. The same text stands in triggers, in the tally and in bundles, so that all of
//! them find the same of the same row.

use board::definition::{Groups, Series, Source, Steps};
use board::expression::{Expression, literal};
use board::path::Column;
use board::window::Per;

use crate::facts::{Kind, TableFacts, Type};
use crate::{Fault, Part};

/// Days before and after anybody's window are one each; so are the infinities.
const FIRST_MOMENT: &str = "'1970-01-01 00:00+00'";
const LAST_MOMENT: &str = "'2200-01-01 00:00+00'";
/// The number of a day is counted from here.
const FIRST_DAY: &str = "DATE '1970-01-01'";
/// Months from the year 0 to 1970.
const FIRST_MONTH: u32 = 1970 * 12;

/// The columns of one table, as a board names them.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) facts: &'a TableFacts,
}

impl<'a> Row<'a> {
    /// The type of a column that is there.
    pub(crate) fn type_of(&self, column: &Column, part: &Part<'_>) -> Result<&'a Type, Fault> {
        self.facts.columns.get(column).ok_or_else(|| Fault::NoColumn {
            part: part.to_string(),
            table: self.facts.qualified.clone(),
            column: column.to_string(),
        })
    }

    /// The type of a column that names a tenant.
    pub(crate) fn single(&self, column: &Column, part: &Part<'_>) -> Result<&'a Type, Fault> {
        let found = self.type_of(column, part)?;
        if found.kind == Kind::Composite {
            return Err(Fault::CompositeTenant {
                part: part.to_string(),
                table: self.facts.qualified.clone(),
                column: column.to_string(),
                type_name: found.name.clone(),
            });
        }
        Ok(found)
    }

    fn kind(&self, column: &Column, part: &Part<'_>) -> Result<Kind, Fault> {
        Ok(self.type_of(column, part)?.kind)
    }

    /// An expression of the definition. What is text, or can become it, is compared as text.
    pub(crate) fn expression(&self, expression: &Expression, part: &Part<'_>) -> Result<String, Fault> {
        for column in expression.columns() {
            self.kind(column, part)?;
        }
        Ok(expression.with(|column| match self.kind(column, part) {
            Ok(Kind::Text) => format!("r.{}::text", column.sql()),
            _ => format!("r.{}", column.sql()),
        }))
    }

    /// A condition: true or not, where NULL is no.
    pub(crate) fn condition(&self, expression: &Expression, part: &Part<'_>) -> Result<String, Fault> {
        Ok(format!("({}) IS TRUE", self.expression(expression, part)?))
    }

    /// What is added up: NULL where it is no number to JSON.
    pub(crate) fn number(&self, expression: &Expression, part: &Part<'_>) -> Result<String, Fault> {
        Ok(format!("dashboard.finite(({})::numeric)", self.expression(expression, part)?))
    }

    /// Whose row it is.
    pub(crate) fn tenant(&self, source: &Source) -> Result<String, Fault> {
        self.single(&source.tenant, &Part::Source(&source.name))?;
        Ok(format!("r.{}", source.tenant.sql()))
    }

    /// When it was: a `timestamptz`.
    pub(crate) fn moment(&self, at: &Column, part: &Part<'_>) -> Result<String, Fault> {
        let column = format!("r.{}", at.sql());
        match self.kind(at, part)? {
            Kind::Moment => Ok(column),
            Kind::LocalTime => Ok(format!("({column} AT TIME ZONE 'UTC')")),
            // The first and the last day of all are infinite.
            Kind::Date => Ok(format!("({column}::timestamp AT TIME ZONE 'UTC')")),
            _ => Err(Fault::NoTime {
                part: part.to_string(),
                table: self.facts.qualified.clone(),
                column: at.to_string(),
                type_name: self.facts.columns[at].name.clone(),
            }),
        }
    }

    /// Whether it was then or later. The column stands alone, so that its index serves.
    pub(crate) fn since(&self, at: &Column, bound: &str, part: &Part<'_>) -> Result<String, Fault> {
        Ok(format!("r.{} >= {}", at.sql(), self.bound(at, bound, part)?))
    }

    /// Whether it was before then.
    pub(crate) fn before(&self, at: &Column, bound: &str, part: &Part<'_>) -> Result<String, Fault> {
        Ok(format!("r.{} < {}", at.sql(), self.bound(at, bound, part)?))
    }

    /// The first value of the column's type that is not before a moment.
    fn bound(&self, at: &Column, bound: &str, part: &Part<'_>) -> Result<String, Fault> {
        Ok(match self.kind(at, part)? {
            Kind::LocalTime => format!("({bound} AT TIME ZONE 'UTC')"),
            Kind::Date => format!("(({bound} - INTERVAL '1 microsecond') AT TIME ZONE 'UTC')::date + 1"),
            _ => bound.to_owned(),
        })
    }

    /// In which UTC day it was.
    pub(crate) fn day(&self, at: &Column, part: &Part<'_>) -> Result<String, Fault> {
        let date = match self.kind(at, part)? {
            Kind::Date => self.own_date(at),
            _ => local_date(&self.moment(at, part)?, "UTC"),
        };
        Ok(slot(Per::Day, &date))
    }

    /// In which UTC hour it was.
    pub(crate) fn hour(&self, at: &Column, part: &Part<'_>) -> Result<String, Fault> {
        if self.kind(at, part)? == Kind::Date {
            return Ok(format!("({} * 24)", self.day(at, part)?));
        }
        let moment = self.moment(at, part)?;
        Ok(format!(
            "CASE WHEN {moment} IS NOT NULL THEN {} END",
            hour_of(&format!("LEAST(GREATEST({moment}, {FIRST_MOMENT}), {LAST_MOMENT})"))
        ))
    }

    /// In which point of a series it was.
    pub(crate) fn point(&self, series: &Series, part: &Part<'_>) -> Result<String, Fault> {
        let date = match self.kind(&series.at, part)? {
            // A day of its own, wherever that is.
            Kind::Date => self.own_date(&series.at),
            _ => local_date(&self.moment(&series.at, part)?, series.zone.name()),
        };
        Ok(slot(series.per, &date))
    }

    fn own_date(&self, at: &Column) -> String {
        let column = format!("r.{}", at.sql());
        format!(
            "CASE WHEN {column} IS NOT NULL THEN LEAST(GREATEST({column}, {FIRST_DAY}), DATE '2200-01-01') END"
        )
    }

    /// The group that it belongs to: `=` and a name, or nothing for the rest.
    pub(crate) fn group(&self, groups: &Groups, part: &Part<'_>) -> Result<String, Fault> {
        let by = self.expression(&groups.by, part)?;
        Ok(format!(
            "coalesce('=' || nullif(left(({by})::text, {}), {}), '')",
            groups.cut,
            literal(&groups.other)
        ))
    }

    /// The step that it is in: `=` and a name, or NULL where no step is.
    pub(crate) fn step(&self, steps: &Steps, part: &Part<'_>) -> Result<String, Fault> {
        self.kind(&steps.column, part)?;
        let column = format!("r.{}::text", steps.column.sql());
        let cases: String = steps
            .steps
            .iter()
            .map(|step| {
                let words: Vec<String> = step.words.iter().map(|word| literal(word)).collect();
                format!(
                    " WHEN {column} IN ({}) THEN {}",
                    words.join(", "),
                    literal(&format!("={}", step.name))
                )
            })
            .collect();
        let rest = steps
            .other
            .as_ref()
            .map_or_else(String::new, |other| format!(" ELSE {}", literal(&format!("={other}"))));
        Ok(format!("CASE{cases}{rest} END"))
    }
}

/// The day that a moment is in, in a zone. NULL of NULL, although `LEAST` and `GREATEST` pass over it.
fn local_date(moment: &str, zone: &str) -> String {
    format!(
        "CASE WHEN {moment} IS NOT NULL THEN (LEAST(GREATEST({moment}, {FIRST_MOMENT}), {LAST_MOMENT}) AT TIME ZONE {})::date END",
        literal(zone)
    )
}

/// The number of the day, of the week's first day, or of the month that a date is in.
pub(crate) fn slot(per: Per, date: &str) -> String {
    match per {
        Per::Day => format!("({date} - {FIRST_DAY})"),
        // 1970 began with a Thursday; EXTRACT's Monday is 1.
        Per::Week => format!("({date} - {FIRST_DAY} - EXTRACT(isodow FROM {date})::integer + 1)"),
        Per::Month => format!(
            "(EXTRACT(year FROM {date})::integer * 12 + EXTRACT(month FROM {date})::integer - {})",
            FIRST_MONTH + 1
        ),
    }
}

/// The number of the UTC hour that a moment is in.
pub(crate) fn hour_of(moment: &str) -> String {
    format!("floor(EXTRACT(epoch FROM {moment}) / 3600)::integer")
}

/// The slot that is now.
pub(crate) fn slot_now(per: Per, zone: &str) -> String {
    slot(per, &format!("(now() AT TIME ZONE {})::date", literal(zone)))
}

/// How far one slot is from the next.
pub(crate) fn step(per: Per) -> u32 {
    match per {
        Per::Week => 7,
        Per::Day | Per::Month => 1,
    }
}

/// The date on which a slot begins.
pub(crate) fn date_of(per: Per, slot: &str) -> String {
    match per {
        Per::Day | Per::Week => format!("({FIRST_DAY} + {slot})"),
        Per::Month => format!("({FIRST_DAY} + ({slot}) * INTERVAL '1 month')::date"),
    }
}

/// When a slot begins, in a zone.
pub(crate) fn moment_of(per: Per, slot: &str, zone: &str) -> String {
    format!("({}::timestamp AT TIME ZONE {})", date_of(per, slot), literal(zone))
}
