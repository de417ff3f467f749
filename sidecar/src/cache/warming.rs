//! Asking the module to warm, and how far it is, each on a connection of its own: warming takes as long as it
//! takes.

use std::convert::Infallible;
use std::time::Duration;

use redis::{RedisError, Value};

use super::info::ModuleInfo;
use super::reply::{self, Warmed};
use super::{PROBE_TIMEOUT, dedicated, failure, patience};
use crate::config::Secret;
use crate::error::ApiError;
use crate::tenant::Tenant;

/// How often the module is asked how far it is.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Warms these tenants, or all active ones, and waits for the end, however long it takes, as long as it gets on. Dropping the
/// future does not end the run in Redis. `caller` names the connection, so that Redis can say who has begun the run.
///
/// # Errors
/// If REDIS_URL is malformed, Redis cannot be reached, falls silent, or refuses.
pub async fn warm(url: &Secret, caller: &str, tenants: &[Tenant], force: bool) -> Result<Warmed, ApiError> {
    let mut connection = dedicated::open(url, caller, None).await?;
    let mut command = redis::cmd("DASHBOARD.WARM");
    for tenant in tenants {
        command.arg(tenant.as_str());
    }
    if force {
        command.arg("FORCE");
    }
    tokio::select! {
        answer = command.query_async::<Value>(&mut connection) => reply::warmed(answer.map_err(refused)?),
        why = patience::ends(url, caller) => Err(why),
    }
}

/// How far the run under way is; of several, the oldest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Tenants covered.
    pub tenants: u64,
    /// Those that need nothing more: warmed, fresh or failed.
    pub done: u64,
    /// Of these, the failed ones.
    pub failed: u64,
    /// Tenants done in a second, since the run began.
    pub per_second: f64,
}

/// Tells `seen` how far the run under way is, a few times a second, for as long as the future lives.
///
/// # Errors
/// If Redis cannot be asked.
pub async fn watch(
    url: &Secret,
    caller: &str,
    mut seen: impl FnMut(&Progress),
) -> Result<Infallible, ApiError> {
    let mut connection = dedicated::open(url, caller, Some(PROBE_TIMEOUT)).await?;
    let mut command = redis::cmd("INFO");
    command.arg("dashboard");
    loop {
        let info: String = command.query_async(&mut connection).await.map_err(refused)?;
        if let Some(progress) = Progress::of(&info) {
            seen(&progress);
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

impl Progress {
    /// What `INFO dashboard` says; `None` while nothing is warmed, or its list of tenants is still to come.
    fn of(info: &str) -> Option<Self> {
        let info = ModuleInfo::parse(info);
        let text = |name: &str| info.get(name);
        let field = |name: &str| text(name)?.parse::<u64>().ok();
        let progress = Self {
            tenants: field("warm_tenants")?,
            done: field("warm_done")?,
            failed: field("warm_failed")?,
            per_second: text("warm_tenants_per_sec")?.parse().ok()?,
        };
        (field("warm_running")? > 0 && progress.tenants > 0).then_some(progress)
    }
}

fn refused(error: RedisError) -> ApiError {
    failure::of_warming(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_what_info_says_while_a_run_is_under_way() {
        let info = |running: u64, tenants: u64| {
            format!(
                "# dashboard_stats\r\ndashboard_warm_running:{running}\r\ndashboard_warm_failed_runs:9\r\n\
                 dashboard_warm_tenants:{tenants}\r\ndashboard_warm_done:3\r\ndashboard_warm_failed:1\r\n\
                 dashboard_warm_tenants_per_sec:0.7\r\n"
            )
        };
        let expected = Progress { tenants: 8, done: 3, failed: 1, per_second: 0.7 };
        assert_eq!(Progress::of(&info(1, 8)), Some(expected));
        assert_eq!(Progress::of(&info(0, 8)), None, "the last run");
        assert_eq!(Progress::of(&info(1, 0)), None, "without its list yet");
        assert_eq!(Progress::of(""), None);
    }
}
