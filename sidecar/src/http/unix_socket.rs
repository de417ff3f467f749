//! A Unix socket that stays where it is looked for: if its file goes, it is made anew.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, connect, socket_with,
};
use tokio::net::{UnixListener, UnixStream};

/// A bound Unix socket; its file goes when it is dropped.
#[derive(Debug)]
pub(super) struct UnixSocket {
    // Before the listener: as long as that is open, no other file can have the number of this one.
    file: SocketFile,
    listener: UnixListener,
    /// Connections that came by a listener whose file is gone.
    earlier: Mutex<VecDeque<UnixStream>>,
    mode: u32,
    standing: Standing,
}

/// Whether the path leads to the socket, or why not. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Option<String>>>);

impl Standing {
    /// What is the matter, as far as it has been noticed.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// True if that is news.
    fn set(&self, trouble: Option<&str>) -> bool {
        let mut known = self.0.lock();
        let is_news = known.as_deref() != trouble;
        if is_news {
            *known = trouble.map(str::to_owned);
        }
        is_news
    }
}

impl UnixSocket {
    /// Binds it with these permissions; what stands in the way is cleared away if it is a dead server's. Must be called within the
    /// runtime.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, String> {
        let (listener, file) = bind(path, mode)?;
        Ok(Self { file, listener, earlier: Mutex::default(), mode, standing: Standing::default() })
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        let earlier = self.earlier.lock().pop_front();
        match earlier {
            Some(stream) => Ok(stream),
            None => Ok(self.listener.accept().await?.0),
        }
    }

    /// Looks whether the path still leads here, and makes the socket anew if nothing else is there. Who is connected stays so.
    pub(super) fn look(&mut self) {
        let path = self.file.path.clone();
        let trouble = if fs::metadata(&path).is_ok_and(|file| number(&file) == self.file.number) {
            None
        } else {
            self.make_anew().err()
        };
        if self.standing.set(trouble.as_deref()) {
            let path = path.display();
            match trouble {
                Some(trouble) => tracing::error!(%path, "the socket's file is gone: {trouble}"),
                None => tracing::info!(%path, "the path leads to the socket again"),
            }
        }
    }

    fn make_anew(&mut self) -> Result<(), String> {
        make_room(&self.file.path)?;
        self.take_earlier().map_err(|error| error.to_string())?;
        let (listener, file) = bind(&self.file.path, self.mode)?;
        tracing::warn!(path = %file.path.display(), "the socket's file was gone, and has been made anew");
        self.listener = listener;
        self.file = file;
        Ok(())
    }

    /// Takes the connections that wait to be accepted: they would end with their listener.
    fn take_earlier(&mut self) -> io::Result<()> {
        loop {
            let stream = match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => StdUnixStream::from(stream),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.earlier.get_mut().push_back(UnixStream::from_std(stream)?);
        }
    }
}

fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), String> {
    let said = |error: io::Error| error.to_string();
    make_room(path)?;
    let socket = StdUnixListener::bind(path).map_err(said)?;
    let file = SocketFile::of(path).map_err(said)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(said)?;
    socket.set_nonblocking(true).map_err(said)?;
    Ok((UnixListener::from_std(socket).map_err(said)?, file))
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
    match is_listened_to(path) {
        Ok(true) => {
            Err("it is already in use by a running process; end that process or choose another path".into())
        }
        Ok(false) => {
            fs::remove_file(path).map_err(|error| format!("a dead server's file is there and stays: {error}"))
        }
        Err(error) => Err(format!("whether another process uses it cannot be found out: {error}")),
    }
}

/// Asked without waiting: a process that is busy or stopped accepts nothing, and is none the less there.
fn is_listened_to(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    match path.parent() {
        Some(directory) if !directory.exists() => fs::create_dir(directory).map_err(|error| {
            format!("its directory {} cannot be made: {error}; make it", directory.display())
        }),
        _ => Ok(()),
    }
}

/// A socket's file, removed when dropped, unless another process has put its own there meanwhile.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    number: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), number: number(&fs::symlink_metadata(path)?) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| number(&now) == self.number) {
            // Left behind, it would be replaced by the next start anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// No two files have the same one at a time.
fn number(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_socket_has_the_permissions_asked_for_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new").join("s.sock");
        let mut socket = UnixSocket::bind(&path, 0o600).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::remove_file(&path).unwrap();
        socket.look();
        assert_eq!(mode(), 0o600, "made anew, it has the same");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone_and_a_dead_one_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let live = StdUnixListener::bind(&path).unwrap();
        let error = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert!(error.contains("already in use"), "{error}");
        drop(live);
        assert!(UnixSocket::bind(&path, 0o600).is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(UnixSocket::bind(&path, 0o600).unwrap_err().contains("not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[tokio::test]
    async fn a_connection_that_waited_when_the_socket_was_made_anew_is_accepted_before_those_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let mut socket = UnixSocket::bind(&path, 0o600).unwrap();
        let mut early = UnixStream::connect(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        socket.look();
        let mut late = UnixStream::connect(&path).await.unwrap();
        early.write_all(b"early").await.unwrap();
        late.write_all(b"late!").await.unwrap();
        for expected in [b"early", b"late!"] {
            let mut said = [0; 5];
            socket.accept().await.unwrap().read_exact(&mut said).await.unwrap();
            assert_eq!(&said, expected);
        }
    }

    #[tokio::test]
    async fn what_another_process_has_put_there_stays_until_that_process_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let mut socket = UnixSocket::bind(&path, 0o600).unwrap();
        let standing = socket.standing();
        fs::remove_file(&path).unwrap();
        let other = StdUnixListener::bind(&path).unwrap();
        let theirs = number(&fs::metadata(&path).unwrap());
        socket.look();
        assert_eq!(number(&fs::metadata(&path).unwrap()), theirs);
        assert!(standing.trouble().unwrap().contains("in use by a running process"));
        drop(other);
        socket.look();
        assert_eq!((standing.trouble(), UnixStream::connect(&path).await.is_ok()), (None, true));

        fs::remove_file(&path).unwrap();
        let _other = StdUnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists(), "nor is it removed at the end");
    }

    #[tokio::test]
    async fn a_directory_that_was_removed_is_made_again_if_nothing_above_it_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("above").join("new").join("s.sock");
        fs::create_dir(directory.path().join("above")).unwrap();
        let mut socket = UnixSocket::bind(&path, 0o600).unwrap();
        fs::remove_dir_all(directory.path().join("above").join("new")).unwrap();
        socket.look();
        assert_eq!((path.exists(), socket.standing().trouble()), (true, None));
        fs::remove_dir_all(directory.path().join("above")).unwrap();
        socket.look();
        let trouble = socket.standing().trouble().unwrap();
        assert!(trouble.contains("new cannot be made"), "{trouble}");
    }
}
