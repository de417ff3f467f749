//! What is printed of a history in which something is wrong: the violation, and what happened around it.

use std::fmt::Write as _;

use super::checker::Violation;
use super::record::{History, Time};

/// Violations shown; the first is the one to look at.
const VIOLATIONS: usize = 3;
/// Events shown with each: the last ones before it ended.
const EVENTS: usize = 40;
/// How long before it begins its surroundings are shown.
const BEFORE: Time = 100_000;

/// The relevant part of the history for each of the first violations.
pub(super) fn describe(history: &History, violations: &[Violation]) -> String {
    let mut report = format!("{} promises were broken\n", violations.len());
    for violation in violations.iter().take(VIOLATIONS) {
        let _ = writeln!(report, "\n[{}] {}", violation.rule, violation.what);
        for (at, event) in surroundings(history, violation) {
            let _ = writeln!(report, "  {:>11.6} s  {event}", seconds(at));
        }
    }
    report
}

fn seconds(time: Time) -> f64 {
    std::time::Duration::from_micros(time).as_secs_f64()
}

/// What was under way between its cause and its end, and concerns its tenant.
fn surroundings(history: &History, violation: &Violation) -> Vec<(Time, String)> {
    let (from, to) = (violation.from.saturating_sub(BEFORE), violation.to);
    let concerns = |tenant: Option<usize>| tenant.is_none() || tenant == violation.tenant;
    let within = |began: Time, ended: Time| began <= to && from <= ended;
    let mut events = Vec::new();
    for commit in history.commits.iter().filter(|commit| Some(commit.tenant) == violation.tenant) {
        if within(commit.invoked, commit.answered.unwrap_or(commit.invoked)) {
            events.push((commit.invoked, format!("{commit:?}")));
        }
    }
    for clear in history.clears.iter().filter(|clear| concerns(clear.tenant)) {
        if within(clear.invoked, clear.answered) {
            events.push((clear.invoked, format!("{clear:?}")));
        }
    }
    for get in history.gets.iter().filter(|get| Some(get.tenant) == violation.tenant) {
        if within(get.began, get.ended) {
            events.push((get.began, format!("reader {}: {get:?}", get.reader)));
        }
    }
    for other in history.others.iter().filter(|other| other.name == "WARM") {
        if within(other.began, other.ended) {
            events.push((other.began, format!("{other:?}")));
        }
    }
    for fault in &history.faults {
        if within(fault.began, fault.ended) {
            events.push((fault.began, format!("{}: {fault:?}", fault.name)));
        }
    }
    events.sort();
    events.split_off(events.len().saturating_sub(EVENTS))
}
