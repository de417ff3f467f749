//! Reading a command's arguments: typed, each option once, nothing left over. Arguments are bytes here: the
//! server's own strings exist in the server only, and this is tested outside.

use crate::errors::Error;
use wire::tenant::{self, Tenant};

/// The arguments of one call, taken from the front.
pub(crate) struct Args<I>(I);

impl<'a, I: Iterator<Item = &'a [u8]>> Args<I> {
    /// `all` begins with the command's name, which is skipped.
    pub(crate) fn new(mut all: I) -> Self {
        all.next();
        Self(all)
    }

    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next()
    }

    /// The tenant that `command` must be given first.
    pub(crate) fn tenant_name(&mut self, command: &str) -> Result<&'a [u8], Error> {
        let given = self.next().ok_or_else(|| Error::missing_tenant(command))?;
        if tenant::is_name(given) { Ok(given) } else { Err(Error::bad_tenant(given)) }
    }

    pub(crate) fn value(&mut self, option: &str, expected: &str) -> Result<&'a [u8], Error> {
        self.next().ok_or_else(|| Error::missing_value(option, expected))
    }

    /// A time of any length.
    pub(crate) fn millis(&mut self, option: &str) -> Result<u64, Error> {
        self.whole(option, (1 << 53) - 1, "whole milliseconds from 0 to 9007199254740991")
    }

    /// A whole number from 0 to `most`.
    pub(crate) fn whole(&mut self, option: &str, most: u64, expected: &str) -> Result<u64, Error> {
        let given = self.value(option, expected)?;
        let number = std::str::from_utf8(given).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok()).filter(|n| *n <= most);
        number.ok_or_else(|| Error::bad_value(option, given, expected))
    }

    pub(crate) fn boolean(&mut self, option: &str) -> Result<bool, Error> {
        let given = self.value(option, "true or false")?;
        match given {
            _ if given.eq_ignore_ascii_case(b"true") => Ok(true),
            _ if given.eq_ignore_ascii_case(b"false") => Ok(false),
            _ => Err(Error::bad_value(option, given, "true or false")),
        }
    }
}

/// Sets an option that may be given once.
pub(crate) fn once<T>(slot: &mut Option<T>, option: &str, value: T) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::repeated(option)),
    }
}

/// Tenants that one command takes: naming them all is work of the main thread that cannot be cut in slices.
pub(crate) const MAX_TENANTS: usize = 1000;

/// The arguments of `CLEAR` and `WARM`: tenants, each once counted, and words in any place.
pub(crate) struct TenantsAndWords<const N: usize> {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) words: [bool; N],
}

impl<const N: usize> TenantsAndWords<N> {
    pub(crate) fn parse<'a>(all: impl Iterator<Item = &'a [u8]>, words: [&str; N]) -> Result<Self, Error> {
        let mut args = Args::new(all);
        let mut found = Self { tenants: Vec::new(), words: [false; N] };
        let mut seen = std::collections::HashSet::new();
        while let Some(arg) = args.next() {
            match words.iter().position(|word| arg.eq_ignore_ascii_case(word.as_bytes())) {
                Some(at) if found.words[at] => return Err(Error::repeated(words[at])),
                Some(at) => found.words[at] = true,
                None => {
                    let tenant = Tenant::new(arg).ok_or_else(|| Error::bad_tenant(arg))?;
                    if seen.insert(tenant.clone()) {
                        found.tenants.push(tenant);
                    }
                }
            }
        }
        match found.tenants.len() {
            given if given > MAX_TENANTS => Err(Error::too_many_tenants(given, MAX_TENANTS)),
            _ => Ok(found),
        }
    }
}

/// The positions of the arguments that are tenants: for the server's question which are keys.
pub(crate) fn key_positions<'a>(
    all: impl Iterator<Item = &'a [u8]>,
    words: &[&str],
) -> impl Iterator<Item = usize> {
    all.enumerate().skip(1).filter_map(|(at, arg)| {
        (!words.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()))).then_some(at)
    })
}
