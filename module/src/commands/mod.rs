//! One command, one file: its declaration, its arguments, what it does, and its reply.

pub(crate) mod clear;
pub(crate) mod get;
pub(crate) mod help;
pub(crate) mod warm;

use crate::errors::Error;
use crate::{ffi, reply};
use redis_module::{Context, ContextFlags, RedisResult, RedisValue};

/// Where a command may not wait for its end.
pub(crate) fn may_block(ctx: &Context) -> bool {
    !ctx.get_flags().intersects(ContextFlags::MULTI | ContextFlags::LUA | ContextFlags::DENY_BLOCKING)
}

/// Runs a command: an error is replied, and a panic too, as an internal one.
fn run(ctx: &Context, command: impl FnOnce() -> Result<(), Error>) -> RedisResult {
    if let Err(error) = ffi::guarded(Err(Error::internal()), command) {
        reply::error(ctx, &error);
    }
    Ok(RedisValue::NoReply)
}
