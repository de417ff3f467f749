//! What a client gets, in the server's protocol. The server copies what it is given.

use crate::errors::Error;
use redis_module::{Context, raw};
use std::ffi::{CStr, CString};

#[inline]
pub(crate) fn bytes(ctx: &Context, bytes: &[u8]) {
    raw::reply_with_string_buffer(ctx.ctx, bytes.as_ptr().cast(), bytes.len());
}

pub(crate) fn null(ctx: &Context) {
    raw::reply_with_null(ctx.ctx);
}

pub(crate) fn integer(ctx: &Context, value: u64) {
    raw::reply_with_long_long(ctx.ctx, i64::try_from(value).unwrap_or(i64::MAX));
}

/// A status line: `text` must be one line.
pub(crate) fn status(ctx: &Context, text: &CStr) {
    raw::reply_with_simple_string(ctx.ctx, text.as_ptr());
}

pub(crate) fn error(ctx: &Context, error: &Error) {
    // An error's text has no zero byte: what a client sent is escaped in it.
    let text = CString::new(error.to_string()).unwrap_or_else(|_| c"ERR".into());
    raw::reply_with_error(ctx.ctx, text.as_ptr());
}

/// Announces a map of `pairs` pairs (RESP2: an array of twice as many elements).
pub(crate) fn map(ctx: &Context, pairs: usize) {
    raw::reply_with_map(ctx.ctx, std::os::raw::c_long::try_from(pairs).unwrap_or(0));
}
