//! Runs, without a server.

use super::*;
use wire::bundle::{Lifetime, SidecarMeta, compose};
use wire::known::Known;

const PACE: Pace = Pace { concurrency: 2, share: 0 };

fn tenants(n: usize) -> Vec<Tenant> {
    (0..n).map(|i| Tenant::new(format!("t{i}").as_bytes()).unwrap()).collect()
}

fn order(all: bool, force: bool) -> Order {
    Order { db: 0, force, all, by: "a test".into(), at: 0 }
}

/// A copy of a stored bundle, with test data.
fn known(tenant: &str) -> Known {
    let meta = SidecarMeta {
        tenant_id: tenant.into(),
        include_test_data: true,
        generated_at: "2026-01-02T03:04:05.000006Z".into(),
        etag: "0".repeat(32),
        compute_ms: 1,
        version: Some("1".into()),
        valid_until_ms: None,
    };
    let at = 1_700_000_000_000;
    let life = Lifetime { as_of: at, fresh_until: at + 1, expires_at: at + 2, valid_until: None };
    Known::copy(&compose(&meta, life, b"}"), tenant, true).unwrap()
}

/// Those of a tenant's bundles that are to be computed.
fn bundles(computed: [bool; 2]) -> [Want; 2] {
    computed.map(|computed| if computed { Want::Computed } else { Want::Nothing })
}

/// Does what is to be done until a batch is to be sent: nothing is fresh, and what was read last comes last
/// in the list.
fn next_batch(runs: &mut Runs, now: Millis, pace: Pace) -> Option<(u64, Vec<Wanted>)> {
    loop {
        match runs.next_task(now, pace)? {
            Task::Rank { run, tenants, .. } => {
                let unread = |t: &Tenant| 1_000 - t.as_str()[1..].parse().unwrap_or(0);
                runs.rank(run, tenants.into_iter().map(|t| (t.clone(), unread(&t))).collect());
            }
            Task::Look { run, tenants, .. } => {
                let wanted = |(place, tenant)| Wanted { place, tenant, bundles: bundles([true, true]) };
                runs.looked_at(run, tenants.into_iter().map(wanted).collect());
            }
            Task::Send { run, batch, .. } => return Some((run, batch)),
        }
    }
}

/// Sends a batch and lands all of it.
fn complete(runs: &mut Runs, run: u64, batch: &[Wanted]) {
    for wanted in batch {
        for include in 0..2 {
            runs.landed(Seat { run, bundle: wanted.place * 2 + include }, Ok(Brought::Computed));
        }
    }
}

#[test]
fn every_tenant_of_a_run_is_counted_once_and_the_failed_ones_are_named() {
    let mut runs = Runs::default();
    runs.begin(0, order(false, false), tenants(4), None);
    let Some(Task::Look { run, tenants, .. }) = runs.next_task(0, PACE) else { panic!("tenants to look at") };
    let wants = [[false, false], [true, false], [true, true], [true, true]];
    let looked_at = tenants.into_iter().zip(wants.map(bundles));
    let wanted = looked_at.map(|((place, tenant), bundles)| Wanted { place, tenant, bundles }).collect();
    runs.looked_at(run, wanted);
    let Some(Task::Send { batch, .. }) = runs.next_task(0, PACE) else { panic!("a batch") };
    assert_eq!(batch.len(), 3);
    let seat = |bundle| Seat { run, bundle };
    let failed = &batch[2].tenant;
    assert!(!runs.landed(seat(2), Ok(Brought::Computed)));
    assert!(runs.take_ended(1).is_none());
    runs.landed(seat(4), Ok(Brought::Computed));
    runs.landed(seat(5), Ok(Brought::Computed));
    assert!(runs.landed(seat(6), Err((failed, "timeout"))), "its first failure is news");
    assert!(!runs.landed(seat(7), Err((failed, "too_large"))), "its second is not");
    let summary = runs.take_ended(9).unwrap().summary;
    assert_eq!(summary.report, Report { tenants: 4, warmed: 2, fresh: 1, failed: 1, elapsed_ms: 9 });
    assert_eq!(summary.failures, [FailedTenant { tenant: failed.clone(), reason: "timeout" }]);
}

#[test]
fn a_tenant_of_which_nothing_had_to_be_computed_counts_as_fresh() {
    let mut runs = Runs::default();
    runs.begin(0, order(false, false), tenants(4), None);
    let (run, batch) = next_batch(&mut runs, 0, PACE).unwrap();
    let (computed, renewed) = (Ok(Brought::Computed), Ok(Brought::Renewed));
    let failed = Err((&batch[3].tenant, "timeout"));
    let outcomes = [[renewed, renewed], [renewed, computed], [computed, renewed], [renewed, failed]];
    for (place, outcomes) in (0..).zip(outcomes) {
        for (bundle, outcome) in (place * 2..).zip(outcomes) {
            runs.landed(Seat { run, bundle }, outcome);
        }
    }
    let report = runs.take_ended(1).unwrap().summary.report;
    assert_eq!((report.warmed, report.fresh, report.failed), (2, 1, 1));
}

#[test]
fn what_is_known_is_sent_along_until_it_is_cleared() {
    let mut runs = Runs::default();
    runs.begin(0, order(false, false), tenants(1), None);
    let Some(Task::Look { run, tenants, .. }) = runs.next_task(0, PACE) else { panic!("tenants to look at") };
    let (place, tenant) = tenants.into_iter().next().unwrap();
    let known = || Want::IfChanged(known(tenant.as_str()));
    runs.looked_at(run, vec![Wanted { place, tenant: tenant.clone(), bundles: [known(), Want::Nothing] }]);
    let Some(Task::Send { batch, .. }) = runs.next_task(0, PACE) else { panic!("a batch") };
    assert!(matches!(batch[0].bundles, [Want::IfChanged(_), Want::Nothing]));
    runs.again(Seat { run, bundle: 0 }, &tenant);
    let Some(Task::Send { batch, .. }) = runs.next_task(0, PACE) else { panic!("a batch") };
    assert!(matches!(batch[0].bundles, [Want::Computed, Want::Nothing]));

    for (will_do, computed) in [(true, false), (false, true)] {
        let mut want = known();
        want.compute_unless(|_| will_do);
        assert_eq!(matches!(want, Want::Computed), computed);
    }
}

#[test]
fn of_all_tenants_those_that_were_read_last_come_first_and_a_list_keeps_its_order() {
    let mut runs = Runs::default();
    let run = runs.begin(0, order(true, false), Vec::new(), None).unwrap();
    let all_together = Tenant::new(b"SUPERADMIN_GLOBAL").unwrap();
    runs.set_tenants(run, tenants(100).into_iter().chain([all_together]).collect());
    let (_, batch) = next_batch(&mut runs, 0, PACE).unwrap();
    let names: Vec<&str> = batch.iter().map(|wanted| wanted.tenant.as_str()).collect();
    assert_eq!((names.len(), &names[..3]), (BATCH_TENANTS, &["SUPERADMIN_GLOBAL", "t99", "t98"][..]));

    runs.begin(0, order(false, false), tenants(3), None);
    let (_, batch) = next_batch(&mut runs, 0, PACE).unwrap();
    let names: Vec<&str> = batch.iter().map(|wanted| wanted.tenant.as_str()).collect();
    assert_eq!(names, ["t0", "t1", "t2"]);
}

#[test]
fn so_many_batches_are_under_way_as_the_setting_allows_and_runs_take_turns() {
    let mut runs = Runs::default();
    runs.begin(0, order(false, false), tenants(BATCH_TENANTS * 4), None);
    let (long, first) = next_batch(&mut runs, 0, PACE).unwrap();
    let first_number = runs.sent(0, PACE, first.len());
    let (_, second) = next_batch(&mut runs, 0, PACE).unwrap();
    runs.sent(0, PACE, second.len());
    assert!(next_batch(&mut runs, 0, PACE).is_none(), "two are under way");
    assert_eq!(runs.next_at(0, PACE), None);
    runs.begin(0, order(false, true), tenants(1), None);
    complete(&mut runs, long, &first);
    runs.batch_ended(5, PACE, first_number, Duration::from_millis(5));
    assert_eq!(runs.next_at(5, PACE), Some(5));
    let (short, _) = next_batch(&mut runs, 5, PACE).unwrap();
    assert_ne!(short, long, "who has nothing under way comes before who has");
}

#[test]
fn what_a_clear_has_fenced_goes_into_later_batches_of_the_same_size() {
    let mut runs = Runs::default();
    runs.begin(0, order(false, true), tenants(BATCH_TENANTS * 2), None);
    let (run, first) = next_batch(&mut runs, 0, PACE).unwrap();
    let (_, second) = next_batch(&mut runs, 0, PACE).unwrap();
    for wanted in first.iter().chain(&second) {
        for include in 0..2 {
            runs.again(Seat { run, bundle: wanted.place * 2 + include }, &wanted.tenant);
        }
    }
    for _ in 0..2 {
        let (_, batch) = next_batch(&mut runs, 0, PACE).unwrap();
        assert_eq!(batch.len(), BATCH_TENANTS);
        assert!(batch.iter().all(|wanted| !wanted.bundles.iter().any(Want::is_nothing)));
        assert!(runs.take_ended(0).is_none());
        complete(&mut runs, run, &batch);
    }
    let report = runs.take_ended(0).unwrap().summary.report;
    assert_eq!((report.warmed, report.failed), (BATCH_TENANTS as u64 * 2, 0), "each is counted once");
}

#[test]
fn a_tenant_that_is_cleared_again_and_again_does_not_keep_a_run_from_ending() {
    let mut runs = Runs::default();
    runs.begin(0, order(false, true), tenants(1), None);
    let (mut sent, mut failures) = (0, 0);
    while let Some((run, batch)) = next_batch(&mut runs, 0, PACE) {
        sent += 1;
        assert!(sent < 1_000, "it goes on without end");
        for include in 0..2 {
            let bundle = u32::try_from(include).unwrap();
            let cleared =
                !batch[0].bundles[include].is_nothing() && runs.again(Seat { run, bundle }, &batch[0].tenant);
            failures += usize::from(cleared);
        }
    }
    assert_eq!(failures, 1);
    let summary = runs.take_ended(0).expect("it has ended").summary;
    assert_eq!((summary.report.failed, summary.failures[0].reason), (1, "cleared"));
}

#[test]
fn a_share_makes_pauses_in_which_the_settings_are_looked_at() {
    let mut runs = Runs::default();
    let pace = Pace { concurrency: 1, share: 10 };
    runs.begin(0, order(false, false), tenants(100), None);
    let (run, batch) = next_batch(&mut runs, 0, pace).unwrap();
    assert!(batch.len() < BATCH_TENANTS);
    let number = runs.sent(0, pace, batch.len());
    complete(&mut runs, run, &batch);
    runs.batch_ended(100, pace, number, Duration::from_millis(100));
    assert!(next_batch(&mut runs, 100, pace).is_none());
    assert_eq!(runs.next_at(100, pace), Some(100 + LONGEST_PAUSE));
    assert!(next_batch(&mut runs, 100, PACE).is_some(), "without a ceiling it goes on");
}

#[test]
fn a_second_run_over_all_tenants_joins_the_first() {
    let mut runs = Runs::default();
    assert_eq!(runs.begin(0, order(true, false), Vec::new(), None), Some(1));
    assert_eq!(runs.begin(0, order(true, false), Vec::new(), None), None);
    assert_eq!(runs.begin(0, order(true, true), Vec::new(), None), Some(2), "FORCE is another kind");
    assert_eq!(runs.len(), 2);
    while runs.may_begin(0, false, false) {
        runs.begin(0, order(false, false), tenants(1), None);
    }
    assert!(runs.may_begin(0, true, true), "joining needs no room");
}

#[test]
fn runs_are_bounded() {
    let mut runs = Runs::default();
    for _ in 0..MAX_RUNS {
        assert!(runs.may_begin(0, true, false));
        runs.begin(0, order(false, false), tenants(1), None);
    }
    assert!(!runs.may_begin(0, false, false));
    assert!(!runs.may_begin(0, true, false));
}

#[test]
fn a_run_over_no_tenants_ends_at_once() {
    let mut runs = Runs::default();
    let run = runs.begin(0, order(true, false), Vec::new(), None).unwrap();
    assert!(runs.take_ended(0).is_none(), "the list is not there yet");
    runs.set_tenants(run, Vec::new());
    assert_eq!(runs.take_ended(0).unwrap().summary.report.tenants, 0);
}
