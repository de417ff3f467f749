//! Which answer a Postgres error becomes. The cause is logged here and goes no further.

use postgres::Error;
use postgres::error::SqlState;

use super::target::chain;
use crate::error::ApiError;

/// Classifies a failed statement of `function`.
pub(super) fn classify(function: &str, error: &Error) -> ApiError {
    let Some(code) = error.code() else {
        tracing::warn!(function, error = %chain(error), "lost the connection to Postgres");
        return ApiError::postgres_unavailable();
    };
    if *code == SqlState::QUERY_CANCELED {
        tracing::warn!(function, error = %chain(error), "a statement was ended");
        return ApiError::timeout(function);
    }
    tracing::error!(function, error = %chain(error), "a statement failed");
    if *code == SqlState::UNDEFINED_FUNCTION
        || *code == SqlState::INVALID_SCHEMA_NAME
        || *code == SqlState::UNDEFINED_TABLE
    {
        ApiError::not_migrated()
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        ApiError::forbidden_by_postgres()
    } else if means_unavailable(code.code()) {
        ApiError::postgres_unavailable()
    } else {
        ApiError::internal(function)
    }
}

/// Connection exceptions, refused logins, exhausted resources and a server that stops or starts.
fn means_unavailable(code: &str) -> bool {
    ["08", "28", "3D", "53", "57P"].iter().any(|class| code.starts_with(class))
}
