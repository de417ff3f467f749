//! What the sidecar's change feed last said of itself: how far behind it is, and when it will speak again. It
//! knows no Redis and no clock: callers pass the time.

use engine::Millis;
use std::sync::atomic::{AtomicU64, Ordering};

/// The last word's time, lag and period, for readers that take no lock: a hit is one. The time is [`SILENT`] before the
/// first word. Written on the server's main thread, where hits are answered.
static WORD: [AtomicU64; 3] = [AtomicU64::new(SILENT), AtomicU64::new(0), AtomicU64::new(0)];
const SILENT: u64 = u64::MAX;

/// How far behind the feed is, as [`Feed::lag`]; the clock is asked only where there is a feed.
#[inline]
pub(crate) fn behind(now: impl FnOnce() -> Millis) -> Option<Millis> {
    let [at, lag, period] = [0, 1, 2].map(|field| WORD[field].load(Ordering::Relaxed));
    (at != SILENT).then(|| lag_at(at, lag, period, now()))
}

fn lag_at(at: Millis, lag: Millis, period: Millis, now: Millis) -> Millis {
    let age = now.saturating_sub(at);
    if age < period { lag } else { lag.saturating_add(age) }
}

/// The feed, as far as it has spoken.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    word: Option<Word>,
    /// It has said that it stops.
    off: bool,
    /// How far the feed has said that it has come. Stopping does not undo it.
    position: Option<u64>,
}

/// One word of the feed.
#[derive(Debug)]
struct Word {
    at: Millis,
    lag: Millis,
    period: Millis,
    by: String,
}

impl Feed {
    /// The client `by` says that changes are followed to within `lag`, and that its next word comes within `period`.
    pub(crate) fn said(&mut self, now: Millis, lag: Millis, period: Millis, by: String) {
        self.word = Some(Word { at: now, lag, period, by });
        self.off = false;
        self.publish();
    }

    /// The feed has come to this position; the one that it said before. Whose tables are restored from a dump has come less far than that.
    pub(crate) fn has_come_to(&mut self, position: u64) -> Option<u64> {
        self.position.replace(position)
    }

    /// Makes the last word known to [`behind`].
    pub(crate) fn publish(&self) {
        let word = self.word.as_ref().map_or([SILENT, 0, 0], |word| [word.at, word.lag, word.period]);
        WORD.iter().zip(word).for_each(|(field, value)| field.store(value, Ordering::Relaxed));
    }

    /// The feed says that it stops: nobody follows changes until it speaks again, and no lag is known.
    pub(crate) fn stopped(&mut self) {
        self.forget();
        self.off = true;
    }

    /// What was said does not hold here any more.
    pub(crate) fn forget(&mut self) {
        self.word = None;
        self.off = false;
        self.publish();
    }

    /// What is known of it, in words.
    pub(crate) fn state(&self, now: Millis) -> &'static str {
        match &self.word {
            None if self.off => "not followed",
            None => "unknown",
            Some(word) if now.saturating_sub(word.at) < word.period => "followed",
            Some(_) => "silent",
        }
    }

    /// How far behind the feed is; `None` before its first word, and after it has said that it stops. One that is
    /// silent for longer than it said has died or cannot reach this server: nothing that has changed since its last
    /// word is known here.
    pub(crate) fn lag(&self, now: Millis) -> Option<Millis> {
        let Word { at, lag, period, .. } = self.word.as_ref()?;
        Some(lag_at(*at, *lag, *period, now))
    }

    /// The client that spoke last, in words.
    pub(crate) fn by(&self) -> Option<&str> {
        self.word.as_ref().map(|word| word.by.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_reported_one_until_the_feed_is_overdue_and_grows_from_then_on() {
        let mut feed = Feed::default();
        assert_eq!((feed.lag(7), feed.by(), feed.state(7)), (None, None, "unknown"), "before its first word");
        feed.said(1_000, 40, 500, "a".into());
        assert_eq!((feed.state(1_499), feed.state(1_500)), ("followed", "silent"));
        assert_eq!([1_000, 1_499].map(|now| feed.lag(now)), [Some(40); 2]);
        assert_eq!([1_500, 61_000].map(|now| feed.lag(now)), [Some(540), Some(60_040)]);
        feed.said(61_000, 0, 500, "b".into());
        assert_eq!((feed.lag(61_001), feed.by()), (Some(0), Some("b")), "it is back");
    }

    #[test]
    fn a_feed_that_has_stopped_is_not_late() {
        let mut feed = Feed::default();
        feed.said(1_000, 40, 500, "a".into());
        feed.stopped();
        assert_eq!((feed.lag(61_000), feed.by(), feed.state(61_000)), (None, None, "not followed"));
        feed.said(62_000, 7, 500, "a".into());
        assert_eq!((feed.lag(62_001), feed.state(62_001)), (Some(7), "followed"), "it follows again");
        feed.stopped();
        feed.forget();
        assert_eq!(feed.state(62_002), "unknown");
    }

    #[test]
    fn a_feed_that_promises_nothing_is_overdue_at_once_and_no_number_is_too_large() {
        let mut feed = Feed::default();
        feed.said(1_000, 40, 0, String::new());
        assert_eq!([1_000, 1_010].map(|now| feed.lag(now)), [Some(40), Some(50)]);
        feed.said(2_000, Millis::MAX, 0, String::new());
        assert_eq!(feed.lag(3_000), Some(Millis::MAX));
        assert_eq!(feed.lag(0), Some(Millis::MAX), "a time from before");
    }
}
