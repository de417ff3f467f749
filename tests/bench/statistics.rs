//! Medians and quartiles: a few rounds that another process disturbed do not move them.

use std::fmt;

/// What some rounds gave, from least to greatest.
#[derive(Debug)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// At least one figure; no NaN.
    pub(crate) fn new(mut figures: Vec<f64>) -> Self {
        assert!(!figures.is_empty(), "no round was measured");
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// What lies at `share` of the way from the least to the greatest.
    pub(crate) fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share).round() as usize]
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn greatest(&self) -> f64 {
        self.at(1.0)
    }
}

/// The median, then the middle half in parentheses.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.median(), self.at(0.25), self.at(0.75))
    }
}
