//! How changes are followed, as event streams tell it to pages.

use std::time::Duration;

use serde_json::{Value, json};

use crate::feed::FeedHealth;

/// How often a stream looks whether that has changed.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// While changes are late, how late is told so often.
const LATE: u8 = 5;

/// What one stream has told its client.
pub(super) struct Following {
    feed: FeedHealth,
    told: Option<(&'static str, bool)>,
    looks: u8,
}

impl Following {
    pub(super) fn new(feed: FeedHealth) -> Self {
        Self { feed, told: None, looks: 0 }
    }

    /// What is to be told now, if anything is.
    pub(super) fn news(&mut self) -> Option<Value> {
        let followed = self.feed.followed();
        let now = (followed.name(), followed.is_followed());
        let lag_ms = followed.lag().map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        self.looks = self.looks.saturating_add(1);
        let is_late = !now.1 && lag_ms.is_some() && self.looks >= LATE;
        if self.told == Some(now) && !is_late {
            return None;
        }
        (self.told, self.looks) = (Some(now), 0);
        let (state, followed_within) = now;
        Some(json!({
            "state": state, "followed": followed_within, "lag_ms": lag_ms, "message": followed.to_string(),
        }))
    }
}
