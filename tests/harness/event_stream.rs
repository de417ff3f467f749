//! A client of a stream of events (`text/event-stream`), which reads one event at a time.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::http::Endpoint;
use crate::wait::DEADLINE;

/// The event that tells how changes are followed.
const FOLLOWING: &str = "following";

/// An open stream; closed when dropped.
pub struct EventStream {
    runtime: Runtime,
    body: Incoming,
    text: String,
    /// The status of the answer.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What kind of event it is.
    pub name: String,
    /// What it says.
    pub data: serde_json::Value,
}

impl EventStream {
    /// Asks for a stream, at a TCP address.
    pub fn open(endpoint: &Endpoint, path: &str, headers: &[(&str, &str)]) -> Self {
        let Endpoint::Tcp(address) = endpoint else { panic!("{endpoint:?} is no TCP address") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut request = hyper::Request::get(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let response = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
            tokio::spawn(connection);
            tokio::time::timeout(DEADLINE, sender.send_request(request)).await
        });
        let (parts, body) = response.expect("an answer in time").expect("an answer").into_parts();
        let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = parts.headers.iter().map(header).collect();
        Self { runtime, body, text: String::new(), status: parts.status.as_u16(), headers }
    }

    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The next block of lines, whatever is in it; none if the stream has ended in good order.
    pub fn next_block(&mut self) -> Option<String> {
        self.block_before(Instant::now() + DEADLINE)
    }

    fn block_before(&mut self, end: Instant) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let body = &mut self.body;
            let frame = self.runtime.block_on(async { tokio::time::timeout_at(end, body.frame()).await });
            let frame = frame.unwrap_or_else(|_| panic!("nothing came within {DEADLINE:?}"))?;
            let data = frame.expect("the stream does not break off").into_data().expect("no trailers");
            self.text.push_str(std::str::from_utf8(&data).expect("text"));
        }
    }

    /// What the next word on how changes are followed says.
    pub fn next_following(&mut self) -> serde_json::Value {
        loop {
            let event = self.next_of_any_kind().expect("the stream goes on");
            if event.name == FOLLOWING {
                return event.data;
            }
        }
    }

    /// The name of the next event, which must come.
    pub fn next_name(&mut self) -> String {
        self.next().expect("the stream goes on").name
    }
}

/// The events; none more if the stream has ended in good order.
impl Iterator for EventStream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            // How changes are followed is told in between, at any time.
            let event = self.next_of_any_kind()?;
            if event.name != FOLLOWING {
                return Some(event);
            }
        }
    }
}

impl EventStream {
    fn next_of_any_kind(&mut self) -> Option<Event> {
        // Comments, which come for ever, do not count.
        let end = Instant::now() + DEADLINE;
        loop {
            let block = self.block_before(end)?;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.map(str::to_owned)
            };
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                let data = serde_json::from_str(&data).unwrap_or_else(|e| panic!("{e}: {data}"));
                return Some(Event { name, data });
            }
        }
    }
}
