//! The feed in Postgres: its lease, the record of changes, and its position. Every function blocks.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postgres::error::SqlState;

use super::error::FeedError;
use super::reading::Reading;
use crate::lease::{self, Expiry, Lease};
use crate::pg::{Client, Queries as _, Terms};

/// What a statement may take, and what each transaction sets, because a role or a database may have other defaults. Commits are not
/// waited for: one that a crash loses is done again, as it is lost with all after it.
pub(super) const TERMS: Terms = Terms::read_write(
    Duration::from_secs(5),
    "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL TimeZone = 'UTC'; SET LOCAL lock_timeout = '2s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL synchronous_commit = off",
);

/// The name of the lease.
const LEASE: &str = "feed";
/// Deltas that are merged at a time, at most,
pub(super) const MOST_DELTAS: i32 = 20_000;
/// and at least, where more take too long.
pub(super) const FEWEST_DELTAS: i32 = 100;
/// Tenants that are announced at a time.
pub(super) const MOST_PENDING: usize = 2_000;

/// Asked for each time, as tables and rights change.
const MISSING: &str = "
    SELECT current_user::text, array(
        SELECT format('%s ON dashboard.%s', verb, name)
        FROM unnest(ARRAY['delta', 'counter', 'uncounted', 'pending', 'counters', 'feed', 'lease']) AS name,
             unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS verb
        WHERE NOT has_table_privilege('dashboard.' || name, verb)
        UNION ALL
        SELECT format('%s ON dashboard.lock', verb) FROM unnest(ARRAY['SELECT', 'UPDATE']) AS verb
        WHERE NOT has_table_privilege('dashboard.lock', verb))";

/// Whether there is anything to follow, whose lease it is, and how far the feed is.
const LOOK: &str = "
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'dashboard_count_truncate'),
           feed.redis, feed.postgres, feed.gap, feed.lag_ms,
           (EXTRACT(epoch FROM clock_timestamp() - feed.heartbeat_at) * 1000)::bigint,
           dashboard.server(), feed.position, clock_timestamp(), held.owner, held.expires_at, EXTRACT(epoch FROM held.lasts)::float8
    FROM dashboard.feed LEFT JOIN dashboard.lease AS held ON held.name = $1";

const PENDING: &str = "
    SELECT owner::text, merged_by::text,
           CASE owner WHEN dashboard.all_tenants() THEN 'SUPERADMIN_GLOBAL' ELSE owner::text END
    FROM dashboard.pending ORDER BY merged_by LIMIT $1";

/// What has been changed since that snapshot, while somebody else keeps the record from being merged.
const PEEK: &str = "
    SELECT pg_current_snapshot()::text,
           array(SELECT DISTINCT tenant_id::text FROM dashboard.delta
                 WHERE kind <> 'H' AND tenant_id IS NOT NULL
                   AND ($1::text IS NULL OR NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot))),
           EXISTS (SELECT FROM dashboard.delta
                   WHERE kind <> 'H' AND ($1::text IS NULL OR NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot))),
           array(SELECT source FROM dashboard.delta WHERE kind = 'H')";

/// What a sidecar is to the feed.
pub(super) enum Standing {
    /// There is nothing to follow: the counters are not enabled.
    Off,
    /// It is ours to follow.
    Holder(State),
    /// Another sidecar does.
    Standby(Progress),
}

/// How far the feed was when it was last written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) lag: Option<Duration>,
    /// Since the last heartbeat that went through.
    pub(super) age: Option<Duration>,
}

/// With whom the feed has gone on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) redis: Option<String>,
    pub(super) postgres: Option<String>,
    pub(super) gap: Option<String>,
    /// Which run of the Postgres server this is, and which tables.
    pub(super) postgres_now: String,
    /// How far the feed has come.
    pub(super) position: i64,
}

/// A tenant whose change is to be announced, and by which merge it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) owner: String,
    pub(super) merged_by: String,
    /// As Redis knows it.
    pub(super) tenant: String,
}

/// What one round has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// To be announced.
    pub(super) pending: Vec<Pending>,
    /// Likewise, but not taken off the record yet: they will come again.
    pub(super) peeked: Vec<String>,
    /// Heartbeats among the changes; nothing that is older than these is left.
    pub(super) heartbeats: Vec<String>,
    pub(super) merged: u64,
    /// The database's clock.
    pub(super) clock: Option<Reading>,
    /// What has been seen while somebody else kept the record from being merged.
    pub(super) snapshot: Option<String>,
}

/// What Redis has acknowledged since the last round.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) pending: Vec<Pending>,
    /// A heartbeat, and how long it took.
    pub(super) heartbeat: Option<Duration>,
}

/// Takes the lease, or keeps it, if there is something to follow and no other sidecar does.
pub(super) fn stand(
    client: &mut Client,
    owner: &str,
    lease: Duration,
    expiry: &Expiry,
) -> Result<Standing, FeedError> {
    let migrated = "SELECT to_regclass('dashboard.lock') IS NOT NULL";
    if !client.query_one(migrated, &[])?.try_get::<_, bool>(0)? {
        return Err(FeedError::NotMigrated);
    }
    let row = client.query_one(MISSING, &[])?;
    let missing: Vec<String> = row.try_get(1)?;
    if !missing.is_empty() {
        return Err(FeedError::Rights { role: row.try_get(0)?, missing });
    }
    let row = client.query_one(LOOK, &[&LEASE])?;
    // Before anything is written: who never follows changes does not pay for it.
    if !row.try_get::<_, bool>(0)? {
        return Ok(Standing::Off);
    }
    let millis = |column| {
        row.try_get::<_, Option<i64>>(column)
            .map(|ms| ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default())))
    };
    let now: DateTime<Utc> = row.try_get(8)?;
    let held = Lease::read(&row, 9, LEASE, expiry, now)?;
    let is_ours = match &held {
        Some(held) if held.owner == owner => lease::renew(client, LEASE, owner, lease)?,
        Some(held) if !held.ended => false,
        free => lease::take(client, LEASE, owner, lease, free.as_ref())?,
    };
    if !is_ours {
        return Ok(Standing::Standby(Progress { lag: millis(4)?, age: millis(5)? }));
    }
    Ok(Standing::Holder(State {
        redis: row.try_get(1)?,
        postgres: row.try_get(2)?,
        gap: row.try_get(3)?,
        postgres_now: row.try_get(6)?,
        position: row.try_get(7)?,
    }))
}

/// Has bundles computed from the tables, where some of these are others than those that were counted: then a gap is on record.
pub(super) fn leave_replaced(client: &mut Client) -> Result<(), FeedError> {
    match client.execute("SELECT dashboard.leave_replaced()", &[]) {
        // A role that may not see the CRM's schema cannot know.
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            tracing::debug!(%error, "whether tables have been replaced is not known");
        }
        outcome => drop(outcome?),
    }
    Ok(())
}

/// Lets another sidecar take the lease at once.
pub(super) fn give_back(client: &mut Client, owner: &str) -> Result<(), FeedError> {
    client.execute("DELETE FROM dashboard.lease WHERE name = $1 AND owner = $2", &[&LEASE, &owner])?;
    Ok(())
}

/// Takes off the record what Redis has acknowledged; a change that has been found since then stays. The feed's new position, if it has gone on.
pub(super) fn acknowledge(client: &mut Client, done: &Acknowledged) -> Result<Option<i64>, FeedError> {
    if !done.pending.is_empty() {
        let (owners, merges): (Vec<&str>, Vec<&str>) =
            done.pending.iter().map(|pending| (pending.owner.as_str(), pending.merged_by.as_str())).unzip();
        client.execute(
            "DELETE FROM dashboard.pending USING unnest($1::text[], $2::text[]) AS done(owner, merged_by)
             WHERE pending.owner = done.owner::uuid AND pending.merged_by = done.merged_by::xid8",
            &[&owners, &merges],
        )?;
    }
    let Some(lag) = done.heartbeat else { return Ok(None) };
    let row = client.query_one(
        "UPDATE dashboard.feed
         SET heartbeat_at = clock_timestamp() - $1 * interval '1 ms', lag_ms = $1, position = position + 1
         RETURNING position",
        &[&i64::try_from(lag.as_millis()).unwrap_or(i64::MAX)],
    )?;
    Ok(Some(row.try_get(0)?))
}

/// Merges what has been changed, at most so many deltas, and finds what is to be announced. `seen` is what was seen while merging was
/// not possible.
pub(super) fn find(
    client: &mut Client,
    seen: Option<&str>,
    outstanding: bool,
    most: i32,
) -> Result<Found, FeedError> {
    let asked = Instant::now();
    let row = client.query_one(
        "SELECT busy, merged, COALESCE(heartbeats, '{}'), EXTRACT(epoch FROM clock_timestamp())::float8
         FROM dashboard.compact($1, $2)",
        &[&most, &Utc::now()],
    )?;
    let answered = Instant::now();
    let mut found = Found {
        merged: u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default(),
        heartbeats: row.try_get(2)?,
        clock: Some(Reading { asked, answered, shows: row.try_get(3)? }),
        ..Found::default()
    };
    if row.try_get(0)? {
        let row = client.query_one(PEEK, &[&seen])?;
        found.snapshot = row.try_get(0)?;
        found.peeked = row.try_get(1)?;
        if row.try_get(2)? {
            found.peeked.push(crate::tenant::ALL_TENANTS.to_owned());
        }
        found.heartbeats = row.try_get(3)?;
    }
    if found.merged > 0 || outstanding {
        for row in client.query(PENDING, &[&i64::try_from(MOST_PENDING).unwrap_or(i64::MAX)])? {
            found.pending.push(Pending {
                owner: row.try_get(0)?,
                merged_by: row.try_get(1)?,
                tenant: row.try_get(2)?,
            });
        }
    }
    Ok(found)
}

/// Sets aside what keeps changes from being merged: whose it is, and what the database says.
pub(super) fn set_aside(client: &mut Client, most: i32) -> Result<Vec<(String, String)>, FeedError> {
    let rows = client.query("SELECT tenant::text, why FROM dashboard.set_aside($1)", &[&most])?;
    Ok(rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, postgres::Error>>()?)
}

/// Writes a heartbeat, which is known by its name.
pub(super) fn beat(client: &mut Client, name: &str) -> Result<(), FeedError> {
    client.execute(
        "INSERT INTO dashboard.delta (kind, test, open, n, source) VALUES ('H', false, false, 0, $1)",
        &[&name],
    )?;
    Ok(())
}

/// Puts on record that everything is to be announced, and why; which gap this is, and the feed's position, which is past the one that has
/// been `heard` of. With another Postgres, or one that may have lost what it had committed, no version of before means anything. None where the
/// lease is not ours any more: who has it goes by what is so by now.
pub(super) fn open_gap(
    client: &mut Client,
    owner: &str,
    lease: Duration,
    why: &str,
    new_epoch: bool,
    heard: i64,
) -> Result<Option<(i64, i64)>, FeedError> {
    let mut transaction = client.transaction()?;
    // Nobody takes it until this has been committed.
    if !lease::renew(&mut transaction, LEASE, owner, lease)? {
        return Ok(None);
    }
    // In the order of who counts anew: two that wait for one another would cost the one that has counted for an hour.
    if new_epoch {
        transaction.execute("UPDATE dashboard.counters SET epoch = DEFAULT", &[])?;
    }
    let row = transaction.query_one(
        "UPDATE dashboard.feed
         SET gap = $1, gap_at = clock_timestamp(), gap_number = gap_number + 1, position = GREATEST(position, $2) + 1
         RETURNING gap_number, position",
        &[&why, &heard],
    )?;
    transaction.commit()?;
    Ok(Some((row.try_get(0)?, row.try_get(1)?)))
}

/// Everything that had changed when this gap was opened has been announced to this Redis. Why there is a gap again, if there is one that is younger.
pub(super) fn close_gap(
    client: &mut Client,
    redis: &str,
    postgres: &str,
    number: i64,
) -> Result<Option<String>, FeedError> {
    let row = client.query_one(
        "UPDATE dashboard.feed SET redis = $1, postgres = $2,
                gap = CASE WHEN gap_number > $3 THEN gap END
         RETURNING gap",
        &[&redis, &postgres, &number],
    )?;
    Ok(row.try_get(0)?)
}
