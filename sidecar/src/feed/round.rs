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
use super::recorded::Recorded;
use super::signs::Signs;
use super::store::{self, Acknowledged, Found, Standing, State};
use super::{Session, Settings};
use crate::cache::Refused;
use crate::pg::Client;
use crate::telemetry::metrics;

/// Heartbeats that are waited for; older ones are given up.
const MOST_BEATS: usize = 1_024;
/// Redis cannot be told for so long: then another sidecar may be able to.
const HAND_OVER: Duration = Duration::from_secs(3);
/// Longest time for one round's statements: a Postgres that hangs is left, and the lease with it.
const LONGEST_ROUND: Duration = Duration::from_secs(30);

/// What came of one round's statements.
struct Asked {
    found: Found,
    /// The heartbeat that was written last, and when.
    beat: Option<(String, Instant)>,
    gap: Option<String>,
    recorded: Option<Recorded>,
    /// Where the tables were when the lease was renewed.
    stands_at: Option<i64>,
    /// Where the feed has come to.
    position: Option<i64>,
}

/// Writes a heartbeat, by a name that no other has.
fn beat_once(client: &mut Client, owner: &str) -> Result<(String, Instant), FeedError> {
    let name = format!("{owner}:{:016x}", rand::random::<u64>());
    store::beat(client, &name)?;
    Ok((name, Instant::now()))
}

/// What to do where Redis does not take the feed's lag, by the first word of what it says.
fn remedy(code: Option<&str>) -> &'static str {
    match code {
        Some("NOPERM") => "grant the user of REDIS_URL +dashboard.feed with ACL SETUSER",
        // A word that it does not know, or an argument.
        _ => "load the module of this version, the libdashboard.so that came with this sidecar",
    }
}

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
    signs: &'a mut Signs,
    health: &'a FeedHealth,
    state: State,
    /// Everything is being announced, since then; to which Redis, once it has succeeded.
    sweep: Option<(Instant, AbortOnDropHandle<Result<String, Refused>>)>,
    /// Which gap this closes.
    sweep_of: i64,
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
        signs: &'a mut Signs,
        health: &'a FeedHealth,
        state: State,
    ) -> Self {
        health.holding();
        signs.is_at(state.position);
        Self {
            session,
            settings,
            link,
            signs,
            health,
            state,
            sweep: None,
            sweep_of: 0,
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
            let renew = began >= renew_at || self.signs.is_in_doubt();
            if renew {
                renew_at = began + self.settings.lease / 3;
            }
            let beat = began >= beat_at;
            if beat {
                beat_at = began + HEARTBEAT;
            }
            let Some(found) = self.ask(renew, beat).await? else { return Ok(End::Over) };
            self.tell(found).await;
            if !self.close_gap().await? {
                return Ok(End::Over);
            }
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
        let settings = self.settings.clone();
        let (postgres, seen, outstanding, most) =
            (self.state.postgres_now.clone(), self.snapshot.clone(), self.outstanding, self.most);
        let look = renew && self.health.is_to_look_at_triggers();
        let work = self.session.run(move |client| {
            let recorded = if look { Some(Recorded::at(client)?) } else { None };
            let (mut gap, mut stands_at) = (None, None);
            if renew {
                match store::stand(client, &settings.owner, settings.lease, &settings.expiry)? {
                    Standing::Holder(state) if state.postgres_now == postgres => {
                        (gap, stands_at) = (state.gap, Some(state.position));
                    }
                    _ => return Ok(None),
                }
                store::leave_replaced(client)?;
            }
            let position = store::acknowledge(client, &done)?;
            let found = store::find(client, seen.as_deref(), outstanding, most)?;
            // After what was found: it waits for the next round, as any change does.
            let beat = if beat { Some(beat_once(client, &settings.owner)?) } else { None };
            Ok(Some(Asked { found, beat, gap, recorded, stands_at, position }))
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
            Err(error) if error.is_of_data() => return self.set_aside(error).await,
            outcome => outcome?,
        };
        let Some(Asked { mut found, beat, gap, recorded, stands_at, position }) = outcome else {
            return Ok(None);
        };
        if let Some(position) = stands_at {
            self.signs.is_at(position);
        }
        if let Some(position) = position {
            self.signs.has_come_to(position);
        }
        if let Some(reading) = found.clock {
            self.signs.clock(reading);
        }
        self.most = self.most.saturating_mul(2).min(store::MOST_DELTAS);
        if let Some(recorded) = recorded {
            self.health.recorded(recorded);
        }
        // Who counts anew puts one on record.
        if gap.is_some() {
            self.state.gap = gap;
        }
        self.beats.extend(beat);
        if self.beats.len() > MOST_BEATS {
            self.beats.pop_front();
        }
        let names = std::mem::take(&mut found.heartbeats);
        let back = |name: &String| names.contains(name) || self.come_back.as_ref() == Some(name);
        self.come_back = self.beats.iter().rev().map(|(name, _)| name).find(|name| back(name)).cloned();
        metrics::feed_merged(found.merged);
        Ok(Some(found))
    }

    /// Something that was recorded keeps all changes from being merged. Sets it aside, so that the next round can go on.
    async fn set_aside(&mut self, error: FeedError) -> Result<Option<Found>, FeedError> {
        let most = self.most;
        let aside = self.session.run(move |client| store::set_aside(client, most)).await?;
        if aside.is_empty() {
            return Err(error);
        }
        for (tenant, why) in aside {
            tracing::error!(
                tenant,
                why,
                "the figures of this tenant cannot be summed: its bundles are computed from the tables from now on. Correct its rows, \
                 then run 'dashboard-sidecar counters rebuild'"
            );
        }
        Ok(Some(Found::default()))
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
            && let Some(name) = self.come_back.take()
        {
            self.through(name).await;
        }
    }

    /// A heartbeat has gone through, and with it all before it.
    async fn through(&mut self, name: String) {
        let Some(place) = self.beats.iter().position(|(beat, _)| *beat == name) else { return };
        let Some((_, at)) = self.beats.drain(..=place).next_back() else { return };
        let lag = at.elapsed();
        let Some(announcer) = self.link.announcer().await else { return };
        let began = Instant::now();
        match announcer.lag(lag, PERIOD, self.signs.heard()).await {
            Ok(heard) => {
                self.lag_is_refused = false;
                self.signs.redis_has_heard(heard);
            }
            Err(error) if error.is_io_error() || error.code() == Some("READONLY") => {
                return self.link.failed(began, &Refused::of(&error));
            }
            Err(error) if !self.lag_is_refused => {
                self.lag_is_refused = true;
                tracing::warn!(%error, "Redis does not take the feed's lag: {}", remedy(error.code()));
            }
            Err(_) => {}
        }
        // Nothing was to be announced, or it has been: the way to Redis is free.
        self.link.acknowledged();
        self.health.beat(lag);
        self.acknowledged.heartbeat = Some(lag);
    }

    /// Where there is a gap, has everything announced; where that has been done, writes down that there is none. False where the lease is not
    /// ours any more.
    async fn close_gap(&mut self) -> Result<bool, FeedError> {
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
        let Some(announcer) = self.link.open() else { return Ok(true) };
        if self.sweep.is_some() {
            return Ok(true);
        }
        if let Some(gap) = Gap::between(&self.state, &announcer.redis, self.signs.gap()) {
            let why = match &self.state.gap {
                Some(why) if gap == Gap::Unfinished => why.clone(),
                _ => gap.why().to_owned(),
            };
            let (new_epoch, heard) = (gap.voids_versions(), self.signs.heard());
            let (settings, written) = (self.settings.clone(), why.clone());
            let open = move |client: &mut Client| {
                store::open_gap(client, &settings.owner, settings.lease, &written, new_epoch, heard)
            };
            let Some((number, position)) = self.session.run(open).await? else { return Ok(false) };
            // Once for each gap, not each time that it is tried to be closed.
            if !std::mem::replace(&mut self.link.gap_is_told, true) {
                tracing::warn!(
                    why,
                    "changes may have been missed: all bundles are marked as changed and computed anew"
                );
                metrics::feed_gap();
            }
            self.state.gap = Some(why);
            self.sweep_of = number;
            self.signs.begins_at(position);
            self.signs.forget();
            if new_epoch {
                // Written down as unfinished; versions of before are void already.
                self.state.postgres = Some(self.state.postgres_now.clone());
            }
            let url = self.link.url().clone();
            let sweep = async move { Announcer::everything_changed(&url).await };
            self.sweep = Some((Instant::now(), AbortOnDropHandle::new(tokio::spawn(sweep))));
        }
        Ok(true)
    }

    /// Everything has been announced to this Redis.
    async fn gap_is_closed(&mut self, redis: String) -> Result<(), FeedError> {
        tracing::info!("everything has been announced; bundles are computed anew");
        self.link.acknowledged();
        let postgres = self.state.postgres_now.clone();
        let (written, number) = ((redis.clone(), postgres.clone()), self.sweep_of);
        let close = move |client: &mut Client| store::close_gap(client, &written.0, &written.1, number);
        let gap = self.session.run(close).await?;
        self.link.gap_is_told = false;
        // One that has been restarted since is not the one that was told, whatever this connection still believes.
        if self.link.open().is_some_and(|announcer| announcer.redis != redis) {
            self.link.drop_connection();
        }
        self.state.redis = Some(redis);
        self.state.postgres = Some(postgres);
        self.state.gap = gap;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::remedy;

    #[test]
    fn a_module_that_does_not_know_the_word_is_told_from_a_user_that_may_not_say_it() {
        assert!(remedy(Some("NOPERM")).contains("+dashboard.feed"));
        assert!(remedy(Some("ERR")).contains("load the module of this version"));
    }
}
