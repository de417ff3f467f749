//! The change feed: what has changed in Postgres stops being fresh in Redis.
//!
//! Triggers have put on record what each statement has changed (`migrations/V6__counters.sql`). One sidecar of however many, the holder of
//! the lease `feed`, goes round:
//!
//! 1. merge the record into the counters; whose it was is `pending` from then on, in the same transaction ([`store`])
//! 2. tell Redis: `DASHBOARD.CLEAR tenant … SOFT` ([`announcer`])
//! 3. once Redis has said yes, and not before, take them off `pending`
//!
//! So a change is announced once or more, whoever dies when. Where something may be missing all the same, as Redis or Postgres is not the one
//! that it was, everything is announced ([`gap`]). A heartbeat goes the way of every change and tells how long that takes ([`health`]).

mod announcer;
mod error;
mod followed;
mod gap;
mod health;
mod link;
mod look;
mod pause;
mod reading;
mod recorded;
mod round;
mod signs;
pub mod status;
mod store;

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use error::FeedError;
pub use followed::{Followed, Part};
pub use health::{FeedHealth, Role};
pub(crate) use look::Look;

use crate::config::{FeedArgs, Secret};
use crate::db::{Dialer, Kept, KeptError as _};
use crate::lease::Expiry;
use crate::pg::Client;
use announcer::Announcer;
use link::Link;
use recorded::Recorded;
use round::{End, Follower};
use signs::Signs;
use store::Standing;

/// What pg_stat_activity shows.
pub const APPLICATION_NAME: &str = "dashboard-sidecar feed";
/// From the shutdown on, how long the lease is tried to be given back. If it cannot be, it ends by itself.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// How often Redis is told that nothing is followed.
const OFF_AGAIN: Duration = Duration::from_secs(3);

/// A session of the feed's.
type Session = Kept<FeedError>;

/// How the feed keeps time, and who this process is.
#[derive(Clone, Debug)]
struct Settings {
    owner: String,
    poll: Duration,
    lease: Duration,
    /// How it is found out whether another's lease has ended.
    expiry: Expiry,
}

/// Follows changes while it holds the lease, and stands by while another sidecar does.
pub struct Feed {
    session: Session,
    settings: Settings,
    link: Link,
    signs: Signs,
    health: FeedHealth,
    told: Option<String>,
    held: bool,
    said_that_it_is_off: bool,
    /// When Redis has heard that it is off.
    off_is_heard: Option<Instant>,
    /// What has been said of a Redis that does not take that it is off.
    off_is_refused: Option<String>,
}

impl Feed {
    /// Prepares it; nothing is asked yet. `owner` is a name that no other process has.
    pub fn new(
        args: &FeedArgs,
        owner: String,
        dialer: Dialer,
        redis_url: &Secret,
        health: FeedHealth,
    ) -> Self {
        health.unknown();
        Self {
            session: Kept::new(dialer, store::TERMS),
            settings: Settings {
                owner,
                poll: Duration::from_millis(args.feed_poll_ms),
                lease: Duration::from_millis(args.feed_lease_ms),
                expiry: Expiry::by_watching(),
            },
            link: Link::new(redis_url, &health),
            signs: Signs::new(),
            health,
            told: None,
            held: false,
            said_that_it_is_off: false,
            off_is_heard: None,
            off_is_refused: None,
        }
    }

    /// Runs until `shutdown`, and gives the lease back then, so that another sidecar goes on at once.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let work = async {
            loop {
                let pause = self.turn().await;
                sleep(pause).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
        let owner = self.settings.owner.clone();
        let give_back = self.session.run(move |client| store::give_back(client, &owner));
        if !matches!(tokio::time::timeout(GIVE_BACK, give_back).await, Ok(Ok(()))) {
            tracing::debug!("the feed's lease could not be given back; it ends by itself");
        }
    }

    /// Tries to hold the lease, follows changes as long as it is held, and says how long nothing is to be tried.
    async fn turn(&mut self) -> Duration {
        let standby = self.settings.lease / 3;
        let settings = self.settings.clone();
        let stand = move |client: &mut Client| {
            store::stand(client, &settings.owner, settings.lease, &settings.expiry)
        };
        let standing = self.session.run(stand).await;
        if standing.is_ok() {
            self.health.postgres(None);
            self.look_at_triggers().await;
        }
        match standing {
            Ok(Standing::Off) => {
                self.health.off();
                if !std::mem::replace(&mut self.said_that_it_is_off, true) {
                    tracing::warn!("{}", Followed::Disabled);
                }
                self.hold_no_more();
                self.link.rest();
                self.say_that_it_is_off().await;
                self.told = None;
                standby
            }
            Ok(Standing::Holder(state)) => {
                self.is_on();
                if !std::mem::replace(&mut self.held, true) {
                    tracing::info!("this sidecar feeds Redis with changes");
                }
                let follower = Follower::new(
                    self.session.clone(),
                    self.settings.clone(),
                    &mut self.link,
                    &mut self.signs,
                    &self.health,
                    state,
                );
                match follower.follow().await {
                    Ok(End::CannotTell) => self.give_way().await,
                    Ok(End::Over) => {
                        self.told = None;
                        // Who has it now, or that there is nothing to follow, or that Postgres is another one, is found out next.
                        self.settings.poll
                    }
                    Err(error) => {
                        self.complain(&error);
                        // What does not work will not work in no time; until then another sidecar may try.
                        standby
                    }
                }
            }
            Ok(Standing::Standby(progress)) => {
                self.health.standing_by(progress);
                self.is_on();
                self.hold_no_more();
                self.told = None;
                if self.link.seems_well().await {
                    self.link.rest();
                    standby
                } else {
                    // Behind the others, if there is a lease to be taken: who can tell Redis comes first.
                    self.settings.lease
                }
            }
            Err(error) => {
                self.health.unknown();
                self.health.postgres(Some(error.said()));
                self.complain(&error);
                standby
            }
        }
    }

    /// Gives the lease back, as Redis cannot be told from here, and lets others take it: they look for it three times in its length.
    /// Where there are none, it goes on as soon as Redis is back, and tries again anyway after that time.
    async fn give_way(&mut self) -> Duration {
        let owner = self.settings.owner.clone();
        if let Err(error) = self.session.run(move |client| store::give_back(client, &owner)).await {
            self.complain(&error);
            return self.settings.lease / 3;
        }
        if self.link.gives_way() {
            tracing::warn!(
                "the feed is given back: Redis cannot be told from here, and another sidecar may be able to"
            );
        }
        let until = Instant::now() + self.settings.lease * 2 / 3;
        while Instant::now() < until && !self.link.seems_well().await {
            sleep(self.settings.poll).await;
        }
        Duration::ZERO
    }

    /// Tells Redis that nothing is followed, or the lag that it knows of would grow for ever. Again and again: Redis may
    /// have been restarted or have failed over, and a sidecar that hung may have said otherwise. Every sidecar does: where changes are followed after
    /// all, whoever follows says so at once.
    async fn say_that_it_is_off(&mut self) {
        if self.off_is_heard.is_some_and(|at| at.elapsed() < OFF_AGAIN) {
            return;
        }
        let told = async { Announcer::connect(self.link.url()).await?.off().await };
        let refused = told.await.err().map(|error| error.explained);
        if let Some(error) = refused.as_ref().filter(|_| self.off_is_refused.is_none()) {
            tracing::warn!(
                error,
                "Redis cannot be told that changes are not followed; trying again. If they were followed before, it calls them late until then"
            );
        }
        self.off_is_heard = refused.is_none().then(Instant::now);
        self.off_is_refused = refused;
    }

    fn is_on(&mut self) {
        self.said_that_it_is_off = false;
        self.off_is_heard = None;
        self.off_is_refused = None;
    }

    /// Whether changes of all tables are recorded, asked now and then.
    async fn look_at_triggers(&mut self) {
        if !self.health.is_to_look_at_triggers() {
            return;
        }
        match self.session.run(Recorded::at).await {
            Ok(recorded) => self.health.recorded(recorded),
            Err(error) => tracing::debug!(%error, "whether all changes are recorded is not known"),
        }
    }

    fn hold_no_more(&mut self) {
        if std::mem::take(&mut self.held) {
            tracing::info!(
                "this sidecar feeds no more: another one does, or the counters have been disabled"
            );
        }
    }

    /// Once for each trouble, not each time.
    fn complain(&mut self, error: &FeedError) {
        let text = error.to_string();
        if error.is_connection() {
            // The connection says so itself.
            tracing::debug!(error = text, "the feed cannot go on");
        } else if self.told.as_ref() != Some(&text) {
            tracing::warn!(error = text, "the feed cannot go on; trying again");
            self.told = Some(text);
        }
    }
}
