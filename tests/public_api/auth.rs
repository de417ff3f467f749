//! Who is let in, and who may do what, asked over the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use harness::jwt::{SECRET, by_ec, by_rsa, by_secret, forge, key_file, now, token};
use harness::{Endpoint, Response, Sidecar, repository_root, run, run_ok};
use serde_json::{Value, json};

use super::{OTHER, Stack, TENANT, message, path};

const ALL: &str = "SUPERADMIN_GLOBAL";
const CLEAR: &str = "/api/reports/clear-cache";
/// Nobody's id.
const NOBODY: &str = "33333333-3333-4333-8333-333333333333";
const REALM: &str = r#"Bearer realm="dashboard""#;
const INVALID: &str = r#"Bearer realm="dashboard", error="invalid_token""#;

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Asks with this token, if any; a body makes it a POST.
fn ask(sidecar: &Sidecar, token: Option<&str>, path: &str, body: Option<&str>) -> Response {
    let bearer = token.map(bearer);
    let mut headers: Vec<(&str, &str)> = bearer.iter().map(|it| ("authorization", it.as_str())).collect();
    headers.extend(body.map(|_| ("content-type", "application/json")));
    sidecar.public().ask(
        if body.is_some() { "POST" } else { "GET" },
        path,
        &headers,
        body.unwrap_or_default(),
    )
}

fn claims(tenant: Option<&str>, role: Option<&str>) -> Value {
    let mut claims = json!({});
    if let Some(tenant) = tenant {
        claims["tenant_id"] = tenant.into();
    }
    if let Some(role) = role {
        claims["role"] = role.into();
    }
    claims
}

/// tenant_id and role of the token; what becomes of each request of [`requests`], in its order.
#[rustfmt::skip]
const WHO_GETS_WHAT: &[(Option<&str>, Option<&str>, [u16; 11])] = &[
    //                                    session  bundle: own, other, all, nobody's  bad  clear: own, other, all's, everything, bad
    (None,         None,                  [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (None,         Some("user"),          [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (None,         Some("admin"),         [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (None,         Some("superadmin"),    [200,    200, 200, 200, 404,                400, 200, 200, 200, 200, 400]),
    (Some(TENANT), None,                  [200,    200, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (Some(TENANT), Some("user"),          [200,    200, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (Some(TENANT), Some("Superadmin"),    [200,    200, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (Some(TENANT), Some("admin"),         [200,    200, 403, 403, 403,                400, 200, 403, 403, 403, 400]),
    (Some(TENANT), Some("superadmin"),    [200,    200, 200, 200, 404,                400, 200, 200, 200, 200, 400]),
    (Some(OTHER),  Some("admin"),         [200,    403, 200, 403, 403,                400, 403, 200, 403, 403, 400]),
    (Some(ALL),    None,                  [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (Some(ALL),    Some("admin"),         [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400]),
    (Some(NOBODY), None,                  [200,    403, 403, 403, 404,                400, 403, 403, 403, 403, 400]),
];

fn requests() -> [(String, Option<String>); 11] {
    let of = |tenant: &str| Some(json!({"tenant_id": tenant}).to_string());
    [
        ("/api/session".into(), None),
        (path(TENANT), None),
        (path(OTHER), None),
        (path(ALL), None),
        (path(NOBODY), None),
        (path("a%20b"), None),
        (CLEAR.into(), of(TENANT)),
        (CLEAR.into(), of(OTHER)),
        (CLEAR.into(), of(ALL)),
        (CLEAR.into(), Some("{}".into())),
        (CLEAR.into(), of("a b")),
    ]
}

#[test]
fn each_token_gets_what_the_table_says() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET));
    for (tenant, role, statuses) in WHO_GETS_WHAT {
        let token = token(claims(*tenant, *role));
        for ((path, body), expected) in requests().iter().zip(statuses) {
            let response = ask(&stack.sidecar, Some(&token), path, body.as_deref());
            let what = format!("tenant_id {tenant:?}, role {role:?}: {path} {body:?}: {}", response.text());
            assert_eq!(response.status, *expected, "{what}");
            assert_eq!(response.header("www-authenticate"), None, "{what}");
            if response.status == 403 {
                assert!(message(&response).contains("role"), "{what}");
            }
        }
    }
}

#[test]
fn a_refused_clear_clears_nothing() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET));
    let superadmin = token(json!({"role": "superadmin"}));
    let cached = || ask(&stack.sidecar, Some(&superadmin), &path(TENANT), None).json()["cached"].clone();
    cached();
    for refused in [
        token(json!({"tenant_id": TENANT})),
        token(json!({"tenant_id": OTHER, "role": "admin"})),
        token(json!({"role": "admin"})),
    ] {
        for body in [json!({"tenant_id": TENANT}).to_string(), "{}".into()] {
            assert_eq!(ask(&stack.sidecar, Some(&refused), CLEAR, Some(&body)).status, 403);
        }
    }
    assert_eq!(cached(), json!(true));
    let admin = token(json!({"tenant_id": TENANT, "role": "admin"}));
    let cleared = ask(&stack.sidecar, Some(&admin), CLEAR, Some(&json!({"tenant_id": TENANT}).to_string()));
    assert_eq!((cleared.status, cached()), (200, json!(false)));
}

#[test]
fn a_refusal_is_the_same_for_tenants_that_exist_and_others() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET));
    let token = token(json!({"tenant_id": TENANT, "role": "admin"}));
    let refusals = |tenant: &str| {
        let body = json!({ "tenant_id": tenant }).to_string();
        [(path(tenant), None), (CLEAR.to_owned(), Some(body))].map(|(path, body)| {
            let response = ask(&stack.sidecar, Some(&token), &path, body.as_deref());
            (response.status, message(&response))
        })
    };
    assert_eq!(refusals(OTHER), refusals(NOBODY));
    assert_eq!(refusals(OTHER)[0].0, 403);
}

#[test]
fn the_path_and_the_method_come_first_then_the_token_then_the_rest() {
    let sidecar = Sidecar::builder().jwt_secret(SECRET).start_alone();
    let reader = bearer(&token(json!({"tenant_id": TENANT})));
    let big = "x".repeat(20_000);
    let form = ("content-type", "text/xml");
    let json = ("content-type", "application/json");
    let auth = ("authorization", reader.as_str());
    let cases: &[(&str, &str, &[(&str, &str)], &str, u16)] = &[
        ("GET", "/api/nothing", &[], "", 404),
        ("DELETE", CLEAR, &[], "", 405),
        ("POST", "/api/session", &[], "", 405),
        ("GET", &path("a%20b"), &[], "", 401),
        ("GET", &format!("{}&bogus=1", path(TENANT)), &[], "", 401),
        ("POST", CLEAR, &[json], &big, 401),
        ("POST", CLEAR, &[form], "<a/>", 401),
        ("POST", CLEAR, &[json], "not json", 401),
        ("POST", CLEAR, &[auth, json], &big, 413),
        ("POST", CLEAR, &[auth, form], "<a/>", 415),
        ("POST", CLEAR, &[auth, json], "not json", 400),
        ("GET", "/api/session?bogus=1", &[auth], "", 400),
        ("POST", CLEAR, &[auth, json], "{}", 403),
        ("HEAD", "/api/session", &[], "", 401),
        ("HEAD", "/api/session", &[auth], "", 200),
    ];
    for (method, path, headers, body, expected) in cases {
        let response = sidecar.public().ask(method, path, headers, body);
        assert_eq!(response.status, *expected, "{method} {path} {headers:?}");
    }
    // Nor does a token count anywhere but in its header.
    let token = token(json!({"role": "superadmin"}));
    for (path, headers) in [
        (format!("/api/session?access_token={token}"), vec![]),
        (format!("/api/session?token={token}"), vec![]),
        ("/api/session".into(), vec![("cookie", format!("token={token}"))]),
        ("/api/session".into(), vec![("x-authorization", bearer(&token))]),
        ("/api/session".into(), vec![("proxy-authorization", bearer(&token))]),
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(sidecar.public().ask("GET", &path, &headers, "").status, 401, "{path} {headers:?}");
    }
}

#[test]
fn the_session_tells_who_asks_and_what_they_may_do() {
    let sidecar = Sidecar::builder().jwt_secret(SECRET).start_alone();
    let session = |token: &str| {
        let response = ask(&sidecar, Some(token), "/api/session", None);
        assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")));
        response.json()
    };
    let admin = json!({"tenant_id": TENANT, "role": "admin", "exp": 4_102_444_800_i64});
    assert_eq!(
        session(&token(admin)),
        json!({"status": "success", "data": {
            "tenant_id": TENANT, "role": "admin", "expires_at": "2100-01-01T00:00:00Z",
            "may": {"read_all": false, "clear": true, "clear_all": false, "execute": true, "operate": false},
        }})
    );
    let data = &session(&token(json!({"role": "superadmin"})))["data"];
    assert_eq!((&data["tenant_id"], &data["role"]), (&Value::Null, &json!("superadmin")));
    assert_eq!(
        data["may"],
        json!({"read_all": true, "clear": true, "clear_all": true, "execute": true, "operate": true})
    );
    let data = &session(&token(json!({})))["data"];
    assert_eq!((&data["tenant_id"], &data["role"]), (&Value::Null, &Value::Null));
    assert_eq!(
        data["may"],
        json!({"read_all": false, "clear": false, "clear_all": false, "execute": false, "operate": false})
    );
}

#[test]
fn where_no_token_is_needed_the_session_says_that_everything_may_be_done() {
    let sidecar = Sidecar::builder().start_alone();
    let expected = json!({"status": "success", "data": {
        "tenant_id": null, "role": null, "expires_at": null,
        "may": {"read_all": true, "clear": true, "clear_all": true, "execute": true, "operate": true},
    }});
    assert_eq!(ask(&sidecar, None, "/api/session", None).json(), expected);
    let unread = token(json!({"tenant_id": TENANT}));
    assert_eq!(ask(&sidecar, Some(&unread), "/api/session", None).json(), expected);
}

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
        for (path, body) in [("/api/session", None), (&*path(TENANT), None), (CLEAR, Some("{}"))] {
            let response = ask(&sidecar, Some(&token), path, body);
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
fn audience_issuer_and_leeway_count_as_they_are_set() {
    let sidecar = Sidecar::builder()
        .jwt_secret(SECRET)
        .env("DASHBOARD_JWT_AUDIENCE", "dashboard")
        .env("DASHBOARD_JWT_ISSUER", "https://login.example")
        .env("DASHBOARD_JWT_LEEWAY_S", "300")
        .start_alone();
    let says = |aud: &str, iss: &str, exp: i64| token(json!({"aud": aud, "iss": iss, "exp": now() + exp}));
    for (token, expected) in [
        (says("dashboard", "https://login.example", 3600), 200),
        (says("dashboard", "https://login.example", -200), 200),
        (says("dashboard", "https://login.example", -400), 401),
        (says("other", "https://login.example", 3600), 401),
        (says("dashboard", "https://other.example", 3600), 401),
        (token(json!({"aud": "dashboard"})), 401),
        (token(json!({"iss": "https://login.example"})), 401),
        (token(json!({})), 401),
    ] {
        assert_eq!(ask(&sidecar, Some(&token), "/api/session", None).status, expected);
    }
}

#[test]
fn without_a_key_nobody_is_served_and_what_to_set_is_said() {
    let sidecar = Sidecar::builder().jwt_missing().start_alone();
    let good = token(json!({"role": "superadmin"}));
    for token in [None, Some(good.as_str())] {
        for (path, body) in [("/api/session", None), (&*path(TENANT), None), (CLEAR, Some("{}"))] {
            let response = ask(&sidecar, token, path, body);
            assert_eq!(response.status, 503, "{path}");
            for setting in ["DASHBOARD_JWT_SECRET", "DASHBOARD_JWT_PUBLIC_KEY_FILE", "--insecure-no-auth"] {
                assert!(message(&response).contains(setting), "{path}: {}", response.text());
            }
        }
    }
    assert_eq!(ask(&sidecar, None, "/livez", None).status, 200);
}

#[test]
fn probes_and_the_page_need_no_token() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET));
    for path in ["/livez", "/readyz", "/api/system/health", "/dashboard"] {
        assert_eq!(ask(&stack.sidecar, None, path, None).status, 200, "{path}");
        assert_eq!(ask(&stack.sidecar, Some("garbage"), path, None).status, 200, "{path}");
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

/// What a sidecar that does not start says.
fn refused(settings: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut builder = Sidecar::builder().database("postgresql://nobody@127.0.0.1:1/none").jwt_missing();
    for (name, value) in settings {
        builder = builder.env(name, *value);
    }
    for argument in arguments {
        builder = builder.argument(argument);
    }
    let mut sidecar = builder.spawn();
    assert_eq!(sidecar.process().wait_exit().code(), Some(2), "{}", sidecar.log());
    sidecar.log()
}

#[test]
fn a_wrong_key_keeps_the_sidecar_from_starting_and_is_named_but_not_shown() {
    let key = |name: &str| key_file(name).display().to_string();
    let readme = repository_root().join("README.md").display().to_string();
    let cases: &[(&[(&str, &str)], &[&str], &str)] = &[
        (&[("DASHBOARD_JWT_SECRET", "hunter2-is-too-short")], &[], "DASHBOARD_JWT_SECRET: "),
        (&[("DASHBOARD_JWT_SECRET", "")], &[], "DASHBOARD_JWT_SECRET: "),
        (&[("DASHBOARD_JWT_SECRET", SECRET)], &["--insecure-no-auth"], "keep one"),
        (&[("DASHBOARD_JWT_SECRET", SECRET)], &["--jwt-secret-file", &readme], "keep one"),
        (&[("DASHBOARD_JWT_SECRET", SECRET)], &["--jwt-public-key-file", &readme], "keep one"),
        (&[("DASHBOARD_JWT_SECRET", SECRET), ("DASHBOARD_JWT_LEEWAY_S", "301")], &[], "--jwt-leeway-s"),
        (&[], &["--jwt-secret-file", "/nowhere/secret"], "/nowhere/secret"),
        (&[], &["--jwt-public-key-file", &readme], "DASHBOARD_JWT_PUBLIC_KEY_FILE"),
        (&[], &["--jwt-public-key-file", &key("rsa-private.pem")], "private key"),
        (&[], &["--jwt-public-key-file", &key("ec-private.pem")], "private key"),
        (&[], &["--jwt-public-key-file", &key("rsa-1024-public.pem")], "2048"),
        (&[], &["--jwt-public-key-file", &key("ed25519-public.pem")], "P-256"),
        (&[], &["--insecure-no-auth", "--jwt-public-key-file", &key("ec-public.pem")], "keep one"),
    ];
    for (settings, arguments, expected) in cases {
        let log = refused(settings, arguments);
        assert!(log.contains(expected), "{settings:?} {arguments:?}: {log}");
        assert!(!log.contains(SECRET) && !log.contains("hunter2") && !log.contains("PRIVATE KEY"), "{log}");
    }
}

#[test]
fn a_printed_token_opens_what_it_was_made_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.display().to_string();
    let settings =
        [("DASHBOARD_JWT_SECRET", SECRET), ("DASHBOARD_JWT_AUDIENCE", "us"), ("DASHBOARD_JWT_ISSUER", "me")];
    let print = |arguments: &[&str]| {
        let mut command = Sidecar::command(&[&["token"], arguments].concat(), "");
        run_ok(command.envs(settings)).trim_end().to_owned()
    };
    let sidecar = settings[1..]
        .iter()
        .fold(
            Sidecar::builder().argument("--jwt-secret-file").argument(&file).jwt_missing(),
            |builder, (name, value)| builder.env(name, *value),
        )
        .start_alone();
    let who = |token: &str| ask(&sidecar, Some(token), "/api/session", None).json()["data"].clone();

    let admin = who(&print(&["--tenant", TENANT, "--role", "admin", "--expires-in", "90s"]));
    assert_eq!((&admin["tenant_id"], &admin["role"]), (&json!(TENANT), &json!("admin")));
    let ends = humantime::parse_rfc3339(admin["expires_at"].as_str().unwrap()).unwrap();
    let left = ends.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed() - now();
    assert!((0..=90).contains(&left), "{left}");
    assert_eq!(who(&print(&["--role", "superadmin"]))["may"]["operate"], true);

    let useless = run(Sidecar::command(&["token", "--role", "admin"], "").envs(settings));
    assert!(useless.status.success());
    assert!(String::from_utf8_lossy(&useless.stderr).contains("may do nothing"), "{useless:?}");
}

#[test]
fn no_token_is_printed_without_the_secret_to_sign_it() {
    let public = key_file("ec-public.pem").display().to_string();
    for (arguments, expected) in [
        (&["token"][..], "DASHBOARD_JWT_SECRET"),
        (&["token", "--jwt-public-key-file", &public], "whoever holds the private key makes them"),
    ] {
        let output = run(Sidecar::command(arguments, "").env_remove("DASHBOARD_JWT_SECRET"));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{output:?}");
    }
    let long =
        run(Sidecar::command(&["token", "--expires-in", "400d"], "").env("DASHBOARD_JWT_SECRET", SECRET));
    assert!(String::from_utf8_lossy(&long.stderr).contains("1s to 366d"), "{long:?}");
}

#[test]
fn help_shows_the_settings_and_never_the_secret() {
    for subcommand in ["serve", "token"] {
        let mut command = Sidecar::command(&[subcommand, "--help"], "");
        let help = run_ok(command.env("DASHBOARD_JWT_SECRET", SECRET));
        for setting in ["DASHBOARD_JWT_SECRET", "--jwt-public-key-file", "--jwt-audience", "--jwt-leeway-s"] {
            assert!(help.contains(setting), "{subcommand}: {help}");
        }
        assert!(!help.contains(SECRET), "{subcommand}");
    }
}
