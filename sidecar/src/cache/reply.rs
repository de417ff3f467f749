//! Reading what `DASHBOARD.GET … WITHMETA` and `DASHBOARD.WARM` reply: a map in RESP3, a flat array in RESP2.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue, Value, from_redis_value};

use crate::error::ApiError;

/// A bundle as the cache gave it.
#[derive(Clone, Debug)]
pub struct Cached {
    /// Where it came from.
    pub status: Status,
    /// Time since it was computed, in milliseconds.
    pub age_ms: u64,
    /// For so long it stays fresh, in milliseconds; 0 if it is not.
    pub ttl_ms: u64,
    /// Of everything in it but `meta`.
    pub etag: String,
    /// So far the change feed is behind, in milliseconds; none where no feed has said anything.
    pub behind_ms: Option<u64>,
    /// Its JSON; none if the caller has it already.
    pub bundle: Option<Bytes>,
}

impl Cached {
    /// For a caller that came before it was there.
    pub(super) fn waited_for(self) -> Self {
        let status = if self.status == Status::Hit { Status::Miss } else { self.status };
        Self { status, ..self }
    }

    /// In place of a newer one that cannot be waited for.
    pub(super) fn into_stale(self) -> Self {
        Self { status: Status::Stale, ttl_ms: 0, ..self }
    }

    /// Without its JSON, if the caller has that already.
    pub(super) fn unless_known(self, known: Option<&str>) -> Self {
        let bundle = self.bundle.filter(|_| known != Some(self.etag.as_str()));
        Self { bundle, ..self }
    }
}

/// Where a bundle came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Fresh from the cache.
    Hit,
    /// From the cache, past its time or known to have changed.
    Stale,
    /// From the cache, known to have changed; one that may wait gets a newer one.
    Changed,
    /// Computed, because it was absent.
    Miss,
    /// Computed, because that was asked for.
    Refreshed,
}

impl Status {
    /// The module's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Changed => "changed",
            Self::Miss => "miss",
            Self::Refreshed => "refreshed",
        }
    }

    /// Whether the answer was in the cache before it was asked for.
    pub fn was_cached(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Changed)
    }
}

/// What warming did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    /// Tenants covered.
    pub tenants: u64,
    /// Tenants whose bundles were computed.
    pub warmed: u64,
    /// Tenants whose bundles were fresh and left alone.
    pub fresh: u64,
    /// Tenants of whom a bundle could not be computed.
    pub failed: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Which tenants failed, and why; the first of them, where there are many.
    pub failures: Vec<FailedTenant>,
}

/// A tenant of whom a bundle could not be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTenant {
    /// Its name.
    pub tenant: String,
    /// Why, as the module names it, such as `timeout`.
    pub reason: String,
}

impl fmt::Display for Warmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenants, warmed, fresh, failed, elapsed, .. } = self;
        write!(
            f,
            "tenants {tenants}, warmed {warmed}, fresh {fresh}, failed {failed}, elapsed {} ms",
            elapsed.as_millis()
        )
    }
}

pub(super) fn cached(value: Value) -> Result<Cached, ApiError> {
    let mut fields = Fields::of(value, "DASHBOARD.GET")?;
    let status = match fields.take::<String>("status")?.as_str() {
        "hit" => Status::Hit,
        "stale" => Status::Stale,
        "changed" => Status::Changed,
        "miss" => Status::Miss,
        "refreshed" => Status::Refreshed,
        _ => return Err(fields.unexpected("status")),
    };
    Ok(Cached {
        status,
        age_ms: fields.take("age_ms")?,
        ttl_ms: fields.take("ttl_ms")?,
        etag: fields.take("etag")?,
        behind_ms: fields.take_optional("behind_ms")?,
        bundle: fields.take::<Option<Vec<u8>>>("bundle")?.map(Bytes::from),
    })
}

pub(super) fn warmed(value: Value) -> Result<Warmed, ApiError> {
    let mut fields = Fields::of(value, "DASHBOARD.WARM")?;
    Ok(Warmed {
        tenants: fields.take("tenants")?,
        warmed: fields.take("warmed")?,
        fresh: fields.take("fresh")?,
        failed: fields.take("failed")?,
        elapsed: Duration::from_millis(fields.take("elapsed_ms")?),
        failures: fields.take_failures()?,
    })
}

struct Fields {
    command: &'static str,
    values: HashMap<String, Value>,
}

impl Fields {
    fn of(value: Value, command: &'static str) -> Result<Self, ApiError> {
        let mut fields = Self { command, values: HashMap::new() };
        fields.values = from_redis_value(value).map_err(|_| fields.unexpected("map"))?;
        Ok(fields)
    }

    fn take<T: FromRedisValue>(&mut self, name: &str) -> Result<T, ApiError> {
        let value = self.values.remove(name).ok_or_else(|| self.unexpected(name))?;
        from_redis_value(value).map_err(|_| self.unexpected(name))
    }

    /// A field that an older module does not send.
    fn take_optional<T: FromRedisValue>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        if self.values.contains_key(name) { self.take(name) } else { Ok(None) }
    }

    /// Absent where there are none.
    fn take_failures(&mut self) -> Result<Vec<FailedTenant>, ApiError> {
        const FIELD: &str = "failures";
        if !self.values.contains_key(FIELD) {
            return Ok(Vec::new());
        }
        let failures: BTreeMap<String, String> = self.take(FIELD)?;
        Ok(failures.into_iter().map(|(tenant, reason)| FailedTenant { tenant, reason }).collect())
    }

    fn unexpected(&self, field: &str) -> ApiError {
        tracing::error!(
            command = self.command,
            field,
            "an unexpected reply: are module and sidecar of the same version?"
        );
        ApiError::internal(self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn pairs() -> Vec<(Value, Value)> {
        vec![
            (text("status"), text("stale")),
            (text("age_ms"), Value::Int(7)),
            (text("ttl_ms"), Value::Int(9)),
            (text("etag"), text("e")),
            (text("bundle"), text("{}")),
        ]
    }

    #[test]
    fn both_protocols_are_read_alike() {
        let flat = Value::Array(pairs().into_iter().flat_map(|(name, value)| [name, value]).collect());
        for value in [flat, Value::Map(pairs())] {
            let cached = cached(value).unwrap();
            assert_eq!(cached.behind_ms, None, "an older module does not say");
            assert_eq!(
                (cached.status, cached.age_ms, cached.ttl_ms, cached.etag.as_str(), cached.bundle.as_deref()),
                (Status::Stale, 7, 9, "e", Some(&b"{}"[..]))
            );
        }
    }

    #[test]
    fn how_far_changes_are_behind_is_a_number_or_null() {
        for (value, behind) in [(Value::Int(75_000), Some(75_000)), (Value::Nil, None)] {
            let reply = pairs().into_iter().chain([(text("behind_ms"), value)]).collect();
            assert_eq!(cached(Value::Map(reply)).unwrap().behind_ms, behind);
        }
    }

    #[test]
    fn failed_tenants_are_read_from_both_protocols_where_there_are_any() {
        let counts =
            ["tenants", "warmed", "fresh", "failed", "elapsed_ms"].map(|name| (text(name), Value::Int(1)));
        assert_eq!(warmed(Value::Map(counts.to_vec())).unwrap().failures, []);
        let failure = || (text("t1"), text("timeout"));
        let flat = Value::Array(vec![failure().0, failure().1]);
        for failures in [flat, Value::Map(vec![failure()])] {
            let reply = counts.iter().cloned().chain([(text("failures"), failures)]).collect();
            let expected = FailedTenant { tenant: "t1".into(), reason: "timeout".into() };
            assert_eq!(warmed(Value::Map(reply)).unwrap().failures, [expected]);
        }
    }

    #[test]
    fn a_reply_that_lacks_something_is_an_error() {
        assert!(cached(Value::Map(pairs().into_iter().take(4).collect())).is_err());
        assert!(cached(Value::Nil).is_err());
        assert!(warmed(text("OK")).is_err());
    }
}
