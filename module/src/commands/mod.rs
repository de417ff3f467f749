//! One command, one file: its declaration, its arguments, what it does, and its reply.

pub(crate) mod clear;
pub(crate) mod feed;
pub(crate) mod get;
pub(crate) mod help;
pub(crate) mod warm;

use crate::errors::Error;
use crate::{ffi, reply};
use redis_module::{AclPermissions, Context, ContextFlags, RedisResult, RedisString, RedisValue};
use wire::tenant::ALL_TENANTS;

/// The arguments as bytes, the command's name first.
fn bytes(args: &[RedisString]) -> impl Iterator<Item = &[u8]> {
    args.iter().map(RedisString::as_slice)
}

/// Where a command may not wait for its end.
pub(crate) fn may_block(ctx: &Context) -> bool {
    !ctx.get_flags().intersects(ContextFlags::MULTI | ContextFlags::LUA | ContextFlags::DENY_BLOCKING)
}

/// Checks that the client of `command` may change all tenants, which it does not name as keys: whoever may
/// change `SUPERADMIN_GLOBAL` may. A user that is confined to some tenants would otherwise reach the others.
///
/// Ask [`may_block`] first: what is not a client's own command may have no user at all.
fn may_change_all(ctx: &Context, command: &'static str) -> Result<(), Error> {
    let all = RedisString::create(None, ALL_TENANTS);
    ctx.acl_check_key_permission(&ctx.get_current_user(), &all, &AclPermissions::UPDATE)
        .map_err(|_| Error::no_permission(command))
}

/// Checks that `command` may change what is stored here. (A replica that takes writes of its own would
/// otherwise diverge, and never end what has to be done in slices.)
fn must_be_primary(ctx: &Context, command: &'static str) -> Result<(), Error> {
    let primary = ctx.get_flags().contains(ContextFlags::MASTER);
    if primary { Ok(()) } else { Err(Error::read_only(command)) }
}

/// Runs a command: an error is replied, and a panic too, as an internal one.
fn run(ctx: &Context, command: impl FnOnce() -> Result<(), Error>) -> RedisResult {
    if let Err(error) = ffi::guarded(Err(Error::internal()), command) {
        reply::error(ctx, &error);
    }
    Ok(RedisValue::NoReply)
}
