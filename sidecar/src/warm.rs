//! `dashboard-sidecar warm`: asks the module to compute bundles into the cache.

use std::convert::Infallible;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::cache::{self, Progress, Warmed};
use crate::config::WarmArgs;
use crate::error::{ApiError, Failure};
use crate::output;
use crate::tenant::Tenant;

/// What Redis calls the connection.
const CALLER: &str = "dashboard-sidecar-warm";

/// Where there is no terminal, how often a line tells how far it is.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Warms and prints what was done, the failed tenants with their reasons.
///
/// # Errors
/// If a tenant's name is malformed, the module cannot be asked, or a bundle failed.
pub fn main(args: &WarmArgs) -> Result<(), Failure> {
    let tenants = args.tenants.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(&error))?;
    let warmed = runtime.block_on(warm(args, &tenants)).map_err(|error| Failure::config(error.message()))?;
    output::line(format_args!("{warmed}"));
    for failed in &warmed.failures {
        output::line(format_args!("failed: {}: {}", failed.tenant, failed.reason));
    }
    let unnamed = warmed.failed.saturating_sub(warmed.failures.len() as u64);
    if unnamed > 0 {
        output::line(format_args!(
            "failed: {unnamed} more; the logs of Redis and of the sidecar have the causes"
        ));
    }
    if warmed.failed == 0 { Ok(()) } else { Err(Failure::already_reported()) }
}

async fn warm(args: &WarmArgs, tenants: &[Tenant]) -> Result<Warmed, ApiError> {
    let url = &args.redis.redis_url;
    let warming = cache::warm(url, CALLER, tenants, args.force);
    if !args.progress {
        return warming.await;
    }
    let mut display = Display::new();
    let watching = async {
        let Err(error) = cache::watch(url, CALLER, |progress| display.show(progress)).await;
        output::remark(format_args!("the progress cannot be shown: {}", error.message()));
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        warmed = warming => warmed,
        never = watching => match never {},
    }
}

/// How far it is, on standard error: a bar on a terminal, lines elsewhere.
struct Display {
    /// `None` where standard error is no terminal.
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Display {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            if let Ok(style) = ProgressStyle::with_template("[{bar:40}] {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { bar, last_line: None }
    }

    fn show(&mut self, progress: &Progress) {
        let text = line(progress);
        match &self.bar {
            Some(bar) => {
                bar.set_length(progress.tenants);
                bar.set_position(progress.done);
                bar.set_message(text);
            }
            None if self.last_line.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) => {
                output::remark(format_args!("warm: {text}"));
                self.last_line = Some(Instant::now());
            }
            None => {}
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The rate is the run's own, so that it is right also where the run began before we did.
fn line(progress: &Progress) -> String {
    let Progress { tenants, done, failed, per_second } = progress;
    let left = Duration::try_from_secs_f64(tenants.saturating_sub(*done) as f64 / per_second);
    let left = match left {
        Ok(left) => format!("{} left", HumanDuration(left)),
        Err(_endless) => "no telling how long".into(),
    };
    format!("{done} of {tenants} tenants, {failed} failed, {per_second:.1} a second, {left}")
}

fn parse(name: &str) -> Result<Tenant, Failure> {
    Tenant::parse(name).map_err(|reason| Failure::config(format!("tenant '{name}': {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is_and_how_long_it_takes() {
        let mut progress = Progress { tenants: 100, done: 20, failed: 1, per_second: 40.0 };
        assert_eq!(line(&progress), "20 of 100 tenants, 1 failed, 40.0 a second, 2 seconds left");
        progress.per_second = 0.0;
        assert!(line(&progress).ends_with("no telling how long"));
    }

    #[test]
    fn a_tenant_that_would_be_read_as_an_option_is_refused() {
        assert!(parse("force").unwrap_err().to_string().contains("FORCE"));
        assert!(parse("a b").unwrap_err().to_string().contains("'a b'"));
        assert!(parse("acme").is_ok());
    }
}
