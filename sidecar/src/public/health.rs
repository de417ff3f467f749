//! `GET /readyz` and `GET /api/system/health`: each part by name, and what it lacks.

use ::http::StatusCode;
use serde_json::{Value, json};

use super::state::State;
use crate::error::ApiError;
use crate::http::{self, Reply};

impl State {
    /// Asks all parts at once.
    pub(super) async fn health(&self) -> Reply {
        let (redis, postgres) = tokio::join!(self.cache.probe(), self.database.probe());
        let checks = [
            ("redis-cache", redis.redis),
            ("redis-module", redis.module),
            ("postgres", postgres.postgres),
            ("migrations", postgres.migrations),
            ("change-feed", self.feed_check()),
        ];
        let well = checks.iter().all(|(_, outcome)| outcome.is_ok());
        let checks: Vec<Value> = checks.into_iter().map(|(name, outcome)| check(name, outcome)).collect();
        let body = json!({"status": if well { "ok" } else { "unavailable" }, "checks": checks});
        http::json(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
    }

    /// Nothing to follow is well: then bundles are right within their time, as without a feed.
    fn feed_check(&self) -> Result<(), ApiError> {
        match self.feed.get().1 {
            Some(lag) if lag > self.feed_lag_limit => Err(ApiError::feed_lags(lag)),
            _ => Ok(()),
        }
    }
}

fn check(name: &str, outcome: Result<(), ApiError>) -> Value {
    match outcome {
        Ok(()) => json!({"name": name, "status": "ok"}),
        Err(error) => json!({"name": name, "status": "unavailable", "message": error.message()}),
    }
}
