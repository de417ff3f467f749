//! How closely changes are followed, for probes and metrics. Measured by heartbeats, which go the way of every change: written in
//! Postgres, merged, acknowledged by Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::store::Progress;

/// How often a heartbeat is written.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);
/// Within so long the next one goes through, unless the feed is late.
pub(super) const PERIOD: Duration = Duration::from_millis(1500);

/// What this sidecar is to the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The feed is left to other sidecars (`DASHBOARD_FEED`).
    Left,
    /// The counters are not enabled: there is nothing to follow.
    Off,
    /// It follows changes.
    Holder,
    /// Another sidecar does.
    Standby,
    /// It has not been found out.
    Unknown,
}

impl Role {
    /// As it is told to clients.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Off => "off",
            Self::Holder => "holder",
            Self::Standby => "standby",
            Self::Unknown => "unknown",
        }
    }

    /// Whether changes are followed, so that they can be late.
    fn follows(self) -> bool {
        !matches!(self, Self::Left | Self::Off)
    }
}

/// Shared by the feed and those who ask.
#[derive(Clone, Default)]
pub struct FeedHealth {
    state: Arc<Mutex<State>>,
}

struct State {
    role: Role,
    lag: Duration,
    /// When the heartbeat that went through last did so; before the first, when it could have.
    through: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self { role: Role::Left, lag: Duration::ZERO, through: Instant::now() }
    }
}

impl FeedHealth {
    /// What it is, and how far behind the feed is; no lag where nothing is followed.
    pub fn get(&self) -> (Role, Option<Duration>) {
        let state = self.state.lock();
        let lag = state.role.follows().then(|| lag_at(state.lag, state.through.elapsed()));
        (state.role, lag)
    }

    pub(super) fn off(&self) {
        self.state.lock().role = Role::Off;
    }

    pub(super) fn unknown(&self) {
        self.become_(Role::Unknown);
    }

    pub(super) fn holding(&self) {
        self.become_(Role::Holder);
    }

    /// The last heartbeat took this long, just now.
    pub(super) fn beat(&self, lag: Duration) {
        let mut state = self.state.lock();
        *state = State { role: Role::Holder, lag, through: Instant::now() };
    }

    /// As the holder has written it down.
    pub(super) fn standing_by(&self, progress: Progress) {
        self.become_(Role::Standby);
        let Progress { lag, age } = progress;
        if let (Some(lag), Some(age)) = (lag, age) {
            let mut state = self.state.lock();
            state.lag = lag;
            state.through = Instant::now().checked_sub(age.saturating_sub(lag)).unwrap_or_else(Instant::now);
        }
    }

    fn become_(&self, role: Role) {
        let mut state = self.state.lock();
        if !state.role.follows() {
            *state = State::default();
        }
        state.role = role;
    }
}

/// The lag, when the last heartbeat took `lag` and went through so long ago: silence is lag, once it is longer than it should be.
fn lag_at(lag: Duration, silent: Duration) -> Duration {
    if silent <= PERIOD { lag } else { lag + silent }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn silence_is_lag_once_it_is_longer_than_it_should_be() {
        assert_eq!(lag_at(MS(40), MS(1500)), MS(40));
        assert_eq!(lag_at(MS(40), MS(1501)), MS(1541));
    }

    #[test]
    fn nothing_lags_where_nothing_is_followed() {
        let health = FeedHealth::default();
        assert_eq!(health.get(), (Role::Left, None));
        health.beat(MS(30));
        assert_eq!(health.get(), (Role::Holder, Some(MS(30))));
        health.off();
        assert_eq!(health.get(), (Role::Off, None));
    }

    #[test]
    fn who_stands_by_knows_what_the_holder_wrote() {
        let health = FeedHealth::default();
        health.standing_by(Progress { lag: Some(MS(30)), age: Some(MS(100)) });
        assert_eq!(health.get(), (Role::Standby, Some(MS(30))));
        health.standing_by(Progress { lag: Some(MS(30)), age: Some(MS(9_000)) });
        assert!(health.get().1.unwrap() >= MS(9_000));
        health.standing_by(Progress { lag: None, age: None });
        assert!(health.get().1.unwrap() >= MS(9_000), "what was known stays known");
    }
}
