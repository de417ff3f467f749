//! What one sidecar does at a time: rows of `dashboard.lease`, and when their owner is taken for dead.
//!
//! A lease has ended when its row has stood still for as long as it lasts, by the monotonic clock of who looks. The time that stands in the row
//! is for people: by a wall clock that is set, a dead owner would keep its lease for an hour, or a live one would lose it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use postgres::{Error, Row};

use crate::pg::Queries;

/// The columns that [`Lease::read`] reads, of `dashboard.lease AS held`.
pub(crate) const COLUMNS: &str = "held.owner, held.expires_at, EXTRACT(epoch FROM held.lasts)::float8";

/// What is remembered of more leases than that is forgotten: then they last a little longer.
const MOST_SEEN: usize = 10_000;

const TAKE: &str = "
    INSERT INTO dashboard.lease AS held (name, owner, expires_at, lasts)
    VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), make_interval(secs => $3))
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at, lasts = excluded.lasts
    WHERE held.owner = $4 AND held.expires_at = $5";

const RENEW: &str = "
    UPDATE dashboard.lease SET expires_at = clock_timestamp() + make_interval(secs => $3), lasts = make_interval(secs => $3)
    WHERE name = $1 AND owner = $2";

/// A lease that somebody holds, or held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) owner: String,
    /// When it ends unless it is renewed, by the database's clock.
    pub(crate) expires_at: DateTime<Utc>,
    /// How long it lasts from each renewal on.
    pub(crate) lasts: Duration,
    /// Anybody may take it.
    pub(crate) ended: bool,
    /// It has not been seen to end, and the database's clock does not show a time at which its owner can have renewed it: the owner has died,
    /// or the clock has been set. Who waits sees which.
    pub(crate) in_doubt: bool,
}

impl Lease {
    /// From the [`COLUMNS`] that begin at this one; none where nobody holds it.
    pub(crate) fn read(
        row: &Row,
        column: usize,
        name: &str,
        expiry: &Expiry,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, Error> {
        let (owner, expires_at, lasts) =
            (row.try_get(column)?, row.try_get(column + 1)?, row.try_get::<_, Option<f64>>(column + 2)?);
        let (Some(owner), Some(expires_at), Some(lasts)) = (owner, expires_at, lasts) else {
            return Ok(None);
        };
        let lasts = Duration::try_from_secs_f64(lasts).unwrap_or(Duration::MAX);
        let mut lease = Self { owner, expires_at, lasts, ended: false, in_doubt: false };
        lease.ended = expiry.has_ended(name, &lease, now);
        lease.in_doubt = !lease.ended && !lease.may_be_renewed(now);
        Ok(Some(lease))
    }

    /// Whether it has not been renewed since it was like this.
    pub(crate) fn is_still(&self, before: &Self) -> bool {
        (&self.owner, self.expires_at) == (&before.owner, before.expires_at)
    }

    /// Whether it can have been renewed within its length, if the clock is right.
    fn may_be_renewed(&self, now: DateTime<Utc>) -> bool {
        (self.expires_at - now).to_std().is_ok_and(|left| left <= self.lasts)
    }
}

/// How it is found out whether a lease has ended.
#[derive(Clone, Debug, Default)]
pub(crate) enum Expiry {
    /// By the database's clock: all that who looks once can know, so only to show it.
    #[default]
    ByClock,
    /// By watching it.
    ByWatching(Arc<Mutex<HashMap<String, Seen>>>),
}

/// A row as it has been since a moment.
#[derive(Debug)]
pub(crate) struct Seen {
    owner: String,
    expires_at: DateTime<Utc>,
    since: Instant,
}

impl Expiry {
    /// For who looks again and again.
    pub(crate) fn by_watching() -> Self {
        Self::ByWatching(Arc::default())
    }

    fn has_ended(&self, name: &str, lease: &Lease, now: DateTime<Utc>) -> bool {
        match self {
            Self::ByClock => lease.expires_at <= now,
            Self::ByWatching(seen) => {
                let mut all = seen.lock();
                if all.len() >= MOST_SEEN {
                    all.clear();
                }
                let seen = all.entry(name.to_owned()).or_insert_with(|| Seen::now(lease));
                if (&seen.owner, seen.expires_at) != (&lease.owner, lease.expires_at) {
                    *seen = Seen::now(lease);
                }
                seen.since.elapsed() >= lease.lasts
            }
        }
    }
}

impl Seen {
    fn now(lease: &Lease) -> Self {
        Self { owner: lease.owner.clone(), expires_at: lease.expires_at, since: Instant::now() }
    }
}

/// Takes a lease that nobody holds, or this one that has ended and has not been renewed since it was read; false if another was first.
pub(crate) fn take(
    client: &mut impl Queries,
    name: &str,
    owner: &str,
    lasts: Duration,
    ended: Option<&Lease>,
) -> Result<bool, Error> {
    let (old_owner, old_expiry) = ended.map(|lease| (lease.owner.as_str(), lease.expires_at)).unzip();
    let taken = client.execute(TAKE, &[&name, &owner, &lasts.as_secs_f64(), &old_owner, &old_expiry])?;
    Ok(taken == 1)
}

/// Keeps a lease; false if it is another's.
pub(crate) fn renew(
    client: &mut impl Queries,
    name: &str,
    owner: &str,
    lasts: Duration,
) -> Result<bool, Error> {
    Ok(client.execute(RENEW, &[&name, &owner, &lasts.as_secs_f64()])? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(expires_at: &str) -> Lease {
        Lease {
            owner: "a".into(),
            expires_at: expires_at.parse().unwrap(),
            lasts: Duration::ZERO,
            ended: false,
            in_doubt: false,
        }
    }

    #[test]
    fn a_lease_is_in_doubt_where_the_clock_shows_no_time_at_which_it_can_have_been_renewed() {
        let lease = Lease { lasts: Duration::from_secs(15), ..lease("2026-03-04T12:00:00Z") };
        for (now, expected) in [
            ("2026-03-04T11:59:50Z", true),
            ("2026-03-04T11:59:45Z", true),
            ("2026-03-04T11:59:44Z", false),
            ("2026-03-04T11:00:00Z", false),
            ("2026-03-04T12:00:01Z", false),
        ] {
            assert_eq!(lease.may_be_renewed(now.parse().unwrap()), expected, "{now}");
        }
    }

    #[test]
    fn a_lease_that_is_watched_ends_by_standing_still_and_by_no_clock() {
        let (noon, now) = (lease("2026-03-04T12:00:00Z"), "2027-01-01T00:00:00Z".parse().unwrap());
        assert!(Expiry::ByClock.has_ended("x", &noon, now));
        let watched = Expiry::by_watching();
        let long = Lease { lasts: Duration::from_secs(3600), ..noon.clone() };
        assert!(!watched.has_ended("x", &long, now), "it has only just been seen");
        // As it would be after an hour.
        assert!(watched.has_ended("x", &noon, now));
        let renewed = Lease { lasts: Duration::from_secs(3600), ..lease("2026-03-04T11:00:00Z") };
        assert!(!watched.has_ended("x", &renewed, now), "it was renewed, by a clock that has been set back");
    }
}
