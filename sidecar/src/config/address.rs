//! Where the internal API listens: a Unix socket, or a TCP address of this machine.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The internal API's address, written `unix:/path` or `127.0.0.1:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InternalAddress {
    /// A Unix socket at this absolute path.
    Unix(PathBuf),
    /// A TCP address; only loopback is accepted, because bundles hold every tenant's data.
    Tcp(SocketAddr),
}

impl FromStr for InternalAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err("the path after 'unix:' must be absolute, such as unix:/run/redis-dashboard/sidecar.sock"
                    .into())
            };
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| "write unix:/path, or an IP address with port such as 127.0.0.1:4002")?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err("the internal API listens on a Unix socket or a loopback address (127.0.0.1, [::1]) only"
                .into())
        }
    }
}

impl fmt::Display for InternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["unix:/run/x.sock", "127.0.0.1:4002", "[::1]:4002"] {
            assert_eq!(text.parse::<InternalAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_that_others_could_reach_is_refused() {
        for text in [
            "0.0.0.0:4002",
            "192.168.1.1:4002",
            "[::]:4002",
            "unix:relative.sock",
            "localhost:4002",
            "",
            "unix:",
        ] {
            assert!(text.parse::<InternalAddress>().is_err(), "{text}");
        }
    }
}
