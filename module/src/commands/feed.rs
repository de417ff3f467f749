//! `DASHBOARD.FEED lag-ms period-ms`: the sidecar's change feed says how far behind it is. `DASHBOARD.FEED OFF`: it
//! says that it stops.

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
    arity: -2,
    keys: Keys::None,
    key_notes: c"",
    tips: c"",
    args: &[Arg::one_of(c"word", &WORDS, c"what the feed says")],
};

static WORDS: [Arg; 2] = [
    Arg::group(c"follows", &LAG_AND_PERIOD, c"changes are followed"),
    Arg::choice(c"off", c"OFF", c"changes are no longer followed"),
];

static LAG_AND_PERIOD: [Arg; 2] = [
    Arg::value(c"lag-ms", Kind::Integer, c"changes are followed to within so many milliseconds"),
    Arg::value(c"period-ms", Kind::Integer, c"the next word comes within so many milliseconds"),
];

/// A feed that is silent for longer than a day has died.
const LONGEST_PERIOD: u64 = 86_400_000;

/// What the feed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Follows { lag: u64, period: u64 },
    Off,
}

/// Only on a primary: who speaks to a replica follows changes for a server that takes no change.
pub(crate) fn run(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    commands::run(ctx, || {
        let word = parse(commands::bytes(&args))?;
        commands::must_be_primary(ctx, "DASHBOARD.FEED")?;
        match word {
            Word::Follows { lag, period } => state::feed_said(ctx, lag, period),
            Word::Off => state::feed_stopped(),
        }
        reply::status(ctx, c"OK");
        Ok(())
    })
}

/// The lag and the period, or the word that stands for their end.
pub(crate) fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Word, Error> {
    let mut all = args.peekable();
    let name = all.next();
    let word =
        if all.next_if(|arg| arg.eq_ignore_ascii_case(b"OFF")).is_some() { Some(Word::Off) } else { None };
    let mut args = Args::new(name.into_iter().chain(all));
    let word = match word {
        Some(off) => off,
        None => Word::Follows {
            lag: args.millis("lag-ms")?,
            period: args.whole("period-ms", LONGEST_PERIOD, "whole milliseconds from 0 to 86400000")?,
        },
    };
    match args.next() {
        Some(more) => Err(Error::unknown_argument(more)),
        None => Ok(word),
    }
}
