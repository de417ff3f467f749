//! Connections to a sidecar, kept alive between requests by hyper's pool.

use super::endpoint::Endpoint;
use hyper::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// A host that swallows packets must leave time to try the next endpoint.
const CONNECT: Duration = Duration::from_millis(300);

/// How often the kernel asks whether the other host is there, on a connection over which nothing comes.
const PROBE: Duration = Duration::from_secs(5);

/// Makes connections to one endpoint, whatever the URI says.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Endpoint);

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let endpoint = self.0.clone();
        let connecting = async move {
            match endpoint {
                Endpoint::Unix(path) => Ok(Stream::Unix(TokioIo::new(UnixStream::connect(path).await?))),
                Endpoint::Tcp { host, port } => {
                    let stream = TcpStream::connect(&*addresses(host, port).await?).await?;
                    stream.set_nodelay(true)?;
                    notice_silence(&stream)?;
                    Ok(Stream::Tcp(TokioIo::new(stream)))
                }
            }
        };
        Box::pin(async {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            tokio::time::timeout(CONNECT, connecting).await.map_err(late)?
        })
    }
}

/// Has the kernel end a connection whose other host has gone, or whose way there has.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(PROBE).with_interval(PROBE).with_retries(2);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // Of what was sent, too: without this it is sent again for a quarter of an hour.
    socket.set_tcp_user_timeout(Some(PROBE * 3))
}

/// Lookups of names under way. Each has a thread of its own, which cannot be told to end.
static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

/// A name is being looked up: the thread that does it may not be unloaded.
pub(super) fn is_looking_up() -> bool {
    LOOKUPS.load(Ordering::Acquire) > 0
}

async fn addresses(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    struct Lookup;
    impl Drop for Lookup {
        fn drop(&mut self) {
            LOOKUPS.fetch_sub(1, Ordering::Release);
        }
    }
    LOOKUPS.fetch_add(1, Ordering::Acquire);
    let lookup = Lookup;
    let found = tokio::task::spawn_blocking(move || {
        let _lookup = lookup;
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    });
    found.await.map_err(io::Error::other)?
}

/// Whether a connection has brought an answer before. If it ends without one, it may have been closed just when
/// the next question was sent.
#[derive(Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection of either kind.
pub(super) enum Stream {
    Unix(TokioIo<UnixStream>),
    Tcp(TokioIo<TcpStream>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(Used::default())
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(io) => Pin::new(io).poll_flush(cx),
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
