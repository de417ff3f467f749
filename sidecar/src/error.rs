//! The two ways to fail: [`ApiError`] answers one request, [`Failure`] ends the process.
//!
//! Every text that a client of the HTTP APIs can read about a failure is written here, once. Causes (what
//! Postgres or Redis said) go to the log where they happen and never into these texts.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;

use crate::descriptors::SHORTAGE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NoTenant,
    BadRequest,
    Unauthorized,
    TokenMissing,
    TokenRefused,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    BodyTooLarge,
    MediaType,
    Conflict,
    Stranger,
    Overloaded,
    Timeout,
    PostgresUnavailable,
    RedisUnavailable,
    SidecarUnavailable,
    NotInTime,
    FeedBehind,
    Stopping,
    NotConfigured,
    ForbiddenByPostgres,
    Internal,
}

/// What a client is told instead of an answer: a code for programs and one sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    kind: Kind,
    message: String,
}

impl ApiError {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// There is no tenant of that name.
    pub fn no_tenant(tenant: &str) -> Self {
        Self::new(Kind::NoTenant, format!("there is no tenant '{tenant}'"))
    }

    /// The request cannot be understood; `what` names the offending part and what it should be.
    pub fn bad_request(what: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, what)
    }

    /// The internal API's token is missing or wrong.
    pub fn unauthorized() -> Self {
        Self::new(
            Kind::Unauthorized,
            "send 'Authorization: Bearer <token>' with the sidecar's internal token",
        )
    }

    /// The public API needs a token, and the request brings none; `what` says how to send one.
    pub fn token_missing(what: &str) -> Self {
        Self::new(Kind::TokenMissing, what)
    }

    /// The public API does not take the request's token; `what` says what to do about it.
    pub fn token_refused(what: &str) -> Self {
        Self::new(Kind::TokenRefused, what)
    }

    /// Who asks may not do that; `what` says what is needed.
    pub fn forbidden(what: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, what)
    }

    /// No such path.
    pub fn not_found(path: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is nothing at {}", shorten(path)))
    }

    /// The path exists for another method.
    pub fn method_not_allowed(path: &str, allowed: &str) -> Self {
        Self::new(Kind::MethodNotAllowed, format!("{path} takes the method {allowed} only"))
    }

    /// The request's body did not come whole in time.
    pub fn body_timeout(allowed: Duration) -> Self {
        Self::new(Kind::BodyTimeout, format!("the body did not come within {} s", allowed.as_secs()))
    }

    /// The request's body is larger than is read.
    pub fn body_too_large(most: usize) -> Self {
        Self::new(Kind::BodyTooLarge, format!("the body has more than {most} bytes"))
    }

    /// The request's body is of a kind that is not read.
    pub fn media_type(given: &str) -> Self {
        Self::new(
            Kind::MediaType,
            format!(
                "a body of {} is not understood: send JSON, as Content-Type: application/json",
                shorten(given)
            ),
        )
    }

    /// There is no such job; `what` says how to make one.
    pub fn no_job(what: &str) -> Self {
        Self::new(Kind::NotFound, what)
    }

    /// What is asked for is under way already; `what` names it.
    pub fn conflict(what: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, what)
    }

    /// The request comes from where none is served; `why` says what is.
    pub fn stranger(why: &str) -> Self {
        Self::new(Kind::Stranger, why)
    }

    /// A bound was hit; `bound` names it.
    pub fn overloaded(bound: &str) -> Self {
        Self::new(Kind::Overloaded, format!("too much at once: {bound}; try again shortly"))
    }

    /// `what` did not finish within its time.
    pub fn timeout(what: &str) -> Self {
        Self::new(Kind::Timeout, format!("{what} did not finish in time"))
    }

    /// Postgres cannot be reached or refuses to work.
    pub fn postgres_unavailable() -> Self {
        Self::new(
            Kind::PostgresUnavailable,
            "Postgres cannot be reached with DATABASE_URL; see the sidecar's log",
        )
    }

    /// No connection to Postgres can be made, and Postgres is not to blame.
    pub fn no_descriptor_for_postgres() -> Self {
        Self::new(Kind::PostgresUnavailable, format!("the sidecar cannot connect to Postgres: {SHORTAGE}"))
    }

    /// The same for Redis.
    pub fn no_descriptor_for_redis() -> Self {
        Self::new(Kind::RedisUnavailable, format!("the sidecar cannot connect to Redis: {SHORTAGE}"))
    }

    /// The schema `dashboard` is missing or incomplete.
    pub fn not_migrated() -> Self {
        Self::new(
            Kind::PostgresUnavailable,
            "the schema dashboard is missing or incomplete in Postgres: run 'dashboard-sidecar migrate'",
        )
    }

    /// Whether the schema is what this version needs could not be found out.
    pub fn migrations_unknown() -> Self {
        Self::new(
            Kind::PostgresUnavailable,
            "whether the migrations are current is not known: Postgres cannot be asked, or its role may not read \
             dashboard.schema_history; see the sidecar's log",
        )
    }

    /// The module says that the sidecar that it asks cannot use Postgres, in these words.
    pub fn postgres_unusable(why: impl Into<String>) -> Self {
        Self::new(Kind::PostgresUnavailable, why)
    }

    /// The module says that it has no sidecar that computes, in these words.
    pub fn sidecar_unavailable(why: impl Into<String>) -> Self {
        Self::new(Kind::SidecarUnavailable, why)
    }

    /// The module does not reach the internal API at its address, and `why`.
    pub fn internal_api_unreachable(address: &impl fmt::Display, why: &str) -> Self {
        Self::new(
            Kind::SidecarUnavailable,
            format!("the module cannot reach this sidecar at {address} (DASHBOARD_INTERNAL): {why}"),
        )
    }

    /// The module gave up waiting for a bundle.
    pub fn not_in_time() -> Self {
        Self::new(Kind::NotInTime, "the bundle was not computed in time")
    }

    /// A part did not say in time how it is; `part` names it and how long it had.
    pub fn silent(part: &str, allowed: Duration) -> Self {
        Self::new(Kind::NotInTime, format!("{part} has not answered within {} ms", allowed.as_millis()))
    }

    /// Changes reach Redis late, or not; `what` says what is known and what to do.
    pub fn feed_behind(what: impl Into<String>) -> Self {
        Self::new(Kind::FeedBehind, what)
    }

    /// The sidecar is about to end.
    pub fn stopping() -> Self {
        Self::new(Kind::Stopping, "the sidecar is being stopped: send requests to another one")
    }

    /// The database role may not read all rows, so any count would be silently wrong.
    pub fn forbidden_by_postgres() -> Self {
        Self::new(
            Kind::ForbiddenByPostgres,
            "the role of DATABASE_URL may not read all rows that a bundle counts: grant it SELECT on them, and \
             BYPASSRLS where row-level security is on",
        )
    }

    /// Redis cannot be reached or does not answer; `why` says which.
    pub fn redis_unavailable(why: impl Into<String>) -> Self {
        Self::new(Kind::RedisUnavailable, why)
    }

    /// A setting is missing; `what` says which and why.
    pub fn not_configured(what: &str) -> Self {
        Self::new(Kind::NotConfigured, what)
    }

    /// A dashboard function returned something that is not a bundle.
    pub fn wrong_result(function: &str, problem: &str) -> Self {
        Self::new(Kind::Internal, format!("{function} returned {problem}"))
    }

    /// The tenant's bundle is larger than the sidecar takes.
    pub fn too_large(tenant: &str, bytes: i64, most: u32) -> Self {
        Self::new(
            Kind::Internal,
            format!(
                "the bundle of '{tenant}' has {bytes} bytes, more than DASHBOARD_MAX_BUNDLE_BYTES ({most}) allows"
            ),
        )
    }

    /// `what` failed for a reason that only the log tells.
    pub fn internal(what: &str) -> Self {
        Self::new(Kind::Internal, format!("{what} failed; see the sidecar's log"))
    }

    /// The word that programs test.
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::NoTenant => "no_tenant",
            Kind::BadRequest => "bad_request",
            Kind::Unauthorized | Kind::TokenMissing | Kind::TokenRefused => "unauthorized",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::BodyTimeout => "body_timeout",
            Kind::BodyTooLarge => "body_too_large",
            Kind::MediaType => "unsupported_media_type",
            Kind::Conflict => "conflict",
            Kind::Stranger | Kind::Forbidden => "forbidden",
            Kind::Overloaded => "overloaded",
            Kind::Timeout | Kind::NotInTime => "timeout",
            Kind::PostgresUnavailable => "postgres_unavailable",
            Kind::RedisUnavailable => "redis_unavailable",
            Kind::SidecarUnavailable => "sidecar_unavailable",
            Kind::FeedBehind => "feed_behind",
            Kind::Stopping => "stopping",
            Kind::NotConfigured => "not_configured",
            Kind::ForbiddenByPostgres | Kind::Internal => "internal",
        }
    }

    /// The HTTP status that goes with the code.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::NoTenant | Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::Unauthorized | Kind::TokenMissing | Kind::TokenRefused => StatusCode::UNAUTHORIZED,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Kind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Stranger | Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::PostgresUnavailable
            | Kind::RedisUnavailable
            | Kind::SidecarUnavailable
            | Kind::NotInTime
            | Kind::FeedBehind
            | Kind::Stopping
            | Kind::NotConfigured => StatusCode::SERVICE_UNAVAILABLE,
            Kind::ForbiddenByPostgres | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the header WWW-Authenticate must say beside a 401 of the public API (RFC 6750).
    pub fn challenge(&self) -> Option<&'static str> {
        match self.kind {
            Kind::TokenMissing => Some(r#"Bearer realm="dashboard""#),
            Kind::TokenRefused => Some(r#"Bearer realm="dashboard", error="invalid_token""#),
            _ => None,
        }
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same question could be answered for another tenant: the failure is not about the whole
    /// database.
    pub fn is_about_one_tenant(&self) -> bool {
        !matches!(self.kind, Kind::PostgresUnavailable | Kind::Overloaded | Kind::ForbiddenByPostgres)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message)
    }
}

impl StdError for ApiError {}

/// Why the process ends early: one message for people, and the exit code for scripts.
#[derive(Debug)]
pub struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    /// A setting is missing, malformed or does not work; the message names it. Exit code 2.
    pub fn config(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 2 }
    }

    /// The work itself failed. Exit code 1. The causes are appended, outermost first.
    pub fn run(error: &dyn StdError) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors repeat their cause in their own text; once is enough.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self { message, exit_code: 1 }
    }

    /// Part of the work failed, and what was printed says so already. Exit code 1.
    pub fn already_reported() -> Self {
        Self { message: String::new(), exit_code: 1 }
    }

    /// What was asked about is not so, and what was printed says why. Exit code 1, or 2 if that is trouble.
    pub fn answered(is_trouble: bool) -> Self {
        Self { message: String::new(), exit_code: if is_trouble { 2 } else { 1 } }
    }

    /// What was asked about could not be found out. Exit code 2: 1 would be an answer.
    pub fn undecided(error: &dyn StdError) -> Self {
        Self { exit_code: 2, ..Self::run(error) }
    }

    /// Hands the message to whoever prints it, as one line, and gives the exit code.
    pub fn report(&self, out: &mut impl Write) -> ExitCode {
        if !self.message.is_empty() {
            // One write: a line of the log is what is written at once. Where it fails there is nobody to tell.
            let _ = out.write_all(format!("dashboard-sidecar: {}\n", self.message).as_bytes());
        }
        ExitCode::from(self.exit_code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

/// Cuts what a client sent before it is repeated in a message.
fn shorten(text: &str) -> String {
    const KEPT: usize = 80;
    if text.chars().count() <= KEPT {
        text.to_owned()
    } else {
        text.chars().take(KEPT).chain("…".chars()).collect()
    }
}
