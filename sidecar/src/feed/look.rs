//! How the feed is, as the database knows it: for the command line, which is no part of a sidecar that follows.

use std::time::Duration;

use crate::pg::{Client, Queries as _};

use super::error::FeedError;
use super::followed::{Evidence, Followed, Part};
use super::health::lag_at;
use super::recorded::Recorded;

const ASK: &str = "
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'dashboard_count_truncate'),
           (SELECT owner FROM dashboard.lease WHERE name = 'feed' AND expires_at > clock_timestamp()),
           feed.lag_ms, (EXTRACT(epoch FROM clock_timestamp() - feed.heartbeat_at) * 1000)::bigint,
           (SELECT count(*) FROM dashboard.pending), (SELECT count(*) FROM dashboard.delta WHERE kind <> 'H'),
           feed.gap, to_char(feed.gap_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'),
           counters.ready, ARRAY(SELECT dashboard.replaced())
    FROM dashboard.feed, dashboard.counters";

/// What the database knows.
pub(crate) struct Look {
    /// Whether bundles are computed from the counters.
    pub(super) ready: bool,
    /// Tables that are others than those that were counted.
    pub(super) replaced: Vec<String>,
    /// Who holds the feed.
    pub(super) holder: Option<String>,
    /// How long the last heartbeat took.
    pub(super) lag: Option<Duration>,
    /// Since it went through.
    pub(super) age: Option<Duration>,
    /// Tenants to announce, and changes to merge.
    pub(super) pending: i64,
    pub(super) deltas: i64,
    /// Why everything is to be announced, and when that was found out last.
    pub(super) gap: Option<String>,
    pub(super) gap_at: Option<String>,
    pub(super) unrecorded: Vec<String>,
    /// Tenants whose bundles are computed from the tables, and why.
    pub(super) uncounted: Vec<(String, String)>,
    enabled: bool,
}

impl Look {
    /// Asks.
    ///
    /// # Errors
    /// If the database is not migrated, or Postgres refuses or is away.
    pub(crate) fn at(client: &mut Client) -> Result<Self, FeedError> {
        let migrated = "SELECT to_regclass('dashboard.feed') IS NOT NULL";
        if !client.query_one(migrated, &[])?.try_get::<_, bool>(0)? {
            return Err(FeedError::NotMigrated);
        }
        let row = client.query_one(ASK, &[])?;
        let millis = |column| {
            row.try_get::<_, Option<i64>>(column)
                // One from the future was written by a clock that has been set back: it says nothing.
                .map(|ms| ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis))
        };
        Ok(Self {
            enabled: row.try_get(0)?,
            holder: row.try_get(1)?,
            lag: millis(2)?,
            age: millis(3)?,
            pending: row.try_get(4)?,
            deltas: row.try_get(5)?,
            gap: row.try_get(6)?,
            gap_at: row.try_get(7)?,
            ready: row.try_get(8)?,
            replaced: row.try_get(9)?,
            unrecorded: Recorded::at(client)?.not,
            uncounted: uncounted(client)?,
        })
    }

    /// How changes are followed, where they may be as late as `limit`.
    pub(crate) fn followed(&self, limit: Duration) -> Followed {
        let lag = self.lag.zip(self.age).map(|(lag, age)| lag_at(lag, age.saturating_sub(lag)));
        let nobody = || {
            (
                Part::Holder,
                "no sidecar serves with DASHBOARD_FEED on, or none can tell Redis; see their logs".to_owned(),
            )
        };
        let gap = |why: &String| (Part::Redis, format!("{why}; everything is being announced"));
        let trouble = match &self.holder {
            None => Some(nobody()),
            Some(_) => self.gap.as_ref().map(gap),
        };
        // Nobody goes on with what has been followed until now.
        let lag = if self.holder.is_none() { lag.filter(|lag| *lag > limit) } else { lag };
        Evidence { enabled: self.enabled, lag, trouble, unrecorded: self.unrecorded.clone() }.judge(limit)
    }
}

/// A few of the tenants whose figures cannot be summed.
fn uncounted(client: &mut Client) -> Result<Vec<(String, String)>, FeedError> {
    let rows = client.query(
        "SELECT CASE owner WHEN dashboard.all_tenants() THEN 'SUPERADMIN_GLOBAL' ELSE owner::text END, why
         FROM dashboard.uncounted ORDER BY since, owner LIMIT 10",
        &[],
    )?;
    Ok(rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, postgres::Error>>()?)
}
