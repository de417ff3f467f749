//! What the sidecar says of itself: the log (tracing to standard error, for people or as JSON) and
//! [`metrics`].

mod latency;
pub mod metrics;

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{LogArgs, LogFormat};
use crate::error::Failure;

/// Starts logging for the whole process.
///
/// # Errors
/// If the filter cannot be understood.
pub fn init(args: &LogArgs) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| {
        Failure::config(format!(
            "DASHBOARD_LOG (--log): {error}; write for example info or info,dashboard_sidecar=debug"
        ))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match args.log_format {
        LogFormat::Pretty => {
            builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::config(format!("the log could not be set up: {error}")))
}
