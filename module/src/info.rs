//! `INFO dashboard`: counters since the module was loaded, and gauges of now. The README documents each.

use crate::state::{self, State};
use crate::{clearing, counts};
use engine::Failure;
use engine::warming::{FailedTenant, Summary};
use redis_module::{InfoContext, RedisResult};

/// Failed tenants of a run that `INFO` names.
const SHOWN_FAILURES: usize = 16;

#[redis_module_macros::info_command_handler]
fn add_info(ctx: &InfoContext, _for_crash_report: bool) -> RedisResult<()> {
    let mut fields: Vec<(String, String)> =
        counts::all().map(|(name, count)| (name.to_owned(), count.to_string())).collect();
    // A crash report may be written while the state is in use: then its part is missing.
    if let Some(of_state) = state::peek(describe) {
        fields.extend(of_state);
    }
    let mut section = ctx.builder().add_section("stats");
    for (name, value) in &fields {
        section = section.field(name, value.as_str())?;
    }
    section.build_section()?.build_info()?;
    Ok(())
}

fn describe(state: &mut State) -> Vec<(String, String)> {
    let now = state::monotonic();
    let engine = &state.engine;
    let decided = engine.counters;
    let done = &state.counters;
    let mut fields = vec![
        ("flights", engine.flights().to_string()),
        ("queued", engine.queued().to_string()),
        ("waiters", engine.waiters().to_string()),
        ("blocked_clients", state.blocked_clients().to_string()),
        ("unknown_tenants", engine.unknown().to_string()),
        ("sidecar_breaker", engine.breaker_state(now).to_owned()),
        ("flights_total", decided.flights.to_string()),
        ("queued_total", decided.queued.to_string()),
        ("joined", decided.joined.to_string()),
        ("orphaned", decided.orphaned.to_string()),
        ("overtaken", decided.overtaken.to_string()),
        ("refreshes_behind", decided.refreshes_behind.to_string()),
        ("cancelled", decided.cancelled.to_string()),
        ("superseded", decided.superseded.to_string()),
        ("negative_hits", decided.negative_hits.to_string()),
        ("overloaded_flights", decided.refused_flights.to_string()),
        ("overloaded_waiters", decided.refused_waiters.to_string()),
        ("breaker_refusals", decided.refused_breaker.to_string()),
        ("computed", done.computed.to_string()),
        ("unchanged", done.unchanged.to_string()),
        ("stored", done.stored.to_string()),
        ("stored_bytes", done.stored_bytes.to_string()),
        ("uncached", done.uncached.to_string()),
        ("discarded", done.discarded.to_string()),
        ("fences", done.fences.to_string()),
    ];
    for (kind, count) in Failure::ALL.iter().zip(done.failures) {
        fields.push((kind.counter(), count.to_string()));
    }
    fields.push(("clears_running", clearing::running().to_string()));
    fields.push(("warm_running", state.runs.len().to_string()));
    fields.push(("warm_failed_tenants", done.warm_failures.to_string()));
    fields.push(("warm_failed_runs", done.failed_runs.to_string()));
    let mut fields: Vec<(String, String)> =
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    fields.push(("feed_state".to_owned(), state.feed.state(now).to_owned()));
    // Absent where there is no feed: 0 would say that it follows closely.
    fields.extend(state.feed.lag(now).map(|lag| ("feed_lag_ms".to_owned(), lag.to_string())));
    fields.extend(state.feed.by().map(|by| ("feed_by".to_owned(), by.to_owned())));
    // Of the run under way, else of the last one; absent before the first.
    if let Some(shown) = state.runs.shown(now) {
        let Summary { run, by, started, report, failures } = shown.as_ref();
        let a_second = report.done() as f64 * 1000.0 / report.elapsed_ms.max(1) as f64;
        fields.extend([
            ("warm_run".to_owned(), run.to_string()),
            ("warm_by".to_owned(), by.clone()),
            ("warm_started".to_owned(), (started / 1000).to_string()),
            ("warm_elapsed_ms".to_owned(), report.elapsed_ms.to_string()),
            ("warm_tenants".to_owned(), report.tenants.to_string()),
            ("warm_done".to_owned(), report.done().to_string()),
            ("warm_warmed".to_owned(), report.warmed.to_string()),
            ("warm_fresh".to_owned(), report.fresh.to_string()),
            ("warm_failed".to_owned(), report.failed.to_string()),
            ("warm_tenants_per_sec".to_owned(), format!("{a_second:.1}")),
        ]);
        for (n, FailedTenant { tenant, reason }) in failures.iter().take(SHOWN_FAILURES).enumerate() {
            fields.push((format!("warm_failure{n}"), format!("tenant={tenant},reason={reason}")));
        }
    }
    fields
}
