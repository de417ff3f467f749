//! The accept loop and its drain: the same in production and in tests.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;

use super::listener::Connection;
use super::{Listener, Reply};

/// A request's line and headers may take this many bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Pause after an accept that failed for want of file descriptors: at once, it would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one listener grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; further ones wait in the system's queue.
    pub connections: usize,
    /// Longest wait for a request's headers, an idle keep-alive connection's included.
    pub header_timeout: Duration,
    /// How long a client may take nothing of its reply before it is cut off.
    pub write_timeout: Duration,
    /// Time that requests under way get after `shutdown`.
    pub drain_timeout: Duration,
}

/// Serves until `shutdown`, then stops accepting and lets requests under way finish, for the drain time-out
/// at most. A client that leaves has its request's future dropped.
pub async fn run<H, F>(listener: Listener, limits: Limits, shutdown: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok(connection) => {
                let (handler, shutdown) = (handler.clone(), shutdown.clone());
                connections.spawn(async move {
                    let _place = place;
                    match connection {
                        Connection::Tcp(stream) => serve(stream, limits, shutdown, handler).await,
                        Connection::Unix(stream) => serve(stream, limits, shutdown, handler).await,
                    }
                });
            }
            Err(error) => accept_failed(&listener, &error).await,
        }
        while connections.try_join_next().is_some() {}
    }
    let address = listener.address().to_owned();
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, finished).await.is_err() {
        tracing::warn!(address, cut_off = connections.len(), "requests outlasted DASHBOARD_DRAIN_TIMEOUT_MS");
        connections.shutdown().await;
    }
}

async fn serve<S, H, F>(stream: S, limits: Limits, shutdown: CancellationToken, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    let service = service_fn(|request| {
        let reply = handler(request);
        async { Ok::<_, Infallible>(reply.await) }
    });
    // Whoever stops reading would otherwise keep what its reply holds, Postgres connections included.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn accept_failed(listener: &Listener, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    // The client left before it was served: nothing is wrong here.
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        return;
    }
    tracing::error!(address = listener.address(), %error, "cannot accept connections");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ::http::StatusCode;
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_before_its_reply_is_whole() {
        const BODY: usize = 64 << 20;
        let (mut client, server) = UnixStream::pair().unwrap();
        let limits = Limits {
            connections: 1,
            header_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_millis(50),
            drain_timeout: Duration::ZERO,
        };
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let started = Instant::now();
        serve(server, limits, CancellationToken::new(), |_| async {
            super::super::bytes(StatusCode::OK, "text/plain", Bytes::from(vec![0; BODY]))
        })
        .await;
        assert!(started.elapsed() < Duration::from_secs(30));
        let mut received = Vec::new();
        // A reset says as much as an end that comes too early.
        let _ = client.read_to_end(&mut received).await;
        assert!(received.len() < BODY);
    }
}
