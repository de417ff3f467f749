//! What this process knows of the feed, for probes and metrics. Lag is measured by heartbeats, which go the way of every change:
//! written in Postgres, merged, acknowledged by Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::followed::{Evidence, Followed, Part};
use super::recorded::Recorded;
use super::store::Progress;

/// How often a heartbeat is written.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);
/// Within so long the next one goes through, unless the feed is late.
pub(super) const PERIOD: Duration = Duration::from_millis(1500);

/// How often it is asked whether the changes of all tables are recorded.
const TRIGGERS: Duration = Duration::from_secs(5);

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
#[derive(Clone)]
pub struct FeedHealth {
    limit: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    role: Role,
    lag: Duration,
    /// When the heartbeat that went through last did so; before the first, when it could have.
    through: Instant,
    /// Why Redis cannot be told, and why Postgres cannot be asked.
    redis: Option<String>,
    postgres: Option<String>,
    recorded: Recorded,
    looked_at_triggers: Option<Instant>,
}

impl State {
    fn new(role: Role) -> Self {
        Self {
            role,
            lag: Duration::ZERO,
            through: Instant::now(),
            redis: None,
            postgres: None,
            recorded: Recorded::default(),
            looked_at_triggers: None,
        }
    }

    fn lag(&self) -> Duration {
        lag_at(self.lag, self.through.elapsed())
    }
}

impl FeedHealth {
    /// Of a feed that is left to others until this one is prepared. Changes that are followed later than `limit` are late.
    pub fn new(limit: Duration) -> Self {
        Self { limit, state: Arc::new(Mutex::new(State::new(Role::Left))) }
    }

    /// How changes are followed, as far as this process knows.
    pub fn followed(&self) -> Followed {
        let state = self.state.lock().clone();
        let lag = state.lag();
        match state.role {
            Role::Left => return Followed::Elsewhere,
            Role::Unknown if lag <= self.limit => return Followed::Starting,
            _ => {}
        }
        let of = |part, why: Option<String>| why.map(|why| (part, why));
        // Without Postgres there is nothing to tell Redis.
        let trouble = of(Part::Postgres, state.postgres).or_else(|| of(Part::Redis, state.redis));
        let enabled = state.role != Role::Off;
        Evidence { enabled, lag: Some(lag), trouble, unrecorded: state.recorded.not }.judge(self.limit)
    }

    /// What this sidecar is to the feed.
    pub fn role(&self) -> Role {
        self.state.lock().role
    }

    /// How far the feed is behind; none where nothing is followed.
    pub fn lag(&self) -> Option<Duration> {
        let state = self.state.lock();
        state.role.follows().then(|| state.lag())
    }

    pub(super) fn off(&self) {
        *self.state.lock() = State::new(Role::Off);
    }

    pub(super) fn unknown(&self) {
        self.become_(Role::Unknown);
    }

    pub(super) fn holding(&self) {
        self.become_(Role::Holder);
    }

    /// Postgres cannot be asked, or can again.
    pub(super) fn postgres(&self, trouble: Option<String>) {
        self.state.lock().postgres = trouble;
    }

    /// Redis cannot be told, or can again.
    pub(super) fn redis(&self, trouble: Option<String>) {
        self.state.lock().redis = trouble;
    }

    /// Whether it is time to ask which tables' changes are not recorded; not again for some time then.
    pub(super) fn is_to_look_at_triggers(&self) -> bool {
        let mut state = self.state.lock();
        let due = state.looked_at_triggers.is_none_or(|at| at.elapsed() >= TRIGGERS);
        if due {
            state.looked_at_triggers = Some(Instant::now());
        }
        due
    }

    /// What has been found out about what is recorded.
    pub(super) fn recorded(&self, recorded: Recorded) {
        self.state.lock().recorded = recorded;
    }

    /// How many tenants' figures cannot be summed; none where nothing is followed.
    pub fn uncounted(&self) -> Option<u64> {
        let state = self.state.lock();
        state.role.follows().then_some(state.recorded.uncounted)
    }

    /// The last heartbeat took this long, just now.
    pub(super) fn beat(&self, lag: Duration) {
        let mut state = self.state.lock();
        state.role = Role::Holder;
        state.lag = lag;
        state.through = Instant::now();
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
            *state = State::new(role);
        }
        state.role = role;
    }
}

/// The lag, when the last heartbeat took `lag` and went through so long ago: silence is lag, once it is longer than it should be.
pub(super) fn lag_at(lag: Duration, silent: Duration) -> Duration {
    if silent <= PERIOD { lag } else { lag + silent }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn silence_is_lag_once_it_is_longer_than_it_should_be() {
        assert_eq!(lag_at(MS(40), MS(1500)), MS(40));
        assert_eq!(lag_at(MS(40), MS(1501)), MS(1541));
    }

    #[test]
    fn nothing_lags_where_nothing_is_followed() {
        let health = FeedHealth::new(LIMIT);
        assert_eq!((health.role(), health.lag(), health.followed()), (Role::Left, None, Followed::Elsewhere));
        health.unknown();
        assert_eq!(health.followed(), Followed::Starting);
        health.beat(MS(30));
        assert_eq!((health.role(), health.lag()), (Role::Holder, Some(MS(30))));
        assert_eq!(health.followed(), Followed::Within(MS(30)));
        health.off();
        assert_eq!((health.role(), health.lag(), health.followed()), (Role::Off, None, Followed::Disabled));
    }

    #[test]
    fn who_stands_by_knows_what_the_holder_wrote() {
        let health = FeedHealth::new(LIMIT);
        health.standing_by(Progress { lag: Some(MS(30)), age: Some(MS(100)) });
        assert_eq!((health.role(), health.lag()), (Role::Standby, Some(MS(30))));
        health.standing_by(Progress { lag: Some(MS(30)), age: Some(MS(9_000)) });
        assert!(health.lag().unwrap() >= MS(9_000));
        health.standing_by(Progress { lag: None, age: None });
        assert!(health.lag().unwrap() >= MS(9_000), "what was known stays known");
    }

    #[test]
    fn what_holds_changes_up_is_named_once_they_are_late() {
        let health = FeedHealth::new(LIMIT);
        health.beat(MS(30));
        health.redis(Some("refused".to_owned()));
        assert_eq!(health.followed(), Followed::Within(MS(30)));
        health.standing_by(Progress { lag: Some(MS(30)), age: Some(MS(20_000)) });
        assert_eq!(health.followed().part(), Some(Part::Redis));
        health.postgres(Some("away".to_owned()));
        assert_eq!(health.followed().part(), Some(Part::Postgres));
        health.postgres(None);
        health.redis(None);
        assert_eq!(health.followed().name(), "behind");
    }
}
