//! The accept loop and its drain: the same in production and in tests.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{CONNECTION, HeaderValue};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_io_timeout::TimeoutWriter;

use super::listener::{Connection, Listener};
use super::places::{Occupancy, Place, Places};
use super::reply::Reply;
use super::stop::Stop;
use crate::descriptors;

/// A request's line and headers may take this many bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Pause after an accept that failed for want of file descriptors: at once, it would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the listener looks whether its address still leads to it.
const LOOK: Duration = Duration::from_secs(1);
/// When the server closes, a connection that nothing has come by yet is left open for so long: a request that has been
/// sent in time may not have been read yet.
const LAST_CALL: Duration = Duration::from_millis(250);
/// Whoever comes in by the reserve has to ask within so long, or another one is let in.
const RESERVED_HEADER_TIMEOUT: Duration = Duration::from_secs(1);
/// Tells a client that the connection takes no further request.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// What one listener grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; further ones wait in the system's queue.
    pub connections: usize,
    /// Connections beyond those, each for one request that is marked as [`Reserved`]: what may use them is up to the
    /// handler.
    pub reserve: usize,
    /// Longest wait for a request's headers, an idle keep-alive connection's included.
    pub header_timeout: Duration,
    /// How long a client may take nothing of its reply before it is cut off.
    pub write_timeout: Duration,
    /// Time that requests under way get once the server closes.
    pub drain_timeout: Duration,
}

/// Marks a request that came in by the reserve, as all other places are taken.
#[derive(Clone, Copy, Debug)]
pub struct Reserved;

/// Serves until `stop` closes, then stops accepting and lets requests under way finish, for the drain time-out
/// at most. A client that leaves has its request's future dropped.
pub async fn run<H, F>(mut listener: Listener, limits: Limits, stop: Stop, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let places = Places::new(limits.connections, limits.reserve);
    let occupancy = listener.occupancy();
    occupancy.set_places(limits.connections);
    let mut connections = JoinSet::new();
    let closing = stop.closing();
    let mut refusing = false;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            let place = places.take().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = look.tick() => {
                listener.look();
                continue;
            }
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok(connection) => {
                if std::mem::take(&mut refusing) {
                    tracing::info!(address = listener.address(), "accepts connections again");
                }
                let place = (places.better(place), occupancy.clone());
                start(&mut connections, place, connection, limits, &stop, &handler);
            }
            Err(error) => accept_failed(&listener, &error, &mut refusing).await,
        }
        while connections.try_join_next().is_some() {}
    }
    // Who has connected by now was let in by the system, and would be cut off unheard.
    tokio::task::yield_now().await;
    while let Ok((place, Ok(connection))) = tokio::time::timeout(Duration::ZERO, async {
        let place = places.take().await;
        (place, listener.accept().await)
    })
    .await
    {
        start(&mut connections, (place, occupancy.clone()), connection, limits, &stop, &handler);
    }
    let address = listener.address().to_owned();
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, finished).await.is_err() {
        tracing::warn!(address, cut_off = connections.len(), "requests outlasted DASHBOARD_DRAIN_TIMEOUT_MS");
        connections.shutdown().await;
    }
}

fn start<H, F>(
    connections: &mut JoinSet<()>,
    (place, occupancy): (Place, Occupancy),
    connection: Connection,
    limits: Limits,
    stop: &Stop,
    handler: &H,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let (handler, stop) = (handler.clone(), stop.clone());
    // One in the reserve takes no usual place.
    let counted = (!place.is_reserve).then(|| occupancy.connection());
    let handler = move |request| {
        let (reply, under_way) = (handler(request), occupancy.request());
        async move {
            // Until all of it has been sent: a stream may be under way long after it has begun.
            reply.await.map(|body| Holding { body, _held: under_way }.boxed_unsync())
        }
    };
    connections.spawn(async move {
        match connection {
            Connection::Tcp(stream) => serve(stream, limits, place.is_reserve, stop, handler).await,
            Connection::Unix(stream) => serve(stream, limits, place.is_reserve, stop, handler).await,
        }
        drop((counted, place));
    });
}

/// A body that holds something until it is gone. Its length stays known.
struct Holding<B, T> {
    body: B,
    _held: T,
}

impl<B: Body + Unpin, T: Unpin> Body for Holding<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn serve<S, H, F>(stream: S, limits: Limits, reserved: bool, stop: Stop, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    let closing = stop.closing();
    let service = service_fn(|mut request: Request<Incoming>| {
        if reserved {
            request.extensions_mut().insert(Reserved);
        }
        let (reply, stop) = (handler(request), stop.clone());
        async move {
            let mut reply = reply.await;
            // By this a client that keeps its connection goes elsewhere in time, instead of being cut off.
            if stop.is_leaving() {
                reply.headers_mut().insert(CONNECTION, CLOSE);
            }
            Ok::<_, Infallible>(reply)
        }
    });
    // Whoever stops reading would otherwise keep what its reply holds, Postgres connections included.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write_timeout));
    let header_timeout = if reserved { RESERVED_HEADER_TIMEOUT } else { limits.header_timeout };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .keep_alive(!reserved)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let close = async {
        closing.cancelled().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = close => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn accept_failed(listener: &Listener, error: &io::Error, refusing: &mut bool) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    // The client left before it was served: nothing is wrong here.
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        return;
    }
    // Once: it is tried ten times a second.
    if !std::mem::replace(refusing, true) {
        let hint = if descriptors::is_shortage(error) { descriptors::SHORTAGE } else { "" };
        tracing::error!(address = listener.address(), %error, hint, "cannot accept connections");
    }
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
            reserve: 0,
            header_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_millis(50),
            drain_timeout: Duration::ZERO,
        };
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let started = Instant::now();
        serve(server, limits, false, Stop::default(), |_| async {
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
