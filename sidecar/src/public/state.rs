//! What the public API works with.

use std::sync::Arc;

use super::executor::Executor;
use super::reads_log::ReadsLog;
use super::streams::Streams;
use crate::auth::Access;
use crate::cache::Cache;
use crate::config::CorsOrigins;
use crate::db::Database;
use crate::directory::Directory;
use crate::feed::FeedHealth;
use crate::http::Stop;
use crate::internal::Reach;
use crate::scheduler::view::View;

/// What the public API works with.
pub struct State {
    /// For probes only: bundles are read through the cache.
    pub database: Arc<Database>,
    /// Where bundles are read.
    pub cache: Arc<Cache>,
    /// Whether the module reaches the internal API.
    pub internal: Reach,
    /// Who is let in.
    pub access: Access,
    /// Tenants by name.
    pub directory: Directory,
    /// What the schedule says.
    pub jobs: View,
    /// What runs by hand.
    pub executor: Executor,
    /// Who hears of changes.
    pub streams: Streams,
    /// Pages of which other sites may read answers.
    pub cors_origins: CorsOrigins,
    /// How closely changes are followed.
    pub feed: FeedHealth,
    /// What the log says of reads.
    pub reads: ReadsLog,
    /// Whether the sidecar is about to end.
    pub stop: Stop,
}
