//! What a command says of itself to the server: `COMMAND DOCS`, `COMMAND INFO`, the hints of redis-cli,
//! access control and cluster routing all read it. Each command declares itself beside its code.

use redis_module::raw;
use std::ffi::CStr;

/// A command's declaration.
pub(crate) struct Declaration {
    pub(crate) name: &'static CStr,
    pub(crate) summary: &'static CStr,
    pub(crate) complexity: &'static CStr,
    pub(crate) since: &'static CStr,
    /// As the server counts: with the name; negative for "at least".
    pub(crate) arity: i32,
    pub(crate) keys: Keys,
    pub(crate) key_notes: &'static CStr,
    pub(crate) tips: &'static CStr,
    pub(crate) args: &'static [Arg],
}

/// Which arguments are tenants, and so keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// The first one, which is read.
    One,
    /// Any number from the first on, which are changed; options may stand among them.
    Many,
}

/// One argument, for documentation and hints.
pub(crate) struct Arg {
    pub(crate) name: &'static CStr,
    pub(crate) kind: Kind,
    pub(crate) token: Option<&'static CStr>,
    pub(crate) summary: &'static CStr,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    pub(crate) is_key: bool,
    /// For [`Kind::OneOf`] and [`Kind::Block`].
    pub(crate) choices: &'static [Arg],
}

/// The type of an argument.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Key,
    Integer,
    String,
    Token,
    OneOf,
    /// Several, one after the other.
    Block,
}

impl Kind {
    pub(crate) fn code(self) -> raw::RedisModuleCommandArgType {
        match self {
            Self::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
            Self::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
            Self::String => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
            Self::Token => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
            Self::Block => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
            Self::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
        }
    }
}

impl Arg {
    const fn new(name: &'static CStr, kind: Kind, summary: &'static CStr) -> Self {
        Self {
            name,
            kind,
            token: None,
            summary,
            optional: false,
            multiple: false,
            is_key: false,
            choices: &[],
        }
    }

    pub(crate) const fn tenant() -> Self {
        let mut arg = Self::new(c"tenant", Kind::Key, c"the tenant's id, or SUPERADMIN_GLOBAL");
        arg.is_key = true;
        arg
    }

    pub(crate) const fn tenants() -> Self {
        let mut arg = Self::tenant();
        arg.optional = true;
        arg.multiple = true;
        arg
    }

    /// One that is always given, by its place.
    pub(crate) const fn value(name: &'static CStr, kind: Kind, summary: &'static CStr) -> Self {
        Self::new(name, kind, summary)
    }

    /// A word that stands alone.
    pub(crate) const fn word(name: &'static CStr, token: &'static CStr, summary: &'static CStr) -> Self {
        let mut arg = Self::choice(name, token, summary);
        arg.optional = true;
        arg
    }

    pub(crate) const fn choice(name: &'static CStr, token: &'static CStr, summary: &'static CStr) -> Self {
        let mut arg = Self::new(name, Kind::Token, summary);
        arg.token = Some(token);
        arg
    }

    /// One of `choices`, which is always given.
    pub(crate) const fn one_of(
        name: &'static CStr,
        choices: &'static [Self],
        summary: &'static CStr,
    ) -> Self {
        let mut arg = Self::new(name, Kind::OneOf, summary);
        arg.choices = choices;
        arg
    }

    /// Several that stand together.
    pub(crate) const fn group(name: &'static CStr, parts: &'static [Self], summary: &'static CStr) -> Self {
        let mut arg = Self::new(name, Kind::Block, summary);
        arg.choices = parts;
        arg
    }

    /// A word with a value behind it.
    pub(crate) const fn option(
        name: &'static CStr,
        token: &'static CStr,
        kind: Kind,
        choices: &'static [Self],
        summary: &'static CStr,
    ) -> Self {
        let mut arg = Self::new(name, kind, summary);
        arg.token = Some(token);
        arg.optional = true;
        arg.choices = choices;
        arg
    }
}
