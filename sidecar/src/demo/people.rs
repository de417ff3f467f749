//! What people do: where leads come from, how they end, which stage a deal has reached, what it is worth.
//! Distributions over values of single columns; [`super::tables`] makes rows of them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// A choice by weight, whatever the weights sum up to; `otherwise` when there is nothing to choose from.
pub(super) fn weighted<T: Copy>(rng: &mut ChaCha8Rng, otherwise: T, choices: &[(u32, T)]) -> T {
    let total: u32 = choices.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.random_range(0..total.max(1));
    for (weight, choice) in choices {
        if left < *weight {
            return *choice;
        }
        left -= weight;
    }
    otherwise
}

/// `is_test_data`: nearly all is real, and part of it was written before the column existed.
pub(super) fn is_test_data(rng: &mut ChaCha8Rng) -> Option<bool> {
    weighted(rng, Some(false), &[(955, Some(false)), (30, Some(true)), (15, None)])
}

/// `leads.source`; the empty one is what a form sends whose field was left alone.
pub(super) fn source(rng: &mut ChaCha8Rng) -> Option<&'static str> {
    const SOURCES: &[(u32, Option<&str>)] = &[
        (30, Some("website")),
        (18, Some("referral")),
        (12, Some("email")),
        (10, Some("linkedin")),
        (8, Some("event")),
        (6, Some("cold_call")),
        (5, Some("partner")),
        (5, Some("ads")),
        (2, Some("")),
        (4, None),
    ];
    weighted(rng, None, SOURCES)
}

/// `leads.status`: young leads are open, old ones are decided.
pub(super) fn lead_status(rng: &mut ChaCha8Rng, age_days: i64) -> Option<&'static str> {
    const YOUNG: &[(u32, Option<&str>)] = &[
        (50, Some("new")),
        (28, Some("contacted")),
        (13, Some("qualified")),
        (5, Some("lost")),
        (3, Some("converted")),
        (1, None),
    ];
    const OLD: &[(u32, Option<&str>)] = &[
        (5, Some("new")),
        (8, Some("contacted")),
        (10, Some("qualified")),
        (6, Some("nurturing")),
        (43, Some("lost")),
        (27, Some("converted")),
        (1, None),
    ];
    weighted(rng, None, if age_days < 45 { YOUNG } else { OLD })
}

/// `opportunities.stage` with its `probability`. Won and lost come in the spellings that years of imports leave.
pub(super) fn stage(rng: &mut ChaCha8Rng, age_days: i64) -> (Option<&'static str>, Option<i32>) {
    type Stage = (Option<&'static str>, Option<i32>);
    const OPEN: &[(u32, Stage)] = &[
        (30, (Some("prospecting"), Some(10))),
        (30, (Some("qualification"), Some(25))),
        (23, (Some("proposal"), Some(50))),
        (15, (Some("negotiation"), Some(75))),
        (1, (Some("on_hold"), None)),
        (1, (None, None)),
    ];
    const DECIDED: &[(u32, Stage)] = &[
        (34, (Some("closed_won"), Some(100))),
        (8, (Some("won"), Some(100))),
        (4, (Some("closedwon"), Some(100))),
        (40, (Some("closed_lost"), Some(0))),
        (9, (Some("lost"), Some(0))),
        (5, (Some("closedlost"), Some(0))),
    ];
    let decided = if age_days < 60 { 0.2 } else { 0.85 };
    let stages = if rng.random_bool(decided) { DECIDED } else { OPEN };
    weighted(rng, (None, None), stages)
}

/// `opportunities.amount` in cents: log-normal around 9,000, half of them round numbers, some unknown.
pub(super) fn amount_cents(rng: &mut ChaCha8Rng) -> Option<i64> {
    if rng.random_bool(0.03) {
        return None;
    }
    let amount = (9.1 + 1.1 * rng.sample::<f64, _>(StandardNormal)).exp().clamp(50.0, 5_000_000.0);
    let cents = (amount * 100.0) as i64;
    Some(if rng.random_bool(0.5) { cents / 10_000 * 10_000 } else { cents })
}

/// `activities.type`.
pub(super) fn activity_type(rng: &mut ChaCha8Rng) -> &'static str {
    weighted(rng, "note", &[(34, "call"), (33, "email"), (15, "meeting"), (12, "task"), (6, "note")])
}

/// `activities.status`.
pub(super) fn activity_status(rng: &mut ChaCha8Rng, age_days: i64) -> Option<&'static str> {
    let open = if age_days < 14 { 45 } else { 6 };
    weighted(
        rng,
        None,
        &[(open, Some("planned")), (80, Some("completed")), (6, Some("cancelled")), (2, None)],
    )
}

/// One of the team, or nobody yet.
pub(super) fn assignee<'a>(rng: &mut ChaCha8Rng, team: &'a [String]) -> Option<&'a str> {
    // Whoever joined first has most on the desk.
    let place = (rng.random::<f64>().powi(2) * team.len() as f64) as usize;
    if rng.random_bool(0.08) { None } else { team.get(place).map(String::as_str) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;

    fn draw<T: Ord>(mut value: impl FnMut(&mut ChaCha8Rng) -> T) -> BTreeMap<T, u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen = BTreeMap::new();
        for _ in 0..20_000 {
            *seen.entry(value(&mut rng)).or_default() += 1;
        }
        seen
    }

    #[test]
    fn all_stages_occur_in_all_spellings_and_as_null() {
        let mut seen = draw(|rng| stage(rng, 10).0);
        seen.extend(draw(|rng| stage(rng, 500).0));
        for spelling in
            ["prospecting", "qualification", "proposal", "negotiation", "closed_won", "won", "closedwon"]
        {
            assert!(seen.contains_key(&Some(spelling)), "{spelling}");
        }
        assert!(seen.contains_key(&Some("closedlost")) && seen.contains_key(&None));
    }

    #[test]
    fn sources_and_test_flags_include_what_is_easily_forgotten() {
        let sources = draw(source);
        assert!(sources.contains_key(&Some("")) && sources.contains_key(&None));
        assert_eq!(draw(is_test_data).len(), 3);
    }

    #[test]
    fn weights_are_kept_to() {
        let seen = draw(|rng| weighted(rng, 'x', &[(1, 'a'), (3, 'b')]));
        assert_eq!(seen.keys().copied().collect::<String>(), "ab");
        assert!((4_700..5_300).contains(&seen[&'a']), "{seen:?}");
    }

    #[test]
    fn amounts_lean_to_the_small_with_a_long_tail() {
        let mut amounts: Vec<_> =
            draw(amount_cents).into_iter().flat_map(|(a, n)| vec![a; n as usize]).flatten().collect();
        amounts.sort_unstable();
        let median = amounts[amounts.len() / 2];
        let mean = amounts.iter().sum::<i64>() / amounts.len() as i64;
        assert!((700_000..1_100_000).contains(&median), "{median}");
        assert!(mean > median * 3 / 2, "{mean} {median}");
    }
}
