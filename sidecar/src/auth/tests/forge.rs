//! Makes tokens by hand, so that they can be wrong in every way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, hmac};
use spki::der::Document;

pub(super) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(super) const RSA_PUBLIC: &str = include_str!("../../../../tests/keys/rsa-public.pem");
pub(super) const EC_PUBLIC: &str = include_str!("../../../../tests/keys/ec-public.pem");
const RSA_PRIVATE: &str = include_str!("../../../../tests/keys/rsa-private.pem");
const EC_PRIVATE: &str = include_str!("../../../../tests/keys/ec-private.pem");

/// A token with this header and payload, which need not be JSON, and the signature that `sign` gives.
pub(super) fn forge(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// As it should be: HS256 with [`SECRET`].
pub(super) fn hs256(payload: &str) -> String {
    forge(r#"{"typ":"JWT","alg":"HS256"}"#, payload, by_secret(SECRET))
}

pub(super) fn by_secret(secret: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    by_hmac(hmac::HMAC_SHA256, secret)
}

pub(super) fn by_hmac(algorithm: hmac::Algorithm, secret: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    move |message| hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
}

pub(super) fn by_nobody(_: &[u8]) -> Vec<u8> {
    Vec::new()
}

/// What somebody might send who takes a hash for a signature.
pub(super) fn by_hash(message: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, message).as_ref().to_vec()
}

pub(super) fn by_rsa(message: &[u8]) -> Vec<u8> {
    let (_, key) = Document::from_pem(RSA_PRIVATE).unwrap();
    let pair = RsaKeyPair::from_pkcs8(key.as_bytes()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

pub(super) fn by_ec(message: &[u8]) -> Vec<u8> {
    let (_, key) = Document::from_pem(EC_PRIVATE).unwrap();
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes(), &random).unwrap();
    pair.sign(&random, message).unwrap().as_ref().to_vec()
}
