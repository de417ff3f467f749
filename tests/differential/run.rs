//! The two ways to run: one connection alone, compared after every transaction; and everybody at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::Postgres;

use super::comparator::Comparator;
use super::journal::Journal;
use super::tables::Variant;
use super::upkeep::{self, Compactor};
use super::writer::Writer;

const WRITERS: usize = 5;
const COMPACTORS: usize = 2;

/// Where, what and for how long.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) postgres: &'a Postgres,
    pub(super) variant: Variant,
    /// The only table that is written to, if it is one.
    pub(super) only: Option<&'static str>,
    pub(super) seed: u64,
    pub(super) length: Duration,
    /// What has to happen, for which a run goes on beyond its length.
    pub(super) kinds: &'a [&'a str],
    pub(super) journal: &'a Journal,
}

/// On a busy machine, what must happen takes longer; how much longer is a failure.
const LONGEST: u32 = 12;

impl Scene<'_> {
    fn goes_on(&self, began: Instant) -> bool {
        let passed = began.elapsed();
        passed < self.length
            || passed < self.length * LONGEST && self.kinds.iter().any(|kind| self.journal.counted(kind) == 0)
    }
}

/// One transaction after the other, compared after each: what differs was made by the last. The seed repeats all of it.
pub(super) fn alone(scene: &Scene<'_>) -> Result<(), String> {
    let Scene { postgres, journal, .. } = *scene;
    let mut rng = Rng::with_seed(scene.seed);
    let mut writer = Writer::new(scene, 0, rng.fork(), true);
    let mut compactor = Compactor::new(postgres, rng.fork(), journal);
    let mut comparator = Comparator::new(postgres, rng.fork(), journal);
    comparator.compare()?;
    let began = Instant::now();
    while scene.goes_on(began) {
        writer.transaction()?;
        comparator.compare()?;
        if rng.u8(0..3) == 0 {
            match rng.u8(0..20) {
                0 => compactor.recount()?,
                _ => compactor.compact()?,
            }
            comparator.compare()?;
        }
    }
    Ok(())
}

/// Several writers, compactors and commands, and one who compares. The seed repeats what each does, not who is first.
pub(super) fn together(scene: &Scene<'_>) -> Result<(), String> {
    let Scene { postgres, journal, .. } = *scene;
    let mut rng = Rng::with_seed(scene.seed);
    let until = Until { scene, began: Instant::now(), failed: AtomicBool::new(false), why: Mutex::default() };
    let until = &until;
    thread::scope(|threads| {
        for name in 0..WRITERS {
            let rng = rng.fork();
            threads.spawn(move || {
                let mut writer = Writer::new(scene, name, rng, false);
                until.repeat(|| writer.transaction());
            });
        }
        for _ in 0..COMPACTORS {
            let mut compactor = Compactor::new(postgres, rng.fork(), journal);
            threads.spawn(move || until.repeat(|| compactor.compact().and_then(|()| compactor.rest())));
        }
        let mut comparator = Comparator::new(postgres, rng.fork(), journal);
        threads.spawn(move || until.repeat(|| comparator.compare()));
        let mut rng = rng.fork();
        threads.spawn(move || {
            until.repeat(|| upkeep::command(postgres, ["verify", "rebuild"][rng.usize(0..2)], journal));
        });
    });
    let why = until.why.lock().unwrap_or_else(PoisonError::into_inner).take();
    why.map_or(Ok(()), Err)
}

/// Until when, and what has gone wrong first.
struct Until<'a> {
    scene: &'a Scene<'a>,
    began: Instant,
    failed: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Until<'_> {
    fn repeat(&self, mut step: impl FnMut() -> Result<(), String>) {
        /// A thread that panics ends the others, too.
        struct Fail<'a>(&'a AtomicBool);
        impl Drop for Fail<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let _fail = Fail(&self.failed);
        while self.scene.goes_on(self.began) && !self.failed.load(Ordering::Relaxed) {
            if let Err(why) = step() {
                self.failed.store(true, Ordering::Relaxed);
                self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            }
        }
    }
}
