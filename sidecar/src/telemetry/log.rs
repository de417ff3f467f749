//! The log's way to standard error: a bounded queue, and one thread that writes. A disk that is full, a reader that
//! has died or one that stands still costs lines of the log, which are counted, and nothing else: nobody waits for the
//! log, and nobody fails because of it.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// So many lines may wait to be written; further ones are dropped.
const QUEUE: usize = 4096;

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
    pub(super) fn start() -> io::Result<Self> {
        // A handle of its own: whoever else writes there never waits for a lock that a stuck line holds.
        let out = Patient(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let (queue, thread) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUE)
            .lossy(true)
            .thread_name("log")
            .finish(Lines::new(out, &REFUSED));
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
    /// A part of a line has been written: the rest of it is lost.
    torn: bool,
    /// So many lost lines the log tells of.
    told: u64,
}

impl<W: Write> Lines<W> {
    fn new(out: W, refused: &'static AtomicU64) -> Self {
        Self { out, refused, torn: false, told: 0 }
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

    /// Says once, by a line behind those that wait, how many are missing.
    fn tell(&mut self) {
        let dropped = dropped();
        if dropped > self.told {
            tracing::warn!(
                lines = dropped - self.told,
                "the log goes on; lines are missing, as standard error did not take them"
            );
            self.told = dropped;
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.put(line) {
            Ok(()) => self.tell(),
            Err(_) => _ = self.refused.fetch_add(1, Ordering::Relaxed),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
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
        let mut log =
            Lines::new(Moody { moods: moods.iter().copied().collect(), taken: Vec::new() }, refused);
        for line in lines {
            log.write_all(line.as_bytes()).unwrap();
        }
        (String::from_utf8(log.out.taken).unwrap(), refused.load(Ordering::Relaxed))
    }

    #[test]
    fn a_line_that_is_taken_in_parts_is_whole() {
        let moods = [Ok(1), Err(ErrorKind::Interrupted), Ok(2)];
        assert_eq!(written(&moods, &["first\n", "second\n"]), ("first\nsecond\n".to_owned(), 0));
    }

    #[test]
    fn a_line_that_is_refused_is_counted_and_the_next_one_has_a_line_of_its_own() {
        let full = Err(ErrorKind::StorageFull);
        let (text, refused) = written(&[full, Ok(3), full, full], &["a\n", "lost\n", "lost\n", "last\n"]);
        assert_eq!((text.as_str(), refused), ("los\nlast\n", 3));
    }
}
