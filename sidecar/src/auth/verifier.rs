//! From a token's text to who asks.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};

use super::claims::Claims;
use super::{Key, Principal, Refusal, crypto};

/// What tokens must say beyond being signed.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// Must be in the claim `aud`, if given; else that claim is not looked at.
    pub audience: Option<String>,
    /// Must be the claim `iss`, if given; else that claim is not looked at.
    pub issuer: Option<String>,
    /// By how much clocks may differ, in seconds: so much later a token expires, and so much earlier it counts.
    pub leeway_s: u32,
}

/// Checks tokens with one key.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: Key,
    validation: Validation,
}

impl Verifier {
    /// A verifier of what was signed with `key`.
    pub fn new(key: Key, expected: &Expectations) -> Self {
        crypto::install();
        let mut validation = Validation::new(key.algorithm());
        let mut required = vec!["exp"];
        validation.leeway = expected.leeway_s.into();
        // At the second in exp it is over, not one later.
        validation.reject_tokens_expiring_in_less_than = 1;
        validation.validate_nbf = true;
        validation.validate_aud = expected.audience.is_some();
        if let Some(audience) = &expected.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &expected.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        // Without this the crate takes a token that leaves a claim out for one that fulfils it.
        validation.set_required_spec_claims(&required);
        Self { key, validation }
    }

    pub(super) fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        let token = jsonwebtoken::decode::<Claims>(token, self.key.decoding(), &self.validation)
            .map_err(|error| refusal(error.kind()))?;
        check(&token.header)?;
        Ok(token.claims.into())
    }

    /// In a few words, for the log.
    pub(super) fn describe(&self) -> &'static str {
        match self.key.algorithm() {
            Algorithm::HS256 => "those with a token signed by the secret (HS256)",
            Algorithm::RS256 => "those with a token signed by the public key's private half (RS256)",
            _ => "those with a token signed by the public key's private half (ES256)",
        }
    }
}

/// What else a header can ask for changes what the signature means. Keys and addresses of keys in it are
/// not looked at.
fn check(header: &Header) -> Result<(), Refusal> {
    if header.crit.is_some() || header.extras.inner().contains_key("b64") {
        return Err(Refusal::Invalid("its header demands an extension"));
    }
    if header.cty.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(Refusal::Invalid("its payload is nested, encrypted or compressed"));
    }
    Ok(())
}

/// The kind alone: the crate's texts repeat what the token says.
fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        ErrorKind::InvalidSignature => Refusal::Invalid("its signature is wrong"),
        ErrorKind::InvalidAlgorithm => Refusal::Invalid("its algorithm is not the key's"),
        ErrorKind::InvalidAudience => Refusal::Invalid("its aud is not DASHBOARD_JWT_AUDIENCE"),
        ErrorKind::InvalidIssuer => Refusal::Invalid("its iss is not DASHBOARD_JWT_ISSUER"),
        ErrorKind::MissingRequiredClaim(_) => Refusal::Invalid("exp, aud or iss is missing"),
        ErrorKind::InvalidClaimFormat(_) => Refusal::Invalid("exp or nbf is no time"),
        ErrorKind::Json(_) => Refusal::Invalid("its header or a claim is malformed, or exp is missing"),
        _ => Refusal::Invalid("it is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature's own check, and the type of the claims, would refuse such tokens too: each guard by itself.
    #[test]
    fn one_algorithm_and_an_end_are_demanded_of_every_token() {
        let rsa = Key::from_public_pem(include_str!("../../../tests/keys/rsa-public.pem")).unwrap();
        let ec = Key::from_public_pem(include_str!("../../../tests/keys/ec-public.pem")).unwrap();
        for (key, algorithm) in [
            (Key::from_secret(&[0; 32]).unwrap(), Algorithm::HS256),
            (rsa, Algorithm::RS256),
            (ec, Algorithm::ES256),
        ] {
            let validation = Verifier::new(key, &Expectations::default()).validation;
            assert_eq!(validation.algorithms, [algorithm]);
            assert!(validation.required_spec_claims.contains("exp") && validation.validate_exp);
        }
        assert!(serde_json::from_str::<Claims>("{}").is_err());
    }
}
