//! The log's way to standard error: a bounded queue, and one thread that writes. A disk that is full, a reader that
//! has died or one that stands still costs lines of the log, which are counted, and nothing else: nobody waits for the
//! log, and nobody fails because of it.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::config::LogFormat;

/// So many lines may wait to be written; further ones are dropped.
const QUEUE: usize = 4096;
/// While lines get lost all the time, the log tells of them this often.
const TELL: Duration = Duration::from_secs(1);

/// Lines that the queue had no room for.
static OVERFLOWED: OnceLock<ErrorCounter> = OnceLock::new();
/// Lines that standard error did not take.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// The log of this process. Dropped, what waits is written, for a second at most.
#[derive(Debug)]
pub struct Log {
    queue: NonBlocking,
    thread: Option<WorkerGuard>,
}

impl Log {
    pub(super) fn start(format: LogFormat) -> io::Result<Self> {
        // A handle of its own: whoever else writes there never waits for a lock that a stuck line holds.
        let out = Patient(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let (queue, thread) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUE)
            .lossy(true)
            .thread_name("log")
            .finish(Lines::new(out, &REFUSED, format));
        // The first one is this process's only one.
        let _ = OVERFLOWED.set(queue.error_counter());
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Where lines are handed in: each write is one, and none waits.
    pub fn writer(&self) -> NonBlocking {
        self.queue.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let before = overflowed();
        // An empty one is not written. Where there is no room even for that, whoever reads standard error stands still:
        // the library would wait in vain, and then say so on standard output, which may stand still as well.
        let _ = self.queue.write(b"");
        if overflowed() > before {
            std::mem::forget(self.thread.take());
        }
    }
}

/// Lines of the log that nobody will see.
pub(crate) fn dropped() -> u64 {
    overflowed().saturating_add(REFUSED.load(Ordering::Relaxed))
}

fn overflowed() -> u64 {
    OVERFLOWED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

/// Writes lines, and goes on with the next where one is refused.
struct Lines<W> {
    out: W,
    refused: &'static AtomicU64,
    format: LogFormat,
    /// A part of a line has been written: the rest of it is lost.
    torn: bool,
    /// So many lost lines the log tells of, and since when.
    told: u64,
    told_at: Option<Instant>,
}

impl<W: Write> Lines<W> {
    fn new(out: W, refused: &'static AtomicU64, format: LogFormat) -> Self {
        Self { out, refused, format, torn: false, told: 0, told_at: None }
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says how many lines are missing, unless the log says so already. Not by the queue, in which it might get lost as well.
    fn tell(&mut self) {
        let dropped = overflowed().saturating_add(self.refused.load(Ordering::Relaxed));
        if dropped > self.told && self.put(notice(self.format, dropped - self.told).as_bytes()).is_ok() {
            self.told = dropped;
            self.told_at = Some(Instant::now());
        }
    }
}

fn notice(format: LogFormat, lines: u64) -> String {
    const MISSING: &str = "lines of the log are missing here, as standard error did not take them";
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    match format {
        LogFormat::Pretty => format!("{now}  WARN {MISSING} lines={lines}\n"),
        LogFormat::Json => {
            let line = json!({"timestamp": now, "level": "WARN", "message": MISSING, "lines": lines, "target": module_path!()});
            format!("{line}\n")
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.put(line) {
            Ok(()) if self.told_at.is_none_or(|at| at.elapsed() >= TELL) => self.tell(),
            Ok(()) => {}
            Err(_) => _ = self.refused.fetch_add(1, Ordering::Relaxed),
        }
        Ok(line.len())
    }

    /// Called whenever all that waited has been written.
    fn flush(&mut self) -> io::Result<()> {
        self.tell();
        Ok(())
    }
}

/// A file that may have been set not to block by whoever shares it: then it is waited for.
struct Patient(File);

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Takes so many bytes at a time, or refuses.
    struct Moody {
        moods: VecDeque<Result<usize, ErrorKind>>,
        taken: Vec<u8>,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.moods.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(moods: &[Result<usize, ErrorKind>], lines: &[&str]) -> (String, u64) {
        let refused: &'static AtomicU64 = Box::leak(Box::default());
        let out = Moody { moods: moods.iter().copied().collect(), taken: Vec::new() };
        let mut log = Lines::new(out, refused, LogFormat::Pretty);
        for line in lines {
            log.write_all(line.as_bytes()).unwrap();
        }
        log.flush().unwrap();
        (String::from_utf8(log.out.taken).unwrap(), refused.load(Ordering::Relaxed))
    }

    #[test]
    fn a_line_that_is_taken_in_parts_is_whole() {
        let moods = [Ok(1), Err(ErrorKind::Interrupted), Ok(2)];
        assert_eq!(written(&moods, &["first\n", "second\n"]), ("first\nsecond\n".to_owned(), 0));
    }

    #[test]
    fn a_line_that_is_refused_is_counted_told_of_and_the_next_one_has_a_line_of_its_own() {
        let full = Err(ErrorKind::StorageFull);
        let (text, refused) = written(&[full, Ok(3), full, full], &["a\n", "lost\n", "lost\n", "last\n"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((&lines[..2], refused), (&["los", "last"][..], 3));
        assert!(lines[2].contains("WARN") && lines[2].ends_with("lines=3"), "{text}");
    }

    #[test]
    fn what_the_log_does_not_take_either_is_told_once_it_takes_something() {
        let full = Err(ErrorKind::StorageFull);
        let (text, _) = written(&[full, Ok(5), full], &["lost\n", "next\n"]);
        assert!(text.starts_with("next\n") && text.ends_with("lines=1\n"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
