//! The arguments of GET, CLEAR, WARM and FEED: one argument a line, in which a zero byte stands for a line break.

use super::{assert_one_line, is_tenant};
use crate::args::{TenantsAndWords, key_positions};
use crate::commands::{clear, feed, get, warm};
use std::collections::{BTreeMap, BTreeSet};

/// - What is accepted is what the grammar says, no more and no less: tenants that are tenants, options each
///   once, nothing left over.
/// - The positions that the server is told to be keys are those of the tenants that the command reads.
/// - What is refused is refused in one short line.
pub fn check(data: &[u8]) {
    let lines = data.split(|b| *b == b'\n');
    let args: Vec<Vec<u8>> =
        lines.map(|line| line.iter().map(|b| if *b == 0 { b'\n' } else { *b }).collect()).collect();
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    check_get(&args);
    check_tenants(&args, clear::WORDS);
    check_tenants(&args, warm::WORDS);
    check_feed(&args);
}

fn check_feed(args: &[&[u8]]) {
    let meant = match args {
        [_, off] if off.eq_ignore_ascii_case(b"off") => Some(feed::Word::Off),
        [_, lag, period] => meant_by_following(lag, period, None),
        [_, lag, period, option, position] if option.eq_ignore_ascii_case(b"position") => {
            std::str::from_utf8(position)
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|position: &u64| i64::try_from(*position).is_ok())
                .and_then(|position| meant_by_following(lag, period, Some(position)))
        }
        _ => None,
    };
    match (feed::parse(args.iter().copied()), meant) {
        (Ok(read), Some(meant)) => assert_eq!(read, meant),
        (Err(error), None) => assert_one_line(&error.to_string()),
        (read, meant) => panic!("read as {read:?}, where {meant:?} is meant"),
    }
}

fn meant_by_following(lag: &[u8], period: &[u8], position: Option<u64>) -> Option<feed::Word> {
    let (lag, period) = milliseconds(lag).zip(milliseconds(period).filter(|period| *period <= 86_400_000))?;
    Some(feed::Word::Follows { lag, period, position })
}

fn check_get(args: &[&[u8]]) {
    match (get::parse(args.iter().copied()), meant_by_get(args)) {
        (Ok(read), Some(meant)) => assert_eq!(read, meant),
        (Err(error), None) => assert_one_line(&error.to_string()),
        (read, meant) => panic!("read as {read:?}, where {meant:?} is meant"),
    }
}

/// The grammar of GET once more, by table.
fn meant_by_get<'a>(args: &[&'a [u8]]) -> Option<(&'a [u8], bool, get::Options<'a>)> {
    let [_, tenant, rest @ ..] = args else { return None };
    let mut rest = rest;
    let mut found: BTreeMap<Vec<u8>, &[u8]> = BTreeMap::new();
    while let [word, tail @ ..] = rest {
        let word = word.to_ascii_uppercase();
        let takes_a_value = match &word[..] {
            b"INCLUDE" | b"MAXAGE" | b"IFNONEMATCH" => true,
            b"REFRESH" | b"WITHMETA" | b"NOWAIT" => false,
            _ => return None,
        };
        let (value, tail) = if takes_a_value { tail.split_first()? } else { (tenant, tail) };
        if found.insert(word, *value).is_some() {
            return None;
        }
        rest = tail;
    }
    let include = match found.get(&b"INCLUDE"[..]).map(|value| value.to_ascii_lowercase()).as_deref() {
        None | Some(b"true") => true,
        Some(b"false") => false,
        Some(_) => return None,
    };
    let mut max_age = match found.get(&b"MAXAGE"[..]) {
        Some(given) => Some(milliseconds(given)?),
        None => None,
    };
    if found.contains_key(&b"REFRESH"[..]) {
        max_age = Some(0);
    }
    let if_none_match = found.get(&b"IFNONEMATCH"[..]).copied();
    let no_wait = found.contains_key(&b"NOWAIT"[..]);
    let with_meta = found.contains_key(&b"WITHMETA"[..]);
    is_tenant(tenant).then_some((
        tenant,
        include,
        get::Options { max_age, no_wait, if_none_match, with_meta },
    ))
}

fn milliseconds(given: &[u8]) -> Option<u64> {
    let digits = given.iter().map(|b| char::from(*b).to_digit(10).map(u128::from));
    let number = digits.collect::<Option<Vec<_>>>().filter(|digits| !digits.is_empty())?;
    let number = number.iter().fold(0_u128, |sum, digit| (sum * 10 + digit).min(1 << 64));
    u64::try_from(number).ok().filter(|n| *n <= 9_007_199_254_740_991)
}

fn check_tenants<const N: usize>(args: &[&[u8]], words: [&str; N]) {
    let is = |arg: &[u8], word: &str| arg.to_ascii_uppercase() == word.as_bytes();
    let is_word = |arg: &[u8]| words.iter().any(|word| is(arg, word));
    let positions: Vec<usize> = key_positions(args.iter().copied(), &words).collect();
    let expected = (1..args.len()).filter(|at| !is_word(args[*at]));
    assert!(positions.iter().copied().eq(expected), "keys at {positions:?}");

    let mut seen = BTreeSet::new();
    let tenants: Vec<&[u8]> =
        positions.iter().map(|at| args[*at]).filter(|tenant| seen.insert(*tenant)).collect();
    let counts = words.map(|word| args.iter().skip(1).filter(|arg| is(arg, word)).count());
    let right = tenants.iter().all(|tenant| is_tenant(tenant))
        && tenants.len() <= 1000
        && counts.iter().all(|count| *count <= 1);
    match TenantsAndWords::parse(args.iter().copied(), words) {
        Ok(read) => {
            assert!(right, "accepted: {:?} {:?}", read.tenants, read.words);
            let read_tenants = read.tenants.iter().map(|tenant| tenant.as_str().as_bytes());
            assert!(read_tenants.eq(tenants), "tenants {:?} at {positions:?}", read.tenants);
            assert_eq!(read.words, counts.map(|count| count == 1));
        }
        Err(error) => {
            assert!(!right, "refused: {error}");
            assert_one_line(&error.to_string());
        }
    }
}
