//! Binding, with an error that names the address, and accepting.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::error::Failure;

/// How long what was sent may stay unconfirmed, in milliseconds. A client that vanished without a word, as a notebook
/// does that is closed, would else keep its event stream's place for a quarter of an hour.
const UNCONFIRMED_MS: u32 = 30_000;

/// A bound listener; a Unix socket's file goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: String,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
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
        Ok(Self { socket: Socket::Tcp(TcpListener::from_std(socket).map_err(failed)?), address, _file: None })
    }

    /// Listens on a Unix socket with these permissions. The file that a dead server left is replaced; its
    /// directory is made if only that is missing. Must be called within the runtime.
    ///
    /// # Errors
    /// If a live server has the socket, the path is something else than a socket, or permissions do not suffice.
    pub fn unix(setting: &str, path: &Path, mode: u32) -> Result<Self, Failure> {
        let failed = |reason: String| {
            Failure::config(format!(
                "{setting}: cannot listen on the Unix socket {}: {reason}",
                path.display()
            ))
        };
        make_room(path).map_err(failed)?;
        let socket = StdUnixListener::bind(path).map_err(|error| failed(error.to_string()))?;
        let file = SocketFile::of(path).map_err(|error| failed(error.to_string()))?;
        let socket = fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .and_then(|()| socket.set_nonblocking(true))
            .and_then(|()| UnixListener::from_std(socket))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            socket: Socket::Unix(socket),
            address: format!("unix:{}", path.display()),
            _file: Some(file),
        })
    }

    /// The address, with the port that the system chose if it was 0.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, _) = socket.accept().await?;
                stream.set_nodelay(true)?;
                rustix::net::sockopt::set_tcp_user_timeout(&stream, UNCONFIRMED_MS)?;
                Ok(Connection::Tcp(stream))
            }
            Socket::Unix(socket) => Ok(Connection::Unix(socket.accept().await?.0)),
        }
    }
}

/// Sees to it that a socket can be made at the path.
fn make_room(path: &Path) -> Result<(), String> {
    let existing = match fs::symlink_metadata(path) {
        Ok(existing) => existing,
        Err(error) if error.kind() == ErrorKind::NotFound => return make_directory(path),
        Err(error) => return Err(error.to_string()),
    };
    if !existing.file_type().is_socket() {
        return Err("something that is not a socket is there; move it away or choose another path".into());
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err("it is already in use by a running process".into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("a dead server's file is there and stays: {error}"))
        }
        Err(error) => Err(format!("whether another process uses it cannot be found out: {error}")),
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    match path.parent() {
        Some(directory) if !directory.exists() => fs::create_dir(directory)
            .map_err(|error| format!("its directory {} cannot be made: {error}", directory.display())),
        _ => Ok(()),
    }
}

/// A socket's file, removed when dropped, unless another process has put its own there meanwhile.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Left behind, it would be replaced by the next start anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path) -> Result<Listener, Failure> {
        Listener::unix("DASHBOARD_INTERNAL", path, 0o600)
    }

    #[tokio::test]
    async fn a_socket_has_the_permissions_asked_for_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new").join("s.sock");
        let listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_client_that_vanishes_is_given_up() {
        let listener = Listener::tcp("DASHBOARD_LISTEN", ([127, 0, 0, 1], 0).into()).unwrap();
        let _client = std::net::TcpStream::connect(listener.address()).unwrap();
        let Ok(Connection::Tcp(stream)) = listener.accept().await else { panic!("a connection") };
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&stream).unwrap(), UNCONFIRMED_MS);
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone_and_a_dead_one_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let live = StdUnixListener::bind(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("already in use") && error.contains("s.sock"), "{error}");
        drop(live);
        assert!(bind(&path).is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _holder = std::net::TcpListener::bind(taken).unwrap();
        let error = Listener::tcp("DASHBOARD_LISTEN", taken).unwrap_err().to_string();
        assert!(error.starts_with("DASHBOARD_LISTEN") && error.contains(&taken.to_string()), "{error}");
    }
}
