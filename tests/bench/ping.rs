//! How long a client waits that does nothing but say PING, a thousand times a second.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use harness::Redis;

use crate::pipeline::connect;

const INTERVAL: Duration = Duration::from_millis(1);

/// Round trips, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Pings(Vec<f64>);

impl Pings {
    pub(crate) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What lies at `share` of the way from the fastest to the slowest.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.0.len().checked_sub(1).expect("some pings");
        self.0[(last as f64 * share).ceil() as usize]
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

fn ping(redis: &Redis, stopped: &Receiver<()>, most: usize) -> Pings {
    let mut stream = connect(redis);
    let mut pings = Pings::default();
    let mut reply = [0; 7];
    while pings.len() < most && stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let began = Instant::now();
        stream.write_all(b"PING\r\n").expect("redis reads");
        stream.read_exact(&mut reply).expect("redis answers");
        pings.0.push(began.elapsed().as_secs_f64() * 1e3);
    }
    pings.0.sort_by(f64::total_cmp);
    pings
}
