//! Tokens that are right, and tokens that are wrong in every way.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use harness::jwt::{SECRET, by_ec, by_rsa, by_secret, forge, key_file, now, token};
use harness::{Endpoint, Sidecar};
use serde_json::json;

use super::super::{Stack, TENANT, message, path};
use super::{CLEAR, ask, guarded};

const REALM: &str = r#"Bearer realm="dashboard""#;
const INVALID: &str = r#"Bearer realm="dashboard", error="invalid_token""#;

/// Tokens that nobody may get in with, each with superadmin's claims.
fn hostile() -> Vec<(&'static str, String)> {
    let good = json!({"role": "superadmin", "exp": now() + 3600}).to_string();
    let say = |payload: &str| forge(r#"{"alg":"HS256"}"#, payload, |message| by_secret(SECRET, message));
    let head = |header: &str| forge(header, &good, |message| by_secret(SECRET, message));
    let right = say(&good);
    let (signed, signature) = right.rsplit_once('.').unwrap();
    let reader = token(json!({"tenant_id": TENANT}));
    let public = std::fs::read_to_string(key_file("rsa-public.pem")).unwrap();
    vec![
        ("alg none, no signature", forge(r#"{"alg":"none"}"#, &good, |_| Vec::new())),
        ("alg None", forge(r#"{"alg":"None"}"#, &good, |_| Vec::new())),
        ("alg none, signed", head(r#"{"alg":"none"}"#)),
        ("alg twice", head(r#"{"alg":"none","alg":"HS256"}"#)),
        ("HS512 by name", head(r#"{"alg":"HS512"}"#)),
        ("no alg", head("{}")),
        (
            "another secret",
            forge(r#"{"alg":"HS256"}"#, &good, |m| by_secret("another secret of tests, also long", m)),
        ),
        ("no secret", forge(r#"{"alg":"HS256"}"#, &good, |m| by_secret("", m))),
        ("the public key as a secret", forge(r#"{"alg":"HS256"}"#, &good, |m| by_secret(&public, m))),
        ("RS256", forge(r#"{"alg":"RS256"}"#, &good, by_rsa)),
        ("ES256", forge(r#"{"alg":"ES256"}"#, &good, by_ec)),
        ("truncated signature", format!("{signed}.{}", &signature[..20])),
        ("empty signature", format!("{signed}.")),
        ("no signature", signed.to_owned()),
        ("longer signature", format!("{right}AAAA")),
        ("another payload", {
            let parts: Vec<&str> = reader.split('.').collect();
            format!("{}.{}.{}", parts[0], right.split('.').nth(1).unwrap(), parts[2])
        }),
        ("crit", head(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#)),
        ("b64", head(r#"{"alg":"HS256","b64":false}"#)),
        ("nested", head(r#"{"alg":"HS256","cty":"JWT"}"#)),
        (
            "a key of its own",
            forge(r#"{"alg":"HS256","jwk":{"kty":"oct","k":""}}"#, &good, |m| by_secret("", m)),
        ),
        ("expired", say(&json!({"role": "superadmin", "exp": now() - 1}).to_string())),
        ("expiring now", say(&json!({"role": "superadmin", "exp": now()}).to_string())),
        (
            "not yet",
            say(&json!({"role": "superadmin", "exp": now() + 7200, "nbf": now() + 3600}).to_string()),
        ),
        ("no exp", say(r#"{"role":"superadmin"}"#)),
        ("exp null", say(r#"{"role":"superadmin","exp":null}"#)),
        ("exp a text", say(r#"{"role":"superadmin","exp":"9999999999"}"#)),
        ("exp negative", say(r#"{"role":"superadmin","exp":-1}"#)),
        ("exp huge", say(r#"{"role":"superadmin","exp":1e308}"#)),
        ("exp larger than any integer", say(r#"{"role":"superadmin","exp":18446744073709551616}"#)),
        ("exp twice", say(r#"{"role":"superadmin","exp":1,"exp":9999999999}"#)),
        ("role twice", say(r#"{"exp":9999999999,"role":"user","role":"superadmin"}"#)),
        ("tenant twice", say(r#"{"exp":9999999999,"tenant_id":"a","tenant_id":"b"}"#)),
        ("tenant a number", say(r#"{"exp":9999999999,"role":"superadmin","tenant_id":5}"#)),
        ("tenant no name", say(r#"{"exp":9999999999,"role":"superadmin","tenant_id":"*"}"#)),
        ("role a list", say(r#"{"exp":9999999999,"role":["superadmin"]}"#)),
        ("a list", say(r#"[9999999999,"a","superadmin"]"#)),
        ("no JSON", say("garbage")),
        ("huge", forge(r#"{"alg":"HS256"}"#, &"x".repeat(9000), |m| by_secret(SECRET, m))),
        ("garbage", "garbage".into()),
        ("dots", "...".into()),
        ("two in one", format!("{right}, {right}")),
    ]
}

#[test]
fn forged_and_expired_tokens_are_refused_everywhere() {
    let sidecar = Sidecar::builder().jwt_secret(SECRET).start_alone();
    for (what, token) in hostile() {
        for (path, body) in guarded() {
            let response = ask(&sidecar, Some(&token), &path, body.as_deref());
            assert_eq!(response.status, 401, "{what}: {path}: {}", response.text());
            assert_eq!(response.header("www-authenticate"), Some(INVALID), "{what}");
            let message = message(&response);
            assert!(message.starts_with("the token ") && message.len() < 150, "{what}: {message}");
            assert!(!message.to_lowercase().contains("signature"), "{what}: {message}");
        }
    }
    assert_eq!(ask(&sidecar, Some(&token(json!({}))), "/api/session", None).status, 200);
}

/// Sends these lines as headers, byte for byte, and returns the answer's head.
fn raw(sidecar: &Sidecar, headers: &[u8]) -> String {
    let Endpoint::Tcp(address) = sidecar.public() else { panic!("the public API listens on TCP") };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /api/session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n").unwrap();
    stream.write_all(&[headers, b"\r\n"].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn one_authorization_header_counts_in_whatever_letters_and_no_second_one() {
    let sidecar = Sidecar::builder().jwt_secret(SECRET).start_alone();
    let token = token(json!({}));
    let header = |line: String| [line.into_bytes(), b"\r\n".to_vec()].concat();
    for line in [
        format!("Authorization: Bearer {token}"),
        format!("authorization: bearer {token}"),
        format!("AUTHORIZATION:   BEARER   {token}   "),
    ] {
        assert!(raw(&sidecar, &header(line.clone())).starts_with("HTTP/1.1 200"), "{line}");
    }
    let two = header(format!("authorization: Bearer {token}"));
    let cases: &[(Vec<u8>, &str)] = &[
        (Vec::new(), REALM),
        (b"authorization:\r\n".to_vec(), REALM),
        (b"authorization: Bearer\r\n".to_vec(), REALM),
        (b"authorization: Basic YTpi\r\n".to_vec(), REALM),
        (header(format!("authorization: {token}")), REALM),
        (header(format!("authorization: Bearer\t{token}")), REALM),
        (header(format!("authorization: Bearer {} {}", &token[..9], &token[9..])), INVALID),
        (b"authorization: Bearer \xff\xfe\r\n".to_vec(), INVALID),
        ([two.clone(), two.clone()].concat(), INVALID),
        ([two.clone(), b"authorization: Bearer x\r\n".to_vec()].concat(), INVALID),
        ([b"Authorization: Bearer x\r\n".to_vec(), two].concat(), INVALID),
    ];
    for (headers, challenge) in cases {
        let answer = raw(&sidecar, headers);
        let what = format!("{}: {answer}", String::from_utf8_lossy(headers));
        assert!(answer.starts_with("HTTP/1.1 401"), "{what}");
        assert!(answer.contains(&format!("www-authenticate: {challenge}\r\n")), "{what}");
    }
}

#[test]
fn with_a_public_key_only_its_private_half_makes_tokens() {
    for (file, other, header, sign) in [
        ("rsa-public.pem", "ec-public.pem", r#"{"alg":"RS256"}"#, by_rsa as fn(&[u8]) -> Vec<u8>),
        ("ec-public.pem", "rsa-public.pem", r#"{"alg":"ES256"}"#, by_ec),
    ] {
        let sidecar = Sidecar::builder().jwt_public_key(&key_file(file)).start_alone();
        let status = |token: &str| ask(&sidecar, Some(token), "/api/session", None).status;
        let good = json!({"role": "superadmin", "exp": now() + 3600}).to_string();
        assert_eq!(status(&forge(header, &good, sign)), 200, "{file}");
        for pem in [file, other].map(|name| std::fs::read_to_string(key_file(name)).unwrap()) {
            for secret in [pem.as_str(), pem.trim()] {
                let confused = forge(r#"{"alg":"HS256"}"#, &good, |message| by_secret(secret, message));
                assert_eq!(status(&confused), 401, "{file}");
            }
        }
        let swapped = if sign(b"").len() == 64 { r#"{"alg":"RS256"}"# } else { r#"{"alg":"ES256"}"# };
        for hostile in [
            forge(swapped, &good, sign),
            forge(r#"{"alg":"none"}"#, &good, |_| Vec::new()),
            forge(header, &good, |message| sign(&[message, b"x"].concat())),
            forge(header, &json!({"role": "superadmin", "exp": now() - 1}).to_string(), sign),
            token(json!({"role": "superadmin"})),
        ] {
            assert_eq!(status(&hostile), 401, "{file}");
        }
    }
}

#[test]
fn the_log_holds_no_token_and_no_secret() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET).env("DASHBOARD_LOG", "trace"));
    let mut tokens = hostile();
    tokens.push(("good", token(json!({"role": "superadmin"}))));
    for (_, token) in &tokens {
        ask(&stack.sidecar, Some(token), &path(TENANT), None);
        ask(&stack.sidecar, Some(token), CLEAR, Some(r#"{"tenant_id":"nobody"}"#));
        ask(&stack.sidecar, None, &format!("/api/session?access_token={token}").replace(' ', ""), None);
    }
    let log = stack.sidecar.log();
    assert!(log.contains("was not authenticated"), "it says that somebody was refused");
    assert!(!log.contains(SECRET), "the secret is logged");
    for (what, token) in tokens {
        // Each part by itself, but those too short to tell anything.
        for part in token.split(['.', ',', ' ']).filter(|part| part.len() > 16) {
            assert!(!log.contains(part), "{what}: {part} is logged");
        }
    }
}
