//! `GET /readyz` and `GET /api/system/health`: each part by name, and what it lacks.

use ::http::StatusCode;
use serde_json::{Value, json};

use super::State;
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
        ];
        let well = checks.iter().all(|(_, outcome)| outcome.is_ok());
        let checks: Vec<Value> = checks.into_iter().map(|(name, outcome)| check(name, outcome)).collect();
        let body = json!({"status": if well { "ok" } else { "unavailable" }, "checks": checks});
        http::json(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
    }
}

fn check(name: &str, outcome: Result<(), ApiError>) -> Value {
    match outcome {
        Ok(()) => json!({"name": name, "status": "ok"}),
        Err(error) => json!({"name": name, "status": "unavailable", "message": error.message()}),
    }
}
