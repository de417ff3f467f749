//! For how long the end of a warming is waited for: as long as it goes on. A run may take hours, so its answer has no deadline of
//! its own; but Redis is asked on another connection whether there is a run, and whether it gets on.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};
use tokio::time::{Instant, sleep};

use super::info::ModuleInfo;
use super::{PROBE_TIMEOUT, dedicated};
use crate::config::Secret;
use crate::error::ApiError;

/// How often Redis is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// A Redis that has not answered for so long cannot be asked to go on.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
/// An answer that has not come so long after the last run has ended will not come.
const LATEST_ANSWER: Duration = Duration::from_secs(5);
/// A run that has not got on for so long does not get on. Longer than the pauses of the smallest `dashboard.warm-share`.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Longest wait where Redis does not let the user see whether a run gets on.
const UNSEEN: Duration = Duration::from_secs(60 * 60);

/// Returns, with the reason, when the end of a warming is not to be waited for any more.
pub(super) async fn ends(url: &Secret, caller: &str) -> ApiError {
    let mut watch = Watch::begin(Instant::now());
    let mut connection = None;
    loop {
        sleep(INTERVAL).await;
        let seen = see(&mut connection, url, caller).await;
        if let Some(why) = watch.gives_up(Instant::now(), seen) {
            return ApiError::redis_unavailable(why);
        }
    }
}

/// What Redis says.
enum Seen {
    /// A run, and how far it is.
    Run(String),
    NoRun,
    /// Redis is there and says nothing of runs.
    Refused,
    Silent,
}

async fn see(connection: &mut Option<MultiplexedConnection>, url: &Secret, caller: &str) -> Seen {
    let mut open = match connection.take() {
        Some(open) => open,
        None => match dedicated::open(url, caller, Some(PROBE_TIMEOUT)).await {
            Ok(open) => open,
            Err(_unreachable) => return Seen::Silent,
        },
    };
    let mut command = redis::cmd("INFO");
    command.arg("dashboard");
    let said: RedisResult<String> = command.query_async(&mut open).await;
    if said.as_ref().is_err_and(RedisError::is_io_error) {
        return Seen::Silent;
    }
    *connection = Some(open);
    said.map_or(Seen::Refused, |said| Seen::of(&ModuleInfo::parse(&said)))
}

impl Seen {
    fn of(info: &ModuleInfo) -> Self {
        match info.get("warm_running") {
            None => Self::Refused,
            Some("0") => Self::NoRun,
            // What is computed counts, too: a tenant's bundles may be among many of its batch.
            Some(_) => Self::Run(
                ["warm_run", "warm_done", "computed", "unchanged", "failures"]
                    .map(|field| info.get(field).unwrap_or_default())
                    .join(" "),
            ),
        }
    }
}

/// Since when what has been so.
struct Watch {
    began: Instant,
    answered: Instant,
    /// The last time that there was a run, or that it was asked for.
    ran: Instant,
    got_on: Instant,
    progress: String,
    told: bool,
}

impl Watch {
    fn begin(now: Instant) -> Self {
        Self { began: now, answered: now, ran: now, got_on: now, progress: String::new(), told: false }
    }

    /// Why nothing more is to be waited for, if so.
    fn gives_up(&mut self, now: Instant, seen: Seen) -> Option<String> {
        match seen {
            Seen::Silent => {}
            Seen::NoRun => self.answered = now,
            Seen::Refused => {
                (self.answered, self.ran) = (now, now);
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(
                        "whether warming gets on cannot be seen: grant the user of REDIS_URL +info"
                    );
                }
                if now.duration_since(self.began) >= UNSEEN {
                    return Some(
                        "the end of the run has not come within an hour, and Redis does not say how far it is: grant the user of \
                         REDIS_URL +info"
                            .to_owned(),
                    );
                }
                self.got_on = now;
            }
            Seen::Run(progress) => {
                (self.answered, self.ran) = (now, now);
                if progress != self.progress {
                    (self.progress, self.got_on) = (progress, now);
                }
            }
        }
        let seconds = |time: Duration| time.as_secs();
        if now.duration_since(self.answered) >= LONGEST_SILENCE {
            Some(format!(
                "Redis (REDIS_URL) has not answered for {} s while it warms",
                seconds(LONGEST_SILENCE)
            ))
        } else if now.duration_since(self.ran) >= LATEST_ANSWER && self.answered > self.ran {
            Some(
                "no run is under way in Redis any more, and its answer has not come: the connection was lost"
                    .to_owned(),
            )
        } else if now.duration_since(self.got_on) >= LONGEST_PAUSE {
            Some(format!("the run in Redis has not got on for {} s: see Redis's log", seconds(LONGEST_PAUSE)))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds nothing more is waited for, if each second the same is seen; none within two hours.
    fn gives_up_after(seen: impl Fn(u64) -> Seen) -> Option<u64> {
        let start = Instant::now();
        let mut watch = Watch::begin(start);
        (1..7_200)
            .find(|second| watch.gives_up(start + Duration::from_secs(*second), seen(*second)).is_some())
    }

    #[test]
    fn a_run_is_waited_for_as_long_as_it_gets_on() {
        let info = |text: &str| Seen::of(&ModuleInfo::parse(text));
        let running =
            |done: u64| info(&format!("dashboard_warm_running:1\r\ndashboard_warm_done:{done}\r\n"));
        assert_eq!(gives_up_after(|second| running(second / 600)), None);
        assert_eq!(gives_up_after(|_| running(7)), Some(1 + LONGEST_PAUSE.as_secs()));
        let none = || info("dashboard_warm_running:0\r\ndashboard_warm_done:9\r\n");
        assert_eq!(gives_up_after(|_| none()), Some(LATEST_ANSWER.as_secs()));
        assert_eq!(gives_up_after(|second| if second < 60 { running(second) } else { none() }), Some(64));
        assert_eq!(gives_up_after(|_| Seen::Silent), Some(LONGEST_SILENCE.as_secs()));
        assert_eq!(gives_up_after(|_| Seen::Refused), Some(UNSEEN.as_secs()));
    }
}
