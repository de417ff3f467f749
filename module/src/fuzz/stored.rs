//! Stored values and their keys: in the first line a key, in the rest its value.

use super::{dice, is_tenant, object, string};
use wire::bundle::{Freshness, Lifetime, SidecarMeta, Stamp, compose, is_version, version};
use wire::key::{KeyName, of_key};

/// - A key tells its bundle exactly if it is the one that the bundle would be stored under.
/// - A stamp is read only where the value begins as a stamp of that tenant and include flag does, so never as
///   another's.
/// - The verdict on it is the documented one at every time; what is no longer fresh never becomes so again.
/// - What is composed reads back. A version is read only from behind a stamp, and only one that is spelled as one.
pub fn check(data: &[u8]) {
    let (key, value) = match data.iter().position(|b| *b == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    check_key(key);
    let (tenant, _) = of_key(key).unwrap_or(("t1", true));
    check_stamp(value, tenant);
    check_composed(value, tenant);
}

fn check_key(key: &[u8]) {
    let spelled = str::from_utf8(key).ok().and_then(|key| {
        let (name, include) = key.strip_prefix("dashboard:bundle:")?.rsplit_once(":include=")?;
        let untagged = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
        let include = ["false", "true"].iter().position(|word| *word == include)? == 1;
        is_tenant(untagged.as_bytes()).then_some((untagged, include))
    });
    assert_eq!(of_key(key), spelled);
    if let Some((tenant, include)) = spelled {
        let names = [true, false].map(|tagged| KeyName::new(tenant, include, tagged));
        assert_eq!(names.iter().filter(|name| name.as_bytes() == key).count(), 1, "one form is the key");
        assert!(names.iter().all(|name| of_key(name.as_bytes()) == Some((tenant, include))));
    }
}

fn check_stamp(value: &[u8], tenant: &str) {
    for include in [true, false] {
        let Some(stamp) = Stamp::read(value, tenant, include) else {
            assert_eq!(version(value, tenant, include), None);
            continue;
        };
        let old = !value.starts_with(b"{\"meta\":{\"format\":2,");
        if let Some(version) = version(value, tenant, include) {
            let named = [
                &beginning(old, stamp.etag, &stamp.life, tenant, include)[..],
                b"\"version\":\"",
                version.as_bytes(),
                b"\"",
            ];
            assert!(value.starts_with(&named.concat()) && is_version(version), "{version}");
        }
        let prefix = beginning(old, stamp.etag, &stamp.life, tenant, include);
        assert!(value.starts_with(&prefix), "{}", prefix.escape_ascii());
        assert_eq!(Stamp::read(&prefix, tenant, include), Some(stamp), "the beginning is enough");
        assert_eq!(Stamp::read(&prefix[..prefix.len() - 1], tenant, include), None, "cut off");
        assert_eq!(Stamp::read(value, tenant, !include), None);
        for other in [&tenant[1..], &format!("{tenant}x"), &tenant[..tenant.len() - 1], "SUPERADMIN_GLOBAL"] {
            let read = Stamp::read(value, other, include);
            assert!(read.is_none() || other == tenant, "read as {other}");
        }
        check_verdicts(&stamp, old, &mut dice(value));
    }
}

/// How a stored value begins.
fn beginning(old: bool, etag: &[u8], life: &Lifetime, tenant: &str, include: bool) -> Vec<u8> {
    let Lifetime { as_of, fresh_until, expires_at, valid_until } = life;
    let times = format!(
        "\",\"as_of_ms\":{as_of:013},\"fresh_until_ms\":{fresh_until:013},\"expires_at_ms\":{expires_at:013}"
    );
    let valid = valid_until.map(|at| format!(",\"valid_until_ms\":{at:013}")).unwrap_or_default();
    let format = if old { "" } else { "\"format\":2," };
    let whose = format!(",\"tenant_id\":\"{tenant}\",\"include_test_data\":{include},");
    [
        b"{\"meta\":{",
        format.as_bytes(),
        b"\"etag\":\"",
        etag,
        times.as_bytes(),
        valid.as_bytes(),
        whose.as_bytes(),
    ]
    .concat()
}

fn check_verdicts(stamp: &Stamp<'_>, old: bool, dice: &mut fastrand::Rng) {
    let life = &stamp.life;
    let own = Some(life.expires_at);
    let mut times = vec![0, dice.i64(0..10_i64.pow(13))];
    for at in [life.as_of, life.fresh_until, life.expires_at] {
        times.extend([at - 1, at, at + 1]);
    }
    times.sort_unstable();
    let mut was_fresh_after_storing = true;
    for now in times {
        let verdict = stamp.freshness(now, own);
        let over = life.valid_until.is_some_and(|until| now >= until);
        let fresh = !over && life.as_of <= now && now < life.fresh_until;
        let expected = match (over, fresh) {
            (true, _) => Freshness::Changed,
            (false, true) => Freshness::Fresh,
            (false, false) => Freshness::Stale,
        };
        assert_eq!(verdict, expected, "at {now}");
        assert!(!fresh || life.fresh_for_ms(now) > 0, "at {now}");
        assert_eq!(life.age_ms(now), u64::try_from(now - life.as_of).unwrap_or(0));
        if now >= life.as_of {
            assert!(was_fresh_after_storing || !fresh, "fresh again at {now}");
            was_fresh_after_storing = fresh;
        }
        let mark = life.changed_mark();
        for expiry in [None, Some(mark), Some(mark + 500), Some(life.expires_at + 1), Some(0), Some(now)] {
            let off = expiry.map_or(i64::MAX, |at| (at - life.expires_at).abs());
            let marked = if old { off != 0 } else { off >= 30_000 };
            assert_eq!(
                stamp.freshness(now, expiry) == Freshness::Changed,
                marked || over,
                "{expiry:?} at {now}"
            );
        }
    }
}

fn check_composed(data: &[u8], tenant: &str) {
    let mut dice = dice(data);
    let meta = SidecarMeta {
        tenant_id: tenant.into(),
        include_test_data: dice.bool(),
        generated_at: String::from_utf8_lossy(data).into_owned(),
        etag: format!("{:032x}", dice.u128(..)),
        compute_ms: dice.u64(..),
        version: dice.bool().then(|| String::from_utf8_lossy(&data[..data.len().min(130)]).into_owned()),
        valid_until_ms: None,
    };
    let [as_of, fresh_until, expires_at] = [(); 3].map(|()| dice.i64(10_i64.pow(12)..10_i64.pow(13)));
    let valid_until = dice.bool().then(|| dice.i64(10_i64.pow(12)..10_i64.pow(13)));
    let life = Lifetime { as_of, fresh_until, expires_at, valid_until };
    let value = compose(&meta, life, b",\"stats\":{}}");
    let stamp = Stamp::read(&value, tenant, meta.include_test_data).expect("a stamp");
    assert_eq!((stamp.etag, stamp.life), (meta.etag.as_bytes(), life));
    check_stamp(&value, tenant);
    let given = meta.version.as_deref().filter(|given| is_version(given));
    assert_eq!(version(&value, tenant, meta.include_test_data), given);
    let whole = object(&value).expect("JSON");
    assert_eq!(whole["stats"].get(), "{}");
    let read = object(whole["meta"].get().as_bytes()).expect("JSON");
    assert_eq!(string(&read, "generated_at"), Some(meta.generated_at));
    assert_eq!(read["compute_ms"].get(), meta.compute_ms.to_string());
}
