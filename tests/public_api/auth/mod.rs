//! Who is let in, and who may do what, asked over the wire.

mod settings;
mod tokens;

use harness::jwt::{SECRET, token};
use harness::{Response, Sidecar};
use serde_json::{Value, json};

use super::{OTHER, Stack, TENANT, message, path};

const ALL: &str = "SUPERADMIN_GLOBAL";
const CLEAR: &str = "/api/reports/clear-cache";
const OPERATIONS: &str = "/api/system/operations";
const TENANTS: &str = "/api/tenants";
const EXECUTE: &str = "/api/cron/execute";
const WARM: &str = "warmDashboardBundleCache";
/// Nobody's id.
const NOBODY: &str = "33333333-3333-4333-8333-333333333333";

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn events(tenant: &str) -> String {
    format!("/api/reports/dashboard-events?tenant_id={tenant}")
}

type Headers<'a> = &'a [(&'a str, &'a str)];

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
const WHO_GETS_WHAT: &[(Option<&str>, Option<&str>, [u16; 17])] = &[
    //                                    session  bundle: own, other, all, nobody's  bad  clear: own, other, all's, everything, bad  operations  tenants  execute: unnamed, own, other, all's
    (None,         None,                  [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 403, 403, 403, 403, 403]),
    (None,         Some("user"),          [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 403, 403, 403, 403, 403]),
    (None,         Some("admin"),         [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 403, 403, 403, 403, 403]),
    (None,         Some("superadmin"),    [200,    200, 200, 200, 404,                400, 200, 200, 200, 200, 400, 200, 200, 200, 200, 200, 200]),
    (Some(TENANT), None,                  [200,    200, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 200, 403, 403, 403, 403]),
    (Some(TENANT), Some("user"),          [200,    200, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 200, 403, 403, 403, 403]),
    (Some(TENANT), Some("Superadmin"),    [200,    200, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 200, 403, 403, 403, 403]),
    (Some(TENANT), Some("admin"),         [200,    200, 403, 403, 403,                400, 200, 403, 403, 403, 400, 403, 200, 200, 200, 403, 403]),
    (Some(TENANT), Some("superadmin"),    [200,    200, 200, 200, 404,                400, 200, 200, 200, 200, 400, 200, 200, 200, 200, 200, 200]),
    (Some(OTHER),  Some("admin"),         [200,    403, 200, 403, 403,                400, 403, 200, 403, 403, 400, 403, 200, 200, 403, 200, 403]),
    (Some(ALL),    None,                  [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 403, 403, 403, 403, 403]),
    (Some(ALL),    Some("admin"),         [200,    403, 403, 403, 403,                400, 403, 403, 403, 403, 400, 403, 403, 403, 403, 403, 403]),
    (Some(NOBODY), None,                  [200,    403, 403, 403, 404,                400, 403, 403, 403, 403, 400, 403, 200, 403, 403, 403, 403]),
];

fn requests() -> [(String, Option<String>); 17] {
    let of = |tenant: &str| Some(json!({"tenant_id": tenant}).to_string());
    let warm = |tenant: &str| Some(json!({"function_name": WARM, "tenant_id": tenant}).to_string());
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
        (OPERATIONS.into(), None),
        (TENANTS.into(), None),
        (EXECUTE.into(), Some(json!({"function_name": WARM}).to_string())),
        (EXECUTE.into(), warm(TENANT)),
        (EXECUTE.into(), warm(OTHER)),
        (EXECUTE.into(), warm(ALL)),
    ]
}

/// A request for each path that is not for everybody.
fn guarded() -> [(String, Option<String>); 7] {
    let get = |path: &str| (path.to_owned(), None);
    [
        get("/api/session"),
        get(&path(TENANT)),
        get(OPERATIONS),
        get(TENANTS),
        get(&events(TENANT)),
        (CLEAR.into(), Some("{}".into())),
        (EXECUTE.into(), Some(json!({"function_name": WARM}).to_string())),
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
        [(path(tenant), None), (events(tenant), None), (CLEAR.to_owned(), Some(body))].map(|(path, body)| {
            let response = ask(&stack.sidecar, Some(&token), &path, body.as_deref());
            (response.status, message(&response))
        })
    };
    assert_eq!(refusals(OTHER), refusals(NOBODY));
    assert!(refusals(OTHER).iter().all(|(status, _)| *status == 403));
}

#[test]
fn the_path_and_the_method_come_first_then_the_token_then_the_rest() {
    let sidecar = Sidecar::builder().jwt_secret(SECRET).start_alone();
    let reader = bearer(&token(json!({"tenant_id": TENANT})));
    let big = "x".repeat(20_000);
    let form = ("content-type", "text/xml");
    let json = ("content-type", "application/json");
    let auth = ("authorization", reader.as_str());
    let cases: &[(&str, &str, Headers<'_>, &str, u16)] = &[
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

#[test]
fn probes_and_the_page_need_no_token() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(SECRET));
    for path in ["/livez", "/readyz", "/api/system/health", "/metrics", "/dashboard"] {
        assert_eq!(ask(&stack.sidecar, None, path, None).status, 200, "{path}");
        assert_eq!(ask(&stack.sidecar, Some("garbage"), path, None).status, 200, "{path}");
    }
}
