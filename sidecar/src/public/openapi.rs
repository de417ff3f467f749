//! `GET /api/openapi.json`: what this API is, for programs: OpenAPI 3.1. It is part of the binary.

use std::sync::LazyLock;

use ::http::HeaderMap;

use super::conditional;
use crate::http::Reply;

/// With this program's version in it.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| include_str!("openapi.json").replacen("VERSION", env!("CARGO_PKG_VERSION"), 1));

/// The same of a server that needs no token.
static WITHOUT_TOKENS: LazyLock<String> = LazyLock::new(|| DOCUMENT.replacen(SECURITY, "", 1));

/// The line that says that a token is needed, wherever nothing else is said.
const SECURITY: &str = "  \"security\": [{\"bearer\": []}],\n";

/// The document of a server that is open to everybody, or is not, unless the client has it.
pub(super) fn document(is_open: bool, headers: &HeaderMap) -> Reply {
    let document: &'static str = if is_open { &WITHOUT_TOKENS } else { &DOCUMENT };
    conditional::unless_known(headers, "application/json", document.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::routes::{ROUTES, Route};
    use super::*;

    #[test]
    fn it_tells_of_every_path_and_of_no_other() {
        let document: serde_json::Value = serde_json::from_str(&DOCUMENT).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut told: Vec<(String, String)> = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                told.push((path.clone(), method.to_uppercase()));
            }
        }
        // The page is for people.
        let routes = ROUTES.iter().filter(|entry| entry.route != Route::Page);
        let mut expected: Vec<(String, String)> =
            routes.map(|entry| (entry.path.to_owned(), entry.method.to_string())).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }

    #[test]
    fn where_no_token_is_needed_none_is_asked_for() {
        let security = |document: &str| {
            serde_json::from_str::<serde_json::Value>(document).unwrap().get("security").is_some()
        };
        assert!(security(&DOCUMENT) && !security(&WITHOUT_TOKENS));
    }
}
