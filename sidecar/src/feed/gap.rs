//! Whether something may be missing between what Postgres has recorded and what Redis has been told.

use super::store::State;

/// What makes everything to be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// The feed has never gone on with a Redis.
    First,
    /// It found out before, and did not come to announcing everything.
    Unfinished,
    /// Redis has been restarted or is another one: it may have lost what it had acknowledged.
    Redis,
    /// Postgres has been restarted or has failed over, or its tables were made anew from a dump: it may have lost what it had committed.
    Postgres,
    /// The feed has come further than these tables say: they are older ones.
    Restored,
    /// The clock of Postgres has been set: bundles that were computed meanwhile, or before, show other days.
    Clock,
}

impl Gap {
    /// Between what was written down and what is there now.
    pub(super) fn between(state: &State, redis_now: &str, seen: Option<Self>) -> Option<Self> {
        // What voids versions comes first: a server that has failed over most often shows another time as well.
        if seen.is_some_and(Self::voids_versions) {
            seen
        } else if state.postgres.as_ref().is_some_and(|known| *known != state.postgres_now) {
            Some(Self::Postgres)
        } else if seen.is_some() {
            seen
        } else if state.gap.is_some() {
            Some(Self::Unfinished)
        } else {
            match &state.redis {
                None => Some(Self::First),
                Some(known) if known != redis_now => Some(Self::Redis),
                Some(_) => None,
            }
        }
    }

    /// Whether versions of before mean anything no more.
    pub(super) fn voids_versions(self) -> bool {
        matches!(self, Self::Postgres | Self::Restored)
    }

    /// Why, for the log and `feed status`.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::First => "the feed begins",
            Self::Unfinished => "a gap was found and everything has not been announced yet",
            Self::Redis => "Redis has been restarted, or is another one",
            Self::Postgres => "Postgres has been restarted, or is another one, or was restored from a dump",
            Self::Restored => {
                "the tables are older than what Redis has been told: they were restored from a dump"
            }
            Self::Clock => "the clock of Postgres has been set",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(redis: Option<&str>, postgres: Option<&str>, gap: Option<&str>) -> State {
        let text = |text: Option<&str>| text.map(str::to_owned);
        State {
            redis: text(redis),
            postgres: text(postgres),
            gap: text(gap),
            postgres_now: "p1".into(),
            position: 0,
        }
    }

    #[test]
    fn a_cause_that_voids_versions_is_not_hidden_by_one_that_does_not() {
        let (same, other) = (state(Some("r1"), Some("p1"), Some("…")), state(Some("r1"), Some("p0"), None));
        for (state, seen, expected) in [
            (&same, Gap::Clock, Gap::Clock),
            (&same, Gap::Restored, Gap::Restored),
            (&other, Gap::Clock, Gap::Postgres),
            (&other, Gap::Restored, Gap::Restored),
        ] {
            assert_eq!(Gap::between(state, "r1", Some(seen)), Some(expected), "{seen:?}");
        }
    }

    #[test]
    fn a_gap_is_where_somebody_is_not_who_they_were() {
        for (redis, postgres, gap, expected) in [
            (Some("r1"), Some("p1"), None, None),
            (None, None, None, Some(Gap::First)),
            (Some("r0"), Some("p1"), None, Some(Gap::Redis)),
            (Some("r1"), Some("p0"), None, Some(Gap::Postgres)),
            (Some("r1"), Some("p1"), Some("…"), Some(Gap::Unfinished)),
            // The one that makes versions void comes first.
            (Some("r0"), Some("p0"), Some("…"), Some(Gap::Postgres)),
        ] {
            assert_eq!(
                Gap::between(&state(redis, postgres, gap), "r1", None),
                expected,
                "{redis:?} {postgres:?} {gap:?}"
            );
        }
    }
}
