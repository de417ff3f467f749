//! What requests bring in their bodies.

use hyper::Request;
use hyper::body::Incoming;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use crate::error::ApiError;
use crate::http::{self, Params};
use crate::tenant::Tenant;

/// The largest, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// All that a request says, which is in its body and not in its query.
pub(super) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, ApiError> {
    Params::parse(request.uri().query(), &[])?;
    http::read_json(request, MAX_BODY).await
}

/// A tenant that is named. Not null: that is how a program says that it knows none, and would mean all of them.
pub(super) fn tenant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tenant>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Tenant::parse(&text).map(Some).map_err(D::Error::custom)
}
