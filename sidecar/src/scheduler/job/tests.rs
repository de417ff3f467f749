//! What is done with which row.

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-03-04T10:00:00Z")
}

/// A job that waits for midnight.
fn job() -> Job {
    Job {
        id: "1".into(),
        name: WARM_NAME.into(),
        schedule: WARM_SCHEDULE.into(),
        function: WARM_FUNCTION.into(),
        tenant: None,
        active: true,
        last_run: Some(at("2026-03-04T00:00:00Z")),
        next_run: Some(at("2026-03-05T00:00:00Z")),
        metadata: metadata(json!({"next_run_for": WARM_SCHEDULE, "outcome": "success", "theirs": 1})),
        lease: None,
    }
}

fn metadata(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn attempt(job: &Job) -> i64 {
    match job.assess(now()) {
        Action::Run(due) => due.attempt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_waits_for_its_time_and_runs_from_then_on() {
    let mut job = job();
    assert_eq!(job.assess(now()), Action::Wait(job.next_run));
    job.next_run = Some(now());
    let due = Due { next_run: Some(at("2026-03-05T00:00:00Z")), attempt: 1 };
    assert_eq!(job.assess(now()), Action::Run(due));
    job.active = false;
    assert_eq!(job.assess(now()), Action::Wait(None));
}

#[test]
fn a_job_without_a_next_time_gets_one_and_does_not_run() {
    let job = Job { next_run: None, ..job() };
    let Action::Note(change) = job.assess(now()) else { panic!() };
    assert_eq!(change.next_run, Some(Some(at("2026-03-05T00:00:00Z"))));
}

#[test]
fn an_edited_schedule_moves_the_next_time_and_a_time_set_by_hand_stays() {
    let edited = Job { schedule: "hourly".into(), ..job() };
    let Action::Note(change) = edited.assess(now()) else { panic!() };
    assert_eq!(change.next_run, Some(Some(at("2026-03-04T11:00:00Z"))));

    let by_hand = Job { next_run: Some(at("2026-03-04T10:00:05Z")), ..job() };
    assert_eq!(by_hand.assess(now()), Action::Wait(by_hand.next_run));
    let never_seen = Job { metadata: Map::new(), ..by_hand };
    let Action::Note(change) = never_seen.assess(now()) else { panic!() };
    assert_eq!(change.next_run, None);
}

#[test]
fn a_run_whose_owner_died_is_due_whatever_its_next_time_says() {
    let mut job = job();
    job.metadata = metadata(json!({"next_run_for": WARM_SCHEDULE, "outcome": "running", "attempt": 1}));
    let lease = |ended| {
        Some(Lease {
            owner: "a".into(),
            expires_at: now(),
            lasts: Duration::from_secs(30),
            ended,
            in_doubt: false,
        })
    };
    job.lease = lease(false);
    assert_eq!(job.assess(now()), Action::Wait(None));
    job.lease = lease(true);
    assert_eq!(attempt(&job), 2);
    job.lease = None;
    assert_eq!(attempt(&job), 2);
}

#[test]
fn a_next_time_that_a_wrong_clock_has_computed_is_computed_anew_and_a_persons_choice_stays() {
    let far = Job { next_run: Some(at("2026-05-04T00:00:00Z")), ..job() };
    assert_eq!(far.assess(now()), Action::Wait(far.next_run), "a person has left out two months");
    for member in ["next_run", "retry_at"] {
        let mut computed = far.clone();
        computed.metadata.insert(member.into(), json!("2026-05-04T00:00:00.000Z"));
        let Action::Note(change) = computed.assess(now()) else { panic!("{member}") };
        assert_eq!(change.next_run, Some(Some(at("2026-03-05T00:00:00Z"))), "{member}");
        assert_eq!(change.metadata["next_run"], json!("2026-03-05T00:00:00.000Z"));
    }
    let mut usual = job();
    usual.metadata.insert("next_run".into(), json!("2026-03-05T00:00:00.000Z"));
    assert_eq!(usual.assess(now()), Action::Wait(usual.next_run));
}

/// A job that has run at midnight, as its metadata say, by a clock that shows ten to twelve now.
fn set_back() -> (Job, DateTime<Utc>) {
    let mut job = job();
    job.last_run = Some(at("2026-03-04T00:00:00.120Z"));
    job.metadata.insert("next_run".into(), json!("2026-03-05T00:00:00.000Z"));
    (job, at("2026-03-03T23:50:00Z"))
}

#[test]
fn a_clock_that_is_set_back_a_little_runs_no_job_twice() {
    let (mut job, now) = set_back();
    assert_eq!(job.assess(now), Action::Wait(job.next_run), "it stays where it is");
    assert_eq!(job.run_by_hand(now).next_run, job.next_run, "also where somebody runs it");
    job.metadata.insert("outcome".into(), json!("running"));
    let Action::Run(due) = job.assess(now) else { panic!("its owner has died") };
    assert_eq!(due.next_run, job.next_run, "also where it is taken over");
}

#[test]
fn what_ran_by_a_clock_that_was_far_ahead_does_not_count() {
    let (mut job, now) = set_back();
    job.last_run = Some(at("2026-05-03T00:00:00Z"));
    job.next_run = Some(at("2026-05-04T00:00:00Z"));
    job.metadata.insert("next_run".into(), json!("2026-05-04T00:00:00.000Z"));
    let Action::Note(change) = job.assess(now) else { panic!() };
    assert_eq!(change.next_run, Some(Some(at("2026-03-04T00:00:00Z"))));
    // Most of a day: tonight is nearer to a day after that run than tomorrow night is.
    job.last_run = Some(at("2026-03-04T00:00:00Z"));
    let Action::Note(change) = job.assess(at("2026-03-03T06:00:00Z")) else { panic!() };
    assert_eq!(change.next_run, Some(Some(at("2026-03-04T00:00:00Z"))));
}

#[test]
fn a_clock_that_is_set_back_a_little_leaves_the_next_try_where_it_was_announced() {
    let (mut job, now) = set_back();
    let retry = "2026-03-04T00:05:00.250Z";
    job.next_run = Some(at(retry));
    job.metadata.extend(metadata(json!({"outcome": "failed", "attempt": 2, "retry_at": retry})));
    assert_eq!(job.assess(now), Action::Wait(job.next_run));
    let Action::Run(due) = job.assess(at("2026-03-04T00:06:00Z")) else { panic!() };
    assert_eq!(due, Due { next_run: Some(at("2026-03-05T00:00:00Z")), attempt: 3 });
}

#[test]
fn attempts_are_counted_from_the_regular_time() {
    let mut job = Job { schedule: "every_6_hours".into(), next_run: Some(now()), ..job() };
    let announced = json!({"outcome": "failed", "attempt": 4, "retry_at": "2026-03-04T09:59:00.250Z"});
    job.metadata = metadata(announced);
    job.next_run = Some(at("2026-03-04T09:59:00.250Z"));
    job.last_run = Some(at("2026-03-04T09:50:00Z"));
    assert_eq!(attempt(&job), 5, "its regular time was at six");
    job.last_run = Some(at("2026-03-04T05:50:00Z"));
    assert_eq!(attempt(&job), 1, "at six it would have been due anyhow");
    job.metadata = metadata(json!({"outcome": "partial", "attempt": 4, "retry_at": null}));
    job.last_run = Some(at("2026-03-04T09:50:00Z"));
    assert_eq!(attempt(&job), 1, "somebody has asked for it");
}

#[test]
fn what_cannot_be_run_is_complained_of_once() {
    let wrong = [
        Job { schedule: "cron:0 25 * * *".into(), ..job() },
        Job { schedule: "cron:0 0 30 2 *".into(), next_run: None, ..job() },
        Job { function: "sendInvoices".into(), ..job() },
    ];
    for (mut job, named) in wrong.into_iter().zip(["'25'", "never comes", "'sendInvoices'"]) {
        let Action::Note(change) = job.assess(now()) else { panic!("{job:?}") };
        assert!(change.complaint.unwrap().contains(named));
        job.metadata.extend(change.metadata);
        job.next_run = change.next_run.unwrap_or(job.next_run);
        assert_eq!(job.assess(now()), Action::Wait(None));

        job.schedule = WARM_SCHEDULE.into();
        job.function = WARM_FUNCTION.into();
        let Action::Note(change) = job.assess(now()) else { panic!("{job:?}") };
        assert_eq!(change.metadata.get("error"), Some(&Value::Null), "mended");
        job.metadata.extend(change.metadata);
        assert_eq!(job.metadata["theirs"], 1);
    }
}

#[test]
fn pauses_double_up_to_a_quarter_of_an_hour_and_parts_are_tried_three_times_again() {
    let first = Duration::from_secs(30);
    let pauses: Vec<_> = (1..=7).map(|n| retry_after("failed", n, first).unwrap().num_seconds()).collect();
    assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900]);
    assert_eq!(retry_after("failed", i64::MAX, first), Some(TimeDelta::minutes(15)));
    assert_eq!(retry_after("partial", 3, first), Some(TimeDelta::minutes(2)));
    assert_eq!(retry_after("partial", 4, first), None);
    assert_eq!(retry_after("success", 1, first), None);
}

#[test]
fn a_job_of_one_tenant_names_it() {
    assert_eq!(job().tenants(), Ok(Vec::new()));
    let one = Job { tenant: Some("acme".into()), ..job() };
    assert_eq!(one.tenants().unwrap()[0].as_str(), "acme");
    assert!(Job { tenant: Some("a b".into()), ..job() }.tenants().unwrap_err().contains("'a b'"));
}

#[test]
fn a_job_that_is_given_a_time_anew_is_not_taken_over_before_it() {
    let mut job = job();
    job.metadata.insert("outcome".into(), json!("running"));
    assert!(matches!(job.assess(now()), Action::Run(_)), "its owner has died");
    let change = job.rescheduled(job.next_run);
    job.metadata.extend(change.metadata);
    assert_eq!(job.assess(now()), Action::Wait(job.next_run));
}
