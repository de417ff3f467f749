//! Tables that are altered after a board has been applied: no writer fails, and what can still be shown is.

use super::oracle::exact;
use super::scene::{Scene, facts};
use board::Board;
use compiler::{Catalogue, Plan};
use postgres::Client;

const TABLES: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY);
    INSERT INTO accounts VALUES (1);
    CREATE TABLE deals (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account_id bigint, stage text, source text, amount numeric, at timestamptz DEFAULT now(),
        is_test boolean);
    INSERT INTO deals (account_id, stage, source, amount) VALUES (1, 'won', 'web', 2), (1, 'new', NULL, 1.5);
";

const BOARD: &str = r#"
board = "deals"
[tenants]
table = "accounts"
key = "id"
[sources.deals]
tenant = "account_id"
at = "at"
leave_out = "is_test"
[figures]
"stats.all" = { from = "deals" }
"stats.won" = { from = "deals", where = "stage = 'won'" }
"stats.notLost" = { from = "deals", where = "stage not in ('lost', 'gone')", last = "30 days" }
"stats.value" = { from = "deals", sum = "amount" }
"stats.sources" = { from = "deals", by = "source" }
"stats.steps" = { from = "deals", column = "stage", steps = { new = ["new"], won = ["won"] } }
"series.days" = { from = "deals", per = "day", last = "3 days" }
[lists.recent]
from = "deals"
columns = ["id", "stage", "amount"]
order = "id"
"#;

/// What is done to the table, the row that somebody writes afterwards, and whether it is still counted as if nothing had happened.
const ALTERATIONS: [(&str, &str, bool); 15] = [
    (
        "CREATE TYPE stages AS ENUM ('new', 'won', 'lost'); ALTER TABLE deals ALTER stage TYPE stages USING stage::stages",
        "stage = 'won'",
        true,
    ),
    (
        "CREATE TYPE stages AS ENUM ('neu', 'fertig'); ALTER TABLE deals ALTER stage TYPE stages USING CASE stage WHEN 'won' THEN 'fertig' ELSE 'neu' END::stages",
        "stage = 'neu'",
        true,
    ),
    (
        "CREATE TYPE sources AS ENUM ('web', 'fair'); ALTER TABLE deals ALTER source TYPE sources USING source::sources",
        "source = 'fair'",
        true,
    ),
    ("ALTER TABLE deals ALTER amount TYPE money USING amount::money", "amount = 3::money", true),
    ("ALTER TABLE deals ALTER amount TYPE double precision", "amount = 'NaN'", true),
    ("ALTER TABLE deals ALTER amount TYPE jsonb USING to_jsonb(amount)", "amount = '{\"a\": 1}'", false),
    ("ALTER TABLE deals ALTER account_id TYPE text", "account_id = '1'", true),
    ("ALTER TABLE deals RENAME amount TO total", "total = 3", false),
    ("ALTER TABLE deals RENAME stage TO state", "state = 'won'", false),
    ("ALTER TABLE deals DROP amount", "stage = 'won'", false),
    ("ALTER TABLE deals DROP source", "stage = 'won'", false),
    ("ALTER TABLE deals DROP is_test", "stage = 'won'", false),
    ("ALTER TABLE deals DROP at", "stage = 'won'", false),
    ("ALTER TABLE deals ALTER stage TYPE char(12)", "stage = 'won'", true),
    (
        "ALTER TABLE deals DROP amount, ADD amount numeric GENERATED ALWAYS AS (2 * length(stage)) STORED",
        "stage = 'won'",
        true,
    ),
];

/// Writes a row by each of the three ways.
fn write(client: &mut Client, row: &str) -> Result<(), postgres::Error> {
    let (column, value) = row.split_once(" = ").unwrap();
    let owner = if column == "account_id" { String::new() } else { "account_id, ".to_owned() };
    let of = if owner.is_empty() { "" } else { "1, " };
    client.batch_execute(&format!(
        "INSERT INTO deals ({owner}{column}) VALUES ({of}{value});
         UPDATE deals SET {row} WHERE id = (SELECT max(id) FROM deals);
         INSERT INTO deals ({owner}{column}) VALUES ({of}{value}), ({of}{value});
         DELETE FROM deals WHERE id = (SELECT max(id) FROM deals)"
    ))
}

fn is_counted(client: &mut Client) -> bool {
    client.query_one("SELECT dashboard.is_counted('deals', '1')", &[]).unwrap().get(0)
}

fn bundle(client: &mut Client) -> serde_json::Value {
    let text: String =
        client.query_one("SELECT bundle FROM dashboard.\"bundle_deals\"('1', true)", &[]).unwrap().get(0);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn no_writer_fails_whatever_has_been_altered() {
    for (alteration, row, counts_on) in ALTERATIONS {
        let scene = Scene::start(TABLES, BOARD, &|sql| sql.to_owned());
        let mut client = scene.postgres.client();
        client.batch_execute(alteration).unwrap_or_else(|error| panic!("{alteration}: {error:?}"));
        // Also in a session that has the former plans.
        write(&mut client, row).unwrap_or_else(|error| panic!("{alteration}: {error:?}"));
        write(&mut scene.postgres.client(), row).unwrap_or_else(|error| panic!("{alteration}: {error:?}"));
        assert_eq!(is_counted(&mut client), counts_on, "{alteration}");
        // By which column tenants are told apart is known to who reads, too: that one is to be applied anew.
        if counts_on && !alteration.contains("account_id") {
            assert_eq!(bundle(&mut client)["stats"]["all"], 6, "{alteration}");
        }
    }
}

#[test]
fn what_can_still_be_shown_is_shown_when_a_board_is_applied_to_what_is_left() {
    for (alteration, row, _) in ALTERATIONS {
        let scene = Scene::start(TABLES, BOARD, &|sql| sql.to_owned());
        let mut client = scene.postgres.client();
        client.batch_execute(alteration).unwrap();
        write(&mut client, row).unwrap();
        if alteration.contains("is_test") {
            continue;
        }
        let board: &Board = &scene.board;
        let known = facts(&mut client, board);
        let mut catalogue = Catalogue::default();
        let plan = Plan::of_what_fits(board, &known, &mut catalogue)
            .unwrap_or_else(|fault| panic!("{alteration}: {fault}"));
        let gone =
            alteration.contains("RENAME") || alteration.contains("DROP") && !alteration.contains("ADD");
        assert_eq!(!plan.missing().is_empty(), gone, "{alteration}: {:?}", plan.missing());
        for statement in compiler::bundle::functions(&plan, &catalogue).unwrap() {
            client
                .batch_execute(&statement)
                .unwrap_or_else(|error| panic!("{alteration}: {error:?}\n{statement}"));
        }
        if alteration.contains("jsonb") {
            // Its values are no numbers any more; that shows when they are read.
            continue;
        }
        let sql = "SELECT bundle FROM dashboard.\"bundle_from_tables_deals\"('1', true)";
        let text: String =
            client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{alteration}: {error:?}")).get(0);
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["stats"]["all"], 4, "{alteration}: {}", exact(&shown));
        for fault in plan.missing() {
            let path = fault.to_string();
            let path = path.split('"').nth(1).unwrap_or("lists.recent").replace('.', "/");
            assert!(
                shown.pointer(&format!("/{path}")).is_some_and(serde_json::Value::is_null),
                "{alteration}: {path}: {shown}"
            );
        }
    }
}
