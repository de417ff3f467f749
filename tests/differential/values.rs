//! What a column may hold, as SQL text: everything that a figure treats in a way of its own, and its neighbours.

use fastrand::Rng;

use crate::figures::{EMPTY, ONE, OTHER};

/// Has no row in `tenant`, ever.
pub(super) const UNKNOWN: &str = "44444444-4444-4444-8444-444444444444";
/// Has a row in `tenant` now and then.
pub(super) const PASSING: &str = "55555555-5555-4555-8555-555555555555";

/// Has the id under which the counters of all together are kept.
pub(super) const COLLIDING: &str = "5a6d7e1c-93f2-4c0b-8b1e-2f40a9d7c3e8";

pub(super) const ALL_TENANTS: &str = "SUPERADMIN_GLOBAL";

/// Everybody for whom a bundle can be asked, and some for whom there is none.
pub(super) const ASKED: [&str; 8] =
    [ONE, OTHER, EMPTY, UNKNOWN, PASSING, COLLIDING, ALL_TENANTS, "no tenant at all"];

pub(super) fn pick<'a>(rng: &mut Rng, choices: &[&'a str]) -> &'a str {
    choices[rng.usize(0..choices.len())]
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The first digit of an id, which says in which partition its row lies.
pub(super) type Digits = std::ops::Range<u8>;

/// The id of a row that may exist: of so few, in every partition, that writers meet on the same rows.
pub(super) fn pooled_id(rng: &mut Rng, digits: &Digits) -> String {
    format!("'{:x}0000000-0000-4000-8000-{:012}'", rng.u8(digits.clone()), rng.u8(0..3))
}

pub(super) fn id(rng: &mut Rng, digits: &Digits) -> String {
    if rng.u8(0..3) > 0 {
        pooled_id(rng, digits)
    } else {
        let (digit, rest) = (rng.u8(digits.clone()), rng.u64(..));
        format!("'{digit:x}{:07x}-0000-4000-9000-{:012x}'", rest >> 36, rest & 0xffff_ffff_ffff)
    }
}

pub(super) fn tenant(rng: &mut Rng) -> String {
    match rng.u8(0..20) {
        0..9 => quoted(ONE),
        9..14 => quoted(OTHER),
        14 => quoted(EMPTY),
        15..17 => quoted(PASSING),
        17 if rng.bool() => quoted(UNKNOWN),
        17 => quoted(COLLIDING),
        _ => "NULL".to_owned(),
    }
}

pub(super) fn test(rng: &mut Rng) -> String {
    pick(rng, &["NULL", "true", "false", "false"]).to_owned()
}

pub(super) fn stage(rng: &mut Rng) -> String {
    let stages = [
        "NULL",
        "'prospecting'",
        "'qualification'",
        "'proposal'",
        "'negotiation'",
        "'won'",
        "'closed_won'",
        "'closedwon'",
        "'lost'",
        "'closed_lost'",
        "'closedlost'",
        "'WON'",
        "''",
        "' won'",
        "'on hold'",
    ];
    pick(rng, &stages).to_owned()
}

pub(super) fn status(rng: &mut Rng) -> String {
    let statuses = ["NULL", "'new'", "'new'", "'converted'", "'lost'", "'Lost'", "''", "'qualified'"];
    pick(rng, &statuses).to_owned()
}

/// In the range of numeric(15,2), so that it fits either variant of the tables.
pub(super) fn amount(rng: &mut Rng) -> String {
    match rng.u8(0..10) {
        0 => "NULL".to_owned(),
        1 => "'NaN'".to_owned(),
        2 => "9999999999999.99".to_owned(),
        3 => "-9999999999999.99".to_owned(),
        4 => "0.00".to_owned(),
        5 => format!("-{}.{:02}", rng.u32(0..1000), rng.u32(0..100)),
        _ => format!("{}.{:02}", rng.u32(0..100_000), rng.u32(0..100)),
    }
}

/// Where the column takes every numeric.
pub(super) fn any_amount(rng: &mut Rng) -> String {
    match rng.u8(0..12) {
        0 => "'Infinity'".to_owned(),
        1 => "'-Infinity'".to_owned(),
        2 => format!("{}e{}", rng.u32(1..1000), rng.u32(20..120)),
        3 => format!("0.{:0>40}", rng.u32(..)),
        4 => "1.000000".to_owned(),
        _ => amount(rng),
    }
}

pub(super) fn source(rng: &mut Rng) -> String {
    match rng.u8(0..16) {
        0 => "NULL".to_owned(),
        1 => "''".to_owned(),
        2 => "' '".to_owned(),
        3 => "'other'".to_owned(),
        4 => quoted("O'Hara \"said\" \\ no"),
        5 => quoted("ä"),
        6 => quoted("a\u{308}"),
        7 => quoted("🦀\n\t"),
        8 => "'NULL'".to_owned(),
        // Hardly compressible, and near the longest that the index of V2's statement takes.
        9 => format!(
            "(SELECT string_agg(md5(n::text), '') FROM generate_series({0}, {0} + 70) n)",
            rng.u8(0..3)
        ),
        10 => format!("'source {}'", rng.u8(0..30)),
        _ => pick(rng, &["'website'", "'referral'", "'Website'"]).to_owned(),
    }
}

/// Where no index stands in the way.
pub(super) fn long_source(rng: &mut Rng) -> String {
    let first = rng.u8(0..3);
    format!("(SELECT string_agg(md5(n::text), '') FROM generate_series({first}, {first} + 1000) n)")
}

/// Around every edge that a window of 30 days has: to the microsecond, as UTC days, and soon to come.
pub(super) fn moment(rng: &mut Rng) -> String {
    const EDGE: &str = "now() - interval '30 days'";
    let midnight = format!("date_trunc('day', {EDGE}, 'UTC')");
    match rng.u8(0..20) {
        0 | 1 => "NULL".to_owned(),
        2 => "'infinity'".to_owned(),
        3 => "'-infinity'".to_owned(),
        4 => pick(rng, &["'294276-12-31 23:59:59.999999+00'", "'4713-01-01 00:00:00+00 BC'"]).to_owned(),
        5 => "now() + interval '1 year'".to_owned(),
        6 => format!("{EDGE} + interval '{} us'", rng.i8(-1..=1)),
        // It leaves the window while the run goes on.
        7 | 8 => format!("{EDGE} + interval '{} ms'", rng.u32(0..4000)),
        9 => format!("{midnight} + interval '{} us'", rng.i8(-1..=1)),
        10 => format!("{midnight} + interval '1 day {} us'", rng.i8(-1..=1)),
        11 | 12 => format!("{midnight} + interval '{} s'", rng.u32(0..86_400)),
        13 => format!(
            "date_trunc('day', now(), 'UTC') + interval '{} days {} us'",
            rng.i8(-45..=12),
            rng.i8(-1..=1)
        ),
        14 => "now()".to_owned(),
        15 => "'2024-02-29 23:59:59.999999+14'".to_owned(),
        _ => format!("now() - interval '{} minutes'", rng.u32(0..60 * 24 * 60)),
    }
}

pub(super) fn word(rng: &mut Rng) -> String {
    format!("'word {}'", rng.u8(..))
}
