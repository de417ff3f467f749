//! Where a sidecar listens: what `dashboard.sidecar` may hold.

use crate::errors::printable;
use std::fmt;
use std::net::Ipv6Addr;

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
    /// One sentence, on one line, that names the part that is wrong.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let all = text.split_whitespace().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        match all.len() {
            0 => Err("give at least one of unix:/path or http://host:port".into()),
            n if n > MAX_ENDPOINTS => Err(format!("{n} sidecars are more than {MAX_ENDPOINTS}")),
            _ => Ok(all),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!("'{}' {why}; use unix:/path or http://host:port", printable(text.as_bytes())))
        };
        // No path can have a zero byte, and the binding to the server's settings would panic at one.
        if text.contains(char::is_control) {
            return wrong("has a control character");
        }
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
        let named = authority.rsplit_once(':').filter(|(host, _)| is_host(host));
        // Written back it must be the same: no sign, no leading zero.
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && port.to_string() == text);
        match named.and_then(|(host, text)| Some((host, port(text)?))) {
            Some((host, port)) => {
                let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                Ok(Self::Tcp { host: unbracketed.unwrap_or(host).into(), port })
            }
            None => wrong("has no valid host and port"),
        }
    }
}

/// A host's name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        // The longest name that DNS has.
        None => {
            (1..=253).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "http://[{host}]:{port}"),
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
        assert_eq!(all[2].to_string(), "http://[::1]:4003");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        for bad in [
            "unix:relative",
            "ftp://x:1",
            "http://x",
            "http://x:0",
            "http://x:080",
            "http://:80",
            "http://a[]:80",
            "http://[]:80",
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
