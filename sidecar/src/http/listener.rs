//! Binding, with an error that names the address, and accepting.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::places::Occupancy;
use super::unix_socket::{Standing, UnixSocket};
use crate::error::Failure;

/// How long what was sent may stay unconfirmed, in milliseconds. A client that vanished without a word, as a notebook
/// does that is closed, would else keep its event stream's place for a quarter of an hour.
const UNCONFIRMED_MS: u32 = 30_000;

/// A bound listener; a Unix socket's file goes when it is dropped, and is made anew if it goes before.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: String,
    occupancy: Occupancy,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// An accepted connection.
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Listens on a TCP address. `setting` is named in errors. Must be called within the runtime.
    ///
    /// # Errors
    /// If the address is taken or not this machine's.
    pub fn tcp(setting: &str, address: SocketAddr) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let reason = match error.kind() {
                ErrorKind::AddrInUse => "another process listens there already".to_owned(),
                _ => error.to_string(),
            };
            Failure::config(format!("{setting}: cannot listen on {address}: {reason}"))
        };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?.to_string();
        let socket = Socket::Tcp(TcpListener::from_std(socket).map_err(failed)?);
        Ok(Self { socket, address, occupancy: Occupancy::default() })
    }

    /// Listens on a Unix socket with these permissions. The file that a dead server left is replaced; its
    /// directory is made if only that is missing. Must be called within the runtime.
    ///
    /// # Errors
    /// If a live server has the socket, the path is something else than a socket, or permissions do not suffice.
    pub fn unix(setting: &str, path: &Path, mode: u32) -> Result<Self, Failure> {
        let socket = UnixSocket::bind(path, mode).map_err(|reason| {
            Failure::config(format!(
                "{setting}: cannot listen on the Unix socket {}: {reason}",
                path.display()
            ))
        })?;
        Ok(Self {
            socket: Socket::Unix(socket),
            address: format!("unix:{}", path.display()),
            occupancy: Occupancy::default(),
        })
    }

    /// The address, with the port that the system chose if it was 0.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How its places are used, once it is served.
    pub fn occupancy(&self) -> Occupancy {
        self.occupancy.clone()
    }

    /// Whether the address leads here, as far as that is looked after: [`Listener::look`].
    pub fn standing(&self) -> Standing {
        match &self.socket {
            // Nobody can take a port away.
            Socket::Tcp(_) => Standing::default(),
            Socket::Unix(socket) => socket.standing(),
        }
    }

    /// Looks whether the address still leads here, and sees to it that it does.
    pub(super) fn look(&mut self) {
        if let Socket::Unix(socket) = &mut self.socket {
            socket.look();
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, _) = socket.accept().await?;
                stream.set_nodelay(true)?;
                rustix::net::sockopt::set_tcp_user_timeout(&stream, UNCONFIRMED_MS)?;
                Ok(Connection::Tcp(stream))
            }
            Socket::Unix(socket) => Ok(Connection::Unix(socket.accept().await?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_vanishes_is_given_up() {
        let listener = Listener::tcp("DASHBOARD_LISTEN", ([127, 0, 0, 1], 0).into()).unwrap();
        let _client = std::net::TcpStream::connect(listener.address()).unwrap();
        let Ok(Connection::Tcp(stream)) = listener.accept().await else { panic!("a connection") };
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&stream).unwrap(), UNCONFIRMED_MS);
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _holder = std::net::TcpListener::bind(taken).unwrap();
        let error = Listener::tcp("DASHBOARD_LISTEN", taken).unwrap_err().to_string();
        assert!(error.starts_with("DASHBOARD_LISTEN") && error.contains(&taken.to_string()), "{error}");
    }
}
