//! The way to Redis: a connection, or since when and why there is none. It outlives the lease, as a trouble does: who could not tell
//! Redis a moment ago is not to try in no time because it holds the lease anew.

use std::time::{Duration, Instant};

use super::announcer::Announcer;
use super::health::FeedHealth;
use super::pause::Pause;
use crate::cache::Refused;
use crate::config::Secret;

/// Longest pause before a Redis that cannot be reached is connected to again: a try costs nobody anything.
const LONGEST_AWAY: Duration = Duration::from_secs(1);
/// And before one is asked again that has refused: it is there, and somebody has to do something first.
const LONGEST_REFUSED: Duration = Duration::from_secs(5);
/// A refusal that is so old may not be one any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The way to one Redis.
pub(super) struct Link {
    url: Secret,
    health: FeedHealth,
    announcer: Option<Announcer>,
    try_at: Instant,
    pause: Pause,
    trouble: Option<Trouble>,
    /// That there is a gap has been said, and it is the same one.
    pub(super) gap_is_told: bool,
}

struct Trouble {
    since: Instant,
    /// What has been said of it, by the first word of the error: once each.
    told: Vec<Option<String>>,
    /// The last time, Redis was there and refused.
    refused: bool,
    /// The lease has been given back because of it.
    gave_way: bool,
}

impl Link {
    /// Prepares it; nothing is connected yet.
    pub(super) fn new(url: &Secret, health: &FeedHealth) -> Self {
        Self {
            url: url.clone(),
            health: health.clone(),
            announcer: None,
            try_at: Instant::now(),
            pause: Pause::first(),
            trouble: None,
            gap_is_told: false,
        }
    }

    /// Where Redis is.
    pub(super) fn url(&self) -> &Secret {
        &self.url
    }

    /// The connection; made if it is time to try, and none if there is none.
    pub(super) async fn announcer(&mut self) -> Option<&mut Announcer> {
        if self.announcer.is_none() && Instant::now() >= self.try_at {
            let began = Instant::now();
            match Announcer::connect(&self.url).await {
                Ok(announcer) => self.announcer = Some(announcer),
                Err(error) => self.failed(began, &error),
            }
        }
        self.announcer.as_mut()
    }

    /// The connection, if there is one.
    pub(super) fn open(&self) -> Option<&Announcer> {
        self.announcer.as_ref()
    }

    /// Lets the connection go.
    pub(super) fn drop_connection(&mut self) {
        self.announcer = None;
    }

    /// Redis could not be told what was tried since `began`.
    pub(super) fn failed(&mut self, began: Instant, error: &Refused) {
        self.announcer = None;
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            since: began,
            told: Vec::new(),
            refused: false,
            gave_way: false,
        });
        trouble.refused = error.code.is_some();
        if !trouble.told.contains(&error.code) {
            trouble.told.push(error.code.clone());
            let error = &error.explained;
            tracing::warn!(
                error,
                "Redis cannot be told of changes; trying again, and they are kept until then"
            );
        }
        let longest = if trouble.refused { LONGEST_REFUSED } else { LONGEST_AWAY };
        self.health.redis(Some(error.hint.clone()));
        self.try_at = Instant::now() + self.pause.take(longest);
    }

    /// Redis has acknowledged what it was told. Not before: one that can be connected to may refuse all the same.
    pub(super) fn acknowledged(&mut self) {
        self.pause = Pause::first();
        if let Some(trouble) = self.trouble.take() {
            let seconds = trouble.since.elapsed().as_secs();
            tracing::info!(after_seconds = seconds, "Redis is told of changes again");
            self.health.redis(None);
        }
    }

    /// For how long Redis cannot be told.
    pub(super) fn trouble(&self) -> Option<Duration> {
        self.trouble.as_ref().map(|trouble| trouble.since.elapsed())
    }

    /// Looks whether Redis can be told again, as far as that can be found out without telling it anything; whether it seems so.
    pub(super) async fn seems_well(&mut self) -> bool {
        let (refused, since) = match &self.trouble {
            None => return true,
            Some(trouble) => (trouble.refused, trouble.since),
        };
        if refused { since.elapsed() >= FORGOTTEN } else { self.announcer().await.is_some() }
    }

    /// Whether this trouble makes way for others for the first time.
    pub(super) fn gives_way(&mut self) -> bool {
        self.trouble.as_mut().is_some_and(|trouble| !std::mem::replace(&mut trouble.gave_way, true))
    }

    /// Nothing is to be told from here: what was wrong is not what holds changes up.
    pub(super) fn rest(&mut self) {
        self.announcer = None;
        self.gap_is_told = false;
        self.pause = Pause::first();
        if self.trouble.take().is_some() {
            tracing::info!("Redis seems to take changes from here again");
            self.health.redis(None);
        }
    }
}
