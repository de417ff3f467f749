//! Going round while the lease is held.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::announcer::Announcer;
use super::error::FeedError;
use super::gap::Gap;
use super::health::{FeedHealth, HEARTBEAT, PERIOD};
use super::link::Link;
use super::look;
use super::store::{self, Acknowledged, Found, Standing, State};
use super::{Session, Settings};
use crate::cache::Refused;
use crate::telemetry::metrics;

/// Heartbeats that are waited for; older ones are given up.
const MOST_BEATS: usize = 1_024;
/// Redis cannot be told for so long: then another sidecar may be able to.
const HAND_OVER: Duration = Duration::from_secs(3);
/// Longest time for one round's statements: a Postgres that hangs is left, and the lease with it.
const LONGEST_ROUND: Duration = Duration::from_secs(30);

/// Why it does not go round any more.
pub(super) enum End {
    /// The lease is another's, or there is nothing to follow, or Postgres is another one.
    Over,
    /// Redis cannot be told from here.
    CannotTell,
}

/// Follows changes and announces them, until the lease is another's.
pub(super) struct Follower<'a> {
    session: Session,
    settings: Settings,
    link: &'a mut Link,
    health: &'a FeedHealth,
    state: State,
    /// Everything is being announced, since then; to which Redis, once it has succeeded.
    sweep: Option<(Instant, AbortOnDropHandle<Result<String, Refused>>)>,
    /// Since when there was the gap that this closes.
    sweep_of: String,
    /// Heartbeats that have not come back yet, and when they were written.
    beats: VecDeque<(String, Instant)>,
    /// The last that has come back and was not acknowledged by Redis yet.
    come_back: Option<String>,
    acknowledged: Acknowledged,
    /// There may be more to announce than was found.
    outstanding: bool,
    snapshot: Option<String>,
    /// Deltas that are merged at a time: fewer once so many have taken too long.
    most: i32,
    lag_is_refused: bool,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        session: Session,
        settings: Settings,
        link: &'a mut Link,
        health: &'a FeedHealth,
        state: State,
    ) -> Self {
        health.holding();
        Self {
            session,
            settings,
            link,
            health,
            state,
            sweep: None,
            sweep_of: String::new(),
            beats: VecDeque::new(),
            come_back: None,
            acknowledged: Acknowledged::default(),
            outstanding: true,
            snapshot: None,
            most: store::MOST_DELTAS,
            lag_is_refused: false,
        }
    }

    /// Goes round until the lease is lost or another sidecar may do better, or there is nothing to follow any more, or Postgres is not
    /// the one that it was.
    ///
    /// # Errors
    /// Why Postgres cannot be asked.
    pub(super) async fn follow(mut self) -> Result<End, FeedError> {
        let holding = Instant::now();
        let mut renew_at = holding + self.settings.lease / 3;
        let mut beat_at = Instant::now();
        loop {
            let began = Instant::now();
            let renew = began >= renew_at;
            if renew {
                renew_at = began + self.settings.lease / 3;
            }
            let beat = began >= beat_at;
            if beat {
                beat_at = began + HEARTBEAT;
            }
            let Some(found) = self.ask(renew, beat).await? else { return Ok(End::Over) };
            self.tell(found).await;
            self.close_gap().await?;
            let time_out = |trouble: Duration| trouble >= HAND_OVER && holding.elapsed() >= HAND_OVER;
            if self.link.trouble().is_some_and(time_out) {
                return Ok(End::CannotTell);
            }
            sleep_until((began + self.settings.poll).into()).await;
        }
    }

    /// One round's statements. None where the lease is not ours any more.
    async fn ask(&mut self, renew: bool, beat: bool) -> Result<Option<Found>, FeedError> {
        let done = std::mem::take(&mut self.acknowledged);
        let (owner, lease) = (self.settings.owner.clone(), self.settings.lease);
        let (postgres, seen, outstanding, most) =
            (self.state.postgres_now.clone(), self.snapshot.clone(), self.outstanding, self.most);
        let look = renew && self.health.is_to_look_at_triggers();
        let work = self.session.run(move |client| {
            let unrecorded = if look { Some(look::unrecorded(client)?) } else { None };
            let mut gap = None;
            if renew {
                match store::stand(client, &owner, lease)? {
                    Standing::Holder(state) if state.postgres_now == postgres => gap = state.gap,
                    _ => return Ok(None),
                }
            }
            store::acknowledge(client, &done)?;
            let found = store::find(client, seen.as_deref(), outstanding, most)?;
            // After what was found: it waits for the next round, as any change does.
            let beat = if beat { Some((store::beat(client)?, Instant::now())) } else { None };
            Ok(Some((found, beat, gap, unrecorded)))
        });
        let Ok(outcome) = timeout(LONGEST_ROUND, work).await else {
            tracing::warn!("Postgres has not answered the feed in time");
            return Ok(None);
        };
        let outcome = match outcome {
            // What was to be taken off the record comes again; and with fewer at a time, the next round may end in time.
            Err(error) if error.is_out_of_time() && self.most > store::FEWEST_DELTAS => {
                self.most = (self.most / 4).max(store::FEWEST_DELTAS);
                tracing::warn!(most = self.most, "merging changes takes too long; merging fewer at a time");
                return Ok(Some(Found::default()));
            }
            outcome => outcome?,
        };
        let Some((mut found, beat, gap, unrecorded)) = outcome else { return Ok(None) };
        self.most = self.most.saturating_mul(2).min(store::MOST_DELTAS);
        if let Some(tables) = unrecorded {
            self.health.unrecorded(tables);
        }
        // Who counts anew puts one on record.
        if gap.is_some() {
            self.state.gap = gap;
        }
        self.beats.extend(beat);
        if self.beats.len() > MOST_BEATS {
            self.beats.pop_front();
        }
        self.come_back = found.heartbeat.take().or(self.come_back.take());
        metrics::feed_merged(found.merged);
        Ok(Some(found))
    }

    /// Tells Redis, and notes what it has acknowledged.
    async fn tell(&mut self, found: Found) {
        // Until Redis has said yes.
        self.outstanding = true;
        let Found { pending, peeked, snapshot, .. } = found;
        let mut tenants: Vec<&str> = pending.iter().map(|pending| pending.tenant.as_str()).collect();
        tenants.extend(peeked.iter().map(String::as_str));
        tenants.sort_unstable();
        tenants.dedup();
        let Some(announcer) = self.link.announcer().await else { return };
        let began = Instant::now();
        if let Err(error) = announcer.changed(&tenants).await {
            self.link.failed(began, &error);
            return;
        }
        if !tenants.is_empty() {
            self.link.acknowledged();
        }
        metrics::feed_announced(tenants.len());
        // Not before: what has been seen and not been heard is to be seen again.
        self.snapshot = snapshot;
        self.outstanding = !pending.is_empty();
        let all = pending.len() < store::MOST_PENDING;
        self.acknowledged.pending = pending;
        // Nothing that is older than the heartbeat may be left.
        if all
            && self.state.gap.is_none()
            && let Some(written) = self.come_back.take()
        {
            self.through(written).await;
        }
    }

    /// A heartbeat has gone through.
    async fn through(&mut self, written: String) {
        let number = |text: &str| text.parse::<f64>().unwrap_or_default();
        let latest = number(&written);
        let mut lag = None;
        while let Some((beat, at)) = self.beats.front() {
            if number(beat) > latest + 0.000_001 {
                break;
            }
            lag = Some(at.elapsed());
            self.beats.pop_front();
        }
        // One of a former holder tells nothing about us.
        let Some(lag) = lag else { return };
        let Some(announcer) = self.link.announcer().await else { return };
        let began = Instant::now();
        match announcer.lag(lag, PERIOD).await {
            Ok(()) => self.lag_is_refused = false,
            Err(error) if error.is_io_error() || error.code() == Some("READONLY") => {
                return self.link.failed(began, &Refused::of(&error));
            }
            Err(error) if !self.lag_is_refused => {
                self.lag_is_refused = true;
                tracing::warn!(%error, "Redis does not take the feed's lag: grant the user of REDIS_URL +dashboard.feed");
            }
            Err(_) => {}
        }
        // Nothing was to be announced, or it has been: the way to Redis is free.
        self.link.acknowledged();
        self.health.beat(lag);
        self.acknowledged.heartbeat = Some((written, lag));
    }

    /// Where there is a gap, has everything announced; where that has been done, writes down that there is none.
    async fn close_gap(&mut self) -> Result<(), FeedError> {
        if let Some((began, sweep)) = self.sweep.take_if(|(_, sweep)| sweep.is_finished()) {
            match sweep.await {
                Ok(Ok(redis)) => self.gap_is_closed(redis).await?,
                Ok(Err(error)) => self.link.failed(began, &error),
                Err(error) => {
                    tracing::error!(%error, "announcing everything ended abnormally");
                    self.link.drop_connection();
                }
            }
        }
        let Some(announcer) = self.link.open() else { return Ok(()) };
        if self.sweep.is_some() {
            return Ok(());
        }
        if let Some(gap) = Gap::between(&self.state, &announcer.redis) {
            let why = match &self.state.gap {
                Some(why) if gap == Gap::Unfinished => why.clone(),
                _ => gap.why().to_owned(),
            };
            // Once for each gap, not each time that it is tried to be closed.
            if !std::mem::replace(&mut self.link.gap_is_told, true) {
                tracing::warn!(
                    why,
                    "changes may have been missed: all bundles are marked as changed and computed anew"
                );
                metrics::feed_gap();
            }
            let new_epoch = gap == Gap::Postgres;
            self.state.gap = Some(why.clone());
            self.sweep_of = self.session.run(move |client| store::open_gap(client, &why, new_epoch)).await?;
            if new_epoch {
                // Written down as unfinished; versions of before are void already.
                self.state.postgres = Some(self.state.postgres_now.clone());
            }
            let url = self.link.url().clone();
            let sweep = async move { Announcer::everything_changed(&url).await };
            self.sweep = Some((Instant::now(), AbortOnDropHandle::new(tokio::spawn(sweep))));
        }
        Ok(())
    }

    /// Everything has been announced to this Redis.
    async fn gap_is_closed(&mut self, redis: String) -> Result<(), FeedError> {
        tracing::info!("everything has been announced; bundles are computed anew");
        self.link.acknowledged();
        let postgres = self.state.postgres_now.clone();
        let written = (redis.clone(), postgres.clone(), std::mem::take(&mut self.sweep_of));
        let close = move |client: &mut _| store::close_gap(client, &written.0, &written.1, &written.2);
        let gap = self.session.run(close).await?;
        self.link.gap_is_told = false;
        // One that has been restarted since is not the one that was told, whatever this connection still believes.
        if self.link.open().is_some_and(|announcer| announcer.redis != redis) {
            self.link.drop_connection();
        }
        self.state =
            State { redis: Some(redis), postgres: Some(postgres.clone()), gap, postgres_now: postgres };
        Ok(())
    }
}
