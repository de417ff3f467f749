//! Streams of events: each tells one client when a tenant's bundles stop being right, as Redis tells it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use super::following::{self, Following};
use crate::cache::{Subscription, Told, Tracker};
use crate::config::Secret;
use crate::error::ApiError;
use crate::feed::FeedHealth;
use crate::http::{Body, BodyError};
use crate::rooms::{Full, Rooms, Seat};
use crate::tenant::Tenant;

/// How often a stream says that it is there, so that nobody in between takes it for dead.
const COMMENT: Duration = Duration::from_secs(15);
/// What a stream begins with: when a client whose stream broke off may come again, in milliseconds.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// The streams that are open.
pub struct Streams {
    tracker: Tracker,
    rooms: Rooms<Tenant>,
    feed: FeedHealth,
    shutdown: CancellationToken,
}

impl Streams {
    /// Prepares for as many as `most`, of which one tenant gets three quarters. They end with `shutdown`.
    pub fn new(redis_url: &Secret, most: usize, feed: FeedHealth, shutdown: CancellationToken) -> Self {
        let rooms = Rooms::new(most, most - most / 4);
        Self { tracker: Tracker::new(redis_url), rooms, feed, shutdown }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.rooms.taken()
    }

    /// Begins one, until `expires_at` at the latest; its body.
    pub(super) fn begin(&self, tenant: Tenant, expires_at: Option<DateTime<Utc>>) -> Result<Body, ApiError> {
        let seat = self.rooms.enter(&tenant).map_err(|full| {
            ApiError::overloaded(match full {
                Full::One => "as many event streams of this tenant are open as may be: three quarters of DASHBOARD_MAX_STREAMS",
                Full::All => "as many event streams are open as may be (DASHBOARD_MAX_STREAMS)",
            })
        })?;
        let (events, frames) = mpsc::channel(1);
        let news = self.tracker.subscribe(tenant.clone());
        let following = Following::new(self.feed.clone());
        let stream = Stream { news, following, tenant, expires_at, events, _seat: seat };
        tokio::spawn(stream.run(self.shutdown.clone()));
        Ok(Frames(frames).boxed_unsync())
    }
}

/// One client's stream.
struct Stream {
    news: Subscription,
    following: Following,
    tenant: Tenant,
    expires_at: Option<DateTime<Utc>>,
    events: mpsc::Sender<Bytes>,
    _seat: Seat<Tenant>,
}

/// The client has gone.
struct Gone;

impl Stream {
    /// Tells what there is, until the client leaves, its token ends, or the sidecar does.
    async fn run(mut self, shutdown: CancellationToken) {
        let left = self.events.clone();
        tokio::select! {
            _ended = self.tell() => {}
            () = left.closed() => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn tell(&mut self) -> Result<(), Gone> {
        let expiry = until(self.expires_at);
        tokio::pin!(expiry);
        let mut comments = interval_at(Instant::now() + COMMENT, COMMENT);
        comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval_at(Instant::now(), following::LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.send(Bytes::from_static(RETRY)).await?;
        loop {
            let text = tokio::select! {
                biased;
                () = &mut expiry => break,
                _ = looks.tick() => match self.following.news() {
                    Some(news) => event("following", &news),
                    None => continue,
                },
                told = self.news.next() => self.event(&told),
                _ = comments.tick() => Bytes::from_static(b":\n\n"),
            };
            // A client that takes nothing keeps no stream beyond its token.
            tokio::select! {
                sent = self.send(text) => sent?,
                () = &mut expiry => break,
            }
        }
        self.send(event("end", &json!({"reason": "expired"}))).await
    }

    async fn send(&self, text: Bytes) -> Result<(), Gone> {
        self.events.send(text).await.map_err(|_| Gone)
    }

    fn event(&self, told: &Told) -> Bytes {
        let tenant = || json!({"tenant_id": self.tenant.as_str()});
        match told {
            Told::Ready => event("ready", &tenant()),
            Told::Changed => event("changed", &tenant()),
            Told::Unavailable(why) => event("unavailable", &json!({"message": &**why})),
        }
    }
}

/// JSON has no line ends of its own, so it is one line of data.
fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

async fn until(time: Option<DateTime<Utc>>) {
    match time {
        Some(time) => sleep((time - Utc::now()).to_std().unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}

/// A stream's body. Dropped with the connection, it ends the stream.
struct Frames(mpsc::Receiver<Bytes>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}
