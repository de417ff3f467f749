//! The stored value: a bundle's JSON exactly as a client gets it, and the stamp in its `meta` from which
//! freshness is decided.
//!
//! The stamp stands first in `meta`, in a fixed layout, so that a hit reads it without parsing JSON. It
//! holds all that the verdict needs, so that neither a changed setting, nor a restart, nor a failover can
//! make an old bundle fresh again:
//!
//! - `as_of_ms`: when its flight began. What the bundle says was read from the database after that.
//! - `fresh_until_ms`: from then on it is stale.
//! - `expires_at_ms`: the expiry that its key was given. A key whose expiry is [`TOLERANCE`] or more away from that
//!   has been marked as changed since: `CLEAR … SOFT` moves the expiry by [`MARK`], which replicates as a plain
//!   `PEXPIREAT`. So has one whose expiry a person took away or moved. Less than that is no mark: MIGRATE and tools that
//!   copy with DUMP and RESTORE hand on how long a key still lives, and move its expiry by milliseconds.
//! - `valid_until_ms`, where time alone makes a figure wrong: from then on it counts as changed.
//!
//! `format` tells this stamp from the one before it, whose mark was one millisecond: there any other expiry is a mark.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970, by the clock of the Redis server.
pub type UnixMillis = i64;

/// Length of an etag: 32 lower-case hexadecimal digits.
pub const ETAG_LEN: usize = 32;

/// How far a mark moves the expiry.
pub const MARK: UnixMillis = 60_000;
/// An expiry that is off by less than this has been copied, not marked.
pub const TOLERANCE: UnixMillis = 30_000;

const BEFORE_ETAG: &[u8] = b"{\"meta\":{\"format\":2,\"etag\":\"";
const BEFORE_ETAG_1: &[u8] = b"{\"meta\":{\"etag\":\"";
const BEFORE_AS_OF: &[u8] = b"\",\"as_of_ms\":";
const BEFORE_FRESH: &[u8] = b",\"fresh_until_ms\":";
const BEFORE_EXPIRES: &[u8] = b",\"expires_at_ms\":";
const BEFORE_VALID: &[u8] = b",\"valid_until_ms\":";
const BEFORE_TENANT: &[u8] = b",\"tenant_id\":\"";
const BEFORE_INCLUDE: &[u8] = b"\",\"include_test_data\":";
/// Behind the stamp, where a bundle has one: so it, too, is read without parsing JSON.
const BEFORE_VERSION: &[u8] = b"\"version\":\"";
/// Longest version, in bytes.
const MAX_VERSION: usize = 128;
/// From the year 2001 until 2286 a time in milliseconds has this many digits.
const TIME_LEN: usize = 13;

/// When a bundle was computed, and how long it may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// When its flight began.
    pub as_of: UnixMillis,
    /// From then on it is stale.
    pub fresh_until: UnixMillis,
    /// The expiry that its key was given.
    pub expires_at: UnixMillis,
    /// From then on time alone has changed it; `None`: never.
    pub valid_until: Option<UnixMillis>,
}

/// The stamp of a stored bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// What names its content.
    pub etag: &'a [u8],
    /// When it was computed, and how long it may be served.
    pub life: Lifetime,
    /// Any other expiry than its own is a mark: it was stored when a mark was one millisecond.
    exact: bool,
}

impl<'a> Stamp<'a> {
    /// Reads the stamp of `value`, or `None` where that is not a bundle of this tenant and include flag:
    /// then it is as good as absent.
    #[inline]
    pub fn read(value: &'a [u8], tenant: impl AsRef<[u8]>, include: bool) -> Option<Self> {
        Self::split(value, tenant, include).map(|(stamp, _)| stamp)
    }

    /// The stamp, and what follows it.
    #[inline]
    fn split(value: &'a [u8], tenant: impl AsRef<[u8]>, include: bool) -> Option<(Self, &'a [u8])> {
        let (rest, exact) = match value.strip_prefix(BEFORE_ETAG) {
            Some(rest) => (rest, false),
            None => (value.strip_prefix(BEFORE_ETAG_1)?, true),
        };
        let (etag, rest) = rest.split_at_checked(ETAG_LEN)?;
        let (as_of, rest) = time(rest.strip_prefix(BEFORE_AS_OF)?)?;
        let (fresh_until, rest) = time(rest.strip_prefix(BEFORE_FRESH)?)?;
        let (expires_at, rest) = time(rest.strip_prefix(BEFORE_EXPIRES)?)?;
        let (valid_until, rest) = match rest.strip_prefix(BEFORE_VALID) {
            Some(rest) => time(rest).map(|(at, rest)| (Some(at), rest))?,
            None => (None, rest),
        };
        let rest = rest.strip_prefix(BEFORE_TENANT)?.strip_prefix(tenant.as_ref())?;
        let rest = rest.strip_prefix(BEFORE_INCLUDE)?;
        let included: &[u8] = if include { b"true," } else { b"false," };
        let rest = rest.strip_prefix(included)?;
        Some((Self { etag, life: Lifetime { as_of, fresh_until, expires_at, valid_until }, exact }, rest))
    }

    /// Whether a key with this expiry (`None`: it has none) has been marked as changed.
    #[inline]
    pub fn is_marked(&self, key_expires_at: Option<UnixMillis>) -> bool {
        match key_expires_at {
            None => true,
            Some(at) if self.exact => at != self.life.expires_at,
            Some(at) => at.abs_diff(self.life.expires_at) >= TOLERANCE.unsigned_abs(),
        }
    }

    /// The verdict at `now` on a bundle whose key expires at `key_expires_at` (`None`: never).
    #[inline]
    pub fn freshness(&self, now: UnixMillis, key_expires_at: Option<UnixMillis>) -> Freshness {
        let life = &self.life;
        if self.is_marked(key_expires_at) || life.valid_until.is_some_and(|until| now >= until) {
            Freshness::Changed
        } else if life.as_of <= now && now < life.fresh_until {
            Freshness::Fresh
        } else {
            // A bundle from the future was stored by a clock that has been set back since: its age is
            // not known, so it is not fresh.
            Freshness::Stale
        }
    }
}

/// The version that a stored bundle of this tenant and include flag names, if it does.
pub fn version(value: &[u8], tenant: impl AsRef<[u8]>, include: bool) -> Option<&str> {
    let (_, rest) = Stamp::split(value, tenant, include)?;
    let rest = rest.strip_prefix(BEFORE_VERSION)?;
    let end = rest.iter().take(MAX_VERSION + 1).position(|b| *b == b'"')?;
    str::from_utf8(&rest[..end]).ok().filter(|text| is_version(text))
}

/// Whether a text names the state of a tenant's rows. What it says is between the sidecar and its database; that
/// nothing in it has to be escaped is of use here.
pub fn is_version(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'_' | b'-');
    (1..=MAX_VERSION).contains(&text.len()) && text.bytes().all(allowed)
}

#[inline]
fn time(bytes: &[u8]) -> Option<(UnixMillis, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<TIME_LEN>()?;
    let (mut value, mut all_digits): (UnixMillis, bool) = (0, true);
    // Without a branch in it, the loop is unrolled: a hit reads three times.
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        all_digits &= digit < 10;
        value = value * 10 + UnixMillis::from(digit);
    }
    all_digits.then_some((value, rest))
}

/// How servable a stored bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within its `ttl`.
    Fresh,
    /// Past its `ttl`, with no known change.
    Stale,
    /// Marked as changed: only a fallback.
    Changed,
}

impl Lifetime {
    /// The expiry that marks a key as changed. It is a later one: copying takes time, which makes an expiry later, and so
    /// never undoes a mark; nor does a mark end the time of a fallback.
    pub fn changed_mark(&self) -> UnixMillis {
        self.expires_at + MARK
    }

    /// Milliseconds since its flight began.
    pub fn age_ms(&self, now: UnixMillis) -> u64 {
        u64::try_from(now - self.as_of).unwrap_or(0)
    }

    /// Milliseconds until it is stale, or changed by time alone.
    pub fn fresh_for_ms(&self, now: UnixMillis) -> u64 {
        let until = self.valid_until.map_or(self.fresh_until, |until| until.min(self.fresh_until));
        u64::try_from(until - now).unwrap_or(0)
    }
}

/// The members of `meta` that the sidecar must send, and the version, which it does not always have.
#[derive(Deserialize)]
pub struct SidecarMeta {
    /// Whose figures.
    pub tenant_id: String,
    /// With test data.
    pub include_test_data: bool,
    /// When it was computed, by the database's clock (RFC 3339).
    pub generated_at: String,
    /// What names its content.
    pub etag: String,
    /// Milliseconds that computing it took.
    pub compute_ms: u64,
    /// The state of the rows that it was computed from.
    pub version: Option<String>,
    /// The first moment at which time alone makes a figure wrong, in milliseconds since 1970.
    pub valid_until_ms: Option<UnixMillis>,
}

/// Whether a time has the digits that a stamp has room for: from 2001 until 2286.
pub fn is_time(at: UnixMillis) -> bool {
    (1_000_000_000_000..10_000_000_000_000).contains(&at)
}

#[derive(Serialize)]
struct RestOfMeta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    generated_at: &'a str,
    ttl_seconds: i64,
    compute_ms: u64,
}

/// A value ready to be stored: the stamp, then what the sidecar said of the bundle, then `rest`, the bytes
/// of its answer that follow the `meta` member (`,"stats":…}` or `}`).
///
/// The caller has checked that `meta` names the bundle that was asked for, that its etag is
/// [`ETAG_LEN`] hexadecimal digits, that its version, if it has one, [is one](is_version), and that `valid_until`
/// [is a time](is_time).
pub fn compose(meta: &SidecarMeta, life: Lifetime, rest: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(rest.len() + 512);
    value.extend_from_slice(BEFORE_ETAG);
    value.extend_from_slice(meta.etag.as_bytes());
    for (name, at) in
        [(BEFORE_AS_OF, life.as_of), (BEFORE_FRESH, life.fresh_until), (BEFORE_EXPIRES, life.expires_at)]
    {
        value.extend_from_slice(name);
        value.extend_from_slice(format!("{at:0TIME_LEN$}").as_bytes());
    }
    if let Some(at) = life.valid_until {
        value.extend_from_slice(BEFORE_VALID);
        value.extend_from_slice(format!("{at:0TIME_LEN$}").as_bytes());
    }
    value.extend_from_slice(BEFORE_TENANT);
    value.extend_from_slice(meta.tenant_id.as_bytes());
    value.extend_from_slice(BEFORE_INCLUDE);
    value.extend_from_slice(if meta.include_test_data { b"true," } else { b"false," });
    let described = RestOfMeta {
        version: meta.version.as_deref(),
        generated_at: &meta.generated_at,
        ttl_seconds: (life.fresh_until - life.as_of + 500) / 1000,
        compute_ms: meta.compute_ms,
    };
    // Plain fields always serialise.
    let described = serde_json::to_vec(&described).unwrap_or_default();
    value.extend_from_slice(described.strip_prefix(b"{").unwrap_or(&described));
    value.extend_from_slice(rest);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ETAG: &str = "00112233445566778899aabbccddeeff";
    const LIFE: Lifetime = Lifetime {
        as_of: 1_700_000_000_000,
        fresh_until: 1_700_000_300_000,
        expires_at: 1_700_086_700_000,
        valid_until: None,
    };

    fn meta(tenant: &str, include: bool) -> SidecarMeta {
        SidecarMeta {
            tenant_id: tenant.into(),
            include_test_data: include,
            generated_at: "2026-01-02T03:04:05.000006Z".into(),
            etag: ETAG.into(),
            compute_ms: 3,
            version: None,
            valid_until_ms: None,
        }
    }

    fn versioned(version: &str) -> SidecarMeta {
        SidecarMeta { version: Some(version.into()), ..meta("t1", true) }
    }

    #[test]
    fn a_composed_value_is_json_and_its_stamp_reads_back() {
        let value = compose(&meta("t1", true), LIFE, br#","stats":{"totalLeads":1}}"#);
        let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(json["meta"]["tenant_id"], "t1");
        assert_eq!(json["meta"]["ttl_seconds"], 300);
        assert_eq!(json["stats"]["totalLeads"], 1);
        let stamp = Stamp::read(&value, "t1", true).unwrap();
        assert_eq!((stamp.etag, stamp.life), (ETAG.as_bytes(), LIFE));
    }

    #[test]
    fn a_value_of_another_tenant_or_include_flag_is_not_read() {
        let value = compose(&meta("t1", true), LIFE, b"}");
        assert_eq!(Stamp::read(&value, "t2", true), None);
        assert_eq!(Stamp::read(&value, "t", true), None);
        assert_eq!(Stamp::read(&value, "t1", false), None);
    }

    #[test]
    fn the_version_of_a_stored_bundle_reads_back_and_only_one_that_is_spelled_as_one() {
        let longest = "x".repeat(128);
        for text in ["v", "7:0xAF_1.2-3", &longest] {
            let value = compose(&versioned(text), LIFE, b"}");
            assert_eq!(version(&value, "t1", true), Some(text));
            assert_eq!(version(&value, "t2", true), None, "of another tenant");
            let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(json["meta"]["version"], text);
            assert!(Stamp::read(&value, "t1", true).is_some());
        }
        for text in ["", "a b", "é", "\u{1}", "a\"", &format!("{longest}x")] {
            assert!(!is_version(text), "{text}");
            assert_eq!(version(&compose(&versioned(text), LIFE, b"}"), "t1", true), None, "{text}");
        }
        assert_eq!(version(&compose(&meta("t1", true), LIFE, b"}"), "t1", true), None);
    }

    fn verdict(value: &[u8], now: UnixMillis, expiry: Option<UnixMillis>) -> Freshness {
        Stamp::read(value, "t1", true).unwrap().freshness(now, expiry)
    }

    #[test]
    fn the_verdict_follows_the_stamp_and_the_expiry_of_the_key() {
        let value = compose(&meta("t1", true), LIFE, b"}");
        let own = Some(LIFE.expires_at);
        assert_eq!(verdict(&value, LIFE.as_of, own), Freshness::Fresh);
        assert_eq!(verdict(&value, LIFE.fresh_until - 1, own), Freshness::Fresh);
        assert_eq!(verdict(&value, LIFE.fresh_until, own), Freshness::Stale);
        assert_eq!(verdict(&value, LIFE.as_of - 1, own), Freshness::Stale, "a clock that was set back");
        assert_eq!(verdict(&value, LIFE.as_of, None), Freshness::Changed, "PERSIST");
    }

    #[test]
    fn a_mark_survives_what_moves_an_expiry_and_what_moves_an_expiry_is_no_mark() {
        let value = compose(&meta("t1", true), LIFE, b"}");
        let mark = LIFE.changed_mark();
        for drift in [-500, -1, 0, 1, 500, 29_999] {
            assert_eq!(
                verdict(&value, LIFE.as_of, Some(LIFE.expires_at + drift)),
                Freshness::Fresh,
                "{drift}"
            );
            assert_eq!(verdict(&value, LIFE.as_of, Some(mark + drift)), Freshness::Changed, "{drift}");
        }
        // A person has moved it, or a dump was restored an hour later.
        assert_eq!(verdict(&value, LIFE.as_of, Some(LIFE.expires_at - MARK)), Freshness::Changed);
        assert_eq!(verdict(&value, LIFE.as_of, Some(mark + 3_600_000)), Freshness::Changed);
    }

    #[test]
    fn a_bundle_from_before_the_tolerance_keeps_its_mark_of_one_millisecond() {
        let value = String::from_utf8(compose(&meta("t1", true), LIFE, b"}")).unwrap();
        let old = value.replacen("\"format\":2,", "", 1);
        assert_ne!(old, value);
        let old = old.as_bytes();
        assert_eq!(verdict(old, LIFE.as_of, Some(LIFE.expires_at)), Freshness::Fresh);
        for drift in [-1, 1, MARK] {
            assert_eq!(
                verdict(old, LIFE.as_of, Some(LIFE.expires_at + drift)),
                Freshness::Changed,
                "{drift}"
            );
        }
    }

    #[test]
    fn past_the_time_that_it_is_valid_a_bundle_is_changed_and_not_merely_old() {
        let life = Lifetime { valid_until: Some(LIFE.as_of + 1_000), ..LIFE };
        let value = compose(&meta("t1", true), life, br#","stats":{}}"#);
        let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(json["meta"]["valid_until_ms"], LIFE.as_of + 1_000);
        assert_eq!(Stamp::read(&value, "t1", true).unwrap().life, life);
        assert_eq!(verdict(&value, LIFE.as_of + 999, Some(LIFE.expires_at)), Freshness::Fresh);
        assert_eq!(verdict(&value, LIFE.as_of + 1_000, Some(LIFE.expires_at)), Freshness::Changed);
        assert_eq!(life.fresh_for_ms(LIFE.as_of), 1_000);
        assert!([999_999_999_999, 10_000_000_000_000, -1].iter().all(|at| !is_time(*at)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_stamp_reader_panic(bytes: Vec<u8>, cut in 0_usize..400) {
            let _ = (Stamp::read(&bytes, "t1", true), version(&bytes, "t1", true));
            let versioned = compose(&versioned("v1"), LIFE, b"}");
            let _ = version(&versioned[..cut.min(versioned.len())], "t1", true);
            let value = compose(&meta("t1", true), LIFE, b"}");
            let read = Stamp::read(&value[..cut.min(value.len())], "t1", true);
            prop_assert!(read.is_none() || cut > BEFORE_ETAG.len() + ETAG_LEN);
        }
    }
}
