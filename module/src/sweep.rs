//! What a bundle counts as while whole databases are being cleared.
//!
//! Such a clear is done for every reader from its first moment, whatever the number of keys: until the search
//! for them has come round, each bundle that was not stored since it began counts as cleared. This file knows
//! what was stored since; `clearing` does the search.

use crate::config;
use crate::counts::{Count, count};
use engine::Stored;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::key::BundleId;
use wire::tenant::Tenant;

struct Open {
    db: i32,
    soft: bool,
    /// Stored since it began: with test data or without, and at the key with braces or the one without.
    since: HashSet<(Tenant, bool, bool)>,
    /// So many of those took the place of one that was to be cleared.
    replaced: u64,
}

impl Open {
    fn covers(&self, id: &BundleId, tagged: bool) -> bool {
        self.db == id.db && !self.since.contains(&(id.tenant.clone(), id.include, tagged))
    }
}

thread_local! {
    /// Read and changed on the server's main thread only.
    static OPEN: RefCell<BTreeMap<u64, Open>> = const { RefCell::new(BTreeMap::new()) };
}

/// How many there are: a hit looks at nothing else.
static COUNT: AtomicUsize = AtomicUsize::new(0);

#[inline]
fn none() -> bool {
    COUNT.load(Ordering::Relaxed) == 0
}

/// A clear of a whole database that is under way; it ends when this is dropped.
pub(crate) struct Sweep(u64);

impl Sweep {
    pub(crate) fn begin(db: i32, soft: bool) -> Self {
        COUNT.fetch_add(1, Ordering::Relaxed);
        OPEN.with_borrow_mut(|open| {
            let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
            open.insert(number, Open { db, soft, since: HashSet::new(), replaced: 0 });
            Self(number)
        })
    }

    /// The bundle at the key of this form is to be cleared: it was not stored since.
    pub(crate) fn covers(&self, id: &BundleId, tagged: bool) -> bool {
        OPEN.with_borrow(|open| open.get(&self.0).is_some_and(|open| open.covers(id, tagged)))
    }

    /// How many of its bundles had another stored in their place before they were found.
    pub(crate) fn replaced(&self) -> u64 {
        OPEN.with_borrow(|open| open.get(&self.0).map_or(0, |open| open.replaced))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        OPEN.with_borrow_mut(|open| open.remove(&self.0));
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a bundle that is stored as `stored` counts as. `id` is asked for only where there is a sweep.
#[inline]
pub(crate) fn regard(stored: Stored, id: impl FnOnce() -> Option<BundleId>) -> Stored {
    if none() { stored } else { regard_open(stored, id()) }
}

#[cold]
fn regard_open(stored: Stored, id: Option<BundleId>) -> Stored {
    let Some(id) = id else { return stored };
    let tagged = config::tagged();
    OPEN.with_borrow(|open| {
        open.values().filter(|sweep| sweep.covers(&id, tagged)).fold(stored, |stored, sweep| {
            if sweep.soft && stored != Stored::Absent { Stored::Changed } else { Stored::Absent }
        })
    })
}

/// A bundle has been stored, in the place of another where there is an `old` one: whether that was marked as
/// changed. True where that one was still to be cleared: the clients that hold it are to be told.
pub(crate) fn stored(id: &BundleId, old: Option<bool>) -> bool {
    if none() {
        return false;
    }
    OPEN.with_borrow_mut(|open| {
        let mut early = false;
        let tagged = config::tagged();
        for sweep in open.values_mut().filter(|sweep| sweep.covers(id, tagged)) {
            sweep.since.insert((id.tenant.clone(), id.include, tagged));
            // A soft one leaves its mark on what it has found.
            let replaced = old.is_some_and(|marked| !(sweep.soft && marked));
            if replaced {
                sweep.replaced += 1;
                count(if sweep.soft { Count::MarkedChanged } else { Count::Cleared });
            }
            early |= replaced;
        }
        early
    })
}

/// Two databases have changed places, and what is to be cleared with them.
pub(crate) fn swap(a: i32, b: i32) {
    OPEN.with_borrow_mut(|open| open.values_mut().for_each(|sweep| sweep.db = swapped(sweep.db, a, b)));
}

/// Where the database `db` is after `a` and `b` have changed places.
pub(crate) fn swapped(db: i32, a: i32, b: i32) -> i32 {
    match db {
        db if db == a => b,
        db if db == b => a,
        db => db,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Stored = Stored::Fresh { age: 1 };

    fn bundle(db: i32, name: &str) -> BundleId {
        BundleId { db, tenant: Tenant::new(name.as_bytes()).unwrap(), include: true }
    }

    fn regarded(id: &BundleId) -> Stored {
        regard(FRESH, || Some(id.clone()))
    }

    // Each test has a thread of its own, and so its own sweeps; the count alone is shared, and only ever makes
    // a reader look.
    #[test]
    fn what_was_there_counts_as_cleared_and_what_is_stored_since_does_not() {
        let (a, b) = (bundle(0, "a"), bundle(0, "b"));
        let sweep = Sweep::begin(0, false);
        assert_eq!(regarded(&a), Stored::Absent);
        assert_eq!(regarded(&bundle(1, "a")), FRESH, "another database");
        assert!(stored(&a, Some(false)), "it took the place of one that was to be cleared");
        assert!(!stored(&a, Some(false)), "and the second does not");
        assert_eq!((regarded(&a), regarded(&b)), (FRESH, Stored::Absent));
        assert!(!stored(&bundle(0, "c"), None), "it was not there, or has been removed");
        assert_eq!(sweep.replaced(), 1);
        assert!(!sweep.covers(&a, false) && sweep.covers(&b, false));
        assert!(sweep.covers(&a, true), "its old bundle, at the other form of the key");
        drop(sweep);
        assert_eq!(regarded(&b), FRESH);
    }

    #[test]
    fn a_soft_one_leaves_a_fallback_and_a_hard_one_beside_it_does_not() {
        let a = bundle(0, "a");
        let soft = Sweep::begin(0, true);
        assert_eq!(regarded(&a), Stored::Changed);
        assert_eq!(regard(Stored::Absent, || Some(a.clone())), Stored::Absent);
        assert!(!stored(&bundle(0, "found"), Some(true)), "what has its mark has been counted");
        assert!(stored(&bundle(0, "not-yet"), Some(false)));
        assert_eq!(soft.replaced(), 1);
        let _hard = Sweep::begin(0, false);
        assert_eq!(regarded(&a), Stored::Absent);
    }

    #[test]
    fn a_sweep_follows_its_database() {
        let _sweep = Sweep::begin(0, false);
        swap(0, 3);
        assert_eq!(regarded(&bundle(0, "a")), FRESH);
        assert_eq!(regarded(&bundle(3, "a")), Stored::Absent);
    }
}
