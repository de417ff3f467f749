//! What schedules mean, and that no text is too much.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::{MAX_BYTES, Schedule};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn next(schedule: &str, now: &str) -> DateTime<Utc> {
    Schedule::parse(schedule, None).unwrap().next_after(at(now)).unwrap()
}

fn error(schedule: &str) -> String {
    match Schedule::parse(schedule, None).and_then(|schedule| schedule.next_after(at("2026-01-01T00:00:00Z")))
    {
        Ok(next) => panic!("{schedule:?} comes at {next}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_form_means_what_it_says() {
    let now = "2026-03-04T10:07:09.5Z";
    for (schedule, expected) in [
        ("cron:0 0 * * *", "2026-03-05T00:00:00Z"),
        ("  CRON: 0 0 * * *  ", "2026-03-05T00:00:00Z"),
        ("0 0 * * *", "2026-03-05T00:00:00Z"),
        ("cron:*/10 * * * * *", "2026-03-04T10:07:10Z"),
        ("cron:30 6 * * mon-fri", "2026-03-05T06:30:00Z"),
        ("0 0 * * 7", "2026-03-08T00:00:00Z"),
        ("hourly", "2026-03-04T11:00:00Z"),
        ("Daily", "2026-03-05T00:00:00Z"),
        ("@midnight", "2026-03-05T00:00:00Z"),
        ("weekly", "2026-03-08T00:00:00Z"),
        ("cron:@monthly", "2026-04-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("every_minute", "2026-03-04T10:08:00Z"),
        ("every_hour", "2026-03-04T11:00:00Z"),
        ("EVERY_5_MINUTES", "2026-03-04T10:10:00Z"),
        ("every_7_minutes", "2026-03-04T10:14:00Z"),
        ("every_6_hours", "2026-03-04T12:00:00Z"),
        ("every_day", "2026-03-05T00:00:00Z"),
        ("daily Europe/Berlin", "2026-03-04T23:00:00Z"),
        ("cron:0 0 * * * europe/berlin", "2026-03-04T23:00:00Z"),
        ("cron:0 0 0 * * * America/New_York", "2026-03-05T05:00:00Z"),
        ("cron:CRON_TZ=Asia/Kolkata 0 0 * * *", "2026-03-04T18:30:00Z"),
        ("cron:0 0 * * * UTC", "2026-03-05T00:00:00Z"),
    ] {
        assert_eq!(next(schedule, now), at(expected), "{schedule}");
    }
}

#[test]
fn a_moment_that_is_now_is_not_next() {
    assert_eq!(next("daily", "2026-03-04T00:00:00Z"), at("2026-03-05T00:00:00Z"));
    assert_eq!(next("daily", "2026-03-03T23:59:59.999Z"), at("2026-03-04T00:00:00Z"));
    assert_eq!(next("every_5_minutes", "2026-03-04T00:05:00Z"), at("2026-03-04T00:10:00Z"));
}

#[test]
fn a_daily_job_comes_once_on_the_days_when_clocks_change() {
    let schedule = "cron:30 2 * * * Europe/Berlin";
    // There is no half past two on the first of them, and two of them on the second.
    for (now, expected) in [
        ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
    ] {
        assert_eq!(next(schedule, now), at(expected), "after {now}");
    }
}

#[test]
fn a_zone_beside_the_schedule_counts_where_the_text_names_none() {
    let now = at("2026-03-04T10:00:00Z");
    let berlin = Some("Europe/Berlin");
    let next = |text| Schedule::parse(text, berlin).unwrap().next_after(now).unwrap();
    assert_eq!(next("daily"), at("2026-03-04T23:00:00Z"));
    assert_eq!(next("daily UTC"), at("2026-03-05T00:00:00Z"));
    assert_eq!(next("every_hour"), at("2026-03-04T11:00:00Z"));
    assert!(Schedule::parse("daily", Some("Mars")).unwrap_err().to_string().contains("'Mars'"));
}

#[test]
fn an_error_names_the_offending_part_and_what_is_right() {
    for (schedule, named) in [
        ("", "empty"),
        ("cron:", "empty"),
        ("cron:0 25 * * *", "the hour cannot be '25'"),
        ("cron:60 * * * * *", "the second cannot be '60'"),
        ("cron:x 0 * * *", "the minute cannot be 'x'"),
        ("cron:0 0 * * mun", "'mun'"),
        ("cron:0 0 0 * *  Europe/Berln", "'Europe/Berln' is no time zone"),
        ("0 0 * * * Nowhere", "'Nowhere' is no time zone"),
        ("daily nowhere", "'nowhere' is no time zone"),
        ("cron:TZ=UTC 0 0 * * * UTC", "two time zones; leave out 'UTC'"),
        ("every_5_minutes Europe/Berlin", "leave out 'Europe/Berlin'"),
        ("cron:0 0 * *", "4 fields"),
        ("cron:0 0 * * * * 2030", "'2030'"),
        ("fortnightly", "'fortnightly'"),
        ("every monday", "write 'cron:0 0 * * 1'"),
        ("Every Sun", "write 'cron:0 0 * * 0'"),
        ("every_friday", "write 'cron:0 0 * * 5'"),
        ("every 5 minutes", "write 'every_5_minutes'"),
        ("every hour", "write 'every_hour'"),
        ("every now and then", "'every_5_minutes'"),
        ("@reboot", "'@reboot'"),
        ("every_0_minutes", "'every_0_minutes'"),
        ("every_9999999_days", "'every_9999999_days'"),
        ("every_5_parsecs", "'every_5_parsecs'"),
        ("täglich", "'ä'"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
    ] {
        let error = error(schedule);
        assert!(error.contains(named) && error.contains("cron:0 0 * * *"), "{schedule:?}: {error}");
    }
    assert!(error(&"1".repeat(MAX_BYTES + 1)).contains("201 bytes"));
}

/// Texts near to schedules, where mistakes would be.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "cron:",
        "CRON_TZ=",
        "*",
        "*/5",
        "0",
        "59",
        "60",
        "7",
        "1-5",
        "5-1",
        "L",
        "15W",
        "MON#2",
        "5#L",
        "+1",
        "?",
        ",",
        "/",
        "-",
        "#",
        "@daily",
        "every_",
        "5_minutes",
        "Europe/Berlin",
        "Pacific/Apia",
        "UTC",
        "FEB",
        "30",
        "31",
    ]);
    let blank = prop::sample::select(vec!["", " ", "  "]);
    prop::collection::vec((piece, blank), 0..12)
        .prop_map(|parts| parts.into_iter().flat_map(|(piece, blank)| [piece, blank]).collect())
}

fn holds(text: &str, seconds: i64) -> Result<(), TestCaseError> {
    let Some(now) = DateTime::from_timestamp(seconds, 0) else { return Ok(()) };
    if let Ok(schedule) = Schedule::parse(text, None)
        && let Ok(next) = schedule.next_after(now)
    {
        prop_assert!(next > now, "{text:?}: {next} is not after {now}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,300}", seconds in 0i64..4_000_000_000) {
        holds(&text, seconds)?;
    }

    #[test]
    fn what_is_next_is_later(text in nearly(), seconds in 0i64..4_000_000_000) {
        holds(&text, seconds)?;
    }

    #[test]
    fn what_has_fields_is_next_and_later(
        minute in 0u32..60, hour in 0u32..24, weekday in 0u32..8,
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        seconds in 1_600_000_000i64..4_000_000_000,
    ) {
        let text = format!("cron:{minute} {hour} * * {weekday} {zone}");
        let schedule = Schedule::parse(&text, None).unwrap();
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = schedule.next_after(now).unwrap();
        prop_assert!(next > now && next - now < chrono::TimeDelta::days(9), "{text}: {next} after {now}");
    }
}
