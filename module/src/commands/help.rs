//! `DASHBOARD.HELP`: the commands, a line or two each.

use crate::declare::{Declaration, Keys};
use redis_module::{Context, RedisResult, RedisString, RedisValue};

pub(crate) const DECLARATION: Declaration = Declaration {
    name: c"dashboard.help",
    summary: c"Describes the DASHBOARD commands.",
    complexity: c"O(1)",
    since: c"0.1.0",
    arity: 1,
    keys: Keys::None,
    key_notes: c"",
    tips: c"",
    args: &[],
};

const LINES: [&str; 18] = [
    "DASHBOARD.GET tenant [INCLUDE true|false] [MAXAGE ms] [REFRESH] [NOWAIT] [IFNONEMATCH etag] [WITHMETA]",
    "    The tenant's bundle, from memory or computed. INCLUDE (true): with test data. MAXAGE: compute anew if",
    "    older. REFRESH: compute anew. NOWAIT: reply what is there, or MISS, and compute behind it. IFNONEMATCH:",
    "    null if the etag still matches. WITHMETA: a map of status, age_ms, ttl_ms, etag, bundle and behind_ms.",
    "DASHBOARD.CLEAR [tenant ...] [SOFT]",
    "    Removes the bundles of these tenants, or all. SOFT: they have changed; they are kept only to be",
    "    served if computing them anew fails. Replies how many. SWAPDB acts like SOFT for both of its",
    "    databases.",
    "DASHBOARD.WARM [tenant ...] [FORCE] [ASYNC]",
    "    Computes the bundles of these tenants, or of every active one, that are not fresh; FORCE: all.",
    "    Replies tenants, warmed, fresh, failed and elapsed_ms. ASYNC: replies at once.",
    "DASHBOARD.FEED lag-ms period-ms [POSITION position] | OFF",
    "    For the sidecar's change feed: changes are followed to within lag-ms, and its next word comes within",
    "    period-ms. INFO dashboard shows it as feed_lag_ms, which grows when the feed is silent for longer.",
    "    OFF: changes are no longer followed, so nothing is late (feed_state: not followed).",
    "DASHBOARD.HELP",
    "    These lines.",
    "Settings: CONFIG GET dashboard.*    Counters: INFO dashboard",
];

pub(crate) fn run(_: &Context, args: Vec<RedisString>) -> RedisResult {
    if args.len() > 1 {
        return Err(redis_module::RedisError::WrongArity);
    }
    Ok(LINES.iter().map(|line| RedisValue::SimpleStringStatic(line)).collect::<Vec<_>>().into())
}
