//! A Unix socket that stays where it is looked for: if its file goes, it is made anew.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
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
    /// What the socket and its directory had at first: the module's user may be let in by the group of either.
    socket: Rights,
    directory: Option<Rights>,
    /// What has been made anew and does not have them yet.
    unrestored: Vec<(PathBuf, Rights)>,
    standing: Standing,
}

/// Who may use a file: its permissions and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    mode: u32,
    group: u32,
}

impl Rights {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self { mode: file.mode() & 0o7777, group: file.gid() })
    }

    /// Gives them to a file. Whoever has them already needs no privilege.
    fn restore(self, path: &Path) -> Result<(), String> {
        let Self { mode, group } = self;
        let attempt = || -> io::Result<()> {
            if Self::of(path)?.group != group {
                chown(path, None, Some(group))?;
            }
            if Self::of(path)? != self {
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            // The kernel leaves out the set-group-ID bit of a group that is not the caller's, without a word.
            if Self::of(path)? == self { Ok(()) } else { Err(Errno::PERM.into()) }
        };
        attempt().map_err(|error| {
            let path = path.display();
            format!(
                "{path} has been made anew and cannot get its former group and permissions ({error}), so the module may not be \
                 let in; run: chgrp {group} {path} && chmod {mode:o} {path}"
            )
        })
    }
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
        make_room(path)?;
        let (listener, file) = bind(path, mode)?;
        let rights = |path: &Path| Rights::of(path).map_err(|error| error.to_string());
        Ok(Self {
            socket: rights(path)?,
            directory: directory(path).map(rights).transpose()?,
            file,
            listener,
            earlier: Mutex::default(),
            unrestored: Vec::new(),
            standing: Standing::default(),
        })
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

    /// Looks whether the path still leads here. If nobody else's socket or file is there, the socket is made anew; connections stay
    /// open.
    pub(super) fn look(&mut self) {
        let path = self.file.path.clone();
        let trouble = if fs::metadata(&path).is_ok_and(|file| number(&file) == self.file.number) {
            self.restore().err()
        } else {
            self.make_anew().and_then(|()| self.restore()).err()
        };
        if self.standing.set(trouble.as_deref()) {
            let path = path.display();
            match trouble {
                Some(trouble) => {
                    tracing::error!("the path {path} does not lead the module to this sidecar: {trouble}");
                }
                None => tracing::info!(%path, "the path leads to the socket again"),
            }
        }
    }

    fn make_anew(&mut self) -> Result<(), String> {
        let path = self.file.path.clone();
        // Noted at once: binding may fail, and the directory is there then.
        if make_room(&path)?
            && let (Some(directory), Some(rights)) = (directory(&path), self.directory)
        {
            self.unrestored.push((directory.to_owned(), rights));
        }
        self.take_earlier().map_err(|error| error.to_string())?;
        let (listener, file) = bind(&path, self.socket.mode)?;
        self.unrestored.push((path, self.socket));
        tracing::warn!(path = %file.path.display(), "the socket's file was gone, and has been made anew");
        self.listener = listener;
        self.file = file;
        Ok(())
    }

    /// Gives what was made anew the rights that it had; what fails is tried again at the next look.
    fn restore(&mut self) -> Result<(), String> {
        while let Some((path, rights)) = self.unrestored.first() {
            rights.restore(path)?;
            self.unrestored.remove(0);
        }
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
    // At a name of its own until it has its permissions and listens. A link never replaces a file, so that of two processes only
    // one gets the path.
    let own = path.with_file_name(format!(".{}", std::process::id()));
    // Only a process with the same number can have left it.
    let _ = fs::remove_file(&own);
    let socket = StdUnixListener::bind(&own).map_err(said)?;
    let made = SocketFile::of(&own).map_err(said)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(mode)).map_err(said)?;
    socket.set_nonblocking(true).map_err(said)?;
    let listener = UnixListener::from_std(socket).map_err(said)?;
    fs::hard_link(&own, path).map_err(said)?;
    Ok((listener, SocketFile { path: path.to_owned(), number: made.number }))
}

fn directory(path: &Path) -> Option<&Path> {
    // A name alone has the empty path above it, which stands for the working directory.
    path.parent().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above })
}

/// Sees to it that a socket can be made at the path; true if its directory had to be made.
fn make_room(path: &Path) -> Result<bool, String> {
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
            // Another process may have replaced it meanwhile.
            if !fs::symlink_metadata(path).is_ok_and(|now| number(&now) == number(&existing)) {
                return Err("another process has just put something there".into());
            }
            fs::remove_file(path)
                .map(|()| false)
                .map_err(|error| format!("a dead server's file is there and stays: {error}"))
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

fn make_directory(path: &Path) -> Result<bool, String> {
    match directory(path) {
        Some(directory) if !directory.exists() => fs::create_dir(directory).map(|()| true).map_err(|error| {
            format!("its directory {} cannot be made: {error}; make it", directory.display())
        }),
        _ => Ok(false),
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
    async fn what_is_made_anew_has_the_permissions_and_the_group_that_it_had() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("new");
        let path = directory.join("s.sock");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o2710)).unwrap();
        let mut socket = UnixSocket::bind(&path, 0o660).unwrap();
        let before = [&directory, &path].map(|path| Rights::of(path).unwrap());
        assert_eq!(before.map(|rights| rights.mode), [0o2710, 0o660]);
        fs::remove_dir_all(&directory).unwrap();
        socket.look();
        assert_eq!([&directory, &path].map(|path| Rights::of(path).unwrap()), before);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(socket.standing().trouble(), None);
    }

    #[tokio::test]
    async fn rights_that_cannot_be_restored_are_named_until_somebody_else_has_restored_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let mut socket = UnixSocket::bind(&path, 0o660).unwrap();
        let unreachable = directory.path().join("missing");
        socket.unrestored.push((unreachable.clone(), socket.socket));
        socket.look();
        let trouble = socket.standing().trouble().unwrap();
        assert!(trouble.contains("chgrp") && trouble.contains("chmod 660"), "{trouble}");
        fs::hard_link(&path, &unreachable).unwrap();
        socket.look();
        assert_eq!(socket.standing().trouble(), None);
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
