//! Signatures for the crate `jsonwebtoken`, made and checked by ring.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

/// The crate looks for it in one place for the whole process.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// To be called before anything is signed or checked; any number of times.
pub(super) fn install() {
    // An error says that this has been done before.
    let _ = PROVIDER.install_default();
}

struct Hs256(hmac::Key);

impl Hs256 {
    fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

struct PublicKey {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Box::new(Hs256::new(key.as_bytes()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// A key serves the algorithm of its own kind only.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let bytes = key.try_get_as_bytes()?;
    let public_key = |checked_by: &'static dyn VerificationAlgorithm| {
        let key = UnparsedPublicKey::new(checked_by, bytes.to_vec());
        Ok(Box::new(PublicKey { algorithm: *algorithm, key }) as Box<dyn JwtVerifier>)
    };
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Box::new(Hs256::new(bytes))),
        (Algorithm::RS256, AlgorithmFamily::Rsa) => public_key(&RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::ES256, AlgorithmFamily::Ec) => public_key(&ECDSA_P256_SHA256_FIXED),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

impl signature::Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        // Takes as long however much is right, and compares all 32 bytes.
        hmac::verify(&self.0, message, tag).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        self.key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the caller has been talked into.
    #[test]
    fn a_key_serves_the_algorithm_of_its_own_kind_only() {
        let secret = DecodingKey::from_secret(b"secret");
        let (rsa, ec) = (DecodingKey::from_rsa_der(b"key"), DecodingKey::from_ec_der(b"key"));
        for (algorithm, own) in
            [(Algorithm::HS256, &secret), (Algorithm::RS256, &rsa), (Algorithm::ES256, &ec)]
        {
            for key in [&secret, &rsa, &ec] {
                let is_own = key.family() == own.family();
                assert_eq!(verifier(&algorithm, key).is_ok(), is_own, "{algorithm:?} {key:?}");
            }
        }
        for algorithm in
            [Algorithm::HS384, Algorithm::HS512, Algorithm::RS384, Algorithm::PS256, Algorithm::ES384]
        {
            assert!(
                [&secret, &rsa, &ec].iter().all(|key| verifier(&algorithm, key).is_err()),
                "{algorithm:?}"
            );
        }
    }
}
