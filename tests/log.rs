//! A log that nobody takes costs lines of the log, and no request, no probe and no orderly end.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::process::Stdio;

use harness::{DEADLINE, Redis, Sidecar, assert_eventually, poll_until};
use serde_json::Value;

/// A sidecar of which each request is worth a line.
fn with_log_to(standard_error: impl Into<Stdio>) -> (Redis, Sidecar) {
    let redis = Redis::builder().start();
    let sidecar = Sidecar::builder()
        .without_postgres()
        .env("REDIS_URL", redis.url())
        .env("DASHBOARD_LOG", "debug")
        .env("DASHBOARD_LOG_READS", "on")
        .standard_error(standard_error)
        .start();
    (redis, sidecar)
}

fn dropped(sidecar: &Sidecar) -> u64 {
    sidecar.public().get("/metrics").sample("dashboard_log_dropped_total").expect("the metric is there")
        as u64
}

/// Reads until lines are dropped; each read gets its answer.
fn read_until_lines_are_dropped(sidecar: &Sidecar) {
    let lost = poll_until(DEADLINE, || {
        for _ in 0..500 {
            let answer = sidecar.public().get("/api/reports/dashboard-bundle?tenant_id=acme");
            assert_eq!(answer.status, 503, "an error, but an answer: {}", answer.text());
        }
        dropped(sidecar) > 0
    });
    assert!(lost, "lines are dropped");
}

/// Ends as if nothing were the matter with its log.
fn assert_it_stops(sidecar: &mut Sidecar) {
    sidecar.process().terminate();
    let status = sidecar.process().wait_exit();
    assert!(status.success(), "{status}");
}

/// Reads on, until the log has told of as many lines as were dropped.
fn read_until_all_is_told(log: PipeReader, sidecar: &Sidecar) {
    let mut told = 0;
    for line in BufReader::new(log).lines() {
        let line: Value =
            serde_json::from_str(&line.expect("the log can be read")).expect("each line is whole");
        told += line["lines"].as_u64().unwrap_or_default();
        if told > 0 && told == dropped(sidecar) {
            return;
        }
    }
}

#[test]
fn a_disk_that_is_full_costs_lines_and_no_answer() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (_redis, mut sidecar) = with_log_to(full);
    read_until_lines_are_dropped(&sidecar);
    assert_it_stops(&mut sidecar);
}

#[test]
fn a_reader_that_has_died_costs_lines_and_no_answer() {
    let (reader, writer) = io::pipe().unwrap();
    let (_redis, mut sidecar) = with_log_to(writer);
    drop(reader);
    read_until_lines_are_dropped(&sidecar);
    assert_it_stops(&mut sidecar);
}

#[test]
fn a_reader_that_stands_still_costs_lines_and_no_answer_and_is_told_how_many_when_it_goes_on() {
    let (reader, writer) = io::pipe().unwrap();
    let (_redis, sidecar) = with_log_to(writer);
    read_until_lines_are_dropped(&sidecar);
    read_until_all_is_told(reader, &sidecar);
}

#[test]
fn a_sidecar_whose_log_stands_still_stops_when_it_is_told_to() {
    let (_reader, writer) = io::pipe().unwrap();
    let (_redis, mut sidecar) = with_log_to(writer);
    read_until_lines_are_dropped(&sidecar);
    assert_it_stops(&mut sidecar);
}

#[test]
fn a_hangup_ends_nothing() {
    let mut sidecar = Sidecar::builder().start_alone();
    sidecar.process().hang_up();
    assert_eventually!(sidecar.log().contains("SIGHUP"), "the log says what becomes of it");
    assert_eq!(sidecar.public().get("/livez").status, 200);
    assert_it_stops(&mut sidecar);
}
