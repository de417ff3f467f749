//! How long things took lately: percentiles of the last minutes, for a person who looks now. What is to be kept
//! goes to Prometheus.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How long one part of the window is.
const PART: Duration = Duration::from_secs(60);
/// How many parts it has.
const PARTS: usize = 5;
/// The longest time that is told apart from longer ones, in microseconds.
const LONGEST_US: u64 = 600_000_000;
/// Digits that a percentile is right to.
const DIGITS: u8 = 2;

/// Times of the last [`PARTS`] parts.
#[derive(Default)]
pub(super) struct Recent {
    parts: VecDeque<(Instant, Histogram<u32>)>,
}

/// What was measured lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// How often.
    pub count: u64,
    /// Half took no longer, in milliseconds.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub p99_ms: f64,
}

impl Recent {
    pub(super) fn record(&mut self, now: Instant, took: Duration) {
        self.forget(now);
        let part = match self.parts.back_mut() {
            Some((began, part)) if now.saturating_duration_since(*began) < PART => part,
            _ => {
                // The bounds are within what the library takes.
                let Ok(part) = Histogram::new_with_bounds(1, LONGEST_US, DIGITS) else { return };
                self.parts.push_back((now, part));
                let Some((_, part)) = self.parts.back_mut() else { return };
                part
            }
        };
        part.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// None if nothing was measured lately.
    pub(super) fn percentiles(&mut self, now: Instant) -> Option<Percentiles> {
        self.forget(now);
        let mut parts = self.parts.iter().map(|(_, part)| part);
        let mut all = parts.next()?.clone();
        for part in parts {
            // The same bounds: it fits.
            let _ = all.add(part);
        }
        let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1000.0;
        Some(Percentiles { count: all.len(), p50_ms: ms(0.5), p99_ms: ms(0.99) })
    }

    fn forget(&mut self, now: Instant) {
        let window = PART * PARTS as u32;
        self.parts.retain(|(began, _)| now.saturating_duration_since(*began) < window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_last_minutes() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        assert_eq!(recent.percentiles(start), None);
        for n in 1..=100 {
            recent.record(start, Duration::from_millis(n));
        }
        let seen = recent.percentiles(start).unwrap();
        assert_eq!(seen.count, 100);
        assert!((seen.p50_ms - 50.0).abs() < 1.0 && (seen.p99_ms - 99.0).abs() < 2.0, "{seen:?}");

        let later = start + PART * 3;
        recent.record(later, Duration::from_millis(1));
        assert_eq!(recent.percentiles(later).unwrap().count, 101);
        let long_after = start + PART * PARTS as u32;
        assert_eq!(recent.percentiles(long_after).unwrap().count, 1, "the first are forgotten");
        assert_eq!(recent.percentiles(long_after + PART * PARTS as u32), None);
    }

    #[test]
    fn it_holds_no_more_than_its_window() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        for minute in 0..100 {
            recent.record(start + PART * minute, Duration::MAX);
        }
        assert!(recent.parts.len() <= PARTS);
    }
}
