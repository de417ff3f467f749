//! A thousand connections in one thread, which ask together and note when their replies come.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use harness::{Client, Redis, assert_eventually};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::cpu::main_thread_micros;
use crate::pipeline::{connect, encode};

pub(crate) const CLIENTS: usize = 1_000;

/// Room for one reply: larger than any bundle that is measured.
const ROOM: usize = 64 << 10;

/// How long the replies may take in all, on any machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The connections, and one that looks on.
pub(crate) struct Clients {
    runtime: Runtime,
    connections: Vec<Connection>,
    observer: Client,
}

/// What became of one question that all clients asked.
#[derive(Debug)]
pub(crate) struct Stampede {
    /// From the first byte that any client got to the last one.
    pub(crate) spread: Duration,
    /// Of the server's main thread.
    pub(crate) cpu: Duration,
    /// Replies that are not the same bytes as the first client's.
    pub(crate) different: usize,
    /// Of the bundle.
    pub(crate) bytes: usize,
}

struct Connection {
    stream: TcpStream,
    room: Vec<u8>,
    /// How much of it this reply has filled.
    filled: usize,
}

/// When a reply began to come and when it was complete.
type Times = (Instant, Instant);

impl Clients {
    pub(crate) fn connect(redis: &Redis) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let open = || {
            let stream = connect(redis);
            stream.set_nonblocking(true).expect("a socket can be made non-blocking");
            // Written once, so that no first reply pays for the memory.
            Connection {
                stream: TcpStream::from_std(stream).expect("a socket"),
                room: vec![b'-'; ROOM],
                filled: 0,
            }
        };
        let connections = {
            let _entered = runtime.enter();
            (0..CLIENTS).map(|_| open()).collect()
        };
        Self { runtime, connections, observer: redis.client() }
    }

    /// All clients ask for a bundle; once the server holds all of them blocked, `go` lets the upstream answer.
    pub(crate) fn stampede(&mut self, tenant: &str, go: impl FnOnce()) -> Stampede {
        self.ask(&["DASHBOARD.GET", tenant]);
        assert_eventually!(self.observer.blocked_clients() == CLIENTS, "all clients are blocked");
        let before = main_thread_micros(&mut self.observer);
        self.receive(before, go)
    }

    /// All clients ask for a key while the server stands still: what it takes to send as many bytes to as many
    /// clients, and nothing else.
    pub(crate) fn plain_gets(&mut self, redis: &mut Redis, key: &str) -> Stampede {
        let before = main_thread_micros(&mut self.observer);
        redis.process().freeze();
        self.ask(&["GET", key]);
        self.receive(before, || redis.process().thaw())
    }

    fn ask(&self, args: &[&str]) {
        let command = encode(args);
        self.runtime.block_on(async {
            for connection in &self.connections {
                connection.ask(&command).await;
            }
        });
    }

    fn receive(&mut self, before: f64, go: impl FnOnce()) -> Stampede {
        let connections = std::mem::take(&mut self.connections);
        let (connections, times) = self.runtime.block_on(async {
            go();
            tokio::time::timeout(DEADLINE, receive_all(connections)).await.expect("all clients are answered")
        });
        self.connections = connections;
        let cpu = Duration::from_secs_f64((main_thread_micros(&mut self.observer) - before) / 1e6);
        let first = times.iter().map(|(began, _)| *began).min().expect("a first reply");
        let last = times.iter().map(|(_, ended)| *ended).max().expect("a last reply");
        let reply = self.connections[0].reply();
        Stampede {
            spread: last - first,
            cpu,
            different: self.connections.iter().filter(|other| other.reply() != reply).count(),
            bytes: content_len(reply).expect("the reply is complete"),
        }
    }
}

async fn receive_all(connections: Vec<Connection>) -> (Vec<Connection>, Vec<Times>) {
    let mut all = JoinSet::new();
    for mut connection in connections {
        all.spawn(async move {
            let times = connection.receive().await;
            (connection, times)
        });
    }
    all.join_all().await.into_iter().unzip()
}

impl Connection {
    async fn ask(&self, command: &[u8]) {
        self.stream.writable().await.expect("a socket");
        let sent = self.stream.try_write(command).expect("redis takes a command");
        assert_eq!(sent, command.len(), "a command fits an empty socket buffer");
    }

    async fn receive(&mut self) -> Times {
        self.filled = 0;
        let mut began = None;
        loop {
            self.stream.readable().await.expect("a socket");
            match self.stream.try_read(&mut self.room[self.filled..]) {
                Ok(0) => panic!("redis closed a connection, or its reply is too long"),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("a reply is lost: {error}"),
            }
            let now = Instant::now();
            let began = *began.get_or_insert(now);
            if self.is_complete() {
                return (began, now);
            }
        }
    }

    fn is_complete(&self) -> bool {
        let frame = |len: usize| format!("${len}\r\n\r\n").len() + len;
        content_len(self.reply()).is_some_and(|len| self.filled == frame(len))
    }

    fn reply(&self) -> &[u8] {
        &self.room[..self.filled]
    }
}

/// The length that a bulk string's first line announces; `None` before that line is complete.
fn content_len(reply: &[u8]) -> Option<usize> {
    let end = reply.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&reply[..end]).expect("a reply begins with text");
    let len = line.strip_prefix('$').and_then(|len| len.parse().ok());
    Some(len.unwrap_or_else(|| panic!("expected a bundle, got {line}")))
}
