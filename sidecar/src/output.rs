//! What the subcommands print. Unlike `println!`, nothing here panics where nobody takes it: a reader that has seen
//! enough (`… | head`) is no failure, and a disk that is full is one, with a message, once the work is done.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use crate::error::Failure;

/// Why standard output did not take what was printed.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output: what was asked for.
pub fn line(text: Arguments<'_>) {
    print(text, &mut io::stdout().lock(), &FAILED);
}

/// Prints a line to standard error: what a person may want to know besides.
pub fn remark(text: Arguments<'_>) {
    // Where it cannot be printed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether all that was printed has been taken.
///
/// # Errors
/// If standard output took less than it was given.
pub fn check() -> Result<(), Failure> {
    outcome(FAILED.get())
}

fn print(text: Arguments<'_>, out: &mut impl Write, failed: &OnceLock<io::Error>) {
    if failed.get().is_none()
        && let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
    {
        // Another thread's is as good.
        let _ = failed.set(error);
    }
}

fn outcome(failed: Option<&io::Error>) -> Result<(), Failure> {
    match failed {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::config(format!("standard output did not take all that was to be printed: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refuses(ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed_to(mut out: impl Write) -> Result<(), Failure> {
        let failed = OnceLock::new();
        print(format_args!("a line"), &mut out, &failed);
        print(format_args!("another"), &mut out, &failed);
        outcome(failed.get())
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is() {
        assert!(printed_to(Vec::new()).is_ok());
        assert!(printed_to(Refuses(ErrorKind::BrokenPipe)).is_ok());
        let error = printed_to(Refuses(ErrorKind::StorageFull)).unwrap_err().to_string();
        assert!(error.contains("standard output"), "{error}");
    }
}
