//! Postgres: the only place that computes bundles.
//!
//! `postgres` clients are blocking: they are used and dropped on blocking threads only, inside
//! `lane`. Five lanes keep misses, warming, listing, searches and probes apart. Nothing here knows HTTP or Redis.

mod batch;
mod cancel;
mod chunk;
mod dialer;
mod failure;
mod gate;
mod kept;
mod lane;
mod list;
mod many;
mod meter;
mod recovery;
mod returned;
mod session;
mod single;
mod target;
mod tenants;
mod timestamp;
mod tls;
mod unchanged;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use batch::{BatchItem, BundleStream, Incomplete};
pub use dialer::Dialer;
pub(crate) use kept::{Kept, KeptError, is_of_connection};
pub(crate) use target::chain;
pub use tenants::{Listed, NamedTenant};
pub use wanted::{BundleItem, Found};

use crate::config::{ComputeArgs, DatabaseArgs};
use crate::error::{ApiError, Failure};
use crate::migrate;
use crate::pg::{Client, Terms};
use crate::probe::SharedProbe;
use crate::telemetry::metrics::PoolUse;
use crate::tenant::Tenant;
use failure::classify;
use gate::WhenFull;
use lane::{Bounds, Lane};
use session::Query;
use target::Target;

/// Batches admitted at once; each holds a connection of the module's. Two servers may warm with the module's
/// greatest `warm-concurrency`; most of their batches wait for a connection to Postgres.
const MAX_BATCHES: usize = 64;
/// Longest wait of a batch's part for its turn.
const LONGEST_BATCH_WAIT: Duration = Duration::from_secs(3600);
/// Requests for the list of tenants that may wait for one another; searches likewise.
const LISTING_QUEUE: u32 = 16;
/// Longest time for the probe's statement.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the database is.
#[derive(Clone, Debug)]
pub struct Health {
    /// It answers.
    pub postgres: Result<(), ApiError>,
    /// It has all that this version needs, and its history says so.
    pub migrations: Result<(), ApiError>,
    functions: Result<(), ApiError>,
}

impl Health {
    /// Whether bundles can be computed.
    ///
    /// # Errors
    /// The reason why not.
    pub fn computes(self) -> Result<(), ApiError> {
        self.postgres.and(self.functions)
    }
}

/// The database, with its pools.
pub struct Database {
    target: Target,
    misses: Lane,
    warming: Lane,
    listing: Lane,
    searches: Lane,
    probes: Lane,
    batches: Arc<Semaphore>,
    statement_timeout: Duration,
    warm_statement_timeout: Duration,
    warm_batch: usize,
    max_bundle_bytes: u32,
    shared_probe: SharedProbe<Health>,
}

impl Database {
    /// Makes the pools, after one try to connect that tells wrong settings from a server that is down: the
    /// latter is logged, and the pools go on trying in the background. Blocks.
    ///
    /// # Errors
    /// If DATABASE_URL or the certificates it needs are unusable, or Postgres answers that the user, the
    /// password or the database is wrong.
    pub fn new(database: &DatabaseArgs, compute: &ComputeArgs) -> Result<Self, Failure> {
        let target = Target::new(database)?;
        target.check()?;
        let statement_timeout = Duration::from_millis(compute.statement_timeout_ms);
        let warm_statement_timeout = Duration::from_millis(compute.warm_statement_timeout_ms);
        let acquire_timeout = Duration::from_millis(compute.acquire_timeout_ms);
        // Past Postgres' own time-out by enough for its answer to come back.
        let slack = acquire_timeout + Duration::from_secs(1);
        let misses = Bounds {
            connections: compute.pool,
            queue: compute.queue,
            longest_wait: statement_timeout,
            acquire_timeout,
            statement_timeout,
            deadline: Some(statement_timeout + slack),
            when_full: WhenFull {
                queue: "the queue for cache misses is full (DASHBOARD_QUEUE)",
                busy: "every Postgres connection for cache misses stayed busy (DASHBOARD_POOL)",
            },
        };
        let warming = Bounds {
            connections: compute.warm_pool,
            // Batches are admitted as a whole, so their parts always find a place.
            queue: u32::MAX >> 4,
            longest_wait: LONGEST_BATCH_WAIT,
            acquire_timeout,
            statement_timeout: warm_statement_timeout,
            deadline: None,
            when_full: WhenFull {
                queue: "the queue for warming is full",
                busy: "every Postgres connection for warming stayed busy (DASHBOARD_WARM_POOL)",
            },
        };
        // Not warming's lane: what is to be warmed must be known while other batches keep that one busy.
        let listing = Bounds {
            connections: 1,
            queue: LISTING_QUEUE,
            when_full: WhenFull {
                queue: "too many ask for the list of tenants",
                busy: "the list of tenants has been asked for and takes long",
            },
            ..misses
        };
        // People look for tenants as often as they like; what is to be warmed is not to wait for that.
        let searches = Bounds {
            when_full: WhenFull {
                queue: "too many search for tenants",
                busy: "the searches for tenants before this one take long",
            },
            ..listing
        };
        let probes = Bounds {
            connections: 1,
            queue: 1,
            longest_wait: PROBE_TIMEOUT,
            acquire_timeout,
            statement_timeout: PROBE_TIMEOUT,
            deadline: Some(PROBE_TIMEOUT + slack),
            when_full: WhenFull {
                queue: "too many probes of Postgres",
                busy: "the last probe of Postgres takes long",
            },
        };
        Ok(Self {
            misses: Lane::new(&target, misses),
            warming: Lane::new(&target, warming),
            listing: Lane::new(&target, listing),
            searches: Lane::new(&target, searches),
            probes: Lane::new(&target, probes),
            batches: Arc::new(Semaphore::new(MAX_BATCHES)),
            statement_timeout,
            warm_statement_timeout,
            warm_batch: usize::from(compute.warm_batch),
            max_bundle_bytes: compute.max_bundle_bytes,
            shared_probe: SharedProbe::default(),
            target,
        })
    }

    /// The tenants that warming covers.
    ///
    /// # Errors
    /// If they cannot be listed. Names that are no [`Tenant`] are logged and left out: one odd row must not
    /// stop the warming of all others.
    pub async fn active_tenants(&self) -> Result<Vec<Tenant>, ApiError> {
        const FUNCTION: &str = "dashboard.active_tenants";
        self.listing
            .run(FUNCTION, |session| {
                let names = session.query(Query::Tenants, &[]).map_err(|error| classify(FUNCTION, &error))?;
                let mut tenants = Vec::with_capacity(names.len());
                for row in names {
                    let name: Option<String> = row.try_get(0).map_err(|error| classify(FUNCTION, &error))?;
                    match Tenant::parse(name.as_deref().unwrap_or_default()) {
                        Ok(tenant) => tenants.push(tenant),
                        Err(reason) => tracing::warn!(?name, %reason, "an active tenant is left out"),
                    }
                }
                Ok(tenants)
            })
            .await
    }

    /// How the database is.
    pub async fn probe(&self) -> Health {
        const WHAT: &str = "the Postgres probe";
        let question = self.probes.run(WHAT, |session| {
            let row = session.query_one(Query::Probe, &[])?;
            let complete = row.try_get(0).map_err(|error| classify(WHAT, &error))?;
            let functions = if complete { Ok(()) } else { Err(ApiError::not_migrated()) };
            let current = match migrate::is_current(&mut session.client) {
                Ok(true) => Ok(()),
                Ok(false) => Err(ApiError::not_migrated()),
                Err(error) => {
                    tracing::warn!(%error, "whether the migrations are current is not known");
                    Err(ApiError::migrations_unknown())
                }
            };
            Ok(Health { postgres: Ok(()), migrations: functions.clone().and(current), functions })
        });
        let health = async {
            question.await.unwrap_or_else(|error| Health {
                migrations: Err(ApiError::migrations_unknown()),
                functions: Err(error.clone()),
                postgres: Err(error),
            })
        };
        self.shared_probe.ask(health).await
    }

    /// How the pools are used.
    pub fn pools(&self) -> [PoolUse; 5] {
        let lanes = [
            ("misses", &self.misses),
            ("warming", &self.warming),
            ("listing", &self.listing),
            ("searches", &self.searches),
            ("probes", &self.probes),
        ];
        lanes.map(|(name, lane)| lane.usage(name))
    }

    /// Opens further connections, which share with the pools what is known about Postgres being down.
    pub fn dialer(&self, application_name: &str) -> Dialer {
        Dialer::of(&self.target, application_name)
    }

    /// Waits until no statement runs any more.
    pub async fn idle(&self) {
        tokio::join!(
            self.misses.idle(),
            self.warming.idle(),
            self.listing.idle(),
            self.searches.idle(),
            self.probes.idle()
        );
    }
}

/// Opens one connection for a subcommand that needs a client of its own. Blocks.
///
/// # Errors
/// If DATABASE_URL is missing or malformed, or Postgres refuses or cannot be reached.
pub fn connect_once(args: &DatabaseArgs, application_name: &str, terms: Terms) -> Result<Client, Failure> {
    let target = Target::new(args)?;
    target.connect(application_name, terms).map_err(|error| target.failure(&error))
}
