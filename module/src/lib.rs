//! A Redis module that keeps every tenant's dashboard bundle warm, and right.
//!
//! This page is the module's whole surface; `ARCHITECTURE.md` has the walkthroughs. The way of a request:
//!
//! 1. [`commands`]: arguments in, reply out; a fresh hit ends here.
//! 2. [`engine`]: decides who is served, who waits and what is asked for. Knows no Redis.
//! 3. [`upstream`]: asks the sidecar, on a thread of its own.
//! 4. [`state::pump`]: brings results back to the main thread, to [`store`] and to those who wait; [`state`] is
//!    where all of it meets.
#![deny(unsafe_code)]

mod args;
mod clearing;
mod commands;
mod config;
mod counts;
mod declare;
mod errors;
mod fault;
mod feed;
mod ffi;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod info;
mod log;
mod reply;
mod state;
mod store;
mod sweep;
mod tracking;
mod upstream;

use redis_module::configuration::ConfigurationFlags;
use redis_module::{CallOptionsBuilder, CallResult, Context, ContextFlags, RedisString, Status};
use std::sync::atomic::Ordering;

#[cfg(not(any(test, fuzzing)))]
type Allocator = redis_module::alloc::RedisAlloc;
#[cfg(not(any(test, fuzzing)))]
const ALLOCATOR: Allocator = redis_module::alloc::RedisAlloc;
// The server's allocator aborts outside the server.
#[cfg(any(test, fuzzing))]
type Allocator = std::alloc::System;
#[cfg(any(test, fuzzing))]
const ALLOCATOR: Allocator = std::alloc::System;

/// The module's version as Redis shows it: major * 10000 + minor * 100 + patch.
const VERSION: i32 = 100;

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    clippy::macro_metavars_in_unsafe,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::redundant_closure_for_method_calls,
    reason = "what the macro of redis-module expands to"
)]
mod surface {
    use super::{ALLOCATOR, Allocator, ConfigurationFlags, VERSION, commands, config, load, unload};
    use redis_module::redis_module;

    redis_module! {
        name: "dashboard",
        version: VERSION,
        allocator: (Allocator, ALLOCATOR),
        data_types: [],
        init: load,
        deinit: unload,
        commands: [
            ["dashboard.get",   commands::get::run,   "readonly fast",      1,  1, 1, "", "read fast"],
            ["dashboard.clear", commands::clear::run, "write getkeys-api",  1, -1, 1, "", "write slow"],
            ["dashboard.warm",  commands::warm::run,  "write getkeys-api",  1, -1, 1, "", "write slow"],
            ["dashboard.feed",  commands::feed::run,  "admin fast",         0,  0, 0, "", "admin dangerous fast"],
            ["dashboard.help",  commands::help::run,  "allow-loading allow-stale fast", 0, 0, 0, "", "fast"],
        ],
        configurations: [
            i64: [
                ["ttl",              &config::TTL,              config::TTL.default,              config::TTL.min,              config::TTL.max,              ConfigurationFlags::DEFAULT, None],
                ["stale-ttl",        &config::STALE_TTL,        config::STALE_TTL.default,        config::STALE_TTL.min,        config::STALE_TTL.max,        ConfigurationFlags::DEFAULT, None],
                ["jitter",           &config::JITTER,           config::JITTER.default,           config::JITTER.min,           config::JITTER.max,           ConfigurationFlags::DEFAULT, None],
                ["timeout",          &config::TIMEOUT,          config::TIMEOUT.default,          config::TIMEOUT.min,          config::TIMEOUT.max,          ConfigurationFlags::DEFAULT, None],
                ["soft-timeout",     &config::SOFT_TIMEOUT,     config::SOFT_TIMEOUT.default,     config::SOFT_TIMEOUT.min,     config::SOFT_TIMEOUT.max,     ConfigurationFlags::DEFAULT, None],
                ["negative-ttl",     &config::NEGATIVE_TTL,     config::NEGATIVE_TTL.default,     config::NEGATIVE_TTL.min,     config::NEGATIVE_TTL.max,     ConfigurationFlags::DEFAULT, None],
                ["max-flights",      &config::MAX_FLIGHTS,      config::MAX_FLIGHTS.default,      config::MAX_FLIGHTS.min,      config::MAX_FLIGHTS.max,      ConfigurationFlags::DEFAULT, None],
                ["max-waiters",      &config::MAX_WAITERS,      config::MAX_WAITERS.default,      config::MAX_WAITERS.min,      config::MAX_WAITERS.max,      ConfigurationFlags::DEFAULT, None],
                ["max-bundle-bytes", &config::MAX_BUNDLE_BYTES, config::MAX_BUNDLE_BYTES.default, config::MAX_BUNDLE_BYTES.min, config::MAX_BUNDLE_BYTES.max, ConfigurationFlags::MEMORY,  None],
                ["hot-window",       &config::HOT_WINDOW,       config::HOT_WINDOW.default,       config::HOT_WINDOW.min,       config::HOT_WINDOW.max,       ConfigurationFlags::DEFAULT, None],
                ["warm-concurrency", &config::WARM_CONCURRENCY, config::WARM_CONCURRENCY.default, config::WARM_CONCURRENCY.min, config::WARM_CONCURRENCY.max, ConfigurationFlags::DEFAULT, None],
                ["warm-share",       &config::WARM_SHARE,       config::WARM_SHARE.default,       config::WARM_SHARE.min,       config::WARM_SHARE.max,       ConfigurationFlags::DEFAULT, None],
                ["feed-lag-limit",   &config::FEED_LAG_LIMIT,   config::FEED_LAG_LIMIT.default,   config::FEED_LAG_LIMIT.min,   config::FEED_LAG_LIMIT.max,   ConfigurationFlags::DEFAULT, None],
            ],
            string: [
                ["sidecar", &*config::SIDECAR, config::DEFAULT_SIDECAR, ConfigurationFlags::DEFAULT,   None],
                ["token",   &*config::TOKEN,   "",                      ConfigurationFlags::SENSITIVE, None],
            ],
            bool: [
                ["hash-tag", &config::HASH_TAG, false, ConfigurationFlags::DEFAULT, None],
            ],
            enum: [],
            module_args_as_configuration: false,
        ]
    }
}

/// Said once, at load, where it is so.
const NO_CATEGORIES: &str = "ACL rules for categories do not reach DASHBOARD.* on this server, which is older than Redis 7.2: \
    +@read allows none of its commands, and -@write and -@dangerous forbid none. Name them in ACL rules: \
    dashboard.get, dashboard.clear, dashboard.warm, dashboard.feed, dashboard.help";

/// Completes the load: the commands' declarations, the load arguments, the thread to the sidecar.
fn load(ctx: &Context, args: &[RedisString]) -> Status {
    let loaded = ffi::guarded(Err("a panic".to_owned()), || try_load(ctx, args));
    match loaded {
        Ok(()) => Status::Ok,
        Err(why) => {
            log::warning(ctx, &format!("not loaded: {why}"));
            ffi::release();
            Status::Err
        }
    }
}

fn try_load(ctx: &Context, args: &[RedisString]) -> Result<(), String> {
    ffi::init(
        ctx,
        ffi::Callbacks {
            pump: state::pump::turn,
            woken: state::woken,
            reply: state::reply,
            unblocked: state::unblocked,
            gone: state::gone,
            event: state::server_event,
            key_event: tracking::key_event,
        },
    )?;
    for declaration in [
        &commands::get::DECLARATION,
        &commands::clear::DECLARATION,
        &commands::warm::DECLARATION,
        &commands::feed::DECLARATION,
        &commands::help::DECLARATION,
    ] {
        ffi::declare(ctx, declaration)?;
    }
    if !ffi::has_command_categories() {
        log::warning(ctx, NO_CATEGORIES);
    }
    config::CLUSTER.store(ctx.get_flags().contains(ContextFlags::CLUSTER), Ordering::Relaxed);
    apply_arguments(ctx, args)?;
    state::start().map_err(|e| format!("cannot start the thread to the sidecar: {e}"))
}

/// Load arguments are settings, `name value …`; the server checks them as it checks CONFIG SET.
fn apply_arguments(ctx: &Context, args: &[RedisString]) -> Result<(), String> {
    for pair in args.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("the load argument '{}' has no value", pair[0].to_string_lossy()));
        };
        let setting = format!("dashboard.{}", name.to_string_lossy().to_lowercase());
        let options = CallOptionsBuilder::new().errors_as_replies().build();
        let call_args: [&[u8]; 3] = [b"SET", setting.as_bytes(), value.as_slice()];
        let result: CallResult<'_> = ctx.call_ext("CONFIG", &options, &call_args[..]);
        if let Err(error) = result {
            let error = error.to_utf8_string().unwrap_or_default();
            return Err(format!("the load argument '{}': {error}", name.to_string_lossy()));
        }
    }
    Ok(())
}

fn unload(ctx: &Context) -> Status {
    if state::stop() {
        ffi::release();
        Status::Ok
    } else {
        ctx.log_warning("not unloaded: bundles are being computed or cleared (clears_running); try again");
        Status::Err
    }
}
