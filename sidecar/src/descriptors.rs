//! File descriptors. Running out of them is this process's own trouble: the servers that it cannot connect to then are well.

use std::error::Error;
use std::fs::File;
use std::io;
use std::iter::successors;
use std::sync::Arc;

use rustix::io::Errno;

/// The trouble and its remedy.
pub(crate) const SHORTAGE: &str =
    "no file descriptor is free; raise the sidecar's limit (ulimit -n, or LimitNOFILE in a systemd unit)";

/// Some libraries share the cause of an error in this.
type SharedError = Arc<dyn Error + Send + Sync>;

/// Whether an error, or one of its causes, says that no descriptor is free.
pub(crate) fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |error| (*error).source()).any(|cause| {
        let shared = cause.downcast_ref::<SharedError>();
        cause.downcast_ref::<io::Error>().is_some_and(says_so)
            || shared.is_some_and(|shared| shared.downcast_ref::<io::Error>().is_some_and(says_so))
            || cause.to_string() == SHORTAGE
    })
}

/// Whether none is free at this moment. Not every error tells: one of the resolver does not say why it could not read its files.
pub(crate) fn none_is_free() -> bool {
    File::open("/dev/null").is_err_and(|error| says_so(&error))
}

fn says_so(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| [Errno::MFILE, Errno::NFILE].contains(&Errno::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortage() -> io::Error {
        io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())
    }

    #[test]
    fn a_shortage_is_found_among_the_causes_of_an_error() {
        assert!(is_shortage(&shortage()));
        assert!(is_shortage(&redis::RedisError::from(shortage())));
        assert!(is_shortage(&crate::pg::failed(io::ErrorKind::Other, SHORTAGE)));
    }

    #[test]
    fn other_errors_are_none() {
        assert!(!is_shortage(&io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert!(!is_shortage(&redis::RedisError::from(io::Error::from(io::ErrorKind::ConnectionRefused))));
        assert!(!none_is_free());
    }
}
