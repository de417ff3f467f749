//! What signatures are checked with. The kind of key decides the algorithm, never the token: otherwise a public
//! key, which everybody has, could be made to serve as a secret.

use jsonwebtoken::{Algorithm, DecodingKey};
use spki::der::asn1::ObjectIdentifier;
use spki::der::{Decode, Document};

/// The shortest secret, in bytes: as long as what HS256 makes of it.
const MIN_SECRET_BYTES: usize = 32;
/// The sizes of RSA keys that are accepted, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// A point of P-256: a byte that says "both coordinates follow", and they.
const P256_POINT_BYTES: usize = 65;

/// A key with its one algorithm.
#[derive(Clone, Debug)]
pub struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// Why something is no key; says what to give instead, and nothing of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret that could be guessed.
    #[error("the secret must have {MIN_SECRET_BYTES} bytes or more, for example from 'openssl rand -hex 32'")]
    ShortSecret,
    /// The half that must not be here.
    #[error(
        "this is a private key, which only whoever makes the tokens should have: give its public half, from \
         'openssl pkey -in private.pem -pubout'"
    )]
    Private,
    /// A certificate.
    #[error("this is a certificate: give its key, from 'openssl x509 -in certificate.pem -noout -pubkey'")]
    Certificate,
    /// Not PEM, or not whole.
    #[error("this is no public key in PEM form, which begins with '-----BEGIN PUBLIC KEY-----'")]
    Malformed,
    /// Another kind of key.
    #[error("the key must be RSA (for RS256) or elliptic-curve on P-256 (for ES256)")]
    Unsupported,
    /// A key that could be factored, or that takes too long.
    #[error("the RSA key must have {} to {} bits", RSA_BITS.start(), RSA_BITS.end())]
    RsaSize,
    /// A point in another form.
    #[error(
        "the key's point is compressed: convert it with 'openssl ec -pubin -in public.pem -conv_form uncompressed'"
    )]
    Compressed,
}

impl Key {
    /// A secret that is shared with whoever makes the tokens: HS256.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyError::ShortSecret);
        }
        Ok(Self { algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret) })
    }

    /// A public key in PEM form: RS256 or ES256, by its kind.
    ///
    /// # Errors
    /// [`KeyError`] for anything else, a private key above all.
    pub fn from_public_pem(pem: &str) -> Result<Self, KeyError> {
        // Also as the second thing in a file of several.
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if pem.contains("CERTIFICATE-----") {
            return Err(KeyError::Certificate);
        }
        let (label, document) = Document::from_pem(pem.trim()).map_err(|_| KeyError::Malformed)?;
        match label {
            "PUBLIC KEY" => Self::from_spki(document.as_bytes()),
            "RSA PUBLIC KEY" => Self::from_rsa(document.as_bytes()),
            _ => Err(KeyError::Malformed),
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let info = spki::SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let key = info.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        match info.algorithm.oid {
            RSA => Self::from_rsa(key),
            EC if info.algorithm.parameters_oid() == Ok(P256) => match key {
                [4, ..] if key.len() == P256_POINT_BYTES => {
                    Ok(Self { algorithm: Algorithm::ES256, decoding: DecodingKey::from_ec_der(key) })
                }
                [2 | 3, ..] => Err(KeyError::Compressed),
                _ => Err(KeyError::Malformed),
            },
            _ => Err(KeyError::Unsupported),
        }
    }

    fn from_rsa(der: &[u8]) -> Result<Self, KeyError> {
        let key = pkcs1::RsaPublicKeyRef::try_from(der).map_err(|_| KeyError::Malformed)?;
        let modulus = key.modulus.as_bytes();
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !RSA_BITS.contains(&(modulus.len() * 8 - zeros)) {
            return Err(KeyError::RsaSize);
        }
        Ok(Self { algorithm: Algorithm::RS256, decoding: DecodingKey::from_rsa_der(der) })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! pem {
        ($name:literal) => {
            include_str!(concat!("../../../tests/keys/", $name, ".pem"))
        };
    }

    fn error(pem: &str) -> KeyError {
        Key::from_public_pem(pem).unwrap_err()
    }

    #[test]
    fn a_keys_kind_decides_its_algorithm() {
        for (pem, algorithm) in [
            (pem!("rsa-public"), Algorithm::RS256),
            (pem!("rsa-public-pkcs1"), Algorithm::RS256),
            (pem!("ec-public"), Algorithm::ES256),
        ] {
            assert_eq!(Key::from_public_pem(pem).unwrap().algorithm(), algorithm);
            let windows = format!("\r\n{}\r\n", pem.replace('\n', "\r\n"));
            assert_eq!(Key::from_public_pem(&windows).unwrap().algorithm(), algorithm);
        }
        assert_eq!(Key::from_secret(&[0; 32]).unwrap().algorithm(), Algorithm::HS256);
        assert_eq!(Key::from_secret(&[0; 31]).unwrap_err(), KeyError::ShortSecret);
    }

    #[test]
    fn a_private_key_is_refused_wherever_it_stands() {
        assert_eq!(error(pem!("rsa-private")), KeyError::Private);
        assert_eq!(error(pem!("ec-private")), KeyError::Private);
        assert_eq!(error(&[pem!("ec-public"), pem!("ec-private")].concat()), KeyError::Private);
        assert_eq!(error("-----BEGIN ENCRYPTED PRIVATE KEY-----"), KeyError::Private);
        assert!(KeyError::Private.to_string().contains("openssl pkey"));
    }

    #[test]
    fn what_is_no_key_for_this_says_what_to_give() {
        assert_eq!(error(pem!("rsa-1024-public")), KeyError::RsaSize);
        assert_eq!(error(pem!("ec-p384-public")), KeyError::Unsupported);
        assert_eq!(error(pem!("ec-k256-public")), KeyError::Unsupported);
        assert_eq!(error(pem!("ed25519-public")), KeyError::Unsupported);
        assert_eq!(error(pem!("ec-compressed-public")), KeyError::Compressed);
        assert_eq!(
            error("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            KeyError::Certificate
        );
        for text in ["", "a secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(error(text), KeyError::Malformed);
        }
        assert_eq!(error(&pem!("rsa-public")[..200]), KeyError::Malformed);
        assert_eq!(error(&[pem!("ec-public"), pem!("rsa-public")].concat()), KeyError::Malformed);
    }
}
