//! The one table that is printed.

use std::fmt;

/// Rows of what was measured beside what is allowed.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    measured: String,
    budget: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// There is no budget: for information.
    None,
    Ok,
    /// Slower than the budget, here and now.
    Missed,
    /// A promise that no load excuses is broken.
    Broken,
}

impl Table {
    /// A figure without a budget.
    pub(crate) fn note(&mut self, what: impl Into<String>, measured: impl fmt::Display) {
        self.push(what.into(), measured.to_string(), String::new(), Verdict::None);
    }

    /// A figure that should be at most `budget`; `shown` is how it is printed.
    pub(crate) fn at_most(
        &mut self,
        what: impl Into<String>,
        figure: f64,
        shown: impl fmt::Display,
        budget: f64,
    ) {
        let verdict = if figure <= budget { Verdict::Ok } else { Verdict::Missed };
        self.push(what.into(), shown.to_string(), format!("<= {budget:.2}"), verdict);
    }

    /// A figure that should be at least `budget`; `shown` is how it is printed.
    pub(crate) fn at_least(
        &mut self,
        what: impl Into<String>,
        figure: f64,
        shown: impl fmt::Display,
        budget: f64,
    ) {
        let verdict = if figure >= budget { Verdict::Ok } else { Verdict::Missed };
        self.push(what.into(), shown.to_string(), format!(">= {budget}"), verdict);
    }

    /// A count that must be right on any machine: all rounds' counts are `expected`.
    pub(crate) fn exactly(&mut self, what: impl Into<String>, counts: &[usize], expected: usize) {
        let wrong = counts.iter().find(|count| **count != expected);
        let verdict = if wrong.is_some() { Verdict::Broken } else { Verdict::Ok };
        let shown = wrong.unwrap_or(&expected);
        self.push(
            what.into(),
            format!("{shown} in {} rounds", counts.len()),
            format!("= {expected}"),
            verdict,
        );
    }

    /// Whether every promise was kept that does not depend on the machine.
    pub(crate) fn holds(&self) -> bool {
        self.0.iter().all(|row| row.verdict != Verdict::Broken)
    }

    fn push(&mut self, what: String, measured: String, budget: String, verdict: Verdict) {
        self.0.push(Row { what, measured, budget, verdict });
    }
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Ok => "ok",
            Self::Missed => "missed",
            Self::Broken => "BROKEN",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: fn(&Row) -> &str| self.0.iter().map(|row| column(row).len()).max().unwrap_or(0);
        let (what, measured) = (width(|row| &row.what), width(|row| &row.measured).max("measured".len()));
        let heads = Row {
            what: String::new(),
            measured: "measured".to_owned(),
            budget: "budget".to_owned(),
            verdict: Verdict::None,
        };
        for row in std::iter::once(&heads).chain(&self.0) {
            let line = format!(
                "{:what$}  {:measured$}  {:9} {}",
                row.what,
                row.measured,
                row.budget,
                row.verdict.name()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
