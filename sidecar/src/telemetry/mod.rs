//! What the sidecar says of itself: the log (tracing to standard error, for people or as JSON) and
//! [`metrics`].

mod latency;
mod log;
pub mod metrics;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::EnvFilter;

use crate::config::{LogArgs, LogFormat};
use crate::error::Failure;
pub use log::Log;
pub(crate) use log::dropped;

/// Starts logging for the whole process, for as long as what it returns lives.
///
/// # Errors
/// If the filter cannot be understood.
pub fn init(args: &LogArgs) -> Result<Log, Failure> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| {
        Failure::config(format!(
            "DASHBOARD_LOG (--log): {error}; write for example info or info,dashboard_sidecar=debug"
        ))
    })?;
    let failed =
        |error: &dyn std::fmt::Display| Failure::config(format!("the log could not be set up: {error}"));
    let log = Log::start(args.log_format).map_err(|error| failed(&error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What the library has to say itself would be written to standard error by its own way, which waits.
        .log_internal_errors(false)
        .with_writer(log.writer());
    let started = match args.log_format {
        LogFormat::Pretty => {
            builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| failed(&error))?;
    panic::set_hook(Box::new(panicked));
    Ok(log)
}

/// A panic takes the log's way, too: the standard one waits for standard error.
fn panicked(info: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let shown = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = std::thread::current();
    tracing::error!(thread = thread.name(), backtrace = shown, "{info}");
}
