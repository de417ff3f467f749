//! The setting `dashboard.sidecar`.

use super::assert_one_line;
use crate::upstream::endpoint::Endpoint;

/// - What is accepted can be connected to, and written back means the same.
/// - White space between two sidecars means nothing.
/// - What is refused is refused in one short line: the server sends it to whoever has set it.
pub fn check(data: &[u8]) {
    // The server refuses what is not text.
    let Ok(text) = str::from_utf8(data) else { return };
    let all = match Endpoint::parse_all(text) {
        Ok(all) => all,
        Err(error) => return assert_one_line(&error),
    };
    assert!((1..=16).contains(&all.len()), "{} sidecars", all.len());
    for endpoint in &all {
        let written = endpoint.to_string();
        assert_one_line(&written);
        assert_eq!(Endpoint::parse_all(&written).as_deref(), Ok(std::slice::from_ref(endpoint)), "{written}");
        match endpoint {
            Endpoint::Unix(path) => assert!(path.starts_with('/') && path.len() <= 107, "{path}"),
            Endpoint::Tcp { host, port } => {
                assert!(!host.is_empty() && *port > 0, "{written}");
                assert!(!host.contains(|c: char| c.is_whitespace() || "/@[]".contains(c)), "{written}");
            }
        }
    }
    let spaced: String = text.split_whitespace().map(|part| format!("\t{part} \n")).collect();
    assert_eq!(Endpoint::parse_all(&spaced), Ok(all));
}
