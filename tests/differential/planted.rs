//! Faults, planted into the functions that a database has, each of which the comparison must find.

use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::Postgres;

use super::comparator::Comparator;
use super::faults::FAULTS;
use super::journal::Journal;
use super::run::{self, Scene};
use super::tables::{self, Variant};

/// A fault that is not found by then never is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same each time, so that what is found with one connection is found again.
const SEED: u64 = 1;

pub(super) enum Plant {
    /// In the functions of this name, this text becomes that, however often it is there.
    Text(&'static str, &'static str, &'static str),
    /// A statement, such as one that drops a trigger.
    Statement(&'static str),
}

pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) variant: Variant,
    /// The table that it is about, which chance need not find first.
    pub(super) only: Option<&'static str>,
    /// Whether it takes several connections at once to show.
    pub(super) race: bool,
    pub(super) plants: &'static [Plant],
}

fn plant(postgres: &Postgres, plant: &Plant) {
    let (function, from, to) = match plant {
        Plant::Statement(sql) => return postgres.execute(sql),
        Plant::Text(function, from, to) => (function, from, to),
    };
    let mut client = postgres.client();
    let sql = "SELECT pg_get_functiondef(oid) FROM pg_proc
               WHERE pronamespace = 'dashboard'::regnamespace AND proname = $1";
    let rows = client.query(sql, &[function]).expect("pg_proc");
    let mut found = 0;
    for row in rows {
        let definition: String = row.get(0);
        found += definition.matches(from).count();
        client.batch_execute(&definition.replace(from, to)).unwrap_or_else(|e| panic!("{function}: {e:?}"));
    }
    // Counters answer also where dashboard.bundle has another length than it had.
    client.batch_execute("CREATE OR REPLACE FUNCTION dashboard.bundle_is_ours() RETURNS boolean LANGUAGE sql AS 'SELECT true'").expect("it is replaced");
    assert!(found > 0, "no {from:?} in dashboard.{function}");
}

#[test]
fn every_planted_fault_is_found() {
    let mut missed = Vec::new();
    for fault in FAULTS {
        let postgres = tables::create(fault.variant);
        let journal = Journal::default();
        let sound = Comparator::new(&postgres, Rng::with_seed(SEED), &journal).compare();
        assert!(sound.is_ok(), "before {} is planted: {sound:?}", fault.name);
        for text in fault.plants {
            plant(&postgres, text);
        }
        let began = Instant::now();
        let run = if fault.race { run::together } else { run::alone };
        let found = run(&Scene {
            postgres: &postgres,
            variant: fault.variant,
            only: fault.only,
            seed: SEED,
            length: PATIENCE,
            kinds: &[],
            journal: &journal,
        });
        let how = format!(
            "after {} transactions, {:.1} s",
            journal.counted("transactions"),
            began.elapsed().as_secs_f32()
        );
        match found {
            Err(what) => println!("{}: found {how}: {what:.150}", fault.name),
            Ok(()) => missed.push(format!("{}: not found {how}", fault.name)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
