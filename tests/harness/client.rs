//! A Redis client whose commands can be sent and awaited apart, so that one thread can hold many blocked
//! clients.

use std::time::Duration;

use redis::{RedisError, Value};

/// What a command came to: a value, or the server's error line (`NOTENANT no such tenant …`).
pub type Reply = Result<Value, String>;

/// One connection.
pub struct Client {
    connection: redis::Connection,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection has ended; why.
    Closed(String),
    /// Nothing came for as long as the client waits.
    Silence,
}

impl Client {
    pub(crate) fn open(url: &str) -> redis::RedisResult<Self> {
        // A reply that never comes must fail the test, not hang the run.
        Self::patient(url, Duration::from_secs(30))
    }

    fn patient(url: &str, patience: Duration) -> redis::RedisResult<Self> {
        let connection = redis::Client::open(url)?.get_connection()?;
        connection.set_read_timeout(Some(patience))?;
        Ok(Self { connection })
    }

    /// A connection to a server that may not be there, and which waits for a reply no longer than `patience`.
    pub fn connect(url: &str, patience: Duration) -> Result<Self, String> {
        Self::patient(url, patience).map_err(|e| e.to_string())
    }

    /// Sends a command over a connection that may have ended.
    pub fn offer<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<(), Lost> {
        self.try_send(args).map_err(|e| lost(&e))
    }

    /// The reply to the oldest command sent, over a connection that may have ended.
    pub fn await_reply(&mut self) -> Result<Reply, Lost> {
        match self.connection.recv_response() {
            Ok(Value::ServerError(e)) => Ok(Err(format!("{} {}", e.code(), e.details().unwrap_or_default()))),
            Ok(value) => Ok(Ok(value)),
            Err(e) if e.is_io_error() => Err(lost(&e)),
            Err(e) => Ok(Err(error_line(&e))),
        }
    }

    /// Sends a command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.try_send(args).expect("the server takes a command");
    }

    fn try_send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> redis::RedisResult<()> {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg.as_ref());
        }
        self.connection.send_packed_command(&command.get_packed_command())
    }

    /// The reply to the oldest command sent.
    pub fn receive(&mut self) -> Reply {
        self.connection.recv_response().map_err(|e| error_line(&e)).and_then(|value| match value {
            Value::ServerError(e) => Err(format!("{} {}", e.code(), e.details().unwrap_or_default())),
            value => Ok(value),
        })
    }

    /// Sends a command and waits for its reply. A lost connection is an error too.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.try_send(args).map_err(|e| error_line(&e))?;
        self.receive()
    }

    /// Like [`Client::call`], for a command that must succeed.
    pub fn ok<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.call(args).unwrap_or_else(|error| panic!("{}: {error}", shown(args)))
    }

    /// The reply as bytes: a bulk or simple string.
    pub fn bytes<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        match self.ok(args) {
            Value::BulkString(bytes) => bytes,
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.into_bytes(),
            Value::Okay => b"OK".to_vec(),
            other => panic!("{}: expected a string, got {other:?}", shown(args)),
        }
    }

    /// The reply as an integer.
    pub fn int<A: AsRef<[u8]>>(&mut self, args: &[A]) -> i64 {
        match self.ok(args) {
            Value::Int(n) => n,
            other => panic!("{}: expected an integer, got {other:?}", shown(args)),
        }
    }

    /// The reply as parsed JSON.
    pub fn json<A: AsRef<[u8]>>(&mut self, args: &[A]) -> serde_json::Value {
        let bytes = self.bytes(args);
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|e| panic!("{}: {e}: {}", shown(args), String::from_utf8_lossy(&bytes)))
    }

    /// The reply as pairs, from a map (RESP3) or a flat array (RESP2).
    pub fn map<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<(String, Value)> {
        let value = self.ok(args);
        pairs(value).unwrap_or_else(|other| panic!("{}: expected a map, got {other:?}", shown(args)))
    }

    /// The error line of a command that must fail.
    pub fn error<A: AsRef<[u8]>>(&mut self, args: &[A]) -> String {
        match self.call(args) {
            Err(error) => error,
            Ok(value) => panic!("{}: expected an error, got {value:?}", shown(args)),
        }
    }

    /// This connection's id.
    pub fn id(&mut self) -> i64 {
        self.int(&["CLIENT", "ID"])
    }

    /// One line of `INFO <section>`, or None if there is none of that name.
    pub fn info(&mut self, section: &str, field: &str) -> Option<String> {
        let lines = self.bytes(&["INFO", section]);
        let lines = String::from_utf8_lossy(&lines);
        lines.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name == field).then(|| value.to_owned())
        })
    }

    /// A number of the module's own section of INFO, named without its prefix.
    pub fn figure(&mut self, field: &str) -> i64 {
        let value = self.info("dashboard", &format!("dashboard_{field}"));
        value
            .as_deref()
            .and_then(|v| v.parse().ok())
            .unwrap_or_else(|| panic!("INFO dashboard: {field} is {value:?}"))
    }

    /// How many clients the server holds blocked.
    pub fn blocked_clients(&mut self) -> usize {
        self.info("clients", "blocked_clients")
            .and_then(|v| v.parse().ok())
            .expect("INFO clients counts them")
    }
}

fn lost(error: &RedisError) -> Lost {
    if error.is_timeout() { Lost::Silence } else { Lost::Closed(error.to_string()) }
}

fn error_line(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{code} {}", error.detail().unwrap_or_default()),
        None => error.to_string(),
    }
}

fn pairs(value: Value) -> Result<Vec<(String, Value)>, Value> {
    match value {
        Value::Map(pairs) => Ok(pairs.into_iter().map(|(name, value)| (text(&name), value)).collect()),
        Value::Array(flat) if flat.len() % 2 == 0 => {
            let mut flat = flat.into_iter();
            let mut pairs = Vec::new();
            while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
                pairs.push((text(&name), value));
            }
            Ok(pairs)
        }
        other => Err(other),
    }
}

/// A reply of fields and values as pairs: a map (RESP3) or a flat array (RESP2).
pub fn fields(value: Value) -> Option<Vec<(String, Value)>> {
    pairs(value).ok()
}

/// A string-like or numeric reply as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Okay => "OK".to_owned(),
        other => panic!("expected text, got {other:?}"),
    }
}

fn shown<A: AsRef<[u8]>>(args: &[A]) -> String {
    args.iter().map(|a| String::from_utf8_lossy(a.as_ref())).collect::<Vec<_>>().join(" ")
}
