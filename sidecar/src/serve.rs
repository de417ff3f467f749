//! `dashboard-sidecar serve`: puts the parts together, runs them, and takes them down in order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cache::{Cache, Keeping, ReadLimits};
use crate::config::{DatabaseArgs, HttpArgs, InternalAddress, Secret, ServeArgs};
use crate::db::{Database, Dialer};
use crate::directory::Directory;
use crate::error::Failure;
use crate::feed::{self, Feed, FeedHealth};
use crate::http::{Limits, Listener, Stop};
use crate::internal::Reach;
use crate::public::{Executor, ReadsLog, Streams};
use crate::scheduler::pulse::Pulse;
use crate::scheduler::view::View;
use crate::scheduler::{self, Scheduler};
use crate::telemetry::metrics;
use crate::{internal, public};

/// How long a client may take nothing of its reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// What pg_stat_activity shows of the session that reads the schedule for people and metrics.
const VIEW_NAME: &str = "dashboard-sidecar schedule";
/// And of the one that runs a job by hand.
const EXECUTOR_NAME: &str = "dashboard-sidecar execute";
/// Time for cancelled statements to end, after the drain.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until a signal.
///
/// # Errors
/// If a setting is wrong or an address is taken. Postgres or Redis being down is none: the sidecar starts,
/// says so in its probes, and recovers by itself.
pub fn main(args: &ServeArgs) -> Result<(), Failure> {
    args.http.check_exposure()?;
    let streams = args.http.streams()? as usize;
    args.database.url()?;
    let token = args.http.token()?;
    let access = args.auth.access(args.http.insecure_no_auth)?;
    tracing::info!("the public API serves {}", access.describe());
    let cache = Arc::new(Cache::new(&args.redis.redis_url, read_limits(args))?);

    let runtime = Runtime::new().map_err(|error| Failure::run(&error))?;
    let (internal_listener, public_listener) = {
        let _entered = runtime.enter();
        (bind_internal(&args.http)?, Listener::tcp("DASHBOARD_LISTEN", args.http.listen)?)
    };
    // Not within the runtime: it blocks.
    let database = Arc::new(Database::new(&args.database, &args.compute)?);

    let feed_health = FeedHealth::new(args.feed.limit.duration());
    let pulse = Pulse::default();
    let reach = reach(&args.http, &internal_listener, token.clone())?;
    let internal_state = Arc::new(internal::State { database: database.clone(), token });
    let stop = Stop::default();
    let public_state = Arc::new(public::State {
        database: database.clone(),
        cache,
        internal: reach,
        access,
        directory: Directory::new(database.clone()),
        jobs: View::new(database.dialer(VIEW_NAME), pulse.clone()),
        executor: Executor::new(
            &args.scheduler.lease,
            database.dialer(EXECUTOR_NAME),
            &args.redis.redis_url,
            stop.closing(),
        ),
        streams: Streams::new(&args.redis.redis_url, streams, feed_health.clone(), stop.closing()),
        cors_origins: args.http.cors_origins.clone(),
        feed: feed_health.clone(),
        reads: ReadsLog::new(args.log_reads),
        stop: stop.clone(),
    });
    let scheduler = args.scheduler.scheduler.then(|| {
        let dialer = database.dialer(scheduler::APPLICATION_NAME);
        Scheduler::new(&args.scheduler, dialer, &args.redis.redis_url, pulse)
    });
    let feed = if args.feed.feed {
        let dialer = match &args.feed.feed_database_url {
            None => database.dialer(feed::APPLICATION_NAME),
            Some(url) => {
                let own = DatabaseArgs { database_url: Some(url.clone()), ..args.database.clone() };
                Dialer::new(&own, feed::APPLICATION_NAME)?
            }
        };
        let owner = scheduler::settings::owner();
        Some(Feed::new(&args.feed, owner, dialer, &args.redis.redis_url, feed_health))
    } else {
        None
    };
    metrics::install()?;
    let servers = async {
        tracing::info!(
            internal = internal_listener.address(),
            public = public_listener.address(),
            "listening"
        );
        let limits = |header_timeout, reserve| limits(&args.http, header_timeout, reserve);
        let closing = stop.closing();
        tokio::join!(
            internal::run(
                internal_listener,
                internal_state,
                limits(internal::IDLE_TIMEOUT, internal::RESERVE),
                stop.clone()
            ),
            public::run(
                public_listener,
                public_state,
                limits(args.http.keep_alive(), public::RESERVE),
                stop.clone()
            ),
            async {
                tokio::select! {
                    () = metrics::upkeep() => {}
                    () = closing.cancelled() => {}
                }
            },
            async {
                match scheduler {
                    Some(scheduler) => scheduler.run(stop.leaving()).await,
                    None => tracing::info!("the schedule is left to others (DASHBOARD_SCHEDULER)"),
                }
            },
            async {
                match feed {
                    Some(feed) => feed.run(stop.leaving()).await,
                    None => tracing::info!("the change feed is left to others (DASHBOARD_FEED)"),
                }
            },
        );
        if tokio::time::timeout(CANCEL_TIMEOUT, database.idle()).await.is_err() {
            tracing::warn!("a statement in Postgres outlasts this process; statement_timeout will end it");
        }
    };
    let outcome = runtime.block_on(async {
        let signals = Signals::new()?;
        tokio::select! {
            () = servers => Ok(()),
            second = signals.two(&stop, args.http.lame_duck()) => Err(second),
            never = stay() => match never? {},
        }
    });
    // Blocking threads that still wait for Postgres are not waited for.
    runtime.shutdown_background();
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

fn bind_internal(http: &HttpArgs) -> Result<Listener, Failure> {
    const SETTING: &str = "DASHBOARD_INTERNAL";
    match &http.internal {
        InternalAddress::Unix(path) => Listener::unix(SETTING, path, http.internal_socket_mode),
        InternalAddress::Tcp(address) => Listener::tcp(SETTING, *address),
    }
}

/// The internal API as the module finds it: where the system has chosen the port, at that one.
fn reach(http: &HttpArgs, listener: &Listener, token: Option<Secret>) -> Result<Reach, Failure> {
    let address = match &http.internal {
        InternalAddress::Unix(path) => InternalAddress::Unix(path.clone()),
        InternalAddress::Tcp(_) => listener.address().parse().map_err(Failure::config)?,
    };
    Ok(Reach::new(address, token, listener.standing(), listener.occupancy()))
}

/// Reads that wait leave connections for those that need not: none of all tenants, and one tenant's none of the others.
fn read_limits(args: &ServeArgs) -> ReadLimits {
    let connections = args.http.max_connections;
    ReadLimits {
        connections: args.redis_pool as usize,
        keeping: Keeping {
            timeout: Duration::from_millis(args.redis_timeout_ms),
            age: Duration::from_millis(args.redis_connection_age_ms),
        },
        waiting: args.max_waiting.unwrap_or((connections * 3 / 4).max(1)) as usize,
        waiting_per_tenant: args.max_waiting_per_tenant.unwrap_or((connections / 2).max(1)) as usize,
    }
}

fn limits(http: &HttpArgs, header_timeout: Duration, reserve: usize) -> Limits {
    Limits {
        connections: http.max_connections as usize,
        reserve,
        header_timeout,
        write_timeout: WRITE_TIMEOUT,
        drain_timeout: http.drain_timeout(),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::run(&error));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Begins to stop at the first signal; returns at the second. SIGTERM comes from an orchestrator, whose balancer
    /// goes on sending requests until it has seen that the probe fails: they are served. SIGINT comes from a person who
    /// waits.
    async fn two(mut self, stop: &Stop, lame_duck: Duration) -> Failure {
        let first = self.next().await;
        stop.leave();
        if first == SignalKind::terminate() && !lame_duck.is_zero() {
            tracing::info!(
                lame_duck_ms = lame_duck.as_millis(),
                "stopping: /readyz fails, requests are still served; a second signal ends at once"
            );
            tokio::select! {
                () = tokio::time::sleep(lame_duck) => {}
                _ = self.next() => return ended_at_once(),
            }
        }
        tracing::info!("draining; a second signal ends at once");
        stop.close();
        self.next().await;
        ended_at_once()
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// SIGHUP ends nothing: it comes where a terminal closes, and from who means "open the log anew" or "read the settings
/// anew".
async fn stay() -> Result<Infallible, Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::run(&error))?;
    loop {
        hangup.recv().await;
        tracing::info!(
            "SIGHUP: nothing to do, as the log goes to standard error; settings are read at the start only"
        );
    }
}

fn ended_at_once() -> Failure {
    tracing::warn!("ended by a second signal");
    Failure::already_reported()
}
