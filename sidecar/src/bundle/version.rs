//! The version of a bundle: what the database calls the state of a tenant's rows. It is the database's own word,
//! which it is asked by later whether anything has changed since.

use wire::bundle::{ETAG_LEN, is_version};

/// 1–128 of `[0-9A-Za-z.:_-]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

/// Why a text is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is 1 to 128 of A-Z a-z 0-9 . : _ -")]
pub struct InvalidVersion;

impl Version {
    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidVersion`] for one that is empty, overlong or has a character outside the set: nothing in it has to be
    /// escaped in JSON.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        if is_version(text) { Ok(Self(text.to_owned())) } else { Err(InvalidVersion) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A bundle that the asker has already: it need not be computed where nothing has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is called in the answer.
    pub etag: Etag,
    /// The state that it shows.
    pub version: Version,
}

/// The etag of a bundle, as its asker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

/// Why a text is no etag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an etag is 32 lower-case hexadecimal digits")]
pub struct InvalidEtag;

impl Etag {
    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidEtag`].
    pub fn parse(text: &str) -> Result<Self, InvalidEtag> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == ETAG_LEN && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidEtag)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_short_word_of_few_characters() {
        for text in ["1", "17:0xAF_b.2-3", &"v".repeat(128)] {
            assert_eq!(Version::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a\"", "a\\", "a/b", "é", "a\n", &"v".repeat(129)] {
            assert_eq!(Version::parse(text), Err(InvalidVersion), "{text}");
        }
    }

    #[test]
    fn an_etag_is_what_bundles_have() {
        let etag = "00112233445566778899aabbccddeeff";
        assert_eq!(Etag::parse(etag).unwrap().as_str(), etag);
        for text in ["", &etag[1..], &etag.to_uppercase(), &format!("{etag}0"), &etag.replace('a', "g")] {
            assert_eq!(Etag::parse(text), Err(InvalidEtag), "{text}");
        }
    }
}
