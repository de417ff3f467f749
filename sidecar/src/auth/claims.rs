//! What a token says, in the types that it must have: one that says it otherwise is refused rather than read
//! as if it said nothing.

use chrono::{DateTime, Utc};
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

use super::Principal;
use crate::tenant::Tenant;

/// The end of the year 9999, in seconds since 1970: a later time cannot be written in RFC 3339. Whoever gives
/// milliseconds gets there, too.
const LAST_SECOND: i64 = 253_402_300_799;

/// The claims that say who asks. The crate checks `nbf`, `aud` and `iss`, which say whether the token counts.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(deserialize_with = "moment")]
    exp: DateTime<Utc>,
    #[serde(default, deserialize_with = "tenant")]
    tenant_id: Option<Tenant>,
    #[serde(default)]
    role: Option<String>,
}

impl From<Claims> for Principal {
    fn from(claims: Claims) -> Self {
        Self::new(claims.tenant_id, claims.role, Some(claims.exp))
    }
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    // With a fraction, too: RFC 7519 allows it.
    let seconds = f64::deserialize(deserializer)?;
    let wrong =
        || D::Error::invalid_value(Unexpected::Float(seconds), &"seconds since 1970, up to the year 9999");
    if !(0.0..=LAST_SECOND as f64).contains(&seconds) {
        return Err(wrong());
    }
    DateTime::from_timestamp(seconds as i64, 0).ok_or_else(wrong)
}

fn tenant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tenant>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(Tenant::parse).transpose().map_err(D::Error::custom)
}

/// What a token of our own says.
#[derive(Serialize)]
pub(super) struct OwnClaims<'a> {
    pub(super) iat: i64,
    pub(super) exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<&'a str>,
}
