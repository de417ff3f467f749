//! Files that are no boards, and all that is said about each. `{head}` stands for the seven lines in `main.rs`.

pub(crate) const CASES: &[(&str, &str, &str)] = &[
    (
        "no syntax of TOML",
        r#"board = live
"#,
        r#"
b.toml:1:9: this is not TOML: string values must be quoted, expected literal string
 1 | board = live
   |         ^^^^
   = Write key = value, texts in quotes, tables as [name]; see https://toml.io for the syntax."#,
    ),
    (
        "a text that is not closed",
        r#"{head}[figures]
"stats.open = { from = "deals" }
"#,
        r#"
b.toml:9:25: this is not TOML: key with no value, expected `=`
 9 | "stats.open = { from = "deals" }
   |                         ^
   = Write key = value, texts in quotes, tables as [name]; see https://toml.io for the syntax."#,
    ),
    (
        "an unknown key",
        r#"{head}[figures]
"stats.open" = { from = "deals", wher = "stage = 1" }
"#,
        r#"
b.toml:9:34: a figure has no key `wher`
 9 | "stats.open" = { from = "deals", wher = "stage = 1" }
   |                                  ^^^^
   = Did you mean `where`?"#,
    ),
    (
        "an unknown key that resembles none",
        r#"{head}[figures]
"stats.open" = { from = "deals", colour = "red" }
"#,
        r#"
b.toml:9:34: a figure has no key `colour`
 9 | "stats.open" = { from = "deals", colour = "red" }
   |                                  ^^^^^^
   = Remove it, or move it to its table. The keys here are at, avg, by, column, compare, cut, from, last, most, note, other, per, steps, sum, title, unit, value, where, zone."#,
    ),
    (
        "an unknown table",
        r#"{head}[scopes]
agent = "assigned_to"
"#,
        r#"
b.toml:8:2: a board has no key `scopes`
 8 | [scopes]
   |  ^^^^^^
   = Remove it, or move it to its table. The keys here are at_most_every, board, figures, follow, lists, note, sources, sql, tenants, title."#,
    ),
    (
        "a repeated key",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "a", where = "b" }
"#,
        r#"
b.toml:9:47: `where` is here twice
 9 | "stats.open" = { from = "deals", where = "a", where = "b" }
   |                                               ^^^^^
   = Keep one of them, or give the second another name."#,
    ),
    (
        "a repeated table",
        r#"{head}[sources.deals]
tenant = "x"
"#,
        r#"
b.toml:8:10: `deals` is here twice
 8 | [sources.deals]
   |          ^^^^^
   = Keep one of them, or give the second another name."#,
    ),
    (
        "two figures at one path",
        r#"{head}[figures]
"stats.open" = { from = "deals" }
"stats.open" = { from = "deals" }
"#,
        r#"
b.toml:10:1: `stats.open` is here twice
 10 | "stats.open" = { from = "deals" }
    | ^^^^^^^^^^^^
    = Keep one of them, or give the second another name."#,
    ),
    (
        "a figure where another puts its period before",
        r#"{head}[figures]
"stats.new" = { from = "deals", last = "1 day", compare = true }
"stats.newPrevious" = { from = "deals" }
"#,
        r#"
b.toml:10:1: two figures stand at `stats.newPrevious`, where `compare` puts the period before
 10 | "stats.newPrevious" = { from = "deals" }
    | ^^^^^^^^^^^^^^^^^^^
    = Give one of them another path."#,
    ),
    (
        "a path below a figure",
        r#"{head}[figures]
"stats.open" = { from = "deals" }
"stats.open.old" = { from = "deals" }
"#,
        r#"
b.toml:10:1: `stats.open.old` lies below the figure `stats.open`
 10 | "stats.open.old" = { from = "deals" }
    | ^^^^^^^^^^^^^^^^
    = Give one of them another path, for example: "stats.open_old""#,
    ),
    (
        "a figure above a path",
        r#"{head}[figures]
"stats.open" = { from = "deals" }
"stats" = { from = "deals", by = "stage" }
"#,
        r#"
b.toml:10:1: `stats.open` lies below the figure `stats`
 10 | "stats" = { from = "deals", by = "stage" }
    | ^^^^^^^
    = Give one of them another path, for example: "stats_open""#,
    ),
    (
        "a path without quotes",
        r#"{head}[figures]
stats.open = { from = "deals" }
"#,
        r#"
b.toml:9:1: `stats` is a table of tables, not a figure
 9 | stats.open = { from = "deals" }
   | ^^^^^
   = A path is one key in quotes, for example: "stats.open" = { from = "deals" }"#,
    ),
    (
        "a missing key",
        r#"board = "b"
[tenants]
table = "accounts"
"#,
        r#"
b.toml:2:1: [tenants] needs `key`
 2 | [tenants]
   | ^^^^^^^^^
   = Add it, for example: key = "id""#,
    ),
    (
        "a missing table",
        r#"board = "b"
"#,
        r#"
b.toml:1:1: a board needs `tenants`
 1 | board = "b"
   | ^
   = Add [tenants] with table and key."#,
    ),
    (
        "a number where a text belongs",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = 1 }
"#,
        r#"
b.toml:9:42: `where` is a whole number, not a text in quotes
 9 | "stats.open" = { from = "deals", where = 1 }
   |                                          ^
   = Write a text in quotes, for example: where = "status = 0""#,
    ),
    (
        "a text where a number belongs",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
limit = "25"
"#,
        r#"
b.toml:12:9: `limit` is a text, not a whole number
 12 | limit = "25"
    |         ^^^^
    = Write a whole number, for example: limit = 25"#,
    ),
    (
        "a table where a text belongs",
        r#"{head}[figures]
"stats.open" = { from = { a = "deals" } }
"#,
        r#"
b.toml:9:25: `from` is a table, not a text in quotes
 9 | "stats.open" = { from = { a = "deals" } }
   |                         ^^^^^^^^^^^^^^^
   = Write a text in quotes, for example: from = "conversations""#,
    ),
    (
        "a limit of 0",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
limit = 0
"#,
        r#"
b.toml:12:9: `limit` is out of bounds: `0`
 12 | limit = 0
    |         ^
    = Write a whole number from 1 to 1000."#,
    ),
    (
        "a limit of 10,000",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
limit = 10_000
"#,
        r#"
b.toml:12:9: `limit` is out of bounds: `10000`
 12 | limit = 10_000
    |         ^^^^^^
    = Write a whole number from 1 to 1000."#,
    ),
    (
        "a cut of 0",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
cut = 0
"#,
        r#"
b.toml:12:7: `cut` is out of bounds: `0`
 12 | cut = 0
    |       ^
    = Write a whole number from 1 to 10000."#,
    ),
    (
        "a limit beyond all numbers",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
limit = 99999999999999999999
"#,
        r#"
b.toml:12:9: `limit` is out of bounds: `99999999999999999999`
 12 | limit = 99999999999999999999
    |         ^^^^^^^^^^^^^^^^^^^^
    = Write a whole number from 1 to 1000."#,
    ),
    (
        "more groups than are shown",
        r#"{head}[figures]
"stats.open" = { from = "deals", by = "stage", most = 5000 }
"#,
        r#"
b.toml:9:55: `most` is out of bounds: `5000`
 9 | "stats.open" = { from = "deals", by = "stage", most = 5000 }
   |                                                       ^^^^
   = Write a whole number from 1 to 1000."#,
    ),
    (
        "a source that is not there",
        r#"{head}[figures]
"stats.open" = { from = "deal" }
"#,
        r#"
b.toml:9:25: there is no source `deal`
 9 | "stats.open" = { from = "deal" }
   |                         ^^^^^^
   = Did you mean `deals`?"#,
    ),
    (
        "a figure without a rule",
        r#"{head}[figures]
"stats.open" = { title = "Open" }
"#,
        r#"
b.toml:9:1: this figure has neither `from` nor `value`
 9 | "stats.open" = { title = "Open" }
   | ^^^^^^^^^^^^
   = Add from = "..." with a source whose rows count, or value = "..." with arithmetic over other figures."#,
    ),
    (
        "a figure with two rules",
        r#"{head}[figures]
"stats.open" = { from = "deals", value = "1 + 1" }
"#,
        r#"
b.toml:9:42: this figure counts rows (`from`) and computes with figures (`value`)
 9 | "stats.open" = { from = "deals", value = "1 + 1" }
   |                                          ^^^^^^^
   = Keep one of the two, and make a second figure of the other."#,
    ),
    (
        "sum and avg",
        r#"{head}[figures]
"stats.open" = { from = "deals", sum = "amount", avg = "amount" }
"#,
        r#"
b.toml:9:56: this figure has both `sum` and `avg`
 9 | "stats.open" = { from = "deals", sum = "amount", avg = "amount" }
   |                                                        ^^^^^^^^
   = Keep one, and make a second figure of the other."#,
    ),
    (
        "compare without last",
        r#"{head}[figures]
"stats.open" = { from = "deals", compare = true }
"#,
        r#"
b.toml:9:44: `compare` needs `last`
 9 | "stats.open" = { from = "deals", compare = true }
   |                                            ^^^^
   = Remove it, or add: last = "30 days""#,
    ),
    (
        "compare beside groups",
        r#"{head}[figures]
"stats.open" = { from = "deals", by = "stage", last = "1 day", compare = true }
"#,
        r#"
b.toml:9:74: `compare` cannot stand beside `by`
 9 | "stats.open" = { from = "deals", by = "stage", last = "1 day", compare = true }
   |                                                                          ^^^^
   = Remove one of them, or make two figures of this one."#,
    ),
    (
        "per without last",
        r#"{head}[figures]
"stats.open" = { from = "deals", per = "day" }
"#,
        r#"
b.toml:9:40: `per` needs `last`
 9 | "stats.open" = { from = "deals", per = "day" }
   |                                        ^^^^^
   = Remove it, or add: last = "30 days""#,
    ),
    (
        "zone without per",
        r#"{head}[figures]
"stats.open" = { from = "deals", zone = "UTC" }
"#,
        r#"
b.toml:9:41: `zone` needs `per`
 9 | "stats.open" = { from = "deals", zone = "UTC" }
   |                                         ^^^^^
   = Remove it, or add: per = "day""#,
    ),
    (
        "most without by",
        r#"{head}[figures]
"stats.open" = { from = "deals", most = 5 }
"#,
        r#"
b.toml:9:41: `most` needs `by`
 9 | "stats.open" = { from = "deals", most = 5 }
   |                                         ^
   = Remove it, or add: by = "source""#,
    ),
    (
        "steps without column",
        r#"{head}[figures]
"stats.open" = { from = "deals", steps = { won = ["won"] } }
"#,
        r#"
b.toml:9:1: this figure has `steps` and no `column`
 9 | "stats.open" = { from = "deals", steps = { won = ["won"] } }
   | ^^^^^^^^^^^^
   = Say which column has the step: column = "stage""#,
    ),
    (
        "column without steps",
        r#"{head}[figures]
"stats.open" = { from = "deals", column = "stage" }
"#,
        r#"
b.toml:9:43: `column` needs `steps`
 9 | "stats.open" = { from = "deals", column = "stage" }
   |                                           ^^^^^^^
   = Remove it, or add: steps = { won = ["won"] }"#,
    ),
    (
        "steps beside by",
        r#"{head}[figures]
"stats.open" = { from = "deals", by = "stage", column = "stage", steps = { won = ["won"] } }
"#,
        r#"
b.toml:9:39: `by` cannot stand beside `steps`
 9 | "stats.open" = { from = "deals", by = "stage", column = "stage", steps = { won = ["won"] } }
   |                                       ^^^^^^^
   = Remove one of them, or make two figures of this one."#,
    ),
    (
        "a word in two steps",
        r#"{head}[figures]
"stats.open" = { from = "deals", column = "stage", steps = { won = ["won", "done"], lost = ["lost", "done"] } }
"#,
        r#"
b.toml:9:101: the word `done` is in two steps, `won` and `lost`
 9 | ..." = { from = "deals", column = "stage", steps = { won = ["won", "done"], lost = ["lost", "done"] } }
   |                                                                                             ^^^^^^
   = Keep it in one of them: a row is in one step."#,
    ),
    (
        "a step that is called as the rest",
        r#"{head}[figures]
"stats.open" = { from = "deals", column = "stage", steps = { won = ["won"] }, other = "won" }
"#,
        r#"
b.toml:9:87: there is a step `won` already
 9 | "stats.open" = { from = "deals", column = "stage", steps = { won = ["won"] }, other = "won" }
   |                                                                                       ^^^^^
   = Choose another name for the rest."#,
    ),
    (
        "a step without words",
        r#"{head}[figures]
"stats.open" = { from = "deals", column = "stage", steps = { won = [] } }
"#,
        r#"
b.toml:9:62: the step `won` has 0 words
 9 | "stats.open" = { from = "deals", column = "stage", steps = { won = [] } }
   |                                                              ^^^
   = Give it 1 to 50, for example: won = ["won"]"#,
    ),
    (
        "last without a time",
        r#"{head without a time}[figures]
"stats.open" = { from = "deals", last = "30 days" }
"#,
        r#"
b.toml:8:41: `last` needs a column of time, and neither this figure nor its source has one
 8 | "stats.open" = { from = "deals", last = "30 days" }
   |                                         ^^^^^^^^^
   = Add it to the source or to this figure, for example: at = "created_at""#,
    ),
    (
        "a window that is none",
        r#"{head}[figures]
"stats.open" = { from = "deals", last = "a month" }
"#,
        r#"
b.toml:9:41: `a month` is no span of time
 9 | "stats.open" = { from = "deals", last = "a month" }
   |                                         ^^^^^^^^^
   = Write a whole number and hours, days, weeks or months, for example: last = "30 days""#,
    ),
    (
        "a window out of bounds",
        r#"{head}[figures]
"stats.open" = { from = "deals", last = "10 years" }
"#,
        r#"
b.toml:9:41: `10 years` is no span of time
 9 | "stats.open" = { from = "deals", last = "10 years" }
   |                                         ^^^^^^^^^^
   = Write a whole number and hours, days, weeks or months, for example: last = "30 days""#,
    ),
    (
        "a window of too many days",
        r#"{head}[figures]
"stats.open" = { from = "deals", last = "5000 days" }
"#,
        r#"
b.toml:9:41: `5000 days` is out of bounds
 9 | "stats.open" = { from = "deals", last = "5000 days" }
   |                                         ^^^^^^^^^^^
   = Write 1 to 1096 days."#,
    ),
    (
        "a series of the wrong unit",
        r#"{head}[figures]
"stats.open" = { from = "deals", per = "month", last = "365 days" }
"#,
        r#"
b.toml:9:56: a series per month cannot go over `365 days`
 9 | "stats.open" = { from = "deals", per = "month", last = "365 days" }
   |                                                        ^^^^^^^^^^
   = Count in months, for example: last = "12 months""#,
    ),
    (
        "a series of too many points",
        r#"{head}[figures]
"stats.open" = { from = "deals", per = "day", last = "1000 days" }
"#,
        r#"
b.toml:9:54: a series of 1000 points is out of bounds
 9 | "stats.open" = { from = "deals", per = "day", last = "1000 days" }
   |                                                      ^^^^^^^^^^^
   = Write 2 to 400 days."#,
    ),
    (
        "a step of time that is none",
        r#"{head}[figures]
"stats.open" = { from = "deals", per = "hour", last = "24 hours" }
"#,
        r#"
b.toml:9:40: `per` cannot be `hour`
 9 | "stats.open" = { from = "deals", per = "hour", last = "24 hours" }
   |                                        ^^^^^^
   = Write one of "day", "week", "month"."#,
    ),
    (
        "a zone that is none",
        r#"{head}[figures]
"stats.open" = { from = "deals", per = "day", last = "30 days", zone = "europe/berlin" }
"#,
        r#"
b.toml:9:72: `europe/berlin` is no time zone
 9 | "stats.open" = { from = "deals", per = "day", last = "30 days", zone = "europe/berlin" }
   |                                                                        ^^^^^^^^^^^^^^^
   = Did you mean: zone = "Europe/Berlin"?"#,
    ),
    (
        "a unit that is none",
        r#"{head}[figures]
"stats.open" = { from = "deals", unit = "euros" }
"#,
        r#"
b.toml:9:41: `unit` cannot be `euros`
 9 | "stats.open" = { from = "deals", unit = "euros" }
   |                                         ^^^^^^^
   = Write one of "number", "money", "percent", "seconds"."#,
    ),
    (
        "an empty expression",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "" }
"#,
        r#"
b.toml:9:42: this expression is empty
 9 | "stats.open" = { from = "deals", where = "" }
   |                                          ^^
   = Write one expression over the columns of one row, for example: status = 'open'"#,
    ),
    (
        "an expression that is no SQL",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "stage = " }
"#,
        r#"
b.toml:9:51: this is not one expression: expected: an expression, found: the end
 9 | "stats.open" = { from = "deals", where = "stage = " }
   |                                                   ^
   = Write one expression over the columns of one row, for example: status = 'open'"#,
    ),
    (
        "a sub-query",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "id in (select deal_id from tags)" }
"#,
        r#"
b.toml:9:42: a sub-query looks at other rows, and an expression sees one row
 9 | "stats.open" = { from = "deals", where = "id in (select deal_id from tags)" }
   |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = Use columns of this row only, or keep the value in a column of this table."#,
    ),
    (
        "an aggregate",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "count(*) > 1" }
"#,
        r#"
b.toml:9:42: `count` looks at many rows, and an expression sees one row
 9 | "stats.open" = { from = "deals", where = "count(*) > 1" }
   |                                          ^^^^^^^^^^^^^^
   = Let the figure count: leave it out, or use `sum` or `avg` beside `from`."#,
    ),
    (
        "a window function",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "row_number() over (order by id) = 1" }
"#,
        r#"
b.toml:9:42: `row_number` looks at the rows around this one, and an expression sees one row
 9 | "stats.open" = { from = "deals", where = "row_number() over (order by id) = 1" }
   |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = Use columns of this row only."#,
    ),
    (
        "a volatile function",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "random() < 0.5" }
"#,
        r#"
b.toml:9:42: `random` gives another result each time, so counters could not be kept right
 9 | "stats.open" = { from = "deals", where = "random() < 0.5" }
   |                                          ^^^^^^^^^^^^^^^^
   = Use columns of this row only."#,
    ),
    (
        "a time",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "created_at > now() - interval '30 days'" }
"#,
        r#"
b.toml:9:56: `now` changes with time, and an expression must change with its row only
 9 | "stats.open" = { from = "deals", where = "created_at > now() - interval '30 days'" }
   |                                                        ^
   = Say the time beside the expression, for example: last = "30 days""#,
    ),
    (
        "a word of time",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "created_at > 'yesterday'" }
"#,
        r#"
b.toml:9:56: `yesterday` changes with time, and an expression must change with its row only
 9 | "stats.open" = { from = "deals", where = "created_at > 'yesterday'" }
   |                                                        ^
   = Say the time beside the expression, for example: last = "30 days""#,
    ),
    (
        "a column of another table",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "accounts.status = 0" }
"#,
        r#"
b.toml:9:42: `accounts.status` names a table, and an expression sees one row
 9 | "stats.open" = { from = "deals", where = "accounts.status = 0" }
   |                                          ^^^^^^^^^^^^^^^^^^^^^
   = Write the column alone: status"#,
    ),
    (
        "two statements",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "true; drop table deals" }
"#,
        r#"
b.toml:9:47: a `;` would begin a second statement
 9 | "stats.open" = { from = "deals", where = "true; drop table deals" }
   |                                               ^
   = Write one expression, without `;`."#,
    ),
    (
        "a comment in an expression",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "stage = 1 -- or not" }
"#,
        r#"
b.toml:9:53: an expression has no comments
 9 | "stats.open" = { from = "deals", where = "stage = 1 -- or not" }
   |                                                     ^
   = Write the comment behind a # of the file."#,
    ),
    (
        "an expression that closes a parenthesis",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "stage = 1) or (true" }
"#,
        r#"
b.toml:9:52: the expression ends before `)`
 9 | "stats.open" = { from = "deals", where = "stage = 1) or (true" }
   |                                                    ^
   = Write one expression over the columns of one row, for example: status = 'open'"#,
    ),
    (
        "a parameter",
        r#"{head}[figures]
"stats.open" = { from = "deals", where = "account_id = $1" }
"#,
        r#"
b.toml:9:56: `$1` is a parameter, and an expression has none
 9 | "stats.open" = { from = "deals", where = "account_id = $1" }
   |                                                        ^
   = Write the value itself. The tenant is added by itself."#,
    ),
    (
        "an expression on several lines",
        r#"{head}[figures."stats.open"]
from = "deals"
where = """
stage = 1
  and now() > at
"""
"#,
        r#"
b.toml:12:7: `now` changes with time, and an expression must change with its row only
 12 |   and now() > at
    |       ^
    = Say the time beside the expression, for example: last = "30 days""#,
    ),
    (
        "a value that refers to itself",
        r#"{head}[figures]
"a" = { value = "b + 1" }
"b" = { value = "c" }
"c" = { value = "1 + a" }
"#,
        r#"
b.toml:11:22: `a` refers to itself: a -> b -> c -> a
 11 | "c" = { value = "1 + a" }
    |                      ^
    = Compute one of them from figures that count rows."#,
    ),
    (
        "a value that is its own",
        r#"{head}[figures]
"stats.a" = { value = "stats.a" }
"#,
        r#"
b.toml:9:24: `stats.a` refers to itself: stats.a -> stats.a
 9 | "stats.a" = { value = "stats.a" }
   |                        ^^^^^^^
   = Compute one of them from figures that count rows."#,
    ),
    (
        "a value of a figure that is not there",
        r#"{head}[figures]
"stats.open" = { from = "deals" }
"stats.share" = { value = "1 / stats.opne" }
"#,
        r#"
b.toml:10:32: there is no figure `stats.opne`
 10 | "stats.share" = { value = "1 / stats.opne" }
    |                                ^^^^^^^^^^
    = Did you mean `stats.open`?"#,
    ),
    (
        "a value of a figure that is no number",
        r#"{head}[figures]
"stats.open" = { from = "deals", by = "stage" }
"stats.share" = { value = "1 / stats.open" }
"#,
        r#"
b.toml:10:32: `stats.open` is not a single number
 10 | "stats.share" = { value = "1 / stats.open" }
    |                                ^^^^^^^^^^
    = Name figures without `by`, `steps` and `per`; make one if there is none."#,
    ),
    (
        "a value that is no arithmetic",
        r#"{head}[figures]
"stats.a" = { value = "abs(1)" }
"#,
        r#"
b.toml:9:23: this is more than arithmetic over figures
 9 | "stats.a" = { value = "abs(1)" }
   |                       ^^^^^^^^
   = Use paths of figures, numbers, + - * / and parentheses, for example: value = "stats.won / stats.all""#,
    ),
    (
        "a value beside a condition",
        r#"{head}[figures]
"stats.a" = { value = "1", where = "true" }
"#,
        r#"
b.toml:9:36: `where` is about rows, and this figure computes with figures
 9 | "stats.a" = { value = "1", where = "true" }
   |                                    ^^^^^^
   = Remove it, or `value`."#,
    ),
    (
        "a path with a space",
        r#"{head}[figures]
"stats.open deals" = { from = "deals" }
"#,
        r#"
b.toml:9:12: the name of a figure has the character ` `
 9 | "stats.open deals" = { from = "deals" }
   |            ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a path with a quote",
        r#"{head}[figures]
'stats."open"' = { from = "deals" }
"#,
        r#"
b.toml:9:8: the name of a figure begins with `"`
 9 | 'stats."open"' = { from = "deals" }
   |        ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a path with an empty part",
        r#"{head}[figures]
"stats..open" = { from = "deals" }
"#,
        r#"
b.toml:9:8: the name of a figure is empty
 9 | "stats..open" = { from = "deals" }
   |        ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a path of 300 characters",
        r#"{head}[figures]
"stats.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" = { from = "deals" }
"#,
        r#"
b.toml:9:8: the name of a figure has 294 characters
 9 | "stats.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...
   |        ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a path in Hebrew",
        "{head}[figures]
\"stats.\u{5e4}\u{5ea}\u{5d5}\u{5d7}\" = { from = \"deals\" }
",
        "
b.toml:9:8: the name of a figure begins with `\u{5e4}`
 9 | \"stats.\u{5e4}\u{5ea}\u{5d5}\u{5d7}\" = { from = \"deals\" }
   |        ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most.",
    ),
    (
        "a path that turns the direction of writing",
        "{head}[figures]
\"stats.\u{202e}nepo\" = { from = \"deals\" }
",
        r#"
b.toml:9:8: the name of a figure has the invisible character U+202E
 9 | "stats.?nepo" = { from = "deals" }
   |        ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a path with a control character",
        r#"{head}[figures]
"stats.op\u0007en" = { from = "deals" }
"#,
        r#"
b.toml:9:1: the name of a figure has the invisible character U+0007
 9 | "stats.op\u0007en" = { from = "deals" }
   | ^^^^^^^^^^^^^^^^^^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a path in meta",
        r#"{head}[figures]
"meta.open" = { from = "deals" }
"#,
        r#"
b.toml:9:1: a figure cannot stand in `meta`, which every bundle has
 9 | "meta.open" = { from = "deals" }
   | ^^^^^^^^^^^
   = Begin the path with another word, for example: "stats.open""#,
    ),
    (
        "a path of many parts",
        r#"{head}[figures]
"a.b.c.d.e" = { from = "deals" }
"#,
        r#"
b.toml:9:1: this path has 5 parts
 9 | "a.b.c.d.e" = { from = "deals" }
   | ^^^^^^^^^^^
   = Use at most 4, for example: "stats.open""#,
    ),
    (
        "a list's name with a dot",
        r#"{head}[lists."re.cent"]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:8:11: the name of a list has the character `.`
 8 | [lists."re.cent"]
   |           ^
   = Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most."#,
    ),
    (
        "a column that is too long",
        r#"{head}[lists.recent]
from = "deals"
columns = ["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:10:12: the name of a column has 64 bytes, and Postgres keeps 63
 10 | columns = ["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
    |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = Write the name as the database has it, without quotes."#,
    ),
    (
        "a column twice",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage", "id"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:10:27: the column `id` is here twice
 10 | columns = ["id", "stage", "id"]
    |                           ^^^^
    = Keep one of them."#,
    ),
    (
        "no columns",
        r#"{head}[lists.recent]
from = "deals"
columns = []
order = "created_at desc, id desc"
"#,
        r#"
b.toml:8:8: this list has 0 columns
 8 | [lists.recent]
   |        ^^^^^^
   = Name 1 to 64, for example: columns = ["id", "status"]"#,
    ),
    (
        "an order by a function",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "lower(stage), id"
"#,
        r#"
b.toml:11:15: `(` does not belong into an order
 11 | order = "lower(stage), id"
    |               ^
    = Write columns with asc or desc, for example: order = "created_at desc nulls last, id desc""#,
    ),
    (
        "a list without its order",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id"]
"#,
        r#"
b.toml:8:1: a list needs `order`
 8 | [lists.recent]
   | ^^^^^^^^^^^^^^
   = Add it, for example: order = "created_at desc nulls last, id desc""#,
    ),
    (
        "a bundle that is too large",
        r#"{head}[lists.recent]
from = "deals"
columns = ["id", "stage", "a", "b", "c"]
order = "created_at desc, id desc"
limit = 1000
cut = 1000
"#,
        r#"
b.toml:8:8: a bundle of this board may have 5043012 bytes, of which 5043012 are `lists.recent`
 8 | [lists.recent]
   |        ^^^^^^
   = A bundle has at most 1048576 bytes: lower `limit`, `cut` or `most`, or name fewer columns."#,
    ),
    (
        "a board's name in capitals",
        r#"board = "CRM"
[tenants]
table = "accounts"
key = "id"
[sources.deals]
tenant = "account_id"
at = "created_at"
[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:1:9: a board cannot be called `CRM`
 1 | board = "CRM"
   |         ^^^^^
   = Use 1 to 32 lower-case letters, digits, `_` and `-`, for example: board = "support""#,
    ),
    (
        "a board's name that is a word of the commands",
        r#"board = "soft"
[tenants]
table = "accounts"
key = "id"
[sources.deals]
tenant = "account_id"
at = "created_at"
[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:1:9: `soft` is a word of the commands, so a board cannot be called that
 1 | board = "soft"
   |         ^^^^^^
   = Choose another name, for example: board = "soft-1""#,
    ),
    (
        "a board's name that is too long",
        r#"board = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
[tenants]
table = "accounts"
key = "id"
[sources.deals]
tenant = "account_id"
at = "created_at"
[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:1:9: the name of this board has 33 characters
 1 | board = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = Use 1 to 32 lower-case letters, digits, `_` and `-`, for example: board = "support""#,
    ),
    (
        "a name for all tenants that no command takes",
        r#"board = "b"
[tenants]
table = "accounts"
key = "id"
all = "every one"
[sources.deals]
tenant = "account_id"
at = "created_at"
[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:5:7: `every one` is no name for all tenants
 5 | all = "every one"
   |       ^^^^^^^^^^^
   = Choose another: a tenant is 1 to 64 of A-Z a-z 0-9 _ . -, and none of the words SOFT, FORCE and ASYNC."#,
    ),
    (
        "a table with too many parts",
        r#"board = "b"
[tenants]
table = "a.b.c"
key = "id"
[sources.deals]
tenant = "account_id"
at = "created_at"
[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:3:9: `a.b.c` has too many parts
 3 | table = "a.b.c"
   |         ^^^^^^^
   = Write name or schema.name; a name with a dot in it stands in double quotes."#,
    ),
    (
        "a title of two lines",
        r#"title = "a\nb"
{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:1:9: `title` has the invisible character U+000A
 1 | title = "a\nb"
   |         ^^^^^^
   = Write 1 to 100 characters on one line."#,
    ),
    (
        "a note that is too long",
        r#"note = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
{head}[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:1:8: `note` has 501 characters
 1 | note = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...
   |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = Write 1 to 500 characters on one line."#,
    ),
    (
        "an empty board",
        r#"{head}"#,
        r#"
b.toml:1:9: this board shows nothing
 1 | board = "b"
   |         ^^^
   = Add [figures] or a list, for example: [lists.recent]"#,
    ),
    (
        "a way to the tenant that leads nowhere",
        r#"{head}[figures]
"stats.open" = { from = "deals" }
[[follow]]
table = "members"
tenant = "inbox_id -> inboxes"
"#,
        r#"
b.toml:12:22: this does not say by which table the tenant is found
 12 | tenant = "inbox_id -> inboxes"
    |                      ^
    = Write a column, or: column -> table.column . column"#,
    ),
    (
        "a table that is followed twice",
        r#"follow = ["a", "a"]
{head}[figures]
"stats.open" = { from = "deals" }
"#,
        r#"
b.toml:1:16: `a` is followed twice
 1 | follow = ["a", "a"]
   |                ^^^
   = Keep one of them."#,
    ),
    (
        "a followed table that is a number",
        r#"follow = [1]
{head}[figures]
"stats.open" = { from = "deals" }
"#,
        r#"
b.toml:1:11: `follow` is a whole number, not a text in quotes or a table
 1 | follow = [1]
   |           ^
   = Write a text in quotes or a table."#,
    ),
    (
        "at_most_every beside figures",
        r#"at_most_every = "30 s"
{head}[figures]
"stats.open" = { from = "deals" }
"#,
        r#"
b.toml:1:17: `at_most_every` is for boards with `sql`: figures are counted, and cost nothing to read
 1 | at_most_every = "30 s"
   |                 ^^^^^^
   = Remove it."#,
    ),
    (
        "own SQL and figures",
        r#"board = "mrr"
sql = "select 1"
at_most_every = "30 s"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
[figures]
"a" = { from = "deals" }
"#,
        r#"
b.toml:9:1: a board with `sql` has no figures
 9 | "a" = { from = "deals" }
   | ^^^
   = Keep `sql` or the figures; a second file can have the other."#,
    ),
    (
        "own SQL that follows nothing",
        r#"board = "mrr"
sql = "select 1"
at_most_every = "30 s"
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:2:7: a board with `sql` needs `follow`: nothing else says when it has changed
 2 | sql = "select 1"
   |       ^^^^^^^^^^
   = Name the tables that the statement reads, for example: follow = ["invoices"]"#,
    ),
    (
        "own SQL without a bound",
        r#"board = "mrr"
sql = "select 1"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:2:7: a board with `sql` needs `at_most_every`: its statement could run all the time
 2 | sql = "select 1"
   |       ^^^^^^^^^^
   = Say how old a bundle may be, for example: at_most_every = "30 s""#,
    ),
    (
        "own SQL that writes",
        r#"board = "mrr"
sql = "delete from invoices"
at_most_every = "30 s"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:2:7: this statement begins with `delete`
 2 | sql = "delete from invoices"
   |       ^^^^^^^^^^^^^^^^^^^^^^
   = Write one SELECT that returns one JSON object; $1 is the tenant, $2 whether everything is included."#,
    ),
    (
        "own SQL of two statements",
        r#"board = "mrr"
sql = "select 1; select 2"
at_most_every = "30 s"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:2:18: this is a second statement
 2 | sql = "select 1; select 2"
   |                  ^
   = Write one SELECT. WITH can hold several steps."#,
    ),
    (
        "own SQL with a parameter of its own",
        r#"board = "mrr"
sql = "select $3"
at_most_every = "30 s"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:2:15: there is no parameter `$3`
 2 | sql = "select $3"
   |               ^
   = Write one SELECT that returns one JSON object; $1 is the tenant, $2 whether everything is included."#,
    ),
    (
        "own SQL in a file that is not there",
        r#"board = "mrr"
sql = "mrr.sql"
at_most_every = "30 s"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:2:7: the file `mrr.sql` cannot be read: there is no such file
 2 | sql = "mrr.sql"
   |       ^^^^^^^^^
   = Put it beside this file, or write the statement itself."#,
    ),
    (
        "own SQL all the time",
        r#"board = "mrr"
sql = "select 1"
at_most_every = "0 s"
follow = ["invoices"]
[tenants]
table = "accounts"
key = "id"
"#,
        r#"
b.toml:3:17: `0 s` is out of bounds
 3 | at_most_every = "0 s"
   |                 ^^^^^
   = Write a whole number and s, min or h, from 1 s to 24 h, for example: at_most_every = "30 s""#,
    ),
    (
        "several mistakes",
        r#"{head}[figures]
"stats.open" = { from = "deal", where = "now()" }
[lists.recent]
from = "deels"
columns = ["id", "stage"]
order = "created_at desc, id desc"
"#,
        r#"
b.toml:9:25: there is no source `deal`
 9 | "stats.open" = { from = "deal", where = "now()" }
   |                         ^^^^^^
   = Did you mean `deals`?

b.toml:9:41: `now` changes with time, and an expression must change with its row only
 9 | "stats.open" = { from = "deal", where = "now()" }
   |                                         ^^^^^^^
   = Say the time beside the expression, for example: last = "30 days"

b.toml:11:8: there is no source `deels`
 11 | from = "deels"
    |        ^^^^^^^
    = Did you mean `deals`?"#,
    ),
];
