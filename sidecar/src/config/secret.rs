//! A setting that must not be seen: it never appears in logs, `Debug` output or `--help`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use subtle::ConstantTimeEq;

use crate::error::Failure;

/// The largest file that is taken for a secret or a key, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A secret text, such as a database URL with its password or a token.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads a secret from its file; `setting` names the file in errors. Only the line's end is no part of it.
    ///
    /// # Errors
    /// If the file cannot be read or is no text.
    pub fn read(setting: &str, file: &Path) -> Result<Self, Failure> {
        Ok(Self::new(read_file(setting, file)?.trim_end_matches(['\r', '\n'])))
    }

    /// Takes a secret from an environment variable's value.
    ///
    /// # Errors
    /// If it is no text. Taken for none, it would leave open what it guards.
    pub fn from_variable(name: &str, value: &SecretVariable) -> Result<Self, Failure> {
        let text = value
            .0
            .to_str()
            .ok_or_else(|| Failure::config(format!("{name}: the value must be UTF-8 text")))?;
        Ok(Self::new(text))
    }

    /// The text itself: to be handed to what needs it, never to a message.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration how much was right (only whether the length was).
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

/// What an environment variable has for a secret, text or not. It does not show itself either.
#[derive(Clone)]
pub struct SecretVariable(OsString);

impl SecretVariable {
    /// The variable's value, if it is set.
    pub fn read(name: &str) -> Option<Self> {
        std::env::var_os(name).map(Self)
    }
}

impl<T> From<&T> for SecretVariable
where
    T: AsRef<std::ffi::OsStr> + ?Sized,
{
    fn from(value: &T) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for SecretVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Reads a small file of text; `setting` names it in errors.
pub(super) fn read_file(setting: &str, file: &Path) -> Result<String, Failure> {
    let wrong =
        |problem: &dyn fmt::Display| Failure::config(format!("{setting} {}: {problem}", file.display()));
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| wrong(&error))?;
    opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(&format_args!("the file has more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for Secret {
    // Infallible on purpose: clap repeats a rejected value in its message.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some([redacted])");
        assert_eq!(format!("{:?}", SecretVariable::from("hunter2")), "[redacted]");
    }

    #[test]
    fn a_secret_matches_itself_only() {
        let secret = Secret::new("abc");
        assert!(secret.matches(b"abc"));
        assert!(!secret.matches(b"abd"));
        assert!(!secret.matches(b"abcd"));
        assert!(!secret.matches(b""));
    }
}
