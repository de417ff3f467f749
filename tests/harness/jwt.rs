//! Tokens for the public API, put together by hand, so that they can be wrong in every way.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::Value;

use crate::process::repository_root;

/// A secret that a sidecar takes.
pub const SECRET: &str = "a secret of tests, 32 bytes and more";

/// The time as claims give it.
pub fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(since_1970.as_secs()).expect("it is not so late")
}

/// A token with these claims, signed with [`SECRET`]; it expires in an hour unless `claims` says when.
pub fn token(mut claims: Value) -> String {
    claims.as_object_mut().expect("claims are an object").entry("exp").or_insert((now() + 3600).into());
    forge(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string(), |message| by_secret(SECRET, message))
}

/// A token of this header and payload, which need not be JSON, and the signature that `sign` gives.
pub fn forge(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// HS256.
pub fn by_secret(secret: &str, message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message).as_ref().to_vec()
}

/// RS256, by the key of which `rsa-public.pem` is the public half.
pub fn by_rsa(message: &[u8]) -> Vec<u8> {
    let pair = RsaKeyPair::from_pkcs8(&der("rsa-private.pem")).expect("a private key");
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("a signature");
    signature
}

/// ES256, by the key of which `ec-public.pem` is the public half.
pub fn by_ec(message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let key = der("ec-private.pem");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random);
    pair.expect("a private key").sign(&random, message).expect("a signature").as_ref().to_vec()
}

/// Where one of the keys that tests sign and check with lies.
pub fn key_file(name: &str) -> PathBuf {
    repository_root().join("tests/keys").join(name)
}

fn der(name: &str) -> Vec<u8> {
    let pem = std::fs::read_to_string(key_file(name)).expect("a file of keys");
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text).expect("PEM holds base64")
}
