//! A board over two tables, for tests.

use board::Board;
use board::path::{Column, Table};

use crate::facts::{Facts, TableFacts, Type};

const BOARD: &str = r#"
board = "live"
[tenants]
table = "accounts"
key = "id"
all = "EVERYBODY"
[sources.deals]
tenant = "account_id"
at = "created_at"
leave_out = "is_test"
[sources.calls]
tenant = "account_id"
at = "at"
[figures]
"stats.won" = { from = "deals", where = "lower(stage) = 'won'" }
"stats.new" = { from = "deals", last = "7 days", compare = true }
"stats.value" = { from = "deals", sum = "amount", last = "7 days" }
"stats.stages" = { from = "deals", by = "stage", most = 4 }
"stats.steps" = { from = "deals", column = "stage", steps = { won = ["won"] } }
"stats.calls" = { from = "calls", last = "36 hours" }
"stats.share" = { value = "stats.won / stats.newPrevious" }
"stats.twice" = { value = "stats.share * 2 + stats.calls" }
"series.days" = { from = "deals", per = "day", last = "10 days" }
[lists.recent]
from = "deals"
columns = ["id", "stage"]
order = "created_at desc nulls last, id desc"
limit = 5
[lists.stages]
from = "calls"
where = "seconds > 3"
columns = ["id"]
order = "kind, id"
"#;

/// The board, with this in the place of that.
pub(crate) fn board_with(that: &str, this: &str) -> Board {
    assert!(BOARD.contains(that), "{that}");
    let text = BOARD.replace(that, this);
    board::read::read("live.toml", text.as_bytes(), &|_| Err(String::new()))
        .unwrap_or_else(|errors| panic!("{errors}"))
}

pub(crate) fn board() -> Board {
    board_with("", "")
}

pub(crate) fn facts() -> Facts {
    let mut facts = Facts::default();
    let mut note = |name: &str, columns: &[(&str, &str, char)]| {
        let columns = columns
            .iter()
            .map(|(name, of, category)| (Column::parse(name).unwrap(), Type::of(of, *category, 'b')))
            .collect();
        let qualified = format!("public.{name}");
        facts.note(Table::parse(name).unwrap(), TableFacts { qualified, columns });
    };
    note("accounts", &[("id", "bigint", 'N'), ("name", "text", 'S')]);
    let moment = "timestamp with time zone";
    note(
        "deals",
        &[
            ("id", "bigint", 'N'),
            ("account_id", "bigint", 'N'),
            ("stage", "text", 'S'),
            ("amount", "numeric", 'N'),
            ("created_at", moment, 'D'),
            ("is_test", "boolean", 'B'),
        ],
    );
    note(
        "calls",
        &[
            ("id", "bigint", 'N'),
            ("account_id", "bigint", 'N'),
            ("kind", "text", 'S'),
            ("seconds", "integer", 'N'),
            ("at", moment, 'D'),
        ],
    );
    facts
}
