//! How long a client waits that does nothing but say PING, a thousand times a second.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use harness::Redis;

use crate::pipeline::connect;

const INTERVAL: Duration = Duration::from_millis(1);

/// Round trips, in milliseconds.
#[derive(Debug)]
pub(crate) struct Pings(Vec<f64>);

impl Pings {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.sort_by(f64::total_cmp);
    }

    /// What lies at `share` of the way from the fastest to the slowest.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.0.len().checked_sub(1).expect("some pings");
        self.0[(last as f64 * share).ceil() as usize]
    }
}

impl fmt::Display for Pings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|share| self.at(share));
        write!(f, "{half:.2} / {most:.2} / {nearly_all:.2} of {}", self.0.len())
    }
}

/// So many, with nothing else to do.
pub(crate) fn alone(redis: &Redis, count: usize) -> Pings {
    let (_stop, stopped) = channel();
    ping(redis, &stopped, count)
}

/// As long as `work` takes, in another thread.
pub(crate) fn during<T>(redis: &Redis, work: impl FnOnce() -> T) -> (Pings, T) {
    let (stop, stopped) = channel();
    std::thread::scope(|scope| {
        let pinging = scope.spawn(move || ping(redis, &stopped, usize::MAX));
        let done = work();
        drop(stop);
        (pinging.join().expect("redis answers"), done)
    })
}

/// Likewise, while the server's main thread and the one that says PING are scheduled before whatever else wants the
/// processor; `None` where that is not allowed.
pub(crate) fn ahead_of_others<T>(redis: &mut Redis, work: impl FnOnce() -> T) -> Option<(Pings, T)> {
    let server = i32::try_from(redis.process().pid()).expect("a process");
    let redis = &*redis;
    let (stop, stopped) = channel();
    std::thread::scope(|scope| {
        let (tell, allowed) = channel();
        let pinging = scope.spawn(move || {
            let ahead = [server, rustix::thread::gettid().as_raw_pid()].into_iter().all(first_in_first_out);
            let _ = tell.send(ahead);
            if ahead { ping(redis, &stopped, usize::MAX) } else { Pings::new() }
        });
        let done = allowed.recv().expect("an answer").then(work);
        drop(stop);
        let pings = pinging.join().expect("redis answers");
        chrt(&["--other", "--pid", "0", &server.to_string()]);
        done.map(|done| (pings, done))
    })
}

/// Of one thread, by its number.
fn first_in_first_out(thread: i32) -> bool {
    chrt(&["--fifo", "--pid", "1", &thread.to_string()])
}

fn chrt(args: &[&str]) -> bool {
    Command::new("chrt").args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn ping(redis: &Redis, stopped: &Receiver<()>, most: usize) -> Pings {
    let mut stream = connect(redis);
    let mut pings = Pings::new();
    let mut reply = [0; 7];
    while pings.0.len() < most && stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let began = Instant::now();
        stream.write_all(b"PING\r\n").expect("redis reads");
        stream.read_exact(&mut reply).expect("redis answers");
        pings.0.push(began.elapsed().as_secs_f64() * 1e3);
    }
    pings.0.sort_by(f64::total_cmp);
    pings
}
