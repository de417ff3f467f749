//! The internal API between the module and the sidecar: its paths, requests, lines and error codes.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One bundle: `?tenant=…&include_test_data=…`.
pub const BUNDLE: &str = "/internal/v1/bundle";
/// Many bundles: [`Wanted`] as the body, lines as the answer.
pub const BUNDLES: &str = "/internal/v1/bundles";
/// The tenants that warming covers.
pub const TENANTS: &str = "/internal/v1/tenants";
/// Whether bundles can be computed.
pub const HEALTH: &str = "/internal/v1/health";

/// Longest silence between two lines of an answer, in seconds: an empty line tells that work goes on.
pub const HEARTBEAT_S: u64 = 1;

/// What the body of [`BUNDLES`] asks for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the member 'bundles'")]
pub struct Wanted<'a> {
    /// Each bundle once.
    pub bundles: Vec<WantedBundle<'a>>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the members 'tenant_id' and 'include_test_data'")]
pub struct WantedBundle<'a> {
    /// Whose figures.
    pub tenant_id: Cow<'a, str>,
    /// With test data.
    pub include_test_data: bool,
    /// What is stored of it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownBundle<'a>>,
}

/// What stands in the `meta` of a bundle that is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the members 'etag' and 'version'")]
pub struct KnownBundle<'a> {
    /// What names its content.
    pub etag: Cow<'a, str>,
    /// The state of the rows that it was computed from.
    pub version: Cow<'a, str>,
}

/// The line for a bundle of which nothing has changed: its etag, and whose it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unchanged<'a> {
    /// The etag of what is stored.
    pub unchanged: Cow<'a, str>,
    /// Whose figures.
    pub tenant_id: Cow<'a, str>,
    /// With test data.
    pub include_test_data: bool,
}

/// The last line: for how long the database has worked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Microseconds for which Postgres was waited for.
    pub query_us: u64,
}

/// The `code` of an error that the module tells apart from the others.
pub mod code {
    /// Postgres has no such tenant.
    pub const NO_TENANT: &str = "no_tenant";
    /// It took too long.
    pub const TIMEOUT: &str = "timeout";
    /// The sidecar is at one of its bounds.
    pub const OVERLOADED: &str = "overloaded";
    /// The sidecar cannot use Postgres.
    pub const POSTGRES_UNAVAILABLE: &str = "postgres_unavailable";
    /// The token is missing or wrong.
    pub const UNAUTHORIZED: &str = "unauthorized";
}
