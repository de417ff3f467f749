//! A client's connection that survives the server's restarts, and sees a doubled or missing reply: behind each
//! command goes an ECHO of a number, whose reply must be the very next one.

use std::time::Duration;

use harness::{Client, Lost, Reply};
use redis::Value;

use super::record::Outcome;

pub(super) struct Line {
    url: String,
    patience: Duration,
    connection: Option<Client>,
    sent: u64,
}

impl Line {
    pub(super) fn new(url: &str, patience: Duration) -> Self {
        Self { url: url.to_owned(), patience, connection: None, sent: 0 }
    }

    /// Sends a command and waits for its one reply; `None` if the server cannot be reached, so nothing was sent.
    pub(super) fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Option<Result<Reply, Outcome>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Client::connect(&self.url, self.patience).ok()?,
        };
        self.sent += 1;
        let reply = exchange(&mut connection, args, &self.sent.to_string());
        if reply.is_ok() {
            self.connection = Some(connection);
        }
        Some(reply)
    }
}

fn exchange<A: AsRef<[u8]>>(connection: &mut Client, args: &[A], marker: &str) -> Result<Reply, Outcome> {
    let why = |lost| match lost {
        Lost::Closed(why) => Outcome::Closed(why),
        Lost::Silence => Outcome::Silence,
    };
    connection.offer(args).map_err(why)?;
    connection.offer(&["ECHO", marker]).map_err(why)?;
    let reply = connection.await_reply().map_err(why)?;
    let expected = Ok(Value::BulkString(marker.into()));
    if reply == expected {
        return Err(Outcome::OutOfStep("no reply".to_owned()));
    }
    match connection.await_reply() {
        Ok(next) if next == expected => Ok(reply),
        // While it loads, a server refuses ECHO too.
        Ok(Err(error)) if error.starts_with("LOADING ") => Ok(reply),
        Ok(next) => Err(Outcome::OutOfStep(format!("{reply:?}, and then {next:?}"))),
        Err(why_not) => Err(why(why_not)),
    }
}
