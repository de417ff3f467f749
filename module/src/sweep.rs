//! What a bundle counts as while whole databases are being cleared.
//!
//! Such a clear is done for every reader from its first moment, whatever the number of keys: until the search
//! for them has come round, each bundle that was not stored since it began counts as cleared. This file knows
//! what was stored since; `clearing` does the search.
//!
//! The search may miss a bundle that somebody moves, copies, renames or restores meanwhile, within its database or
//! from one that is still to be searched to one that has been. So each of those is noted, counts as cleared, and is
//! cleared by itself.

use crate::config;
use crate::counts::{Count, count};
use engine::Stored;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::key::BundleId;
use wire::tenant::Tenant;

struct Open {
    /// Which database is cleared; none where tenants are cleared by name.
    db: Option<i32>,
    soft: bool,
    /// Stored since it began: with test data or without, and at the key with braces or the one without.
    since: HashSet<(Tenant, bool, bool)>,
    /// So many of those took the place of one that was to be cleared.
    replaced: u64,
    /// On a replica: a bundle has come from elsewhere, maybe to where the search has been already.
    unsettled: bool,
}

impl Open {
    fn covers(&self, id: &BundleId, tagged: bool) -> bool {
        self.db == Some(id.db) && !self.since.contains(&(id.tenant.clone(), id.include, tagged))
    }
}

/// A bundle that others have put at its key while something was being cleared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) id: BundleId,
    /// At the key with braces, or the one without.
    pub(crate) tagged: bool,
}

#[derive(Default)]
struct Sweeps {
    open: BTreeMap<u64, Open>,
    /// To be cleared by themselves, each once, and whether softly: a mark suffices where nothing else is cleared.
    arrived: BTreeMap<Place, bool>,
}

thread_local! {
    /// Read and changed on the server's main thread only.
    static SWEEPS: RefCell<Sweeps> = RefCell::default();
}

/// How many there are, with what has arrived: a hit looks at nothing else.
static COUNT: AtomicUsize = AtomicUsize::new(0);

#[inline]
pub(crate) fn none() -> bool {
    COUNT.load(Ordering::Relaxed) == 0
}

/// A clear in slices that is under way; it ends when this is dropped.
pub(crate) struct Sweep(u64);

impl Sweep {
    /// Of a whole database: what was not stored since counts as cleared.
    pub(crate) fn begin(db: i32, soft: bool) -> Self {
        Self::open(Some(db), soft)
    }

    /// Of tenants by their names: none of them escapes by being moved.
    pub(crate) fn of_tenants() -> Self {
        Self::open(None, true)
    }

    fn open(db: Option<i32>, soft: bool) -> Self {
        COUNT.fetch_add(1, Ordering::Relaxed);
        SWEEPS.with_borrow_mut(|Sweeps { open, .. }| {
            let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
            open.insert(number, Open { db, soft, since: HashSet::new(), replaced: 0, unsettled: false });
            Self(number)
        })
    }

    /// The bundle at the key of this form is to be cleared: it was not stored since.
    pub(crate) fn covers(&self, id: &BundleId, tagged: bool) -> bool {
        SWEEPS.with_borrow(|sweeps| sweeps.open.get(&self.0).is_some_and(|open| open.covers(id, tagged)))
    }

    /// Whether a bundle has come from elsewhere since the last question ([`unsettled`]).
    pub(crate) fn take_unsettled(&self) -> bool {
        SWEEPS.with_borrow_mut(|sweeps| {
            sweeps.open.get_mut(&self.0).is_some_and(|open| std::mem::take(&mut open.unsettled))
        })
    }

    /// How many of its bundles had another stored in their place before they were found.
    pub(crate) fn replaced(&self) -> u64 {
        SWEEPS.with_borrow(|sweeps| sweeps.open.get(&self.0).map_or(0, |open| open.replaced))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        SWEEPS.with_borrow_mut(|sweeps| sweeps.open.remove(&self.0));
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
    let place = Place { id, tagged: config::tagged() };
    SWEEPS.with_borrow(|Sweeps { open, arrived }| {
        let sweeps = open.values().filter(|sweep| sweep.covers(&place.id, place.tagged));
        let soft = sweeps.map(|sweep| sweep.soft).chain(arrived.get(&place).copied());
        soft.fold(
            stored,
            |stored, soft| {
                if soft && stored != Stored::Absent { Stored::Changed } else { Stored::Absent }
            },
        )
    })
}

/// A bundle has been stored, in the place of another where there is an `old` one: whether that was marked as
/// changed. True where that one was still to be cleared: the clients that hold it are to be told.
pub(crate) fn stored(id: &BundleId, old: Option<bool>) -> bool {
    if none() {
        return false;
    }
    let place = Place { id: id.clone(), tagged: config::tagged() };
    SWEEPS.with_borrow_mut(|Sweeps { open, arrived }| {
        // A soft one leaves its mark on what it has found.
        let replaces = |soft: bool| {
            let replaced = old.is_some_and(|marked| !(soft && marked));
            if replaced {
                count(if soft { Count::MarkedChanged } else { Count::Cleared });
            }
            replaced
        };
        let mut early = false;
        for sweep in open.values_mut().filter(|sweep| sweep.covers(id, place.tagged)) {
            sweep.since.insert((id.tenant.clone(), id.include, place.tagged));
            let replaced = replaces(sweep.soft);
            sweep.replaced += u64::from(replaced);
            early |= replaced;
        }
        if let Some(soft) = arrived.remove(&place) {
            COUNT.fetch_sub(1, Ordering::Relaxed);
            early |= replaces(soft);
        }
        early
    })
}

/// Others have put a bundle at its key. What it is, and how old, nobody has said: it counts as cleared, and is
/// cleared by itself. From whichever database it came: a search that has been in this one does not come again.
pub(crate) fn arrived(place: Place) {
    SWEEPS.with_borrow_mut(|Sweeps { open, arrived }| {
        if open.is_empty() {
            return;
        }
        forget(open, &place);
        let soft = open.values().filter(|sweep| sweep.db == Some(place.id.db)).all(|sweep| sweep.soft);
        match arrived.get_mut(&place) {
            Some(known) => *known &= soft,
            None => {
                arrived.insert(place, soft);
                COUNT.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

/// The next of those that have arrived, and whether it is to be cleared softly.
pub(crate) fn take_arrived() -> Option<(Place, bool)> {
    let taken = SWEEPS.with_borrow_mut(|sweeps| sweeps.arrived.pop_first())?;
    COUNT.fetch_sub(1, Ordering::Relaxed);
    Some(taken)
}

/// Whether there are any.
pub(crate) fn has_arrivals() -> bool {
    !none() && SWEEPS.with_borrow(|sweeps| !sweeps.arrived.is_empty())
}

/// This server may no longer write: who may sees to them.
pub(crate) fn forget_arrivals() {
    while take_arrived().is_some() {}
}

/// On a server that repeats what a primary or its own file says: a bundle has been stored there by its primary, which
/// knows that it is not to be cleared.
pub(crate) fn settled(place: &Place) {
    SWEEPS.with_borrow_mut(|sweeps| {
        for sweep in sweeps.open.values_mut().filter(|sweep| sweep.covers(&place.id, place.tagged)) {
            sweep.since.insert((place.id.tenant.clone(), place.id.include, place.tagged));
        }
    });
}

/// On such a server: a bundle has come from elsewhere, and the primary will see to it.
pub(crate) fn unsettled(place: &Place) {
    SWEEPS.with_borrow_mut(|Sweeps { open, .. }| {
        forget(open, place);
        for sweep in open.values_mut().filter(|sweep| sweep.db == Some(place.id.db)) {
            sweep.unsettled = true;
        }
    });
}

fn forget(open: &mut BTreeMap<u64, Open>, Place { id, tagged }: &Place) {
    for sweep in open.values_mut().filter(|sweep| sweep.db == Some(id.db)) {
        sweep.since.remove(&(id.tenant.clone(), id.include, *tagged));
    }
}

/// Two databases have changed places, and what is to be cleared with them.
pub(crate) fn swap(a: i32, b: i32) {
    SWEEPS.with_borrow_mut(|Sweeps { open, arrived }| {
        open.values_mut().for_each(|sweep| sweep.db = sweep.db.map(|db| swapped(db, a, b)));
        let places = std::mem::take(arrived).into_iter();
        *arrived = places
            .map(|(Place { id, tagged }, soft)| {
                (Place { id: BundleId { db: swapped(id.db, a, b), ..id }, tagged }, soft)
            })
            .collect();
    });
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

    fn at(id: &BundleId) -> Place {
        Place { id: id.clone(), tagged: false }
    }

    #[test]
    fn what_others_put_at_a_key_meanwhile_counts_as_cleared_until_it_is_taken_or_replaced() {
        let (here, there) = (bundle(0, "a"), bundle(3, "a"));
        arrived(at(&here));
        assert!(!has_arrivals(), "nothing is being cleared");
        let sweep = Sweep::begin(0, true);
        stored(&here, None);
        arrived(at(&here));
        assert_eq!(regarded(&here), Stored::Changed, "what was stored since is not what is there");
        arrived(at(&there));
        assert_eq!(regarded(&there), Stored::Changed, "also where the search has been already");
        drop(sweep);
        assert_eq!([regarded(&here), regarded(&there)], [Stored::Changed; 2], "until it is cleared");
        assert!(stored(&here, Some(false)), "or another takes its place");
        assert_eq!(regarded(&here), FRESH);
        swap(3, 5);
        assert_eq!((take_arrived(), take_arrived()), (Some((at(&bundle(5, "a")), true)), None));
        assert_eq!(regarded(&bundle(5, "a")), FRESH);
    }

    #[test]
    fn what_arrives_in_a_database_that_is_emptied_is_removed_and_elsewhere_marked() {
        let (here, there) = (bundle(0, "a"), bundle(3, "a"));
        let _hard = Sweep::begin(0, false);
        arrived(at(&here));
        arrived(at(&there));
        assert_eq!((regarded(&here), regarded(&there)), (Stored::Absent, Stored::Changed));
        forget_arrivals();
        let _names = Sweep::of_tenants();
        assert_eq!(regarded(&there), FRESH, "names are cleared one by one");
        arrived(at(&there));
        assert_eq!(regarded(&there), Stored::Changed);
    }

    #[test]
    fn a_server_that_repeats_what_a_primary_says_believes_what_that_has_stored() {
        let a = bundle(0, "a");
        let sweep = Sweep::begin(0, true);
        settled(&at(&a));
        assert_eq!(regarded(&a), FRESH);
        assert!(!sweep.take_unsettled());
        unsettled(&at(&a));
        assert_eq!(regarded(&a), Stored::Changed);
        assert!(sweep.take_unsettled() && !sweep.take_unsettled(), "it is searched for once more");
    }

    #[test]
    fn a_sweep_follows_its_database() {
        let _sweep = Sweep::begin(0, false);
        swap(0, 3);
        assert_eq!(regarded(&bundle(0, "a")), FRESH);
        assert_eq!(regarded(&bundle(3, "a")), Stored::Absent);
    }
}
