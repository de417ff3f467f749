//! The settings, `dashboard.*`: each with its unit, range, default and effect. They are read where a
//! decision is made, so `CONFIG SET` works at once and never on what is already stored.

use crate::upstream::endpoint::Endpoint;
use crate::upstream::{Request, What};
use engine::Limits;
use engine::warming::Pace;
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use redis_module::configuration::{ConfigurationContext, ConfigurationValue};
use redis_module::{RedisError, RedisString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use wire::bundle::{Lifetime, UnixMillis};

/// A number with its default and range, both ends included.
pub(crate) struct Number {
    value: AtomicI64,
    pub(crate) default: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Number {
    const fn new(default: i64, min: i64, max: i64) -> Self {
        Self { value: AtomicI64::new(default), default, min, max }
    }

    fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed).unsigned_abs()
    }
}

impl ConfigurationValue<i64> for Number {
    fn get(&self, _: &ConfigurationContext) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    fn set(&self, _: &ConfigurationContext, value: i64) -> Result<(), RedisError> {
        self.value.store(value, Ordering::Relaxed);
        Ok(())
    }
}

const DAY: i64 = 86_400;

/// Seconds a bundle is fresh.
pub(crate) static TTL: Number = Number::new(300, 1, 365 * DAY);
/// Seconds after that in which it may still be served while a new one is computed. Keep it longer than
/// the pause between two nightly warmings.
pub(crate) static STALE_TTL: Number = Number::new(DAY, 0, 365 * DAY);
/// Per cent of `ttl` that is taken off at random, so that bundles warmed together do not expire together.
pub(crate) static JITTER: Number = Number::new(10, 0, 50);
/// Milliseconds that a client waits for a bundle, and a request to the sidecar for its answer.
pub(crate) static TIMEOUT: Number = Number::new(5_000, 1, 600_000);
/// Milliseconds that a client waits where an old bundle could be served instead.
pub(crate) static SOFT_TIMEOUT: Number = Number::new(250, 0, 600_000);
/// Seconds that an unknown tenant is remembered as such.
pub(crate) static NEGATIVE_TTL: Number = Number::new(10, 0, DAY);
/// Bundles being computed at a time, warming not counted. Beyond: OVERLOADED.
pub(crate) static MAX_FLIGHTS: Number = Number::new(64, 1, 10_000);
/// Clients waiting at a time. Beyond: OVERLOADED.
pub(crate) static MAX_WAITERS: Number = Number::new(10_000, 1, 1_000_000);
/// Bytes of the largest bundle that is accepted.
pub(crate) static MAX_BUNDLE_BYTES: Number = Number::new(1 << 20, 1 << 10, 256 << 20);
/// Seconds: a bundle read as recently as this is computed at once when it is marked as changed, and
/// not only when it is next asked for.
pub(crate) static HOT_WINDOW: Number = Number::new(300, 0, DAY);
/// Requests of warming under way at a time; each occupies a database connection of the sidecar's.
pub(crate) static WARM_CONCURRENCY: Number = Number::new(2, 1, 32);
/// Milliseconds of the database's time that warming may use a second, over all connections. 0: no ceiling.
pub(crate) static WARM_SHARE: Number = Number::new(0, 0, 32_000);
/// Milliseconds: where the change feed is further behind than this, no bundle is called a hit. 0: off.
pub(crate) static FEED_LAG_LIMIT: Number = Number::new(5_000, 0, DAY * 1_000);
/// Put the tenant of a key in braces (always so in cluster mode).
pub(crate) static HASH_TAG: AtomicBool = AtomicBool::new(false);
/// The server runs in cluster mode.
pub(crate) static CLUSTER: AtomicBool = AtomicBool::new(false);

/// Where the sidecars listen, separated by spaces, in the order in which they are asked.
pub(crate) const DEFAULT_SIDECAR: &str = "unix:/run/redis-dashboard/sidecar.sock";

/// The setting `sidecar`: a text that was understood.
pub(crate) struct Sidecars(Mutex<(String, Arc<[Endpoint]>)>);

pub(crate) static SIDECAR: Lazy<Sidecars> = Lazy::new(|| Sidecars(Mutex::new((String::new(), Arc::new([])))));

impl ConfigurationValue<RedisString> for Sidecars {
    fn get(&self, _: &ConfigurationContext) -> RedisString {
        RedisString::create(None, self.0.lock().0.as_str())
    }

    fn set(&self, _: &ConfigurationContext, value: RedisString) -> Result<(), RedisError> {
        let text = value.try_as_str()?;
        let endpoints = Endpoint::parse_all(text).map_err(RedisError::String)?;
        *self.0.lock() = (text.to_owned(), endpoints.into());
        Ok(())
    }
}

/// The setting `token`: what the sidecar asks for. It is registered as sensitive; Redis 7.0 and 8.2 show a
/// `CONFIG SET` of it in SLOWLOG and MONITOR all the same.
pub(crate) struct Token(Mutex<Arc<str>>);

pub(crate) static TOKEN: Lazy<Token> = Lazy::new(|| Token(Mutex::new("".into())));

impl ConfigurationValue<RedisString> for Token {
    fn get(&self, _: &ConfigurationContext) -> RedisString {
        RedisString::create(None, &*self.0.lock().clone())
    }

    fn set(&self, _: &ConfigurationContext, value: RedisString) -> Result<(), RedisError> {
        let token = value.try_as_str()?;
        if token.len() > 4096 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(RedisError::Str("a token is at most 4096 visible ASCII characters, without spaces"));
        }
        *self.0.lock() = token.into();
        Ok(())
    }
}

/// Whether keys carry the tenant in braces.
#[inline]
pub(crate) fn tagged() -> bool {
    HASH_TAG.load(Ordering::Relaxed) || CLUSTER.load(Ordering::Relaxed)
}

/// The forms that a bundle's key may have: with the setting changed since, the old form may still be
/// there. In cluster mode there is only one.
pub(crate) fn key_forms() -> &'static [bool] {
    if CLUSTER.load(Ordering::Relaxed) { &[true] } else { &[false, true] }
}

pub(crate) fn limits() -> Limits {
    Limits {
        max_flights: usize::try_from(MAX_FLIGHTS.get()).unwrap_or(usize::MAX),
        max_waiters: usize::try_from(MAX_WAITERS.get()).unwrap_or(usize::MAX),
        timeout: TIMEOUT.get(),
        soft_timeout: SOFT_TIMEOUT.get(),
        negative_ttl: NEGATIVE_TTL.get() * 1000,
    }
}

pub(crate) fn pace() -> Pace {
    Pace {
        concurrency: usize::try_from(WARM_CONCURRENCY.get()).unwrap_or(usize::MAX),
        share: WARM_SHARE.get(),
    }
}

/// The greatest lag of the change feed with which a hit is one; `None`: any.
#[inline]
pub(crate) fn feed_lag_limit() -> Option<u64> {
    Some(FEED_LAG_LIMIT.get()).filter(|limit| *limit > 0)
}

pub(crate) fn hot_window() -> Duration {
    Duration::from_secs(HOT_WINDOW.get())
}

/// The lifetime of a bundle whose flight begins at `now`. Both of its ends are as early as jitter makes the first,
/// but it is kept for `stale-ttl` whole: what is warmed at midnight must be there until the next midnight.
pub(crate) fn lifetime(now: UnixMillis) -> Lifetime {
    let millis = |seconds: u64| UnixMillis::try_from(seconds * 1000).unwrap_or(UnixMillis::MAX / 4);
    let ttl = millis(TTL.get());
    let most = ttl * millis(JITTER.get()) / millis(100);
    let fresh_until = now + ttl - fastrand::i64(0..=most);
    Lifetime { as_of: now, fresh_until, expires_at: fresh_until + millis(STALE_TTL.get()), valid_until: None }
}

/// A request to the sidecar with the settings as they are.
pub(crate) fn request(what: What) -> Request {
    Request {
        endpoints: SIDECAR.0.lock().1.clone(),
        token: TOKEN.0.lock().clone(),
        timeout: Duration::from_millis(TIMEOUT.get()),
        max_bundle_bytes: usize::try_from(MAX_BUNDLE_BYTES.get()).unwrap_or(usize::MAX),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shortens_freshness_by_at_most_its_share_and_never_what_is_kept_beyond_it() {
        for _ in 0..1000 {
            let life = lifetime(1_700_000_000_000);
            let (fresh, stale) = (life.fresh_until - life.as_of, life.expires_at - life.fresh_until);
            assert!((270_000..=300_000).contains(&fresh), "{fresh}");
            assert_eq!(stale, 86_400_000);
        }
    }
}
