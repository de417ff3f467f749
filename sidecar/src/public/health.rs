//! `GET /readyz`: whether this sidecar can serve, which is to read the cache. `GET /api/system/health`: each part by
//! name, and what it lacks. What many sidecars share is no reason to take one of them out of the rotation: they would
//! all go at once.

use std::time::Duration;

use ::http::StatusCode;
use serde_json::{Value, json};

use super::state::State;
use crate::cache::{self, ModuleInfo};
use crate::error::ApiError;
use crate::feed::Followed;
use crate::http::{self, Reply};
use crate::internal;

/// A part that has said nothing for so long does not work, whatever it is that is silent.
const LONGEST: Duration = Duration::from_millis(800);

/// How a part is.
struct Part {
    name: &'static str,
    /// `ok`, or what is the matter.
    status: &'static str,
    message: Option<String>,
    well: bool,
}

impl Part {
    fn of(name: &'static str, outcome: Result<(), ApiError>) -> Self {
        match outcome {
            Ok(()) => Self { name, status: "ok", message: None, well: true },
            Err(error) => {
                Self { name, status: "unavailable", message: Some(error.message().to_owned()), well: false }
            }
        }
    }

    /// Of a part that works there may be something to tell, too.
    fn with_remark(name: &'static str, outcome: Result<Option<String>, ApiError>) -> Self {
        match outcome {
            Ok(message) => Self { message, ..Self::of(name, Ok(())) },
            Err(error) => Self::of(name, Err(error)),
        }
    }

    fn describe(self) -> Value {
        match self.message {
            None => json!({"name": self.name, "status": self.status}),
            Some(message) => json!({"name": self.name, "status": self.status, "message": message}),
        }
    }
}

/// How Postgres is.
pub(super) struct PostgresHealth {
    pub(super) postgres: Result<(), ApiError>,
    pub(super) migrations: Result<(), ApiError>,
}

impl State {
    /// Whether requests are to be sent here.
    pub(super) async fn ready(&self) -> Reply {
        if self.stop.is_leaving() {
            let message = Some(ApiError::stopping().message().to_owned());
            return report(vec![Part { name: "sidecar", status: "stopping", message, well: false }]);
        }
        report(self.redis_parts().await.into())
    }

    /// Asks all parts at once.
    pub(super) async fn health(&self) -> Reply {
        let (redis, internal, postgres) =
            tokio::join!(self.redis_parts(), self.internal_health(), self.postgres_health());
        let mut parts: Vec<Part> = redis.into();
        parts.push(Part::with_remark("internal-api", internal));
        parts.push(Part::of("postgres", postgres.postgres));
        parts.push(Part::of("migrations", postgres.migrations));
        parts.push(self.feed_part());
        // Named only while it is stuck: a sidecar that does not look at the schedule has no such part.
        if let Err(late) = self.jobs.is_followed() {
            parts.push(Part { name: "schedule", status: "unavailable", message: Some(late), well: false });
        }
        report(parts)
    }

    async fn redis_parts(&self) -> [Part; 2] {
        let health = self.redis_health().await;
        [Part::of("redis-cache", health.redis), Part::of("redis-module", health.module)]
    }

    /// How Redis is, within [`LONGEST`].
    pub(super) async fn redis_health(&self) -> cache::Health {
        tokio::time::timeout(LONGEST, self.cache.probe()).await.unwrap_or_else(|_| {
            let silent = Err(ApiError::silent("Redis (REDIS_URL)", LONGEST));
            cache::Health { redis: silent.clone(), module: silent }
        })
    }

    /// What the module tells of itself, within [`LONGEST`].
    pub(super) async fn module_info(&self) -> Result<ModuleInfo, ApiError> {
        in_time("Redis (REDIS_URL)", self.cache.info()).await
    }

    /// Whether the module reaches the internal API, within [`LONGEST`].
    pub(super) async fn internal_health(&self) -> Result<internal::Remark, ApiError> {
        in_time("the internal API (DASHBOARD_INTERNAL)", self.internal.ask()).await
    }

    /// How Postgres is, within [`LONGEST`].
    pub(super) async fn postgres_health(&self) -> PostgresHealth {
        match tokio::time::timeout(LONGEST, self.database.probe()).await {
            Ok(health) => PostgresHealth { postgres: health.postgres, migrations: health.migrations },
            Err(_) => {
                let silent = ApiError::silent("Postgres (DATABASE_URL)", LONGEST);
                PostgresHealth { postgres: Err(silent), migrations: Err(ApiError::migrations_unknown()) }
            }
        }
    }

    /// How closely changes are followed.
    fn feed_part(&self) -> Part {
        const NAME: &str = "change-feed";
        let followed = self.feed.followed();
        let status = match followed {
            Followed::Disabled => "disabled",
            _ if followed.is_well() => "ok",
            _ => "unavailable",
        };
        let message = (!followed.is_followed()).then(|| followed.to_string());
        Part { name: NAME, status, message, well: followed.is_well() }
    }
}

/// The answer of a part, within [`LONGEST`].
async fn in_time<T>(part: &str, question: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let silent = |_| Err(ApiError::silent(part, LONGEST));
    tokio::time::timeout(LONGEST, question).await.unwrap_or_else(silent)
}

fn report(parts: Vec<Part>) -> Reply {
    let well = parts.iter().all(|part| part.well);
    let checks: Vec<Value> = parts.into_iter().map(Part::describe).collect();
    let body = json!({"status": if well { "ok" } else { "unavailable" }, "checks": checks});
    http::json(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}
