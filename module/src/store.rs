//! Writing to the keyspace, as ordinary replicated commands: SET … PXAT, PEXPIREAT, DEL.

use crate::ffi::{self, Held};
use crate::upstream::Fetched;
use crate::{config, log, sweep, tracking};
use engine::Stored;
use redis_module::{CallOptions, CallOptionsBuilder, CallResult, Context, ContextFlags};
use std::time::Duration;
use wire::bundle::{Freshness, Stamp, UnixMillis};
use wire::key::{BundleId, KeyName};
use wire::known::Known;
use wire::tenant::Tenant;

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// This server is a replica, is loading, or is being failed over: not now.
    NotHere,
    /// The server refused: out of memory, or a slot that has moved.
    Refused,
}

/// So far beyond maxmemory may stores go, where the next client's command evicts what is too much.
const EVICTING: f32 = 1.05;

fn options(respect_memory: bool) -> CallOptions {
    let options = CallOptionsBuilder::new().replicate().errors_as_replies();
    if respect_memory { options.verify_oom().build() } else { options.build() }
}

fn call(ctx: &Context, command: &str, respect_memory: bool, args: &[&[u8]]) -> Result<(), String> {
    let result: CallResult<'_> = tracking::quietly(|| ctx.call_ext(command, &options(respect_memory), args));
    result.map(drop).map_err(|e| e.to_utf8_string().unwrap_or_else(|| format!("{command} was refused")))
}

/// Whether this server may write bundles now.
pub(crate) fn may_write(ctx: &Context) -> bool {
    let flags = ctx.get_flags();
    flags.contains(ContextFlags::MASTER)
        && !flags.intersects(ContextFlags::LOADING | ContextFlags::ASYNC_LOADING)
        && !ffi::writes_paused()
}

/// Stores a bundle. Also says whether clients are to be told that their copies are no longer right
/// ([`tracking::invalidate`]): filling an absent bundle, or computing the same again, is no change, and of
/// one that was marked as changed they have been told then.
///
/// `asked`: a client waits for it. Otherwise the key stays as long unread as it was; a new one counts as never read.
/// `changed`: its data has changed since it was computed, so it is stored with its mark.
pub(crate) fn put(
    ctx: &Context,
    id: &BundleId,
    bundle: &Fetched,
    asked: bool,
    changed: bool,
) -> (Written, bool) {
    if !may_write(ctx) || !ffi::select_db(ctx, id.db) {
        return (Written::NotHere, false);
    }
    let key = id.key(config::tagged());
    // In a timer the server knows only whether its last client found room, and evicts nothing.
    if ffi::memory_ratio() > if ctx.get_flags().contains(ContextFlags::EVICTED) { EVICTING } else { 1.0 } {
        return refused(ctx, &key, "out of memory (maxmemory)");
    }
    let old = ffi::read_string(ctx, key.as_bytes(), false, |value, expires_at| {
        let old = Stamp::read(value, id.tenant.as_str(), id.include)?;
        // Of a mark clients have been told, of time they have not.
        Some((old.is_marked(expires_at), old.etag != bundle.etag.as_bytes()))
    });
    // What nobody has read yet is not hot.
    let unread = || config::hot_window() + Duration::from_secs(1);
    let idle = (!asked).then(|| ffi::idle(ctx, key.as_bytes()).unwrap_or_else(unread));
    if let Held::WrongType = old {
        return refused(ctx, &key, "it holds another type; delete it");
    }
    let life = &bundle.life;
    let expires_at = if changed { life.changed_mark() } else { life.expires_at }.to_string();
    let args: [&[u8]; 4] = [key.as_bytes(), &bundle.value, b"PXAT", expires_at.as_bytes()];
    if let Err(cause) = call(ctx, "SET", true, &args) {
        return refused(ctx, &key, &cause);
    }
    if let Some(idle) = idle {
        ffi::set_idle(ctx, key.as_bytes(), idle);
    }
    let old = if let Held::String(old) = old { old } else { None };
    let cleared = sweep::stored(id, old.map(|(marked, _)| marked));
    (Written::Yes, cleared || old == Some((false, true)) || tracking::holds_other(id, bundle.etag.as_bytes()))
}

/// For how long nobody has read a tenant's bundles, in milliseconds; the greatest number for never, and for what
/// is not there. Call [`ffi::select_db`] first.
pub(crate) fn unread(ctx: &Context, db: i32, tenant: &Tenant) -> u64 {
    let keys = BundleId::both(db, tenant).map(|id| id.key(config::tagged()));
    let idle = |key: &KeyName| ffi::unread(ctx, key.as_bytes());
    keys.iter().map(idle).min().unwrap_or(u64::MAX)
}

fn refused(ctx: &Context, key: &KeyName, cause: &str) -> (Written, bool) {
    log::limited(ctx, || format!("could not store {key}: {cause}"));
    (Written::Refused, false)
}

/// Removes the bundle of a tenant that Postgres no longer knows, in every form that its key may have.
pub(crate) fn remove_unknown(ctx: &Context, id: &BundleId) {
    if !may_write(ctx) || !ffi::select_db(ctx, id.db) {
        return;
    }
    for tagged in config::key_forms() {
        if delete(ctx, id.key(*tagged).as_bytes()) {
            tracking::invalidate(ctx, id.tenant.as_str());
        }
    }
}

/// Deletes a string; whether there was one.
pub(crate) fn delete(ctx: &Context, key: &[u8]) -> bool {
    let held = matches!(ffi::read_string(ctx, key, false, |_, _| ()), Held::String(()));
    held && match call(ctx, "DEL", false, &[key]) {
        Ok(()) => true,
        Err(cause) => {
            log::limited(ctx, || format!("could not delete {}: {cause}", key.escape_ascii()));
            false
        }
    }
}

/// Gives a key another expiry.
pub(crate) fn expire_at(ctx: &Context, key: &[u8], at: i64) {
    if let Err(cause) = call(ctx, "PEXPIREAT", false, &[key, at.to_string().as_bytes()]) {
        log::limited(ctx, || format!("could not mark {} as changed: {cause}", key.escape_ascii()));
    }
}

/// A stored bundle in the engine's words.
#[inline]
pub(crate) fn verdict(stamp: &Stamp<'_>, now: UnixMillis, key_expires_at: Option<UnixMillis>) -> Stored {
    let age = stamp.life.age_ms(now);
    match stamp.freshness(now, key_expires_at) {
        Freshness::Fresh => Stored::Fresh { age },
        Freshness::Stale => Stored::Stale { age },
        Freshness::Changed => Stored::Changed,
    }
}

/// A copy of what is stored of a bundle that is past its `ttl`, where it names its version and has no more than
/// `most` bytes. The context's database is the bundle's.
pub(crate) fn known(ctx: &Context, id: &BundleId, most: usize) -> Option<Known> {
    let key = id.key(config::tagged());
    let copy = |value: &[u8]| Known::copy(value, id.tenant.as_str(), id.include);
    match ffi::read_string(ctx, key.as_bytes(), false, |value, _| {
        (value.len() <= most).then(|| copy(value))?
    }) {
        Held::String(known) => known,
        _ => None,
    }
}

/// Whether this is still what is stored, and has not been cleared or marked as changed. As [`stored`].
pub(crate) fn is_stored(ctx: &Context, id: &BundleId, known: &Known) -> bool {
    let key = id.key(config::tagged());
    let held = ffi::read_string(ctx, key.as_bytes(), false, |value, _| {
        Stamp::read(value, id.tenant.as_str(), id.include).is_some_and(|stamp| known.is(&stamp))
    });
    matches!(held, Held::String(true)) && !matches!(stored(ctx, id), Stored::Changed | Stored::Absent)
}

/// How servable the stored bundle is, without counting as a read. The context's database is the bundle's.
pub(crate) fn stored(ctx: &Context, id: &BundleId) -> Stored {
    match at_key(ctx, id, id.key(config::tagged()).as_bytes()) {
        Stored::Absent => Stored::Absent,
        stored => sweep::regard(stored, || Some(id.clone())),
    }
}

/// What is stored of a bundle at a key, whatever is being cleared. As [`stored`].
pub(crate) fn at_key(ctx: &Context, id: &BundleId, key: &[u8]) -> Stored {
    let now = ffi::now();
    let held = ffi::read_string(ctx, key, false, |value, expires_at| {
        Some(verdict(&Stamp::read(value, id.tenant.as_str(), id.include)?, now, expires_at))
    });
    if let Held::String(Some(stored)) = held { stored } else { Stored::Absent }
}
