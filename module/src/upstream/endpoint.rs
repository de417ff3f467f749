//! Where a sidecar listens: what `dashboard.sidecar` may hold.

use std::fmt;

/// One sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Unix(String),
    Tcp { host: String, port: u16 },
}

/// More would be a mistake in the setting.
const MAX_ENDPOINTS: usize = 16;

impl Endpoint {
    /// The endpoints in `text`, separated by white space.
    ///
    /// # Errors
    /// One sentence that names the part that is wrong.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let all = text.split_whitespace().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        match all.len() {
            0 => Err("give at least one of unix:/path or http://host:port".into()),
            n if n > MAX_ENDPOINTS => Err(format!("{n} sidecars are more than {MAX_ENDPOINTS}")),
            _ => Ok(all),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("'{text}' {why}; use unix:/path or http://host:port"));
        if let Some(path) = text.strip_prefix("unix:") {
            // sockaddr_un has 108 bytes, the last of them zero.
            return match path {
                _ if !path.starts_with('/') => wrong("is not an absolute path"),
                _ if path.len() > 107 => wrong("is a longer path than a Unix socket can have (107 bytes)"),
                _ => Ok(Self::Unix(path.into())),
            };
        }
        let Some(authority) = text.strip_prefix("http://") else {
            return wrong("is neither a Unix socket nor an http address");
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let Ok(parsed) = authority.parse::<http::uri::Authority>() else {
            return wrong("has no valid host and port");
        };
        match parsed.port_u16() {
            // Written back it must be the same: no user, nothing between a bracket and the port.
            Some(port) if port > 0 && format!("{}:{port}", parsed.host()) == authority => {
                let host = parsed.host();
                let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
                Ok(Self::Tcp { host: host.into(), port })
            }
            _ => wrong("has no valid host and port"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp { host, port } => write!(f, "http://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_sidecars_may_be_given() {
        let all = Endpoint::parse_all(" unix:/run/a.sock  http://127.0.0.1:4002/ http://[::1]:4003").unwrap();
        assert_eq!(
            all,
            [
                Endpoint::Unix("/run/a.sock".into()),
                Endpoint::Tcp { host: "127.0.0.1".into(), port: 4002 },
                Endpoint::Tcp { host: "::1".into(), port: 4003 },
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        for bad in [
            "unix:relative",
            "ftp://x:1",
            "http://x",
            "http://x:0",
            "http://u@x:1",
            "http://x:99999",
            "http://[::1]x:80",
            "/run/x",
        ] {
            let error = Endpoint::parse_all(bad).unwrap_err();
            assert!(error.contains(bad), "{error}");
        }
        assert!(Endpoint::parse_all("  ").is_err());
        assert!(Endpoint::parse_all(&format!("unix:/{}", "x".repeat(200))).is_err());
    }
}
