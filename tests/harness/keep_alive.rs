//! A client that sends one request after the other on one connection, as a proxy's pool does.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::http::{Endpoint, Response};
use crate::wait::DEADLINE;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The client.
pub struct KeepAlive {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl KeepAlive {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let Endpoint::Tcp(address) = endpoint else { panic!("a TCP listener") };
        // A worker of its own reads the connection also while nothing is asked.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let sender = runtime.block_on(async {
            let (sender, connection) =
                http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
            tokio::spawn(connection);
            Ok::<_, Error>(sender)
        })?;
        Ok(Self { runtime, sender })
    }

    /// Asks and goes on without waiting for the answer; whoever drops the connection leaves.
    pub fn send(endpoint: &Endpoint, path: &str) -> std::net::TcpStream {
        use std::io::Write as _;
        let Endpoint::Tcp(address) = endpoint else { panic!("a TCP listener") };
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
        stream
    }

    /// Asks, on the same connection as ever.
    ///
    /// # Errors
    /// If no whole answer comes.
    pub fn get(&mut self, path: &str) -> Result<Response, Error> {
        let request = hyper::Request::get(path).header("host", "localhost").body(Full::default())?;
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, async {
                // The last answer's end may still be on its way through the client.
                sender.ready().await?;
                let (head, body) = sender.send_request(request).await?.into_parts();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers =
                    head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
                let headers = headers.collect();
                let body = body.collect().await?.to_bytes().to_vec();
                Ok(Response { status: head.status.as_u16(), headers, body })
            })
            .await?
        })
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}
