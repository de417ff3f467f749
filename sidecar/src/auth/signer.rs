//! Makes tokens, for those who hold the secret themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use super::claims::OwnClaims;
use super::{Expectations, Key, KeyError, Principal, crypto};
use crate::tenant::Tenant;

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The claim `tenant_id`.
    pub tenant: Option<&'a str>,
    /// The claim `role`.
    pub role: Option<&'a str>,
    /// For how long.
    pub expires_in: Duration,
}

impl Grant<'_> {
    /// Whether nobody could do anything with the token.
    pub fn may_nothing(&self) -> bool {
        let tenant = self.tenant.and_then(|tenant| Tenant::parse(tenant).ok());
        Principal::new(tenant, self.role.map(str::to_owned), None).may_list().is_err()
    }
}

/// Signs with one secret.
pub struct Signer {
    key: EncodingKey,
    expected: Expectations,
}

impl Signer {
    /// A signer of tokens that a verifier with the same secret and expectations takes.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`].
    pub fn new(secret: &[u8], expected: Expectations) -> Result<Self, KeyError> {
        Key::from_secret(secret)?;
        crypto::install();
        Ok(Self { key: EncodingKey::from_secret(secret), expected })
    }

    /// A token that counts from `now` on.
    ///
    /// # Errors
    /// None that is known; what the crate says.
    pub fn sign(&self, grant: &Grant<'_>, now: DateTime<Utc>) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = OwnClaims {
            iat: now.timestamp(),
            exp: now.timestamp().saturating_add_unsigned(grant.expires_in.as_secs()),
            tenant_id: grant.tenant,
            role: grant.role,
            aud: self.expected.audience.as_deref(),
            iss: self.expected.issuer.as_deref(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)
    }
}
