//! How changes are followed, said in one place. `feed status`, `counters verify`, health, metrics and the page all take it from
//! here, so that they never disagree.

use std::fmt;
use std::time::Duration;

/// How changes are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The counters are not enabled.
    Disabled,
    /// This sidecar leaves the feed to others, so it does not know.
    Elsewhere,
    /// It is being found out.
    Starting,
    /// Each change is announced within the limit.
    Within(Duration),
    /// Changes are announced, but later than the limit allows.
    Behind(Duration),
    /// Changes are not announced.
    Stuck {
        /// What holds them up.
        part: Part,
        /// For how long; none where none has ever gone through.
        behind: Option<Duration>,
        /// Why, and what to do.
        why: String,
    },
    /// Nobody could say.
    Unknown(String),
}

/// What holds changes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The CRM's tables: their changes are not recorded.
    Triggers,
    /// Postgres, or the feed's rights there.
    Postgres,
    /// Redis, or the feed's rights there.
    Redis,
    /// No sidecar holds the feed.
    Holder,
}

/// What is known of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Whether the CRM's tables have the triggers.
    pub(crate) enabled: bool,
    /// How far the feed is behind; none where no heartbeat has ever gone through.
    pub(crate) lag: Option<Duration>,
    /// What holds it up, as far as that is known.
    pub(crate) trouble: Option<(Part, String)>,
    /// Tables whose changes are not recorded.
    pub(crate) unrecorded: Vec<String>,
}

impl Evidence {
    /// What follows from it, where changes may be as late as `limit`.
    pub(crate) fn judge(self, limit: Duration) -> Followed {
        let Self { enabled, lag, trouble, unrecorded } = self;
        if !enabled {
            return Followed::Disabled;
        }
        if !unrecorded.is_empty() {
            let why = format!(
                "changes of {} are not recorded: run 'dashboard-sidecar counters rebuild'",
                unrecorded.join(", ")
            );
            return Followed::Stuck { part: Part::Triggers, behind: lag, why };
        }
        match (lag, trouble) {
            (Some(lag), _) if lag <= limit => Followed::Within(lag),
            (behind, Some((part, why))) => Followed::Stuck { part, behind, why },
            (Some(lag), None) => Followed::Behind(lag),
            (None, None) => Followed::Unknown("no heartbeat has gone through yet".to_owned()),
        }
    }
}

impl Followed {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Elsewhere => "elsewhere",
            Self::Starting => "starting",
            Self::Within(_) => "followed",
            Self::Behind(_) => "behind",
            Self::Stuck { .. } => "stuck",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Every word that there is.
    pub const NAMES: [&'static str; 7] =
        ["disabled", "elsewhere", "starting", "followed", "behind", "stuck", "unknown"];

    /// Whether nothing is wrong with the feed. Where nothing is to be followed, nothing is wrong.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Disabled | Self::Elsewhere | Self::Starting | Self::Within(_))
    }

    /// Whether each change is seen within the limit.
    pub fn is_followed(&self) -> bool {
        matches!(self, Self::Within(_))
    }

    /// How far the feed is behind, where that is known.
    pub fn lag(&self) -> Option<Duration> {
        match self {
            Self::Within(lag) | Self::Behind(lag) => Some(*lag),
            Self::Stuck { behind, .. } => *behind,
            _ => None,
        }
    }

    /// What holds changes up, where something does.
    pub fn part(&self) -> Option<Part> {
        match self {
            Self::Stuck { part, .. } => Some(*part),
            _ => None,
        }
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str(
                "changes are not followed, as the counters are not enabled: bundles are as old as dashboard.ttl allows. Run 'dashboard-sidecar counters enable', and they follow each change at once",
            ),
            Self::Elsewhere => f.write_str("this sidecar leaves the change feed to others (DASHBOARD_FEED)"),
            Self::Starting => f.write_str("how changes are followed is being found out"),
            Self::Within(lag) => write!(f, "changes are followed within {}", Spoken(*lag)),
            Self::Behind(lag) => {
                write!(f, "changes are {} behind: 'dashboard-sidecar feed status' says what waits", Spoken(*lag))
            }
            Self::Stuck { behind: Some(behind), part, why } if *part != Part::Triggers => {
                write!(f, "changes are {} behind: {why}", Spoken(*behind))
            }
            Self::Stuck { why, .. } => f.write_str(why),
            Self::Unknown(why) => write!(f, "whether changes are followed is not known: {why}"),
        }
    }
}

impl Part {
    /// Its name, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triggers => "triggers",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Holder => "holder",
        }
    }
}

/// A time as people say it: `40 ms`, `12 s`, `1 min 15 s`, `2 h 3 min`.
struct Spoken(Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..=1 => write!(f, "{} ms", self.0.as_millis()),
            2..=59 => write!(f, "{seconds} s"),
            60..=3_599 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn evidence(lag: Option<u64>) -> Evidence {
        Evidence { enabled: true, lag: lag.map(MS), ..Evidence::default() }
    }

    #[test]
    fn what_is_known_decides_what_is_said() {
        let refused = || Some((Part::Redis, "Redis refuses".to_owned()));
        for (known, expected, well, says) in [
            (Evidence::default(), "disabled", true, "counters enable"),
            (evidence(Some(40)), "followed", true, "within 40 ms"),
            (evidence(Some(10_000)), "followed", true, "within 10 s"),
            (evidence(Some(75_000)), "behind", false, "1 min 15 s behind"),
            (evidence(None), "unknown", false, "no heartbeat"),
            (Evidence { trouble: refused(), ..evidence(Some(40)) }, "followed", true, "within 40 ms"),
            (
                Evidence { trouble: refused(), ..evidence(Some(75_000)) },
                "stuck",
                false,
                "behind: Redis refuses",
            ),
            (Evidence { trouble: refused(), ..evidence(None) }, "stuck", false, "Redis refuses"),
            (
                Evidence { unrecorded: vec!["leads".into()], ..evidence(Some(40)) },
                "stuck",
                false,
                "changes of leads are not recorded",
            ),
        ] {
            let followed = known.clone().judge(LIMIT);
            assert_eq!((followed.name(), followed.is_well()), (expected, well), "{known:?}");
            assert!(followed.to_string().contains(says), "{followed}");
            assert!(Followed::NAMES.contains(&followed.name()));
        }
    }

    #[test]
    fn a_time_is_told_as_people_say_it() {
        let spoken = |ms| Spoken(MS(ms)).to_string();
        assert_eq!(
            [spoken(1_999), spoken(2_000), spoken(59_999), spoken(75_000), spoken(7_380_000)],
            ["1999 ms", "2 s", "59 s", "1 min 15 s", "2 h 3 min"]
        );
    }
}
