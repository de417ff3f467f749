//! Counters against tables: random transactions of several writers, compactions between them, and a comparison of
//! both ways of computing a bundle, byte for byte in one snapshot, again and again.
//!
//! `make test` does so for some seconds with a new seed, which is printed. `SEED=n` has everybody do the same again; with
//! one writer alone, that is the same run, with several, who comes first is the machine's. `SOAK=10m` goes on for so long,
//! with seed after seed.
//!
//! - [`values`], [`tables`], [`statements`]: what is written
//! - [`writer`], [`upkeep`]: the transactions, and what is done to the counters meanwhile
//! - [`comparator`]: what must be the same
//! - [`run`], [`journal`]: who does it all, and what is kept of it for the message of a failure
//! - [`planted`]: faults that must be found, as a comparison that has never found one is not to be trusted

mod comparator;
mod faults;
mod interleavings;
mod journal;
mod planted;
mod run;
mod statements;
mod tables;
mod upkeep;
mod values;
mod writer;

use std::io::Write as _;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::Postgres;

use crate::figures::{EMPTY, ONE, OTHER, assert_every_figure};
use journal::Journal;
use run::Scene;
use statements::KINDS;
use tables::Variant;

/// How long `make test` spends on a run, and a soak on a round of it.
const LENGTH: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_secs(30);

/// What has to happen, beside all kinds of statements: a run in which nothing happens would prove nothing.
const EVENTS: [&str; 11] = [
    "committed",
    "rolled back",
    "savepoints rolled back",
    "READ COMMITTED",
    "REPEATABLE READ",
    "SERIALIZABLE",
    "compactions",
    "compactions taken back",
    "comparisons",
    "unchanged bundles",
    "counters verify",
];

type Run = fn(&Scene<'_>) -> Result<(), String>;

#[test]
fn counters_say_what_the_tables_say_after_every_transaction() {
    for_each_seed("alone", run::alone, &["recounts"]);
}

#[test]
fn counters_say_what_the_tables_say_while_everybody_writes() {
    for_each_seed("together", run::together, &["long transactions", "counters rebuild"]);
}

fn for_each_seed(name: &str, run: Run, own_kinds: &[&str]) {
    let soak = std::env::var("SOAK").ok();
    let soak = soak.map(|text| humantime::parse_duration(&text).expect("SOAK is like 10m"));
    let given = std::env::var("SEED").ok().map(|text| text.parse::<u64>().expect("SEED is a number"));
    let kinds = [&KINDS[..], own_kinds].concat();
    let began = Instant::now();
    let mut seed = given.unwrap_or_else(|| fastrand::u64(..));
    loop {
        for variant in [Variant::Plain, Variant::Grown] {
            // Not through the test's captured output: it is wanted while the run goes on, and when it is killed.
            let _ = writeln!(std::io::stderr(), "differential, {name}, {variant:?}: SEED={seed}");
            let postgres = tables::create(variant);
            let (journal, length) = (Journal::default(), soak.map_or(LENGTH, |_| ROUND));
            let scene = Scene {
                postgres: &postgres,
                variant,
                only: None,
                seed,
                length,
                kinds: &kinds,
                journal: &journal,
            };
            let result = run(&scene).and_then(|()| all_is_well(&postgres, seed, &journal));
            if let Err(why) = result {
                panic!("SEED={seed}, {name}, {variant:?}: {why}\nThe last transactions:\n{}", journal.last());
            }
            let counts = journal.counts();
            let _ = writeln!(std::io::stderr(), "differential, {name}, {variant:?}: {counts}");
            for kind in kinds.iter().chain(&EVENTS) {
                assert!(
                    journal.counted(kind) > 0,
                    "SEED={seed}, {name}, {variant:?}: no {kind} among {counts}"
                );
            }
        }
        if soak.is_none_or(|soak| began.elapsed() >= soak) {
            break;
        }
        seed = Rng::with_seed(seed).u64(..);
    }
}

/// At rest, with deltas and without: also what separate SELECTs say, and nothing is left to repair.
fn all_is_well(postgres: &Postgres, seed: u64, journal: &Journal) -> Result<(), String> {
    let mut comparator = comparator::Comparator::new(postgres, Rng::with_seed(seed), journal);
    comparator.compare()?;
    let mut client = postgres.client();
    client
        .batch_execute("SET timezone = 'UTC'; SELECT dashboard.compact(1000000)")
        .expect("deltas are merged");
    comparator.compare()?;
    // The time of day is the transaction's.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").expect("a snapshot");
    for tenant in [ONE, OTHER, EMPTY, "SUPERADMIN_GLOBAL"] {
        for include in [true, false] {
            let row = client.query_one("SELECT dashboard.bundle($1, $2)::text", &[&tenant, &include]);
            assert_every_figure(&mut client, row.expect("a bundle").get(0), tenant, include);
        }
    }
    client.batch_execute("COMMIT").expect("it has only read");
    upkeep::command(postgres, "verify", journal)
}
