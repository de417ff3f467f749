//! Hearing when bundles stop being right: one connection with `CLIENT TRACKING`, for however many who listen.
//!
//! Redis tells once of each name that was read, so a name is read again first and told of then: whatever happens
//! after that is told again. Nothing is queued; who is slow hears of several changes as of one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{dedicated, failure, role};
use crate::config::Secret;
use crate::error::ApiError;
use crate::tenant::Tenant;

/// What Redis calls the connection.
const CALLER: &str = "dashboard-sidecar-events";
/// Longest wait for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause before connecting again; it doubles
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often Redis is asked whether it is there, and still what it was: one that hangs says so in no other way, and one that
/// has become a replica may not be the one that the address leads to.
const CHECK: Duration = Duration::from_secs(5);
/// How soon a name is read again, at the earliest and in the long run. A table of Redis's that has no room for all names
/// (`tracking-table-max-keys`) tells of one as soon as another is read, without end.
const PACE: Duration = Duration::from_millis(500);
/// So many times a name may be read ahead of that, after as long a quiet: of the few changes that a person makes one after the other,
/// each is told at once.
const AHEAD: u32 = 4;
/// Names that are read at a time.
const NAMES_AT_A_TIME: usize = 256;

/// What is known of a tenant's bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    /// Nothing yet.
    Pending,
    /// Redis tells of changes. The number is another one after each.
    Tracked(u64),
    /// Redis cannot tell of changes; why.
    Unavailable(Arc<str>),
}

/// Listens to Redis, as long as somebody listens here.
pub struct Tracker {
    shared: Arc<Shared>,
}

struct Shared {
    url: Secret,
    watched: Mutex<Watched>,
    /// For the one task: there is a name to read, or nobody left.
    wake: Notify,
}

#[derive(Default)]
struct Watched {
    tenants: HashMap<Tenant, Entry>,
    /// Whose name has to be read before they can be told anything.
    unread: HashSet<Tenant>,
    /// The number of the last news.
    number: u64,
    /// Why Redis cannot be listened to.
    trouble: Option<Arc<str>>,
    running: bool,
}

struct Entry {
    news: watch::Sender<News>,
    subscribers: usize,
    /// When its name would be read next if it always were at the same pace.
    even: Instant,
}

impl Entry {
    /// When its name may be read again, as of `now`.
    fn again(&self, now: Instant) -> Instant {
        self.even.checked_sub(PACE * AHEAD).unwrap_or(now)
    }

    fn has_been_read(&mut self, now: Instant) {
        self.even = self.even.max(now) + PACE;
    }
}

/// What the task is to do next.
enum Next {
    Read(Vec<Tenant>),
    /// Until there is something, or until then.
    Wait(Option<Instant>),
    End,
}

impl Tracker {
    /// Prepares it; Redis is asked nothing as long as nobody listens.
    pub fn new(url: &Secret) -> Self {
        let shared = Shared { url: url.clone(), watched: Mutex::default(), wake: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Begins to listen. Must be called within the runtime.
    pub fn subscribe(&self, tenant: Tenant) -> Subscription {
        let mut watched = self.shared.watched.lock();
        let watched = &mut *watched;
        let entry = watched.tenants.entry(tenant.clone()).or_insert_with(|| {
            watched.unread.insert(tenant.clone());
            let known = watched.trouble.clone().map_or(News::Pending, News::Unavailable);
            Entry { news: watch::Sender::new(known), subscribers: 0, even: Instant::now() }
        });
        entry.subscribers += 1;
        let news = entry.news.subscribe();
        if watched.running {
            self.shared.wake.notify_one();
        } else {
            watched.running = true;
            tokio::spawn(run(self.shared.clone()));
        }
        Subscription { shared: self.shared.clone(), tenant, news, told: None }
    }
}

/// Somebody who listens, until it is dropped.
pub struct Subscription {
    shared: Arc<Shared>,
    tenant: Tenant,
    news: watch::Receiver<News>,
    told: Option<News>,
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// From now on it hears of changes.
    Ready,
    /// The bundles may not be right any more.
    Changed,
    /// It does not hear of changes; why.
    Unavailable(Arc<str>),
}

impl Subscription {
    /// Waits for the next news. May be dropped and called again.
    pub async fn next(&mut self) -> Told {
        loop {
            let news = self.news.borrow_and_update().clone();
            if self.told.as_ref() != Some(&news) {
                let told = match (&news, &self.told) {
                    (News::Pending, _) => None,
                    (News::Unavailable(why), _) => Some(Told::Unavailable(why.clone())),
                    (News::Tracked(_), Some(News::Tracked(_))) => Some(Told::Changed),
                    (News::Tracked(_), _) => Some(Told::Ready),
                };
                self.told = Some(news);
                if let Some(told) = told {
                    return told;
                }
            }
            if self.news.changed().await.is_err() {
                // Its entry stays as long as it does.
                return std::future::pending().await;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watched = self.shared.watched.lock();
        let Some(entry) = watched.tenants.get_mut(&self.tenant) else { return };
        entry.subscribers -= 1;
        if entry.subscribers == 0 {
            watched.tenants.remove(&self.tenant);
            watched.unread.remove(&self.tenant);
            self.shared.wake.notify_one();
        }
    }
}

/// Listens until nobody is left.
async fn run(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = shared.listen(&mut pause).await {
        shared.lost(&error);
        let again = Instant::now() + pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
        loop {
            if shared.has_ended() {
                return;
            }
            tokio::select! {
                () = sleep_until(again) => break,
                () = shared.wake.notified() => {}
            }
        }
    }
}

impl Shared {
    /// Listens on one connection: until nobody is left, or it is lost. `pause` is the first one again as soon as
    /// all names have been read.
    async fn listen(self: &Arc<Self>, pause: &mut Duration) -> Result<(), RedisError> {
        let gone = CancellationToken::new();
        let (listener, end) = (self.clone(), gone.clone());
        let push = move |push: PushInfo| {
            match push.kind {
                PushKind::Invalidate => listener.invalidated(&push.data),
                PushKind::Disconnection => end.cancel(),
                _ => {}
            }
            Ok::<(), std::convert::Infallible>(())
        };
        let mut connection = dedicated::open_for_pushes(&self.url, CALLER, REPLY_TIMEOUT, push).await?;
        let mut track = redis::cmd("CLIENT");
        track.arg("TRACKING").arg("ON").query_async::<()>(&mut connection).await?;
        let role = role::ask(&mut connection).await?;
        let mut check_at = Instant::now() + CHECK;
        // What was told while there was no connection is told to nobody.
        self.doubt_all();
        loop {
            if Instant::now() >= check_at {
                role::is_still(&mut connection, role).await?;
                check_at = Instant::now() + CHECK;
            }
            match self.next() {
                Next::End => return Ok(()),
                Next::Read(tenants) => {
                    let mut names = redis::pipe();
                    for tenant in &tenants {
                        names.cmd("EXISTS").arg(tenant.as_str()).ignore();
                    }
                    names.query_async::<()>(&mut connection).await?;
                    self.tell(&tenants);
                }
                Next::Wait(until) => {
                    *pause = FIRST_PAUSE;
                    self.found();
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = gone.cancelled() => {
                            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                        }
                        () = sleep_until(until.unwrap_or(check_at).min(check_at)) => {}
                    }
                }
            }
        }
    }

    fn next(&self) -> Next {
        let mut watched = self.watched.lock();
        if watched.end() { Next::End } else { watched.due(Instant::now()) }
    }

    fn has_ended(&self) -> bool {
        self.watched.lock().end()
    }

    /// Takes note of what Redis has told: the names of keys, or nothing, which means all.
    fn invalidated(&self, data: &[Value]) {
        let [Value::Array(names)] = data else { return self.doubt_all() };
        let mut watched = self.watched.lock();
        let watched = &mut *watched;
        for name in names {
            let Value::BulkString(name) = name else { continue };
            let tenant = std::str::from_utf8(name).ok().and_then(|name| Tenant::parse(name).ok());
            watched.unread.extend(tenant.filter(|tenant| watched.tenants.contains_key(tenant)));
        }
        self.wake.notify_one();
    }

    fn doubt_all(&self) {
        let mut watched = self.watched.lock();
        watched.unread = watched.tenants.keys().cloned().collect();
        self.wake.notify_one();
    }

    /// Tells those who listen that a name has been read: from here on nothing is missed.
    fn tell(&self, tenants: &[Tenant]) {
        let mut watched = self.watched.lock();
        let watched = &mut *watched;
        watched.number += 1;
        let now = Instant::now();
        for tenant in tenants {
            if let Some(entry) = watched.tenants.get_mut(tenant) {
                entry.has_been_read(now);
                entry.news.send_replace(News::Tracked(watched.number));
            }
        }
    }

    fn found(&self) {
        if self.watched.lock().trouble.take().is_some() {
            tracing::info!("Redis tells of changes again");
        }
    }

    fn lost(&self, error: &RedisError) {
        let said = failure::of_tracking(error);
        let why: Arc<str> = ApiError::message(&said).into();
        let mut watched = self.watched.lock();
        if watched.trouble.as_ref() != Some(&why) {
            tracing::warn!(%error, "Redis does not tell of changes: {why}");
        }
        for entry in watched.tenants.values_mut() {
            // They hear of it as soon as Redis tells of changes again.
            entry.even = Instant::now();
            entry.news.send_replace(News::Unavailable(why.clone()));
        }
        watched.trouble = Some(why);
    }
}

impl Watched {
    /// The names whose time has come.
    fn due(&mut self, now: Instant) -> Next {
        let again = |tenant: &Tenant| self.tenants.get(tenant).map_or(now, |entry| entry.again(now));
        let due = self.unread.iter().filter(|tenant| again(tenant) <= now);
        let due: Vec<Tenant> = due.take(NAMES_AT_A_TIME).cloned().collect();
        if due.is_empty() {
            return Next::Wait(self.unread.iter().map(again).min());
        }
        for tenant in &due {
            self.unread.remove(tenant);
        }
        Next::Read(due)
    }

    /// Whether nobody is left, so that the task ends; the next one who comes begins another.
    fn end(&mut self) -> bool {
        let nobody = self.tenants.is_empty();
        if nobody {
            self.running = false;
            self.trouble = None;
        }
        nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_read_a_few_times_at_once_and_then_at_its_pace_until_it_has_been_quiet() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut entry = Entry { news: watch::Sender::new(News::Pending), subscribers: 1, even: start };
        let mut now = start;
        let mut read = |entry: &mut Entry, after: Duration| {
            now += after;
            assert!(entry.again(now) <= now, "it may be read");
            entry.has_been_read(now);
            entry.again(now).saturating_duration_since(now)
        };
        let mut reads = |mut pause: Duration, count: u32| {
            let mut pauses = Vec::new();
            for _ in 0..count {
                pauses.push(pause);
                pause = read(&mut entry, pause);
            }
            pauses
        };
        let none = Duration::ZERO;
        assert_eq!(reads(none, AHEAD + 3), [none, none, none, none, none, PACE, PACE]);
        assert_eq!(reads(PACE * 3, 4), [PACE * 3, none, none, PACE], "it has been quiet for two more");
    }
}
