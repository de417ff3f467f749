//! Who asks, and what they may do. Knows neither routes, Redis nor Postgres.
//!
//! A request brings a JSON Web Token, signed by whoever holds the key: with a secret that this server knows too
//! (HS256), or with a private key of which it has the public half (RS256, ES256). Nothing in a token is believed
//! before its signature, and nothing in its header decides how that is checked.
//!
//! 1. [`Key`]: what signatures are checked with; its kind decides the algorithm.
//! 2. [`Verifier`]: from the token's text to a [`Principal`].
//! 3. [`Principal`]: who asks; the file `policy.rs` says what they may do.
//! 4. [`Access`]: how a server treats those who ask at all.
//! 5. [`Signer`]: makes tokens, for trying out and for operators.

mod claims;
mod crypto;
mod header;
mod key;
mod policy;
mod principal;
mod signer;
mod verifier;

#[cfg(test)]
mod tests;

use ::http::HeaderMap;

pub use key::{Key, KeyError};
pub use policy::{Permissions, Scope};
pub use principal::{Principal, Role};
pub use signer::{Grant, Signer};
pub use verifier::{Expectations, Verifier};

use crate::error::ApiError;

/// How a server treats those who ask.
#[derive(Debug)]
pub enum Access {
    /// No key is known, so nobody can show who they are: everybody is refused.
    NotConfigured,
    /// Everybody may do everything (`--insecure-no-auth`).
    Open,
    /// Whoever brings a token may do what it says.
    Verifier(Box<Verifier>),
}

impl Access {
    /// Who asks, by the headers of their request.
    ///
    /// # Errors
    /// 503 where no key is configured; 401 for a token that is missing, given twice, expired or not valid.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, ApiError> {
        match self {
            Self::NotConfigured => Err(ApiError::not_configured(
                "no key for tokens is configured, so nobody is served here: set DASHBOARD_JWT_SECRET (32 bytes or more) or \
                 DASHBOARD_JWT_PUBLIC_KEY_FILE (a PEM file); or, on a machine of your own, DASHBOARD_INSECURE_NO_AUTH=true \
                 (--insecure-no-auth) with DASHBOARD_LISTEN on 127.0.0.1",
            )),
            Self::Open => Ok(Principal::everybody()),
            Self::Verifier(verifier) => {
                header::bearer(headers).and_then(|token| verifier.verify(token)).map_err(|refusal| {
                    // Never the token, and nothing of what it says: it may be valid elsewhere.
                    tracing::debug!(%refusal, "a request was not authenticated");
                    refusal.into()
                })
            }
        }
    }

    /// Whether everybody is let in without showing anything.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// In a few words, for the log.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::NotConfigured => "nobody: no key for tokens is configured",
            Self::Open => "everybody, without a token (DASHBOARD_INSECURE_NO_AUTH)",
            Self::Verifier(verifier) => verifier.describe(),
        }
    }
}

/// Why a request does not say who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("there is no Authorization header with the scheme Bearer")]
    Missing,
    #[error("there are several Authorization headers")]
    Several,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    /// The reason is for the log: told to those who try, it would help them to try better.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => {
                Self::token_missing("a token is needed: send 'Authorization: Bearer <token>'")
            }
            Refusal::Several => Self::token_refused("send the header Authorization once"),
            Refusal::Expired => Self::token_refused("the token has expired: get a new one"),
            Refusal::NotYet => Self::token_refused(
                "the token is not valid yet: wait until the time in its claim nbf, or set the clock of whoever made it",
            ),
            Refusal::Invalid(_) => {
                Self::token_refused("the token is not valid here: get one that was made for this server")
            }
        }
    }
}
