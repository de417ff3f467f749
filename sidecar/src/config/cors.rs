//! Which sites' pages may read the public API.

use http::header::HeaderValue;
use http::uri::Uri;

/// The origins that are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// The sidecar's own page alone.
    #[default]
    None,
    /// Every one.
    All,
    /// These.
    These(Vec<HeaderValue>),
}

impl CorsOrigins {
    /// Reads `*`, or origins with commas between them.
    ///
    /// # Errors
    /// If one is no origin; it is named.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [] => Ok(Self::None),
            ["*"] => Ok(Self::All),
            parts => Ok(Self::These(parts.iter().map(|part| origin(part)).collect::<Result<_, _>>()?)),
        }
    }

    /// Whether any is let in.
    pub fn any(&self) -> bool {
        *self != Self::None
    }

    /// Whether this one is named.
    pub fn include(&self, origin: &HeaderValue) -> bool {
        matches!(self, Self::These(origins) if origins.contains(origin))
    }
}

/// An origin as browsers send it: scheme, host, and a port that is not the scheme's own.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong =
        || format!("'{text}' is no origin: write it as browsers send it, such as https://crm.example.com");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    let as_sent = format!("{}://{authority}", uri.scheme_str().ok_or_else(wrong)?);
    let own_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(wrong()),
    };
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => true,
        Some(_) => authority.port_u16().is_some_and(|port| port != own_port),
        None => false,
    };
    if port && !text.contains('*') && as_sent == text && text == text.to_ascii_lowercase() {
        HeaderValue::from_str(text).map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        let parsed = CorsOrigins::parse("https://a.example, http://localhost:3000").unwrap();
        assert!(parsed.include(&HeaderValue::from_static("http://localhost:3000")));
        assert!(!parsed.include(&HeaderValue::from_static("http://localhost:3001")));
        assert_eq!(CorsOrigins::parse(" ").unwrap(), CorsOrigins::None);
        assert_eq!(CorsOrigins::parse("*").unwrap(), CorsOrigins::All);
    }

    #[test]
    fn what_no_browser_would_send_is_named() {
        for text in [
            "https://a.example/",
            "a.example",
            "https://",
            "https://A.example",
            "*,https://a",
            "ftp://a",
            "https://u@a",
            "null",
            "https://a.example:443",
            "http://a.example:80",
            "https://a.example:",
            "https://a.example:99999",
            "https://*.example.com",
        ] {
            assert!(CorsOrigins::parse(text).unwrap_err().contains("no origin"), "{text}");
        }
    }
}
