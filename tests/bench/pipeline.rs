//! A client that costs as little as one can: it sends prepared bytes, many commands at a time, and takes
//! replies by their length without looking into them.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use harness::Redis;

/// Commands sent before their replies are read: enough for the waking and the system calls of a batch, which
/// all commands have in common, to be a small part.
pub(crate) const DEPTH: usize = 64;

/// A reply that is shorter than expected must fail the run, not hang it.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// A TCP connection to a server that was started with a port.
pub(crate) fn connect(redis: &Redis) -> TcpStream {
    let url = redis.tcp_url();
    let address = url.strip_prefix("redis://").expect("a URL of Redis");
    let stream = TcpStream::connect(address).expect("redis accepts a connection");
    stream.set_nodelay(true).expect("a socket option");
    stream
}

/// Sockets of either kind.
trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

/// A command as bytes, and the reply that it always gets.
#[derive(Debug)]
pub(crate) struct Exchange {
    batch: Vec<u8>,
    reply: Vec<u8>,
}

impl Exchange {
    /// The reply's bytes as they come: `$<length>`, line end, content, line end; a null is `$-1` and a line end.
    pub(crate) fn reply(&self) -> &[u8] {
        &self.reply
    }
}

/// One connection.
pub(crate) struct Pipeline {
    stream: BufReader<Box<dyn Socket>>,
    replies: Vec<u8>,
}

impl Pipeline {
    pub(crate) fn over_tcp(redis: &Redis) -> Self {
        let stream = connect(redis);
        stream.set_read_timeout(PATIENCE).expect("a socket has a time-out");
        Self::new(Box::new(stream))
    }

    pub(crate) fn over_unix_socket(redis: &Redis) -> Self {
        let stream = UnixStream::connect(redis.socket()).expect("redis accepts a connection");
        stream.set_read_timeout(PATIENCE).expect("a socket has a time-out");
        Self::new(Box::new(stream))
    }

    fn new(stream: Box<dyn Socket>) -> Self {
        Self { stream: BufReader::new(stream), replies: Vec::new() }
    }

    /// Asks once, to learn the reply.
    pub(crate) fn learn(&mut self, args: &[&str]) -> Exchange {
        let command = encode(args);
        self.send(&command);
        let mut reply = Vec::new();
        self.stream.read_until(b'\n', &mut reply).expect("a reply");
        let head = String::from_utf8_lossy(&reply).into_owned();
        let len = head.trim_end().strip_prefix('$').and_then(|len| len.parse::<i64>().ok());
        let len = len.unwrap_or_else(|| panic!("{args:?}: expected a bulk string or null, got {head}"));
        if let Ok(len) = usize::try_from(len) {
            let start = reply.len();
            reply.resize(start + len + b"\r\n".len(), 0);
            self.stream.read_exact(&mut reply[start..]).expect("a whole reply");
        }
        Exchange { batch: command.repeat(DEPTH), reply }
    }

    /// Asks `batches` times [`DEPTH`] times. The last reply of each batch is compared with what was learnt.
    pub(crate) fn run(&mut self, exchange: &Exchange, batches: usize) {
        let Exchange { batch, reply } = exchange;
        self.replies.resize(reply.len() * DEPTH, 0);
        for _ in 0..batches {
            self.send(batch);
            self.stream.read_exact(&mut self.replies).expect("as many replies as commands");
            assert!(self.replies.ends_with(reply), "the reply changes while it is measured");
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("redis takes commands");
    }
}

/// A command in the server's protocol.
pub(crate) fn encode(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len());
    for arg in args {
        bytes.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
    }
    bytes.into_bytes()
}
