//! Tells clients that keep copies (`CLIENT TRACKING`) when a copy stops being right: under the tenant's name,
//! which is what they have read.
//!
//! Our own writes say so themselves, because only they know whether the content is another. Everything else
//! that can happen to a bundle's key is seen here: it expires, is evicted, is deleted or changed by a person
//! or, on a replica, by what the primary sends.

use crate::counts::{Count, count};
use crate::ffi;
use crate::sweep::{self, Place};
use redis_module::{Context, ContextFlags};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use wire::key::{self, BundleId};
use wire::tenant::Tenant;

thread_local! {
    /// The server is carrying out a write of ours.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// What the last events were about.
    static LAST: RefCell<Last> = const { RefCell::new(Last::Other) };
    /// What was given to clients since their tenant was last invalidated and is not what is stored.
    static HELD: RefCell<BTreeMap<BundleId, Etag>> = const { RefCell::new(BTreeMap::new()) };
}

/// `None`: there are several.
type Etag = Option<Vec<u8>>;

/// So many are remembered; one more, and the holders of one are told early.
const MOST_HELD: usize = 4096;

/// A client has been given a bundle that is not stored, or is marked as changed: when another is stored, its
/// copy stops being right.
pub(crate) fn given(ctx: &Context, id: &BundleId, etag: &[u8]) {
    let too_many = HELD.with_borrow_mut(|held| {
        held.entry(id.clone())
            .and_modify(|known| *known = known.take().filter(|known| known == etag))
            .or_insert_with(|| Some(etag.to_vec()));
        let other = || held.keys().find(|other| *other != id).cloned();
        if held.len() > MOST_HELD { other() } else { None }
    });
    if let Some(other) = too_many {
        invalidate_in(ctx, other.db, other.tenant.as_str());
    }
}

/// Whether a client may hold something else than what has this etag, of those to whom [`given`] applies.
pub(crate) fn holds_other(id: &BundleId, etag: &[u8]) -> bool {
    HELD.with_borrow(|held| held.get(id).is_some_and(|known| known.as_deref() != Some(etag)))
}

/// One `SET … PXAT` is up to three events: the key is new, it is set, it has an expiry.
#[derive(PartialEq, Eq)]
enum Last {
    New(Vec<u8>),
    Set(Vec<u8>),
    Other,
}

/// Does a write whose outcome the caller makes known.
pub(crate) fn quietly<T>(write: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            OURS.set(self.0);
        }
    }
    let _restore = Restore(OURS.replace(true));
    write()
}

fn holds_any(ctx: &Context, tenant: &str, include: bool) -> bool {
    let db = ffi::selected_db(ctx);
    let id = || Some(BundleId { db, tenant: Tenant::new(tenant.as_bytes())?, include });
    HELD.with_borrow(|held| !held.is_empty() && id().is_some_and(|id| held.contains_key(&id)))
}

/// Something has happened to a key, in the context's database.
pub(crate) fn key_event(ctx: &Context, event: &[u8], key: &[u8]) {
    let Some((tenant, include)) = key::of_key(key) else { return };
    let removed = matches!(event, b"expired" | b"evicted");
    if OURS.get() && !removed {
        return;
    }
    if !sweep::none() {
        put_by_others(ctx, event, key, (tenant, include));
    }
    let filled = event == b"set" && holds_any(ctx, tenant, include);
    if LAST.with_borrow_mut(|last| last.makes_wrong(event, key)) || filled {
        invalidate(ctx, tenant);
    }
}

/// While something is being cleared, notes what others put at a key: the search for what is to be cleared may miss it.
#[cold]
fn put_by_others(ctx: &Context, event: &[u8], key: &[u8], (tenant, include): (&str, bool)) {
    let set = event == b"set";
    if !set && !matches!(event, b"move_to" | b"copy_to" | b"rename_to" | b"restore") {
        return;
    }
    let Some(tenant) = Tenant::new(tenant.as_bytes()) else { return };
    let id = BundleId { db: ffi::selected_db(ctx), tenant, include };
    let place = Place { tagged: key == id.key(true).as_bytes(), id };
    let flags = ctx.get_flags();
    let decides = flags.contains(ContextFlags::MASTER) && !flags.contains(ContextFlags::LOADING);
    match (decides, set) {
        (true, _) => sweep::arrived(place),
        (false, true) => sweep::settled(&place),
        (false, false) => sweep::unsettled(&place),
    }
}

/// Tells those who hold a copy of a tenant's bundle that it is no longer right.
pub(crate) fn invalidate(ctx: &Context, tenant: &str) {
    count(Count::Invalidations);
    HELD.with_borrow_mut(|held| {
        if let Some(tenant) = Tenant::new(tenant.as_bytes()).filter(|_| !held.is_empty()) {
            BundleId::both(ffi::selected_db(ctx), &tenant).iter().for_each(|id| drop(held.remove(id)));
        }
    });
    ffi::signal_modified(ctx, tenant);
}

/// The same for a tenant of another database than the context's.
pub(crate) fn invalidate_in(ctx: &Context, db: i32, tenant: &str) {
    let _return = ffi::return_here(ctx);
    if ffi::select_db(ctx, db) {
        invalidate(ctx, tenant);
    }
}

impl Last {
    /// Whether this event makes a copy wrong; filling an absent key does not.
    fn makes_wrong(&mut self, event: &[u8], key: &[u8]) -> bool {
        let last = std::mem::replace(self, Self::Other);
        match event {
            b"new" => {
                *self = Self::New(key.to_vec());
                false
            }
            b"set" => {
                *self = Self::Set(key.to_vec());
                last != Self::New(key.to_vec())
            }
            b"expire" => last != Self::Set(key.to_vec()),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Last;

    fn wrong(events: &[(&str, &str)]) -> Vec<bool> {
        let mut last = Last::Other;
        events.iter().map(|(event, key)| last.makes_wrong(event.as_bytes(), key.as_bytes())).collect()
    }

    #[test]
    fn a_fill_is_no_news_and_what_follows_it_is() {
        let fill = [("new", "a"), ("set", "a"), ("expire", "a")];
        assert_eq!(wrong(&fill), [false; 3]);
        let marked = [fill.as_slice(), &[("expire", "a")]].concat();
        assert_eq!(wrong(&marked), [false, false, false, true], "a mark of its own");
        let replaced = [fill.as_slice(), &[("set", "a"), ("expire", "a")]].concat();
        assert_eq!(wrong(&replaced), [false, false, false, true, false], "once");
    }

    #[test]
    fn another_keys_fill_excuses_nothing() {
        assert_eq!(wrong(&[("new", "a"), ("set", "b")]), [false, true]);
        assert_eq!(wrong(&[("set", "a"), ("expire", "b")]), [true, true]);
        assert_eq!(wrong(&[("new", "a"), ("del", "a"), ("evicted", "a")]), [false, true, true]);
    }
}
