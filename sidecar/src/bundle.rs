//! How a bundle's bytes are put together: what Postgres returned, compacted, with `meta` in front.
//!
//! Knows JSON texts only, neither Postgres nor HTTP. Numbers are never parsed: sums are exact decimals and
//! stay the digits that Postgres wrote. That the text is JSON at all is Postgres' promise, which lets nothing else
//! into a column of that type; it is read once, and only for what is to be known of it here.

mod version;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use memchr::memchr2;
use xxhash_rust::xxh3::xxh3_128;

use crate::tenant::BundleId;

pub use version::{Etag, InvalidEtag, InvalidVersion, Known, Version};

/// A bundle without its `meta`. Bundles of the same content share its bytes.
#[derive(Clone, Debug)]
pub struct Content {
    /// All that follows the opening brace, and a line's end: so it goes into a stream of lines as it is.
    members: Bytes,
    etag: String,
}

/// A finished bundle: one line of JSON, `meta` first.
#[derive(Clone, Debug)]
pub struct Bundle {
    head: Bytes,
    members: Bytes,
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
    /// And `lists` too, where there are lists besides.
    #[error("an object with a member 'lists', and lists besides in columns of their own")]
    HasLists,
}

impl Content {
    /// Takes what the SQL function returned: valid JSON, of whatever kind and spacing.
    ///
    /// # Errors
    /// [`NotABundle`], because users replace the SQL functions: what they return is input.
    pub fn new(json: &str) -> Result<Self, NotABundle> {
        Ok(Self::of(compact_members(json, 0, &[NotABundle::HasMeta])?))
    }

    /// The same with a last member `lists`, whose members `write_lists` appends, about so many bytes.
    ///
    /// # Errors
    /// [`NotABundle`], and what `write_lists` returns.
    pub fn with_lists<E: From<NotABundle>>(
        json: &str,
        bytes: usize,
        write_lists: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut members = compact_members(json, bytes, &[NotABundle::HasMeta, NotABundle::HasLists])?;
        members.pop();
        if !members.is_empty() {
            members.push(b',');
        }
        members.extend_from_slice(b"\"lists\":{");
        write_lists(&mut members)?;
        members.extend_from_slice(b"}}");
        Ok(Self::of(members))
    }

    fn of(mut members: Vec<u8>) -> Self {
        let etag = format!("{:032x}", xxh3_128(&members));
        members.push(b'\n');
        Self { members: members.into(), etag }
    }

    /// Its size in bytes, as JSON without `meta`.
    pub fn size(&self) -> usize {
        b"{".len() + self.members.len() - b"\n".len()
    }
}

impl NotABundle {
    /// The member that must not be there.
    fn name(self) -> &'static str {
        match self {
            Self::NotAnObject => "",
            Self::HasMeta => "meta",
            Self::HasLists => "lists",
        }
    }
}

impl Bundle {
    /// Puts `meta` in front of this content.
    ///
    /// `generated_at` is the database's clock when the computing statement began, `compute_time` how long it took;
    /// `version` what the database calls the state that it was computed from, if it does.
    pub fn new(
        id: &BundleId,
        content: &Content,
        generated_at: DateTime<Utc>,
        compute_time: Duration,
        version: Option<&Version>,
    ) -> Self {
        let Content { members, etag } = content;
        let version = version.map(|version| format!(r#","version":"{}""#, version.as_str()));
        // Nothing in these has to be escaped: a tenant's name has letters, digits and three signs, a version one more.
        let head = format!(
            r#"{{"meta":{{"tenant_id":"{}","include_test_data":{},"generated_at":"{}","etag":"{etag}","compute_ms":{}{}}}{}"#,
            id.tenant.as_str(),
            id.include_test_data,
            generated_at.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
            compute_time.as_millis(),
            version.unwrap_or_default(),
            if members[..] == b"}\n"[..] { "" } else { "," },
        );
        Self { head: head.into(), members: members.clone() }
    }

    /// The JSON text: one line, without the line's end.
    pub fn into_json(self) -> Bytes {
        let mut json = BytesMut::with_capacity(self.size() + 1);
        json.extend_from_slice(&self.head);
        json.extend_from_slice(&self.members);
        json.truncate(self.size());
        json.freeze()
    }

    /// The same with the line's end, in two pieces that are not copied.
    pub fn into_line(self) -> [Bytes; 2] {
        [self.head, self.members]
    }

    /// Its size in bytes, as JSON.
    pub fn size(&self) -> usize {
        self.head.len() + self.members.len() - b"\n".len()
    }
}

/// What follows the opening brace of a JSON object, without the white space between tokens: a bundle must stand on
/// one line of a stream, and the same content has the same etag however it was spaced.
/// Leaves room for `more` bytes, and refuses members of certain names.
fn compact_members(json: &str, more: usize, refused: &[NotABundle]) -> Result<Vec<u8>, NotABundle> {
    let json = json.trim_ascii().as_bytes();
    let members = json.strip_prefix(b"{").ok_or(NotABundle::NotAnObject)?;
    let mut compact = Vec::with_capacity(members.len() + more + b"\n".len());
    let mut copied = 0;
    let mut at = 0;
    let mut depth = 1_u32;
    // Commas of other depths set it, too: before the next string of this depth there is one of its own.
    let mut name_is_next = true;
    loop {
        match members.get(at).ok_or(NotABundle::NotAnObject)? {
            b'"' => {
                let end = end_of_string(members, at).ok_or(NotABundle::NotAnObject)?;
                if depth == 1 && std::mem::take(&mut name_is_next) {
                    let name = &members[at..end];
                    if let Some(&problem) = refused.iter().find(|problem| is(name, problem.name())) {
                        return Err(problem);
                    }
                }
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' => name_is_next = true,
            b' ' | b'\t' | b'\n' | b'\r' => {
                compact.extend_from_slice(&members[copied..at]);
                copied = at + 1;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    if at != members.len() {
        return Err(NotABundle::NotAnObject);
    }
    compact.extend_from_slice(&members[copied..]);
    Ok(compact)
}

/// Where the string that begins at `start` is over.
fn end_of_string(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        // Whatever is escaped does not end the string; the digits of \u are letters like others.
        at += 2;
    }
}

/// Whether a string, with its quotes, is this name, also if written with escapes.
fn is(string: &[u8], name: &str) -> bool {
    if string.contains(&b'\\') {
        return serde_json::from_slice::<String>(string).is_ok_and(|string| string == name);
    }
    string.get(1..string.len() - 1) == Some(name.as_bytes())
}

/// Appends a JSON value without the white space between its tokens.
pub(crate) fn compact_into(json: &[u8], compact: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let token = at;
        match byte {
            b'"' => at = end_of_string(json, at).unwrap_or(json.len()),
            _ => at += 1,
        }
        if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            compact.extend_from_slice(&json[token..at]);
        }
    }
}

#[cfg(test)]
mod tests;
