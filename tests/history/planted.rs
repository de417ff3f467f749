//! A checker that has never found a planted fault is not to be trusted: each rule finds its own here, and lets
//! pass what is no fault.

use super::checker::{Terms, check};
use super::record::{Ask, Clear, Commit, Fault, Get, History, Other, Outcome, Place, Seen, Time};

const TERMS: Terms = Terms { recovery: 2_000_000, patience: 3_000_000 };

/// Versions 1 and 2 of tenant 0 are committed at 1 and 2 s, version 1 of tenant 1 at 1 s.
fn history() -> History {
    let commit = |tenant, version, at: Time| Commit { tenant, version, invoked: at - 10, answered: Some(at) };
    let commits = vec![commit(0, 1, 1_000_000), commit(0, 2, 2_000_000), commit(1, 1, 1_000_000)];
    History { commits, ..History::default() }
}

/// A clear of tenant 0 that was answered at 3 s.
fn clear() -> Clear {
    Clear { tenant: Some(0), soft: false, invoked: 2_999_000, answered: 3_000_000, replicated: None }
}

/// A GET of tenant 0 at 4 s that was told of a version read at 1.5 s.
fn get(version: u64) -> Get {
    let seen = Seen { status: "hit".to_owned(), age_ms: 2_500, version, flaw: None };
    Get {
        reader: 0,
        place: Place::Primary,
        tenant: 0,
        ask: Ask { include: true, ..Ask::default() },
        began: 4_000_000,
        ended: 4_000_500,
        outcome: Outcome::Bundle(seen),
    }
}

fn with_status(mut get: Get, status: &str) -> Get {
    if let Outcome::Bundle(seen) = &mut get.outcome {
        seen.status = status.to_owned();
    }
    get
}

fn fault(began: Time, ended: Time, closes: bool) -> Fault {
    Fault { name: "planted", began, ended, closes }
}

/// The rules that this history breaks.
fn broken(clears: &[Clear], get: Get) -> Vec<&'static str> {
    broken_by(History { clears: clears.to_vec(), gets: vec![get], ..history() })
}

fn broken_by(history: History) -> Vec<&'static str> {
    check(&history, TERMS).iter().map(|violation| violation.rule).collect()
}

#[test]
fn an_old_version_after_a_clear_is_found_whatever_its_status() {
    assert_eq!(broken(&[clear()], get(1)), ["fence"]);
    assert_eq!(broken(&[clear()], with_status(get(1), "stale")), ["fence"]);
    let everything = Clear { tenant: None, ..clear() };
    assert_eq!(broken(&[everything], get(1)), ["fence"]);
    assert!(broken(&[clear()], get(2)).is_empty());
}

#[test]
fn an_earlier_clear_binds_also_where_a_later_one_does_not() {
    let later = Clear { soft: true, invoked: 3_500_000, answered: 3_600_000, ..clear() };
    assert_eq!(broken(&[clear(), later], with_status(get(1), "stale")), ["fence"]);
}

#[test]
fn a_clear_promises_nothing_before_it_is_answered_nor_to_other_tenants() {
    assert!(broken(&[], get(1)).is_empty());
    let late = Clear { answered: 4_000_000, ..clear() };
    assert!(broken(&[late], get(1)).is_empty());
    let other = Clear { tenant: Some(1), ..clear() };
    assert!(broken(&[other], get(1)).is_empty());
    let early = Clear { invoked: 1_999_999, ..clear() };
    assert!(broken(&[early], get(1)).is_empty(), "the commit was answered after the clear was sent");
}

#[test]
fn a_commit_whose_end_nobody_knows_may_be_seen_and_need_not() {
    for version in [1, 2] {
        let mut history = History { clears: vec![clear()], gets: vec![get(version)], ..history() };
        history.commits[1].answered = None;
        assert!(broken_by(history).is_empty(), "{version}");
    }
}

#[test]
fn after_a_soft_clear_an_old_version_must_be_called_stale() {
    let soft = Clear { soft: true, ..clear() };
    for status in ["hit", "miss", "refreshed"] {
        assert_eq!(broken(std::slice::from_ref(&soft), with_status(get(1), status)), ["fence"], "{status}");
    }
    assert!(broken(&[soft], with_status(get(1), "stale")).is_empty());
}

#[test]
fn on_a_replica_a_clear_counts_from_when_it_was_found_there() {
    let on_replica = Get { place: Place::Replica, ..get(1) };
    assert!(broken(&[clear()], on_replica.clone()).is_empty());
    let late = Clear { replicated: Some(4_000_000), ..clear() };
    assert!(broken(&[late], on_replica.clone()).is_empty());
    let replicated = Clear { replicated: Some(3_500_000), ..clear() };
    assert_eq!(broken(&[replicated], on_replica), ["fence"]);
}

#[test]
fn a_clear_that_was_lost_with_its_primary_counts_no_more_unless_it_was_replicated() {
    let lost = |clear: Clear, at: Time| {
        broken_by(History { clears: vec![clear], gets: vec![get(1)], losses: vec![at], ..history() })
    };
    assert!(lost(clear(), 3_500_000).is_empty());
    assert_eq!(lost(Clear { replicated: Some(3_100_000), ..clear() }, 3_500_000), ["fence"]);
    assert_eq!(lost(clear(), 2_500_000), ["fence"], "it was lost before the clear");
    assert_eq!(lost(clear(), 4_500_000), ["fence"], "it was lost after the GET");
}

#[test]
fn what_was_swapped_in_after_a_clear_may_be_older_if_it_is_called_stale() {
    let swapped = |get: Get, at: Time| {
        broken_by(History { clears: vec![clear()], gets: vec![get], swaps: vec![at], ..history() })
    };
    assert_eq!(swapped(get(1), 3_500_000), ["fence"]);
    assert!(swapped(with_status(get(1), "stale"), 3_500_000).is_empty());
    assert_eq!(
        swapped(with_status(get(1), "stale"), 2_500_000),
        ["fence"],
        "it was swapped before the clear"
    );
}

#[test]
fn an_answer_to_refresh_from_before_it_is_found() {
    let refresh = Get { ask: Ask { refresh: true, ..Ask::default() }, ..get(1) };
    assert_eq!(broken(&[], with_status(refresh.clone(), "refreshed")), ["refresh"]);
    assert!(broken(&[], with_status(refresh, "stale")).is_empty());
    let refresh = Get { ask: Ask { refresh: true, ..Ask::default() }, ..get(2) };
    assert!(broken(&[], with_status(refresh, "refreshed")).is_empty());
}

#[test]
fn an_age_that_is_not_true_is_found() {
    let mut young = get(1);
    if let Outcome::Bundle(seen) = &mut young.outcome {
        seen.age_ms = 1_000;
    }
    assert_eq!(broken(&[], young.clone()), ["age"]);
    assert_eq!(broken(&[], with_status(young, "stale")), ["age"]);
}

#[test]
fn an_answer_to_maxage_that_is_older_is_found() {
    let max_age = |max: u64| Get { ask: Ask { max_age_ms: Some(max), ..Ask::default() }, ..get(1) };
    assert_eq!(broken(&[], max_age(2_000)), ["age"]);
    assert!(broken(&[], with_status(max_age(2_000), "stale")).is_empty());
    assert!(broken(&[], max_age(2_500)).is_empty());
}

#[test]
fn a_version_from_the_future_is_found() {
    assert_eq!(broken(&[], get(3)), ["future"]);
}

#[test]
fn a_bundle_of_someone_else_is_found() {
    let mut get = get(2);
    if let Outcome::Bundle(seen) = &mut get.outcome {
        seen.flaw = Some("another tenant's".to_owned());
    }
    assert_eq!(broken(&[], get), ["isolation"]);
}

#[test]
fn a_missing_a_late_and_a_doubled_reply_are_found_even_in_a_fault() {
    let near = vec![fault(3_900_000, 4_100_000, true)];
    let found = |get: Get| broken_by(History { gets: vec![get], faults: near.clone(), ..history() });
    assert_eq!(found(Get { outcome: Outcome::Silence, ..get(2) }), ["reply"]);
    assert_eq!(found(Get { outcome: Outcome::OutOfStep("two".to_owned()), ..get(2) }), ["reply"]);
    assert_eq!(found(Get { ended: 7_100_000, ..get(2) }), ["reply"]);
}

#[test]
fn failures_and_closed_connections_need_a_fault_that_explains_them() {
    let found = |outcome: Outcome, faults: Vec<Fault>| {
        broken_by(History { gets: vec![Get { outcome, ..get(2) }], faults, ..history() })
    };
    let timeout = || Outcome::Error("TIMEOUT not in time".to_owned());
    let closed = || Outcome::Closed("reset".to_owned());
    assert_eq!(found(timeout(), vec![]), ["reply"]);
    assert_eq!(found(timeout(), vec![fault(0, 1_000_000, false)]), ["reply"], "too long ago");
    assert!(found(timeout(), vec![fault(0, 2_500_000, false)]).is_empty());
    assert_eq!(found(closed(), vec![fault(3_000_000, 5_000_000, false)]), ["reply"], "it closes nothing");
    assert!(found(closed(), vec![fault(3_000_000, 5_000_000, true)]).is_empty());
    for line in ["NOTENANT no such tenant", "ERR unknown argument", "MISS not stored"] {
        let during = vec![fault(3_000_000, 5_000_000, true)];
        assert_eq!(found(Outcome::Error(line.to_owned()), during), ["reply"], "{line}");
    }
}

#[test]
fn other_commands_are_held_to_their_one_reply_too() {
    let other = |outcome| Other { name: "WARM", began: 4_000_000, ended: 4_100_000, outcome };
    let found = |outcome| broken_by(History { others: vec![other(outcome)], ..history() });
    assert_eq!(found(Outcome::Silence), ["reply"]);
    assert_eq!(found(Outcome::Error("UNAVAILABLE the sidecar".to_owned())), ["reply"]);
    assert!(found(Outcome::Done).is_empty());
}
