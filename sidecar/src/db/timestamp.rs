//! A moment as Postgres writes it in JSON, in UTC.
//!
//! By hand because Postgres' years go from 4713 BC to 294276, past those of the libraries for dates.

use std::io::Write;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
/// Days from the first of March of the year 0 to the first of January 2000, from which Postgres counts.
const EPOCH: i64 = 730_425;
/// Days of four hundred years, after which the calendar begins anew.
const CYCLE: i64 = 146_097;

/// Appends a `timestamptz` as it is sent: microseconds since 2000, or one of the infinities.
pub(super) fn write(micros: i64, json: &mut Vec<u8>) {
    match micros {
        i64::MAX => return json.extend_from_slice(b"\"infinity\""),
        i64::MIN => return json.extend_from_slice(b"\"-infinity\""),
        _ => {}
    }
    let (seconds, micros) = (micros.div_euclid(MICROS_A_SECOND), micros.rem_euclid(MICROS_A_SECOND));
    let (days, second) = (seconds.div_euclid(SECONDS_A_DAY), seconds.rem_euclid(SECONDS_A_DAY));
    let (year, month, day) = date(days);
    let (shown_year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing into memory does not fail.
    let _written = write!(json, "\"{shown_year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if micros != 0 {
        let _written = write!(json, ".{micros:06}");
        while json.last() == Some(&b'0') {
            json.pop();
        }
    }
    let _written = write!(json, "+00:00{era}\"");
}

/// Year, month and day, so many days after the first of January 2000. Years begin in March here, so that the day
/// that some have more is their last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let january_or_february = month >= 10;
    let month = if january_or_february { month - 9 } else { month + 3 };
    (cycle * 400 + year + i64::from(january_or_february), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(micros: i64) -> String {
        let mut json = Vec::new();
        write(micros, &mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn moments_are_spelled_as_postgres_does() {
        for (micros, json) in [
            (0, "2000-01-01T00:00:00+00:00"),
            (-1, "1999-12-31T23:59:59.999999+00:00"),
            (500_000, "2000-01-01T00:00:00.5+00:00"),
            (120, "2000-01-01T00:00:00.00012+00:00"),
            (5_097_599_000_000, "2000-02-28T23:59:59+00:00"),
            (5_097_600_000_000, "2000-02-29T00:00:00+00:00"),
            (5_184_000_000_000, "2000-03-01T00:00:00+00:00"),
            (-63_082_281_600_000_000, "0001-01-01T00:00:00+00:00"),
            (-63_082_281_600_000_001, "0001-12-31T23:59:59.999999+00:00 BC"),
            (-211_813_488_000_000_000, "4714-11-24T00:00:00+00:00 BC"),
            (252_455_616_000_000_000, "10000-01-01T00:00:00+00:00"),
            (9_223_371_331_199_999_999, "294276-12-31T23:59:59.999999+00:00"),
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
        ] {
            assert_eq!(written(micros), format!("\"{json}\""), "{micros}");
        }
    }

    #[test]
    fn dates_are_those_of_a_calendar_for_four_hundred_years() {
        let mut expected = chrono::NaiveDate::from_ymd_opt(1900, 1, 1).unwrap();
        for days in -36_524..CYCLE {
            assert_eq!(written(days * SECONDS_A_DAY * MICROS_A_SECOND)[1..11], expected.to_string());
            expected = expected.succ_opt().unwrap();
        }
    }
}
