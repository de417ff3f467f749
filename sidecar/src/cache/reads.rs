//! Reading bundles, so that no hit queues behind a miss.
//!
//! 1. `DASHBOARD.GET … NOWAIT` on the one connection that all share. Redis answers at once: with the bundle, or that there
//!    is none, or none that may be given without waiting.
//! 2. Only then is waited, on a connection of its own, one for a bundle: others who want it wait for that one here. It may
//!    have been under way before they came, and what it brings may have been cleared since. So they read anew when it has
//!    landed; one that began after they came they take as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::Keeping;
use super::failure;
use super::pool::Pool;
use super::reply::{self, Cached, Status};
use super::shared::{Shared, Trouble};
use crate::config::Secret;
use crate::error::{ApiError, Failure};
use crate::flights::Flights;
use crate::rooms::{Full, Rooms};
use crate::telemetry::metrics::PoolUse;
use crate::tenant::{BundleId, Tenant};

/// How much reading there may be.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Connections for bundles that are waited for, one each.
    pub connections: usize,
    /// Longest wait for a bundle, and how old connections become.
    pub keeping: Keeping,
    /// Requests that wait for bundles at once.
    pub waiting: usize,
    /// Of these, for bundles of one tenant.
    pub waiting_per_tenant: usize,
}

/// What a flight is for: a bundle, and whether it is to be computed anew.
type Wanted = (BundleId, bool);
type Outcome = Result<Cached, ApiError>;

/// Reads bundles.
pub(super) struct Reads {
    shared: Shared,
    flights: Flights<Wanted, Outcome>,
    rooms: Rooms<Tenant>,
    connections: Arc<Connections>,
    timeout: Duration,
}

struct Connections {
    pool: Pool,
    places: Semaphore,
    most: usize,
    queued: AtomicUsize,
}

/// What Redis has at this moment.
enum Now {
    /// A bundle that may be given.
    There(Cached),
    /// One that has changed: it is to be given only if no newer one can be waited for.
    Changed(Cached),
    /// None.
    Absent,
}

impl Reads {
    pub(super) fn new(url: &Secret, limits: ReadLimits) -> Result<Self, Failure> {
        let ReadLimits { connections, keeping, waiting, waiting_per_tenant } = limits;
        let pool = Pool::new(url, connections, keeping)?;
        Ok(Self {
            shared: Shared::new(url, keeping.age)?,
            flights: Flights::new(),
            rooms: Rooms::new(waiting, waiting_per_tenant),
            connections: Arc::new(Connections {
                pool,
                places: Semaphore::new(connections),
                most: connections,
                queued: AtomicUsize::new(0),
            }),
            timeout: keeping.timeout,
        })
    }

    /// Reads a bundle; see [`Cache::get`](super::Cache::get).
    pub(super) async fn get(&self, id: &BundleId, refresh: bool, known: Option<&str>) -> Outcome {
        let (began, deadline) = (self.flights.now(), Instant::now() + self.timeout);
        let (mut seat, mut fallback) = (None, None);
        loop {
            if !refresh {
                match self.look(id, known).await? {
                    Now::There(cached) if seat.is_some() => return Ok(cached.waited_for()),
                    Now::There(cached) => return Ok(cached),
                    Now::Changed(cached) => fallback = Some(cached),
                    Now::Absent => fallback = None,
                }
            }
            if seat.is_none() {
                match (self.rooms.enter(&id.tenant), fallback.take()) {
                    (Ok(taken), _) => seat = Some(taken),
                    (Err(_full), Some(old)) => return Ok(old.into_stale()),
                    (Err(full), None) => return Err(refused(full)),
                }
            }
            let flight = self
                .flights
                .join(&(id.clone(), refresh), || wait(self.connections.clone(), id.clone(), refresh));
            let Ok(outcome) = timeout_at(deadline, flight.outcome()).await else {
                return Err(failure::silent());
            };
            if flight.began_after(began) {
                let outcome = outcome.unwrap_or_else(|| Err(ApiError::internal("reading the bundle")));
                return outcome.map(|cached| cached.unless_known(known));
            }
        }
    }

    /// Connections: those that wait for bundles, and the one that all share.
    pub(super) fn usage(&self) -> [PoolUse; 2] {
        let Connections { pool, places, most, queued } = &*self.connections;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let busy = most - places.available_permits();
        let waits = PoolUse {
            busy: number(busy),
            waiting: number(queued.load(Ordering::Relaxed)),
            ..pool.usage("redis")
        };
        [waits, self.shared.usage("redis-shared")]
    }

    /// Requests that wait for bundles.
    pub(super) fn waiting(&self) -> usize {
        self.rooms.taken()
    }

    /// Asks for what is there.
    async fn look(&self, id: &BundleId, known: Option<&str>) -> Result<Now, ApiError> {
        let mut command = command(id);
        if let Some(etag) = known {
            command.arg("IFNONEMATCH").arg(etag);
        }
        command.arg("NOWAIT").arg("WITHMETA");
        match self.shared.query(&command).await {
            Ok(value) => {
                let cached = reply::cached(value)?;
                Ok(if cached.status == Status::Changed { Now::Changed(cached) } else { Now::There(cached) })
            }
            Err(Trouble::Redis(error)) if error.code() == Some("MISS") => Ok(Now::Absent),
            Err(Trouble::Redis(error)) if is_too_old(&error) => Ok(Now::Absent),
            Err(trouble) => Err(trouble.classify(Some(&id.tenant))),
        }
    }
}

fn refused(full: Full) -> ApiError {
    ApiError::overloaded(match full {
        Full::One => "as many wait for bundles of this tenant as may (DASHBOARD_MAX_WAITING_PER_TENANT)",
        Full::All => "as many wait for bundles as may (DASHBOARD_MAX_WAITING)",
    })
}

/// Waits for a bundle, however long that takes, on a connection of its own.
async fn wait(connections: Arc<Connections>, id: BundleId, refresh: bool) -> Outcome {
    let queued = Queued::of(&connections.queued);
    let Ok(_place) = connections.places.acquire().await else {
        return Err(ApiError::internal("reading the bundle"));
    };
    drop(queued);
    let mut command = command(&id);
    if refresh {
        command.arg("REFRESH");
    }
    command.arg("WITHMETA");
    let value: Value = connections.pool.query(&command, Some(&id.tenant)).await?;
    reply::cached(value)
}

fn command(id: &BundleId) -> Cmd {
    let mut command = redis::cmd("DASHBOARD.GET");
    let include = if id.include_test_data { "true" } else { "false" };
    command.arg(id.tenant.as_str()).arg("INCLUDE").arg(include);
    command
}

/// A module of an older version knows no NOWAIT: then everything is waited for, as it used to be.
fn is_too_old(error: &redis::RedisError) -> bool {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let is = error.detail().is_some_and(|detail| detail.contains("NOWAIT"));
    if is && !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "the dashboard module in Redis is older than this sidecar and knows no NOWAIT: hits wait behind misses until it \
             is replaced"
        );
    }
    is
}

/// One that waits for a connection.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
