//! `DASHBOARD.CLEAR [tenant …] [SOFT]`
//!
//! SOFT says that a tenant's data has changed, which is so in every database; without it the client's own is cleared, as by
//! DEL.
//!
//! First the fence, then the keys: from the moment the command runs, no flight that began before it is
//! stored. A few tenants are cleared at once; many, or a whole database, in slices: then the client waits
//! for the end, so that the server does not.

use crate::args::{TenantsAndWords, key_positions};
use crate::declare::{Arg, Declaration, Keys};
use crate::errors::Error;
use crate::state::{Answer, Pending};
use crate::{clearing, commands, ffi, reply, state};
use redis_module::{Context, RedisResult, RedisString, RedisValue};

pub(crate) const DECLARATION: Declaration = Declaration {
    name: c"dashboard.clear",
    summary: c"Removes bundles, or marks them as changed.",
    complexity: c"O(N) for N tenants; without tenants O(N) for N keys in the database, in slices",
    since: c"0.1.0",
    arity: -1,
    keys: Keys::Many,
    key_notes: c"the tenants whose bundles are cleared",
    tips: c"",
    args: &[
        Arg::tenants(),
        Arg::word(c"soft", c"SOFT", c"they have changed, in every database: keep them only as a fallback"),
    ],
};

pub(crate) const WORDS: [&str; 1] = ["SOFT"];

pub(crate) fn run(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    if ctx.is_keys_position_request() {
        key_positions(commands::bytes(&args), &WORDS).for_each(|at| ffi::key_at(ctx, at));
        return Ok(RedisValue::NoReply);
    }
    commands::run(ctx, || {
        let TenantsAndWords { tenants, words: [soft] } =
            TenantsAndWords::parse(commands::bytes(&args), WORDS)?;
        commands::must_be_primary(ctx, "DASHBOARD.CLEAR")?;
        let dbs = if soft { state::databases(ctx) } else { vec![ffi::selected_db(ctx)] };
        let may_block = commands::may_block(ctx);
        if !tenants.is_empty() && (tenants.len() * dbs.len() <= clearing::AT_ONCE || !may_block) {
            state::clear_flights(&dbs, &tenants, soft);
            let cleared = clearing::now(ctx, &dbs, &tenants, soft);
            state::refresh_behind(ctx, &cleared.hot);
            reply::integer(ctx, cleared.count);
            return Ok(());
        }
        if !may_block {
            return Err(Error::cannot_block("DASHBOARD.CLEAR without tenants"));
        }
        if tenants.is_empty() {
            commands::may_change_all(ctx, "DASHBOARD.CLEAR")?;
        }
        state::begin_clear(ctx, dbs, tenants, soft, Waiting)
    })
}

/// A client that waits for the end of a clear in slices.
struct Waiting;

impl Pending for Waiting {
    fn reply(&self, ctx: &Context, answer: Answer) {
        match answer {
            Answer::Cleared(count) => reply::integer(ctx, count),
            Answer::Failed(error) => reply::error(ctx, &error),
            Answer::Bundle(_) | Answer::Warmed(_) => reply::error(ctx, &Error::internal()),
        }
    }
}
