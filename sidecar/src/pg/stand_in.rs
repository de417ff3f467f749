//! A stream that stands in for a server's, to learn from the library what it tells a server only.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use postgres::tls::{ChannelBinding, NoTls, TlsConnect, TlsStream};
use postgres::{Config, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::CancelToken;

/// Keeps what is written, or refuses it. It says yes to TLS, which is then [`Plain`].
#[derive(Clone)]
struct StandIn {
    written: Arc<Mutex<Vec<u8>>>,
    /// Why nothing can be written.
    refusal: Option<(io::ErrorKind, Arc<str>)>,
}

impl AsyncRead for StandIn {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StandIn {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(match &self.refusal {
            Some((kind, words)) => Err(io::Error::new(*kind, words.to_string())),
            None => {
                self.written.lock().extend_from_slice(bytes);
                Ok(bytes.len())
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for StandIn {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// TLS that encrypts nothing.
struct Plain;

impl TlsConnect<StandIn> for Plain {
    type Stream = StandIn;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<StandIn>>;

    fn connect(self, stream: StandIn) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}

/// The process that a cancel request would name: the one that the server, or a pooler in its place, said it was.
pub(super) fn process_of(token: &CancelToken) -> Option<i32> {
    let written = Arc::default();
    let stream = StandIn { written: Arc::clone(&written), refusal: None };
    at_once(token.cancel_query_raw(stream, Plain))?.ok()?;
    let request = written.lock();
    // It ends with the process and a secret, four bytes each.
    let process = request.len().checked_sub(8).and_then(|at| request.get(at..at + 4))?;
    Some(i32::from_be_bytes(process.try_into().ok()?))
}

/// An error of the library's own kind, as if the connection had failed for this reason.
pub(crate) fn failed(kind: io::ErrorKind, words: &str) -> Error {
    let stream = StandIn { written: Arc::default(), refusal: Some((kind, words.into())) };
    let mut config = tokio_postgres::Config::new();
    config.user("nobody");
    match at_once(config.connect_raw(stream, NoTls)) {
        Some(Err(error)) => error,
        // A stream that refuses what is written cannot have become a connection.
        _ => unreadable(),
    }
}

fn unreadable() -> Error {
    loop {
        if let Err(error) = "port=none".parse::<Config>() {
            return error;
        }
    }
}

/// What a future gives that has nothing to wait for.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_why_the_connection_failed() {
        let error = failed(io::ErrorKind::TimedOut, "no answer within 3 s");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "no answer within 3 s");
        assert!(error.code().is_none());
    }
}
