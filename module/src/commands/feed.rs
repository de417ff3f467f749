//! `DASHBOARD.FEED lag-ms period-ms`: the sidecar's change feed says how far behind it is.

use crate::args::Args;
use crate::declare::{Arg, Declaration, Keys, Kind};
use crate::errors::Error;
use crate::{commands, reply, state};
use redis_module::{Context, RedisResult, RedisString};

pub(crate) const DECLARATION: Declaration = Declaration {
    name: c"dashboard.feed",
    summary: c"Tells how closely the change feed follows the database, for INFO dashboard.",
    complexity: c"O(1)",
    since: c"0.1.0",
    arity: 3,
    keys: Keys::None,
    key_notes: c"",
    tips: c"",
    args: &[
        Arg::value(c"lag-ms", Kind::Integer, c"changes are followed to within so many milliseconds"),
        Arg::value(c"period-ms", Kind::Integer, c"the next word comes within so many milliseconds"),
    ],
};

/// A feed that is silent for longer than a day has died.
const LONGEST_PERIOD: u64 = 86_400_000;

pub(crate) fn run(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    commands::run(ctx, || {
        let (lag, period) = parse(commands::bytes(&args))?;
        state::feed_said(ctx, lag, period);
        reply::status(ctx, c"OK");
        Ok(())
    })
}

/// The lag and the period.
pub(crate) fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<(u64, u64), Error> {
    let mut args = Args::new(args);
    let lag = args.millis("lag-ms")?;
    let period = args.whole("period-ms", LONGEST_PERIOD, "whole milliseconds from 0 to 86400000")?;
    match args.next() {
        Some(more) => Err(Error::unknown_argument(more)),
        None => Ok((lag, period)),
    }
}
