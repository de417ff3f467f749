//! Redis: the only place that speaks `DASHBOARD.*`. Reads, warming, probes and listening for changes each have
//! connections of their own.

mod dedicated;
mod failure;
mod info;
mod lifetime;
mod patience;
pub mod pool;
mod reads;
mod refusal;
mod reply;
mod role;
mod run_id;
mod shared;
mod tracking;
mod warming;

use std::time::Duration;

use redis::Value;

pub use info::ModuleInfo;
pub use lifetime::stale_ttl;
pub use reads::ReadLimits;
pub(crate) use refusal::Refused;
pub use reply::{Cached, FailedTenant, Status, Warmed};
pub(crate) use run_id::{Redis, feed_connection};
pub use tracking::{Subscription, Told, Tracker};
pub use warming::{Progress, warm, watch};

use pool::Pool;
use reads::Reads;

use crate::config::Secret;
use crate::error::{ApiError, Failure};
use crate::probe::SharedProbe;
use crate::telemetry::metrics::PoolUse;
use crate::tenant::{BundleId, Tenant};

/// Longest wait for a connection to be made, checked, or given back by another reader.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Clears at a time; one of everything takes as long as there are keys.
const MOST_COMMANDS: usize = 4;
/// Longest wait for a probe's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Longest wait for a reply.
    pub timeout: Duration,
    /// At this age a connection is replaced.
    pub age: Duration,
}

/// How Redis is.
#[derive(Clone, Debug)]
pub struct Health {
    /// It answers.
    pub redis: Result<(), ApiError>,
    /// It has the dashboard module.
    pub module: Result<(), ApiError>,
}

/// The cache, with its pools.
pub struct Cache {
    reads: Reads,
    commands: Pool,
    probes: Pool,
    shared_probe: SharedProbe<Health>,
}

impl Cache {
    /// Makes the pools; connections are opened when they are needed.
    ///
    /// # Errors
    /// If REDIS_URL is malformed.
    pub fn new(url: &Secret, limits: ReadLimits) -> Result<Self, Failure> {
        Ok(Self {
            reads: Reads::new(url, limits)?,
            commands: Pool::new(url, MOST_COMMANDS, limits.keeping)?,
            probes: Pool::new(url, 1, Keeping { timeout: PROBE_TIMEOUT, ..limits.keeping })?,
            shared_probe: SharedProbe::default(),
        })
    }

    /// Reads a bundle as any client does; a miss computes it, and `refresh` computes it anew. One that still has the
    /// etag `known` comes without its JSON.
    ///
    /// # Errors
    /// What the module says, or why it could not be asked.
    pub async fn get(&self, id: &BundleId, refresh: bool, known: Option<&str>) -> Result<Cached, ApiError> {
        self.reads.get(id, refresh, known).await
    }

    /// Removes the bundles of a tenant, or of all, and says how many there were.
    ///
    /// # Errors
    /// Why the module could not be asked, or what it said.
    pub async fn clear(&self, tenant: Option<&Tenant>) -> Result<u64, ApiError> {
        let mut command = redis::cmd("DASHBOARD.CLEAR");
        if let Some(tenant) = tenant {
            command.arg(tenant.as_str());
        }
        self.commands.query(&command, tenant).await
    }

    /// How Redis is.
    pub async fn probe(&self) -> Health {
        let question = async {
            let mut command = redis::cmd("COMMAND");
            command.arg("INFO").arg("DASHBOARD.GET");
            let known: Vec<Value> = self.probes.query(&command, None).await?;
            let missing = known.iter().all(|command| matches!(command, Value::Nil));
            Ok(if missing { Err(failure::module_missing()) } else { Ok(()) })
        };
        let health = async {
            match question.await {
                Ok(module) => Health { redis: Ok(()), module },
                Err(error) => Health { redis: Err(error), module: Err(failure::module_unknown()) },
            }
        };
        self.shared_probe.ask(health).await
    }

    /// What the module tells of itself: `INFO dashboard`.
    ///
    /// # Errors
    /// Why it could not be asked.
    pub async fn info(&self) -> Result<ModuleInfo, ApiError> {
        let mut command = redis::cmd("INFO");
        command.arg("dashboard");
        let text: String = self.probes.query(&command, None).await?;
        let info = ModuleInfo::parse(&text);
        if info.is_empty() { Err(failure::module_missing()) } else { Ok(info) }
    }

    /// Connections for reads: open, at most, in use, and readers that wait for one.
    pub fn pools(&self) -> [PoolUse; 2] {
        self.reads.usage()
    }

    /// Requests that wait for bundles.
    pub fn waiting(&self) -> usize {
        self.reads.waiting()
    }
}

/// What was given is not repeated: it may hold a password.
const MALFORMED_URL: &str =
    "REDIS_URL is not a Redis address: write redis://[user:password@]host:6380 or unix:///path/to/socket";
