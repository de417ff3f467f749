//! When things happen in a business: more from year to year, on weekdays, in office hours.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, Utc, Weekday};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// How many days a tenant's rows may span, and the day before which all of them lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calendar {
    pub(super) today: NaiveDate,
    pub(super) age_days: u32,
}

impl Calendar {
    /// A moment of work, in UTC.
    pub(super) fn moment(self, rng: &mut ChaCha8Rng) -> DateTime<Utc> {
        // The density grows with the square root of time: the last month has three times the first quarter's pace.
        let elapsed = rng.random::<f64>().powf(0.65) * f64::from(self.age_days);
        let days_back = (i64::from(self.age_days) - elapsed as i64).max(1);
        let mut day = self.today - Duration::days(days_back);
        if matches!(day.weekday(), Weekday::Sat | Weekday::Sun) && !rng.random_bool(0.12) {
            // To one of the five working days before.
            let since_friday = i64::from(day.weekday().num_days_from_monday()) - 4;
            day -= Duration::days(since_friday + rng.random_range(0..5));
        }
        // The day's middle lies at 13:30, most of the work within four hours around it; some never sleep.
        let seconds = if rng.random_bool(0.06) {
            rng.random_range(0..86_400)
        } else {
            ((13.5 + 2.2 * rng.sample::<f64, _>(StandardNormal)) * 3_600.0).clamp(0.0, 86_399.0) as i64
        };
        day.and_time(NaiveTime::MIN).and_utc()
            + Duration::seconds(seconds)
            + Duration::microseconds(rng.random_range(0..1_000_000))
    }

    /// Some time after `earlier`, a fortnight on average, and not in the future.
    pub(super) fn later(self, rng: &mut ChaCha8Rng, earlier: DateTime<Utc>) -> DateTime<Utc> {
        let days = -14.0 * (1.0 - rng.random::<f64>()).ln();
        let end = self.today.and_time(NaiveTime::MIN).and_utc() - Duration::microseconds(1);
        (earlier + Duration::milliseconds((days * 86_400_000.0) as i64)).min(end)
    }

    /// How old a moment is, in days.
    pub(super) fn age(self, moment: DateTime<Utc>) -> i64 {
        (self.today - moment.date_naive()).num_days()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    fn calendar(age_days: u32) -> Calendar {
        Calendar { today: NaiveDate::from_ymd_opt(2026, 3, 14).unwrap(), age_days }
    }

    proptest! {
        #[test]
        fn nothing_happens_today_or_long_before_the_tenant(seed: u64, age_days in 1u32..1_095) {
            let calendar = calendar(age_days);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let moment = calendar.moment(&mut rng);
            let later = calendar.later(&mut rng, moment);
            // A weekend moves back by up to six days.
            prop_assert!((1..=i64::from(age_days) + 6).contains(&calendar.age(moment)), "{}", moment);
            prop_assert!(later >= moment && calendar.age(later) >= 1);
        }
    }

    #[test]
    fn business_grows_and_keeps_office_hours() {
        let calendar = calendar(1_095);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let moments: Vec<_> = (0..5_000).map(|_| calendar.moment(&mut rng)).collect();
        let share = |of: &dyn Fn(&DateTime<Utc>) -> bool| {
            moments.iter().filter(|moment| of(moment)).count() as f64 / moments.len() as f64
        };
        let weekend = share(&|moment| moment.weekday().num_days_from_monday() >= 5);
        let office = share(&|moment| (8..19).contains(&chrono::Timelike::hour(moment)));
        let last_year = share(&|moment| calendar.age(*moment) <= 365);
        let first_year = share(&|moment| calendar.age(*moment) > 730);
        assert!(weekend < 0.08, "{weekend}");
        assert!(office > 0.85, "{office}");
        assert!(last_year > 2.0 * first_year, "{last_year} {first_year}");
    }
}
