//! Which tokens are taken.

use ::http::HeaderMap;
use ::http::header::{AUTHORIZATION, HeaderValue};
use chrono::{DateTime, Utc};
use ring::hmac;
use serde_json::{Value, json};

use super::forge::{
    EC_PUBLIC, RSA_PUBLIC, SECRET, by_ec, by_hash, by_hmac, by_nobody, by_rsa, by_secret, forge, hs256,
};
use crate::auth::{Access, Expectations, Grant, Key, Principal, Refusal, Role, Signer, Verifier};
use crate::error::ApiError;

const EXPIRED: &str = "the token has expired: get a new one";
const NOT_VALID: &str = "the token is not valid here: get one that was made for this server";
const MISSING: &str = "a token is needed: send 'Authorization: Bearer <token>'";

fn now() -> i64 {
    Utc::now().timestamp()
}

/// A verifier of HS256.
fn secret() -> Verifier {
    Verifier::new(Key::from_secret(SECRET).unwrap(), &Expectations::default())
}

fn public(pem: &str) -> Verifier {
    Verifier::new(Key::from_public_pem(pem).unwrap(), &Expectations::default())
}

fn expecting(audience: Option<&str>, issuer: Option<&str>, leeway_s: u32) -> Verifier {
    let expected =
        Expectations { audience: audience.map(str::to_owned), issuer: issuer.map(str::to_owned), leeway_s };
    Verifier::new(Key::from_secret(SECRET).unwrap(), &expected)
}

/// An hour from now, and what else is given.
fn claims(more: Value) -> String {
    let mut claims = json!({"exp": now() + 3600});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.to_string()
}

fn good() -> String {
    claims(json!({"tenant_id": "a", "role": "admin"}))
}

fn ask(verifier: Verifier, values: &[&[u8]]) -> Result<Principal, ApiError> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    }
    Access::Verifier(Box::new(verifier)).authenticate(&headers)
}

fn refusal(verifier: &Verifier, token: &str) -> Refusal {
    verifier.verify(token).expect_err(token)
}

fn is_invalid(verifier: &Verifier, token: &str) {
    assert!(matches!(refusal(verifier, token), Refusal::Invalid(_)), "{token}");
}

#[test]
fn a_good_token_says_who_asks() {
    let exp = now() + 60;
    let payload =
        json!({"exp": exp, "tenant_id": "a", "role": "admin", "sub": "x", "other": [1]}).to_string();
    let hs = hs256(&payload);
    let rs = forge(r#"{"alg":"RS256","kid":"1"}"#, &payload, by_rsa);
    let es = forge(r#"{"alg":"ES256","typ":"at+jwt"}"#, &payload, by_ec);
    for (verifier, token) in [(secret(), hs), (public(RSA_PUBLIC), rs), (public(EC_PUBLIC), es)] {
        let who = verifier.verify(&token).unwrap();
        assert_eq!(who.tenant().unwrap().as_str(), "a");
        assert_eq!((who.role(), who.role_name()), (Role::Admin, Some("admin")));
        assert_eq!(who.expires_at(), DateTime::from_timestamp(exp, 0));
    }
    let pkcs1 = include_str!("../../../../tests/keys/rsa-public-pkcs1.pem");
    assert!(public(pkcs1).verify(&forge(r#"{"alg":"RS256"}"#, &payload, by_rsa)).is_ok());
}

#[test]
fn claims_that_are_left_out_or_null_give_nothing() {
    for payload in [claims(json!({})), claims(json!({"tenant_id": null, "role": null}))] {
        let who = secret().verify(&hs256(&payload)).unwrap();
        assert_eq!((who.tenant(), who.role(), who.role_name()), (None, Role::Reader, None));
    }
}

#[test]
fn the_keys_kind_decides_the_algorithm_and_not_the_token() {
    let payload = good();
    let wrong = Refusal::Invalid("its algorithm is not the key's");
    for (verifier, token) in [
        // The public key, which everybody has, as the secret: as the file has it, and without its line end.
        (public(RSA_PUBLIC), forge(r#"{"alg":"HS256"}"#, &payload, by_secret(RSA_PUBLIC.as_bytes()))),
        (public(RSA_PUBLIC), forge(r#"{"alg":"HS256"}"#, &payload, by_secret(RSA_PUBLIC.trim().as_bytes()))),
        (public(EC_PUBLIC), forge(r#"{"alg":"HS256"}"#, &payload, by_secret(EC_PUBLIC.as_bytes()))),
        (public(RSA_PUBLIC), forge(r#"{"alg":"ES256"}"#, &payload, by_ec)),
        (public(EC_PUBLIC), forge(r#"{"alg":"RS256"}"#, &payload, by_rsa)),
        (secret(), forge(r#"{"alg":"RS256"}"#, &payload, by_rsa)),
        (secret(), forge(r#"{"alg":"ES256"}"#, &payload, by_ec)),
        (secret(), forge(r#"{"alg":"HS384"}"#, &payload, by_hmac(hmac::HMAC_SHA384, SECRET))),
        (secret(), forge(r#"{"alg":"HS512"}"#, &payload, by_hmac(hmac::HMAC_SHA512, SECRET))),
        (public(RSA_PUBLIC), forge(r#"{"alg":"PS256"}"#, &payload, by_rsa)),
        (public(RSA_PUBLIC), forge(r#"{"alg":"RS384"}"#, &payload, by_rsa)),
    ] {
        assert_eq!(refusal(&verifier, &token), wrong, "{token}");
    }
    // The right algorithm, by another key.
    for (verifier, token) in [
        (public(RSA_PUBLIC), forge(r#"{"alg":"RS256"}"#, &payload, by_ec)),
        (public(EC_PUBLIC), forge(r#"{"alg":"ES256"}"#, &payload, by_rsa)),
        (secret(), forge(r#"{"alg":"HS256"}"#, &payload, by_rsa)),
    ] {
        assert_eq!(refusal(&verifier, &token), Refusal::Invalid("its signature is wrong"));
    }
}

#[test]
fn a_token_that_is_not_signed_is_refused_however_it_says_so() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256","none"]}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"typ":"JWT"}"#,
        "{}",
    ] {
        for verifier in [secret(), public(RSA_PUBLIC), public(EC_PUBLIC)] {
            is_invalid(&verifier, &forge(header, &good(), by_nobody));
            is_invalid(&verifier, &forge(header, &good(), by_hash));
        }
    }
    // Signed as it should be, behind a header that says otherwise.
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","alg":"none"}"#, r#"{"alg":"none","alg":"HS256"}"#]
    {
        is_invalid(&secret(), &forge(header, &good(), by_secret(SECRET)));
    }
}

#[test]
fn a_signature_must_be_the_payloads_and_the_keys() {
    let token = hs256(&claims(json!({"tenant_id": "a"})));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let other = hs256(&claims(json!({"tenant_id": "b", "role": "superadmin"})));
    let other_payload = other.split('.').nth(1).unwrap();
    // The last letter's lowest bits are not part of the signature: such a spelling is refused, too.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    for wrong in [
        format!("{header}.{other_payload}.{signature}"),
        format!("{message}."),
        message.to_owned(),
        format!("{message}.{}", &signature[..42]),
        format!("{message}.{}", &signature[..22]),
        format!("{message}.{signature}="),
        format!("{message}.{rest}{next}"),
        format!("{message}.{signature}.{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{header}..{signature}"),
        format!("{payload}.{header}.{signature}"),
        forge(r#"{"alg":"HS256"}"#, &good(), by_secret(b"fedcba9876543210fedcba9876543210")),
        forge(r#"{"alg":"HS256"}"#, &good(), by_secret(b"")),
        forge(r#"{"alg":"HS256"}"#, &good(), |_| vec![0; 32]),
        forge(r#"{"alg":"HS256"}"#, &good(), by_hash),
        ".".into(),
        "..".into(),
        "...".into(),
        "garbage".into(),
        "a.b.c".into(),
        "\u{0}.\u{0}.\u{0}".into(),
        "💥.💥.💥".into(),
    ] {
        is_invalid(&secret(), &wrong);
    }
    assert!(secret().verify(&token).is_ok());
    for zeros in [0, 63, 64, 65, 256, 257] {
        is_invalid(&public(EC_PUBLIC), &forge(r#"{"alg":"ES256"}"#, &good(), |_| vec![0; zeros]));
        is_invalid(&public(RSA_PUBLIC), &forge(r#"{"alg":"RS256"}"#, &good(), |_| vec![0; zeros]));
    }
}

#[test]
fn what_a_header_brings_of_its_own_is_not_trusted() {
    // RFC 7515's own example of a key; and addresses that nobody must ask.
    let jwk = r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    let own_key = format!(r#"{{"alg":"HS256","jwk":{jwk}}}"#);
    is_invalid(&secret(), &forge(&own_key, &good(), by_secret(&[0; 32])));
    for header in [
        r#"{"alg":"HS256","jku":"http://127.0.0.1:1/keys"}"#,
        r#"{"alg":"HS256","x5u":"http://127.0.0.1:1/certificate"}"#,
        r#"{"alg":"HS256","kid":"../../../../dev/null"}"#,
        r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#,
    ] {
        is_invalid(&secret(), &forge(header, &good(), by_secret(b"")));
        assert!(secret().verify(&forge(header, &good(), by_secret(SECRET))).is_ok(), "{header}");
    }
    for header in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","cty":"JWT"}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","enc":"A128GCM"}"#,
    ] {
        is_invalid(&secret(), &forge(header, &good(), by_secret(SECRET)));
    }
    let nested = hs256(&good());
    is_invalid(&secret(), &forge(r#"{"alg":"HS256","cty":"JWT"}"#, &nested, by_secret(SECRET)));
    is_invalid(&secret(), &hs256(&nested));
    // Whose parser recursed would end with its stack.
    let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    is_invalid(&secret(), &forge(&deep, &good(), by_secret(SECRET)));
}

#[test]
fn a_token_ends_at_its_exp_and_counts_from_its_nbf() {
    let at = |claims: Value| hs256(&claims.to_string());
    assert_eq!(refusal(&secret(), &at(json!({"exp": now()}))), Refusal::Expired);
    assert_eq!(refusal(&secret(), &at(json!({"exp": now() - 1}))), Refusal::Expired);
    assert_eq!(refusal(&secret(), &at(json!({"exp": 1}))), Refusal::Expired);
    assert_eq!(refusal(&secret(), &at(json!({"exp": now() as f64 - 0.5}))), Refusal::Expired);
    let from = |nbf: i64| at(json!({"exp": now() + 3600, "nbf": nbf}));
    assert_eq!(refusal(&secret(), &from(now() + 300)), Refusal::NotYet);
    assert_eq!(refusal(&secret(), &from(i64::MAX)), Refusal::NotYet);
    assert!(secret().verify(&from(now())).is_ok());

    let patient = expecting(None, None, 300);
    assert!(patient.verify(&at(json!({"exp": now() - 200}))).is_ok());
    assert_eq!(refusal(&patient, &at(json!({"exp": now() - 300}))), Refusal::Expired);
    assert!(patient.verify(&from(now() + 200)).is_ok());
    assert_eq!(refusal(&patient, &from(now() + 600)), Refusal::NotYet);
}

#[test]
fn a_signature_is_checked_before_anything_is_said_about_the_claims() {
    let expired = json!({"exp": 1}).to_string();
    let forged = forge(r#"{"alg":"HS256"}"#, &expired, by_secret(b"another secret of 32 bytes......"));
    assert_eq!(refusal(&secret(), &forged), Refusal::Invalid("its signature is wrong"));
}

#[test]
fn a_token_without_an_end_or_with_a_strange_one_is_refused() {
    for payload in [
        "{}",
        r#"{"exp":null}"#,
        r#"{"exp":""}"#,
        r#"{"exp":"9999999999"}"#,
        r#"{"exp":true}"#,
        r#"{"exp":[9999999999]}"#,
        r#"{"exp":{"$gt":0}}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":-9223372036854775808}"#,
        r#"{"exp":253402300800}"#,
        r#"{"exp":1799999999999}"#,
        r#"{"exp":9223372036854775807}"#,
        r#"{"exp":18446744073709551615}"#,
        r#"{"exp":18446744073709551616}"#,
        r#"{"exp":1e308}"#,
        r#"{"exp":1e999}"#,
        r#"{"exp":-1e308}"#,
        r#"{"exp":NaN}"#,
        r#"{"exp":9999999999,"exp":9999999999}"#,
        r#"{"exp":1,"exp":9999999999}"#,
        r#"{"EXP":9999999999}"#,
        r#"{"exp":9999999999,"nbf":"0"}"#,
        r#"{"exp":9999999999,"nbf":-1e308}"#,
        r#"{"exp":9999999999,"nbf":{}}"#,
        r#"{"exp":9999999999,"nbf":0,"nbf":1}"#,
    ] {
        is_invalid(&secret(), &hs256(payload));
    }
    assert!(secret().verify(&hs256(r#"{"exp":253402300799}"#)).is_ok());
    assert!(secret().verify(&hs256(r#"{"exp":9999999999.75}"#)).is_ok());
    assert!(secret().verify(&hs256(r#"{"exp":1e10}"#)).is_ok());
}

#[test]
fn a_claim_of_the_wrong_shape_is_refused_rather_than_ignored() {
    for more in [
        json!({"tenant_id": 5}),
        json!({"tenant_id": ""}),
        json!({"tenant_id": "a b"}),
        json!({"tenant_id": "a:b"}),
        json!({"tenant_id": "*"}),
        json!({"tenant_id": "a\u{0}"}),
        json!({"tenant_id": "a".repeat(65)}),
        json!({"tenant_id": ["a"]}),
        json!({"tenant_id": {"id": "a"}}),
        json!({"tenant_id": true}),
        json!({"role": ["admin"]}),
        json!({"role": 1}),
        json!({"role": {"name": "superadmin"}}),
        json!({"role": true}),
    ] {
        is_invalid(&secret(), &hs256(&claims(more)));
    }
    for payload in [
        r#"{"exp":9999999999,"tenant_id":"a","tenant_id":"b"}"#,
        r#"{"exp":9999999999,"role":"user","role":"superadmin"}"#,
        r#"{"exp":9999999999,"tenant_id":"a","tenant\u005fid":"b"}"#,
        r#"{"exp":9999999999}{"role":"superadmin"}"#,
        r#"[9999999999,"a","superadmin"]"#,
        r#"[9999999999,null,null,null,null]"#,
        r#""text""#,
        "null",
        "",
        "not json",
        "{\"exp\":9999999999,",
    ] {
        is_invalid(&secret(), &hs256(payload));
    }
}

#[test]
fn audience_and_issuer_count_where_they_are_configured() {
    let verifier = expecting(Some("dashboard"), Some("https://login.example"), 0);
    let says = |aud: Value, iss: &Value| hs256(&claims(json!({"aud": aud, "iss": iss})));
    let issuer = json!("https://login.example");
    assert!(verifier.verify(&says(json!("dashboard"), &issuer)).is_ok());
    assert!(verifier.verify(&says(json!(["other", "dashboard"]), &issuer)).is_ok());
    for token in [
        says(json!("other"), &issuer),
        says(json!("Dashboard"), &issuer),
        says(json!([]), &issuer),
        says(json!(null), &issuer),
        says(json!(5), &issuer),
        says(json!({"dashboard": 1}), &issuer),
        says(json!("dashboard"), &json!("https://login.example/")),
        says(json!("dashboard"), &json!(null)),
        says(json!("dashboard"), &json!(5)),
        hs256(&claims(json!({"aud": "dashboard"}))),
        hs256(&claims(json!({"iss": "https://login.example"}))),
        hs256(&claims(json!({}))),
    ] {
        is_invalid(&verifier, &token);
    }
    // Not configured: not looked at.
    assert!(secret().verify(&says(json!("anything"), &json!("anybody"))).is_ok());
}

#[test]
fn one_authorization_header_with_the_scheme_bearer_is_what_counts() {
    let token = hs256(&good());
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR   "] {
        assert!(ask(secret(), &[format!("{scheme}{token}").as_bytes()]).is_ok(), "{scheme}");
    }
    let good = format!("Bearer {token}");
    let listed = format!("Bearer {token}, Bearer {token}");
    let split = format!("Bearer {} {}", &token[..10], &token[10..]);
    let plus = format!("Bearer {token}+");
    let huge = format!("Bearer {}", "a".repeat(8 * 1024 + 1));
    let padded = forge(r#"{"alg":"HS256"}"#, &claims(json!({"x": "y".repeat(7000)})), by_secret(SECRET));
    let valid_but_huge = format!("Bearer {padded}");
    let cases: &[(&[&[u8]], &str)] = &[
        (&[], MISSING),
        (&[b""], MISSING),
        (&[b"Bearer"], MISSING),
        (&[b"Bearer "], MISSING),
        (&[b"Bearer    "], MISSING),
        (&[b"Basic YTpi"], MISSING),
        (&[token.as_bytes()], MISSING),
        (&[b"Bearer\tx"], MISSING),
        (&[b"Bearerx"], MISSING),
        (&[b"Token x"], MISSING),
        (&[b"Bearer x"], NOT_VALID),
        (&[b"Bearer \xff\xfe.x.y"], NOT_VALID),
        (&["Bearer ä.ö.ü".as_bytes()], NOT_VALID),
        (&[listed.as_bytes()], NOT_VALID),
        (&[split.as_bytes()], NOT_VALID),
        (&[plus.as_bytes()], NOT_VALID),
        (&[huge.as_bytes()], NOT_VALID),
        (&[valid_but_huge.as_bytes()], NOT_VALID),
        (&[good.as_bytes(), good.as_bytes()], "send the header Authorization once"),
        (&[good.as_bytes(), b"Basic YTpi"], "send the header Authorization once"),
        (&[b"", good.as_bytes()], "send the header Authorization once"),
    ];
    for (values, message) in cases {
        let error = ask(secret(), values).unwrap_err();
        assert_eq!((error.status().as_u16(), error.message()), (401, *message), "{values:?}");
        let challenge = if *message == MISSING {
            r#"Bearer realm="dashboard""#
        } else {
            r#"Bearer realm="dashboard", error="invalid_token""#
        };
        assert_eq!(error.challenge(), Some(challenge));
    }
}

#[test]
fn a_refusal_says_what_to_do_and_not_what_was_wrong_with_a_signature() {
    let message = |token: String| {
        let error = ask(secret(), &[format!("Bearer {token}").as_bytes()]).unwrap_err();
        error.message().to_owned()
    };
    assert_eq!(message(hs256(r#"{"exp":1}"#)), EXPIRED);
    assert!(message(hs256(&claims(json!({"nbf": now() + 600})))).starts_with("the token is not valid yet"));
    assert_eq!(message(hs256("{}")), NOT_VALID);
    assert_eq!(message(forge(r#"{"alg":"none"}"#, &good(), by_nobody)), NOT_VALID);
    assert_eq!(message(forge(r#"{"alg":"HS256"}"#, &good(), by_hash)), NOT_VALID);
}

#[test]
fn a_server_without_a_key_lets_nobody_in_and_an_open_one_everybody() {
    let mut headers = HeaderMap::new();
    let error = Access::NotConfigured.authenticate(&headers).unwrap_err();
    assert_eq!((error.status().as_u16(), error.challenge()), (503, None));
    for setting in ["DASHBOARD_JWT_SECRET", "DASHBOARD_JWT_PUBLIC_KEY_FILE", "--insecure-no-auth"] {
        assert!(error.message().contains(setting), "{}", error.message());
    }
    assert_eq!(Access::Open.authenticate(&headers).unwrap().role(), Role::Superadmin);
    // Nobody has checked it, so it confines nobody either.
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    assert_eq!(Access::Open.authenticate(&headers).unwrap(), Principal::everybody());
    assert_eq!(Access::NotConfigured.authenticate(&headers).unwrap_err().status().as_u16(), 503);
}

#[test]
fn a_signers_token_is_taken_by_a_verifier_of_the_same_settings_only() {
    let expected = Expectations { audience: Some("us".into()), issuer: Some("me".into()), leeway_s: 0 };
    let signer = Signer::new(SECRET, expected).unwrap();
    let grant =
        Grant { tenant: Some("a"), role: Some("admin"), expires_in: std::time::Duration::from_secs(60) };
    let time = Utc::now();
    let token = signer.sign(&grant, time).unwrap();
    let who = expecting(Some("us"), Some("me"), 0).verify(&token).unwrap();
    assert_eq!((who.tenant().unwrap().as_str(), who.role()), ("a", Role::Admin));
    assert_eq!(who.expires_at().unwrap().timestamp(), time.timestamp() + 60);
    is_invalid(&expecting(Some("them"), Some("me"), 0), &token);
    is_invalid(&expecting(Some("us"), Some("you"), 0), &token);
    assert!(Signer::new(&SECRET[1..], Expectations::default()).is_err());
}

#[test]
fn nothing_shows_a_key() {
    let shown = format!("{:?}", secret());
    assert!(!shown.contains("0123456789") && !shown.contains("48, 49, 50"), "{shown}");
}
