//! HTTP itself: methods, names of requests, compression, other origins, and requests that mean no good.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use harness::{Endpoint, Sidecar};

use super::{Stack, TENANT, message, path};

const BUNDLE: &str = "/api/reports/dashboard-bundle";

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let sidecar = Sidecar::builder().start_alone();
    for (method, path, allowed) in [
        ("POST", BUNDLE, "GET, HEAD, OPTIONS"),
        ("DELETE", "/livez", "GET, HEAD, OPTIONS"),
        ("GET", "/api/reports/clear-cache", "POST, OPTIONS"),
        ("HEAD", "/api/reports/clear-cache", "POST, OPTIONS"),
        ("TRACE", "/dashboard", "GET, HEAD, OPTIONS"),
        ("BREW", "/readyz", "GET, HEAD, OPTIONS"),
    ] {
        let response = sidecar.public().ask(method, path, &[], "");
        assert_eq!((response.status, response.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
    for (path, status) in [(BUNDLE, 204), ("/nothing", 404)] {
        assert_eq!(sidecar.public().ask("OPTIONS", path, &[], "").status, status, "{path}");
    }
    let response = sidecar.public().get("/api/reports/nothing");
    assert_eq!(response.status, 404);
    assert!(message(&response).contains("/api/reports/nothing"));
}

#[test]
fn each_request_has_a_name_its_own_or_ours() {
    let stack = Stack::with(|sidecar| sidecar.env("DASHBOARD_LOG_READS", "on"));
    let name = |headers: &[(&str, &str)]| {
        let response = stack.ask("GET", &path(TENANT), headers, "");
        response.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(name(&[("x-request-id", "from-the-front-end.1")]), "from-the-front-end.1");
    assert!(stack.sidecar.log().contains("from-the-front-end.1"), "{}", stack.sidecar.log());
    let ours = name(&[("x-request-id", "not fit \"for\" a log")]);
    assert!(ours.len() == 32 && ours != name(&[]), "{ours}");
}

#[test]
fn a_bundle_is_compressed_as_the_client_can_read_it() {
    let stack = Stack::start();
    stack.fill();
    let plain = stack.get(&path(TENANT));
    assert_eq!(plain.header("content-encoding"), None);
    for (accepts, encoding) in [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("br", "br"),
        ("gzip;q=0.5, br;q=1", "br"),
        ("identity", ""),
        ("gzip;q=0", ""),
    ] {
        let response = stack.ask("GET", &path(TENANT), &[("accept-encoding", accepts)], "");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-encoding").unwrap_or_default(), encoding, "{accepts}");
        assert!(response.headers("vary").contains("accept-encoding"));
        if !encoding.is_empty() {
            assert!(response.body.len() < plain.body.len() / 2, "{accepts}: {}", response.body.len());
        }
        assert_eq!(response.header("etag"), plain.header("etag"));
    }
}

#[test]
fn other_origins_are_let_in_by_configuration_only() {
    let origin = "https://crm.example.com";
    let preflight = [
        ("origin", origin),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let allowed = |sidecar: &Sidecar, method: &str, headers: &[(&str, &str)]| {
        let response = sidecar.public().ask(method, "/api/system/health", headers, "");
        response.header("access-control-allow-origin").map(str::to_owned)
    };
    let closed = Sidecar::builder().start_alone();
    assert_eq!(allowed(&closed, "OPTIONS", &preflight), None);
    let open = Sidecar::builder()
        .env("DASHBOARD_CORS_ORIGINS", format!("{origin}, http://localhost:3000"))
        .start_alone();
    assert_eq!(allowed(&open, "OPTIONS", &preflight), Some(origin.to_owned()));
    assert_eq!(allowed(&open, "GET", &[("origin", origin)]), Some(origin.to_owned()));
    let response = open.public().ask("OPTIONS", BUNDLE, &preflight, "");
    assert!(response.header("access-control-allow-headers").unwrap().contains("authorization"));
}

#[test]
fn without_authentication_a_page_of_another_site_gets_nothing() {
    let sidecar = Sidecar::builder().start_alone();
    for (headers, status) in [
        (&[("host", "localhost:4001")][..], 200),
        (&[("host", "127.0.0.1:4001"), ("origin", "http://127.0.0.1:4001")], 200),
        (&[("host", "[::1]:4001")], 200),
        (&[("host", "rebound.example.com")], 403),
        (&[("host", "localhost"), ("origin", "https://evil.example.com")], 403),
        (&[("host", "localhost"), ("origin", "http://localhost:3000")], 403),
        (&[("host", "localhost"), ("origin", "null")], 403),
    ] {
        assert_eq!(sidecar.public().ask("GET", "/livez", headers, "").status, status, "{headers:?}");
    }
}

/// A browser sends no origin for an image or a script of another site's page, and what it asks for is done all the same.
#[test]
fn without_authentication_a_page_of_another_site_cannot_have_anything_done_either() {
    let sidecar = Sidecar::builder().start_alone();
    let bundle = format!("{}&bust_cache=true", path(TENANT));
    for (path, site, mode, status) in [
        (&*bundle, "cross-site", "no-cors", 403),
        (&bundle, "same-site", "no-cors", 403),
        (&bundle, "cross-site", "navigate", 403),
        (&bundle, "none", "navigate", 503),
        (&bundle, "same-origin", "cors", 503),
        ("/dashboard", "cross-site", "navigate", 200),
        ("/dashboard", "cross-site", "no-cors", 403),
        ("/dashboard/main.js", "same-origin", "cors", 200),
    ] {
        let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode)];
        let response = sidecar.public().ask("GET", path, &headers, "");
        assert_eq!(response.status, status, "{path} {site} {mode}");
    }
}

/// What was done is told, and what was refused: the answer comes as it is, since there is no other.
#[test]
fn a_client_that_wants_no_encoding_at_all_gets_the_answer_and_its_status() {
    let stack = Stack::start();
    stack.fill();
    let etag = stack.get(&path(TENANT)).header("etag").unwrap().to_owned();
    for accepts in ["identity;q=0", "*;q=0", "deflate, identity;q=0"] {
        let ask = |method: &str, path: &str, more: &[(&str, &str)], body: &str| {
            let headers = [&[("accept-encoding", accepts)], more].concat();
            let response = stack.ask(method, path, &headers, body);
            assert_eq!(response.header("content-encoding"), None, "{path} {accepts}");
            response.status
        };
        assert_eq!(ask("GET", &path(TENANT), &[], ""), 200, "{accepts}");
        assert_eq!(ask("GET", &path(TENANT), &[("if-none-match", &etag)], ""), 304, "{accepts}");
        assert_eq!(ask("POST", "/api/reports/clear-cache", &[], "{}"), 200, "{accepts}");
        assert_eq!(ask("GET", "/api/reports/nothing", &[], ""), 404, "{accepts}");
    }
}

#[test]
fn the_page_is_in_the_binary_and_may_load_nothing_else() {
    let sidecar = Sidecar::builder().start_alone();
    let page = sidecar.public().get("/dashboard");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let again =
        sidecar.public().ask("GET", "/dashboard", &[("if-none-match", page.header("etag").unwrap())], "");
    assert_eq!((again.status, again.body.len()), (304, 0));
    for path in ["/", "/dashboard/"] {
        let way = sidecar.public().get(path);
        assert_eq!((way.status, way.header("location")), (307, Some("/dashboard")), "{path}");
    }
    for path in ["/dashboard/../Cargo.toml", "/dashboard/%2e%2e/Cargo.toml", "/dashboard/nothing.js"] {
        assert_eq!(sidecar.public().get(path).status, 404, "{path}");
    }
}

/// What a server says to bytes that no client library would send.
fn raw(endpoint: &Endpoint, bytes: &[u8]) -> String {
    let Endpoint::Tcp(address) = endpoint else { panic!("a TCP listener") };
    let mut stream = TcpStream::connect(address).unwrap();
    // It may hang up before all is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn malformed_and_oversized_requests_are_refused_and_the_next_one_is_served() {
    let sidecar = Sidecar::builder().start_alone();
    let many: String = (0..200).map(|n| format!("x-{n}: {}\r\n", "y".repeat(200))).collect();
    for (request, status) in [
        ("GET /livez HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        (format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), "431"),
        (format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(70_000)), "4"),
        ("POST /api/reports/clear-cache HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n".to_owned(), "413"),
        ("POST /api/reports/clear-cache HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}".to_owned(), "400"),
        ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: evil.example.com\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        ("GET /livez HTTP/1.0\r\nhost: localhost\r\nhost: evil.example.com\r\n\r\n".to_owned(), "400"),
        ("GET /livez HTTP/1.0\r\n\r\n".to_owned(), "403"),
        ("GET http://evil.example.com/livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(), "403"),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(), "200"),
    ] {
        let answer = raw(sidecar.public(), request.as_bytes());
        let told = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..)).unwrap_or_default();
        assert!(told.starts_with(status), "{request:.60}: {answer:.200}");
    }
    assert_eq!(sidecar.public().get("/livez").status, 200);
}
