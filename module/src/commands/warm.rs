//! `DASHBOARD.WARM [tenant …] [FORCE] [ASYNC]`

use crate::args::{TenantsAndWords, key_positions};
use crate::declare::{Arg, Declaration, Keys};
use crate::errors::Error;
use crate::state::{Answer, Pending};
use crate::{commands, ffi, reply, state};
use engine::warming::{FailedTenant, Summary};
use redis_module::{Context, RedisResult, RedisString, RedisValue};

pub(crate) const DECLARATION: Declaration = Declaration {
    name: c"dashboard.warm",
    summary: c"Computes the bundles that are not fresh, of some tenants or of every active one.",
    complexity: c"O(N) for N tenants, in slices",
    since: c"0.1.0",
    arity: -1,
    keys: Keys::Many,
    key_notes: c"the tenants whose bundles are warmed",
    tips: c"nondeterministic_output",
    args: &[
        Arg::tenants(),
        Arg::word(c"force", c"FORCE", c"compute fresh bundles too"),
        Arg::word(c"async", c"ASYNC", c"reply at once; INFO dashboard tells the progress"),
    ],
};

pub(crate) const WORDS: [&str; 2] = ["FORCE", "ASYNC"];

pub(crate) fn run(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    if ctx.is_keys_position_request() {
        key_positions(commands::bytes(&args), &WORDS).for_each(|at| ffi::key_at(ctx, at));
        return Ok(RedisValue::NoReply);
    }
    commands::run(ctx, || {
        let TenantsAndWords { tenants, words: [force, run_async] } =
            TenantsAndWords::parse(commands::bytes(&args), WORDS)?;
        commands::must_be_primary(ctx, "DASHBOARD.WARM")?;
        if !commands::may_block(ctx) {
            return Err(Error::cannot_block("DASHBOARD.WARM"));
        }
        if tenants.is_empty() {
            commands::may_change_all(ctx, "DASHBOARD.WARM")?;
        }
        state::begin_warm(ctx, tenants, force, (!run_async).then_some(Waiting))?;
        if run_async {
            reply::status(ctx, c"Background warming started");
        }
        Ok(())
    })
}

/// Replies what a run has done. Where tenants have failed, they are named with their reasons, the first of them.
fn reply_summary(ctx: &Context, summary: &Summary) {
    let Summary { report, failures, .. } = summary;
    let fields = [
        ("tenants", report.tenants),
        ("warmed", report.warmed),
        ("fresh", report.fresh),
        ("failed", report.failed),
        ("elapsed_ms", report.elapsed_ms),
    ];
    reply::map(ctx, fields.len() + usize::from(!failures.is_empty()));
    for (name, value) in fields {
        reply::bytes(ctx, name.as_bytes());
        reply::integer(ctx, value);
    }
    if !failures.is_empty() {
        reply::bytes(ctx, b"failures");
        reply::map(ctx, failures.len());
        for FailedTenant { tenant, reason } in failures {
            reply::bytes(ctx, tenant.as_str().as_bytes());
            reply::bytes(ctx, reason.as_bytes());
        }
    }
}

/// A client that waits for the end of a run.
struct Waiting;

impl Pending for Waiting {
    fn is_warm(&self) -> bool {
        true
    }

    fn reply(&self, ctx: &Context, answer: Answer) {
        match answer {
            Answer::Warmed(summary) => reply_summary(ctx, &summary),
            Answer::Failed(error) => reply::error(ctx, &error),
            Answer::Bundle(_) | Answer::Cleared(_) => reply::error(ctx, &Error::internal()),
        }
    }
}
