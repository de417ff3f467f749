//! How a bundle's bytes are put together: what Postgres returned, compacted, with `meta` in front.
//!
//! Knows JSON texts only, neither Postgres nor HTTP. Numbers are never parsed: sums are exact decimals and
//! stay the digits that Postgres wrote.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use xxhash_rust::xxh3::xxh3_128;

use crate::tenant::BundleId;

/// A finished bundle: one line of JSON, `meta` first.
#[derive(Clone, Debug)]
pub struct Bundle {
    json: Bytes,
}

/// What is wrong with a text that should have been a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABundle {
    /// An array, a string, a number, …, or no JSON at all.
    #[error("something that is not a JSON object")]
    NotAnObject,
    /// The member `meta` is written by the sidecar.
    #[error("an object with a member 'meta', which the sidecar adds itself")]
    HasMeta,
}

#[derive(Serialize)]
struct Meta<'a> {
    tenant_id: &'a str,
    include_test_data: bool,
    generated_at: String,
    etag: &'a str,
    compute_ms: u64,
}

impl Bundle {
    /// Puts `meta` in front of what the SQL function returned.
    ///
    /// `generated_at` is the database's clock when the computing statement began, `compute_time` how long it took.
    ///
    /// # Errors
    /// [`NotABundle`], because users replace the SQL functions: what they return is input.
    pub fn assemble(
        id: &BundleId,
        content: &str,
        generated_at: DateTime<Utc>,
        compute_time: Duration,
    ) -> Result<Self, NotABundle> {
        if serde_json::from_str::<TopLevel>(content).map_err(|_| NotABundle::NotAnObject)?.has_meta {
            return Err(NotABundle::HasMeta);
        }
        let content = compact(content);
        // Past the opening brace: these very bytes follow the meta member and its comma.
        let members = &content[1..];
        let etag = format!("{:032x}", xxh3_128(members));
        let meta = Meta {
            tenant_id: id.tenant.as_str(),
            include_test_data: id.include_test_data,
            generated_at: generated_at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            etag: &etag,
            compute_ms: u64::try_from(compute_time.as_millis()).unwrap_or(u64::MAX),
        };
        let mut json = Vec::with_capacity(content.len() + 256);
        json.extend_from_slice(b"{\"meta\":");
        serde_json::to_writer(&mut json, &meta).map_err(|_| NotABundle::NotAnObject)?;
        if members != b"}" {
            json.push(b',');
        }
        json.extend_from_slice(members);
        Ok(Self { json: json.into() })
    }

    /// The JSON text: one line, without the line's end.
    pub fn into_json(self) -> Bytes {
        self.json
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.json.len()
    }
}

/// Drops white space between tokens: Postgres puts line breaks between array elements, and a bundle must
/// stand on one line of a stream. The same content thereby gets the same etag however it was spaced.
fn compact(json: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
    out
}

/// What has to be known of a JSON object before `meta` is put into it.
struct TopLevel {
    has_meta: bool,
}

impl<'de> Deserialize<'de> for TopLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = TopLevel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TopLevel, A::Error> {
                let mut has_meta = false;
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    has_meta |= name == "meta";
                }
                Ok(TopLevel { has_meta })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Tenant;

    fn assemble(content: &str) -> Result<String, NotABundle> {
        let id = BundleId { tenant: Tenant::parse("t1").unwrap(), include_test_data: true };
        let at = DateTime::from_timestamp_micros(1_767_323_045_123_456).unwrap();
        let bundle = Bundle::assemble(&id, content, at, Duration::from_micros(12_900))?;
        Ok(String::from_utf8(bundle.into_json().to_vec()).unwrap())
    }

    #[test]
    fn meta_stands_first_and_the_rest_is_kept_digit_by_digit() {
        let json = assemble("{\"stats\" : {\"v\" : 12345678901234567.10},\n \"lists\":[ 1 , 2 ]}").unwrap();
        let (meta, rest) = json.split_once("},").unwrap();
        assert!(meta.starts_with(
            r#"{"meta":{"tenant_id":"t1","include_test_data":true,"generated_at":"2026-01-02T03:04:05.123456Z","etag":""#
        ));
        assert!(meta.ends_with(r#","compute_ms":12"#));
        assert_eq!(rest, r#""stats":{"v":12345678901234567.10},"lists":[1,2]}"#);
    }

    #[test]
    fn the_etag_is_of_the_content_alone_whatever_its_spacing() {
        let etag = |json: &str| {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            value["meta"]["etag"].as_str().unwrap().to_owned()
        };
        let plain = etag(&assemble(r#"{"a":1}"#).unwrap());
        assert_eq!(plain, etag(&assemble("{ \"a\" :\n1 }").unwrap()));
        assert_ne!(plain, etag(&assemble(r#"{"a":2}"#).unwrap()));
        assert!(plain.len() == 32 && plain.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    }

    #[test]
    fn strings_keep_their_spaces_quotes_and_backslashes() {
        let content = r#"{"a":"x \" y \\","b":" { } "}"#;
        assert!(assemble(content).unwrap().ends_with(&content[1..]));
    }

    #[test]
    fn an_empty_object_stays_valid_json() {
        let json = assemble(" { } ").unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["meta"].is_object(), "{json}");
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for content in ["[]", "1", "null", "\"{}\"", "", "{", "{} {}"] {
            assert_eq!(assemble(content), Err(NotABundle::NotAnObject), "{content}");
        }
        for content in [r#"{"meta":{}}"#, r#"{"a":1,"m\u0065ta":1}"#] {
            assert_eq!(assemble(content), Err(NotABundle::HasMeta), "{content}");
        }
    }
}
