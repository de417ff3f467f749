//! Which answer an error of Redis or of the module becomes. The cause is logged here and goes no further.

use redis::RedisError;

use super::refusal;
use crate::descriptors;
use crate::error::ApiError;
use crate::tenant::Tenant;

/// Classifies what Redis said, by its first word.
pub(super) fn classify(error: &RedisError, tenant: Option<&Tenant>) -> ApiError {
    let detail = error.detail().unwrap_or_default();
    match (error.code(), tenant) {
        (Some("NOTENANT"), Some(tenant)) => return ApiError::no_tenant(tenant.as_str()),
        (Some("OVERLOADED"), _) => return ApiError::overloaded("the cache computes as much as it may"),
        (Some("TIMEOUT"), _) => return ApiError::not_in_time(),
        (Some("UNAVAILABLE" | "MISS"), _) if !detail.is_empty() => return unavailable(detail),
        _ => {}
    }
    tracing::warn!(%error, "Redis (REDIS_URL) did not answer as it should");
    if is_unknown_command(error) {
        module_missing()
    } else if is_for_want_of_a_descriptor(error) {
        ApiError::no_descriptor_for_redis()
    } else if error.is_timeout() {
        silent()
    } else {
        refusal::hint(error).map_or_else(unreachable, ApiError::redis_unavailable)
    }
}

/// The module writes these for clients: they say which part is missing, and begin with its name.
fn unavailable(detail: &str) -> ApiError {
    if detail.starts_with("the sidecar cannot use Postgres") {
        ApiError::postgres_unusable(detail)
    } else if detail.starts_with("the sidecar") {
        ApiError::sidecar_unavailable(detail)
    } else {
        ApiError::redis_unavailable(detail)
    }
}

/// Redis did not answer in time.
pub(super) fn silent() -> ApiError {
    ApiError::redis_unavailable("Redis did not answer in time (DASHBOARD_REDIS_TIMEOUT_MS)")
}

/// Redis cannot be reached, or refuses.
pub(super) fn unreachable() -> ApiError {
    ApiError::redis_unavailable("Redis cannot be used with REDIS_URL; see the sidecar's log")
}

/// Redis is there, the module is not.
pub(super) fn module_missing() -> ApiError {
    ApiError::redis_unavailable(
        "the Redis at REDIS_URL lacks the dashboard module: load libdashboard.so (loadmodule in redis.conf)",
    )
}

/// Redis does not answer, so its modules are not known.
pub(super) fn module_unknown() -> ApiError {
    ApiError::redis_unavailable("whether the dashboard module is loaded is not known: Redis cannot be asked")
}

/// Why warming could not begin or be waited for: all that was asked, so in Redis's own words.
pub(super) fn of_warming(error: &RedisError) -> ApiError {
    if is_unknown_command(error) {
        return module_missing();
    }
    ApiError::redis_unavailable(refusal::explain(error))
}

/// Why Redis cannot be listened to. The caller logs the cause, which comes again with each try.
pub(super) fn of_tracking(error: &RedisError) -> ApiError {
    if error.code() == Some("NOPERM") {
        return ApiError::redis_unavailable(
            "the user of REDIS_URL may not hear of changes: grant it +client|tracking, +exists, +ping and %R~* in Redis",
        );
    }
    unreachable()
}

/// Not every error of connecting says so itself.
fn is_for_want_of_a_descriptor(error: &RedisError) -> bool {
    descriptors::is_shortage(error) || (error.is_io_error() && descriptors::none_is_free())
}

fn is_unknown_command(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}
