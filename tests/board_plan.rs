//! `dashboard-sidecar board plan`: it tries what a definition promises, names what fails by its place, and changes nothing.

use std::fs;
use std::path::Path;

use harness::{Postgres, Sidecar, repository_root, run};
use tempfile::TempDir;

const SHARED: &str = include_str!("../compiler/src/shared.sql");

/// What the examples are about, with a tenant and a row or two each.
const TABLES: &str = "
    CREATE TABLE accounts (id serial PRIMARY KEY, name varchar NOT NULL, status integer DEFAULT 0);
    CREATE TABLE conversations (
        id serial PRIMARY KEY, account_id integer NOT NULL, inbox_id integer, status integer NOT NULL DEFAULT 0, assignee_id integer, team_id bigint,
        first_reply_created_at timestamp, created_at timestamp NOT NULL DEFAULT now());
    CREATE INDEX ON conversations (account_id, created_at, id);
    INSERT INTO accounts (name) VALUES ('One');
    INSERT INTO conversations (account_id) VALUES (1), (1);
    CREATE TYPE invoice_status AS ENUM ('draft', 'finalized');
    CREATE TABLE organizations (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE invoices (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id bigint, number text, status invoice_status, currency char(3), total numeric(20, 4),
        issued_on date, paid_at timestamptz, is_sandbox boolean NOT NULL DEFAULT false);
    CREATE TABLE credit_notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id bigint, issued_on date, total numeric);
    CREATE TABLE plans (id bigint PRIMARY KEY, amount numeric, interval text);
    CREATE TABLE subscriptions (id bigint PRIMARY KEY, organization_id bigint, plan_id bigint, currency text, status text);
    CREATE TABLE fees (id bigint PRIMARY KEY, subscription_id bigint, currency text, amount numeric, charged_on timestamptz);
    INSERT INTO organizations VALUES (7, 'Seven');
    INSERT INTO invoices (organization_id, status, currency, total, issued_on) VALUES (7, 'finalized', 'EUR', 12.5, now()::date);
    INSERT INTO plans VALUES (1, 10, 'monthly');
    INSERT INTO subscriptions VALUES (1, 7, 1, 'EUR', 'active');
";

/// A small board of which tests replace a part.
const BOARD: &str = r#"board = "sales"
[tenants]
table = "owners"
key = "id"
[sources.deals]
tenant = "owner_id"
at = "at"
[figures]
"stats.x" = { from = "deals" }
"#;

const DEALS: &str = "
    CREATE TABLE owners (id bigint PRIMARY KEY, name text);
    CREATE TABLE deals (id bigint PRIMARY KEY, owner_id bigint, owner_ids bigint[], name text, at timestamptz, day text, paid boolean, place point);
    INSERT INTO owners VALUES (1, 'One');
    INSERT INTO deals VALUES (1, 1, '{1}', 'a deal', now(), 'today', true);
";

/// What a run has printed, and how it ended.
struct Planned {
    code: i32,
    out: String,
    err: String,
}

fn plan(postgres: &Postgres, arguments: &[&str]) -> Planned {
    plan_at(&postgres.url(), arguments)
}

fn plan_at(url: &str, arguments: &[&str]) -> Planned {
    let output = run(&mut Sidecar::command(&[&["board", "plan"], arguments].concat(), url));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Planned { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn examples() -> Vec<String> {
    let directory = repository_root().join("examples/boards");
    ["helpdesk.toml", "billing.toml", "mrr.toml"]
        .map(|name| directory.join(name).display().to_string())
        .into()
}

fn references(files: &[String]) -> Vec<&str> {
    files.iter().map(String::as_str).collect()
}

/// How much there is in the catalogues.
fn contents(postgres: &Postgres) -> (i64, i64, i64, i64) {
    let row = postgres
        .client()
        .query_one(
            "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_namespace),
                    (SELECT count(*) FROM pg_trigger)",
            &[],
        )
        .unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

/// Plans a definition whose part `that` is `this`; nothing must be changed by it.
fn plan_with(postgres: &Postgres, that: &str, this: &str) -> Planned {
    assert!(BOARD.contains(that), "{that}");
    plan_text(&postgres.url(), postgres, BOARD.replace(that, this).as_bytes())
}

fn plan_text(url: &str, postgres: &Postgres, definition: &[u8]) -> Planned {
    let directory = TempDir::with_prefix("dashboard-board-").unwrap();
    let file = write(directory.path(), "sales.toml", definition);
    let before = contents(postgres);
    let planned = plan_at(url, &[&file]);
    assert_eq!(contents(postgres), before);
    Planned {
        err: planned.err.replace(&file, "sales.toml"),
        out: planned.out.replace(&file, "sales.toml"),
        ..planned
    }
}

fn write(directory: &Path, name: &str, text: &[u8]) -> String {
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn deals() -> Postgres {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(DEALS);
    postgres
}

/// Creates what all boards share.
fn share(postgres: &Postgres) {
    postgres.execute("CREATE SCHEMA dashboard; CREATE TABLE dashboard.lock (name text PRIMARY KEY)");
    postgres.execute(SHARED);
}

/// That a definition is refused in these words.
fn assert_wrong(planned: &Planned, words: &[&str]) {
    assert_eq!((planned.code, planned.out.as_str()), (2, ""), "{}", planned.err);
    for words in words {
        assert!(planned.err.contains(words), "{words:?} is not in\n{}", planned.err);
    }
}

#[test]
fn the_examples_are_planned_and_nothing_is_changed() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(TABLES);
    let before = contents(&postgres);
    let planned = plan(&postgres, &references(&examples()));
    assert_eq!(planned.code, 0, "{}\n{}", planned.out, planned.err);
    assert_eq!(contents(&postgres), before);
    let lines: Vec<String> =
        planned.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "stats.open counter rows are counted as they change",
        "stats.newToday index days are counted, and a window of hours is shorter: the rows of the last 24 hours are read by an index on created_at",
        "stats.credited counter + edge whole hours and days of the last 30 days are counted; the rest is read by an index on issued_on",
        "stats.creditedShare counter + edge computed from stats.credited, stats.issued when it is read",
        "series.perDay counter rows are counted by day as they change: 90 points",
        "lists.waiting index the first 25 rows that pass its condition, in the order of an index",
        "the bundle query a statement of its own runs after a change of what it follows, at most every 30 s for a tenant",
        "public.conversations once a statement 1",
        "public.subscriptions once a statement 1",
    ] {
        assert!(lines.iter().any(|own| own == line), "{line:?} is not in\n{}", planned.out);
    }
    assert!(planned.out.contains("Without counters, the bundle of tenant 7 took"), "{}", planned.out);
    assert!(planned.out.contains("The role postgres may do all of this."), "{}", planned.out);
}

#[test]
fn an_index_that_is_there_is_not_missing() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(TABLES);
    let examples = examples();
    let planned = plan(&postgres, &[&examples[0]]);
    assert!(planned.out.contains("All indexes that are needed are there."), "{}", planned.out);
    let planned = plan(&postgres, &[&examples[1]]);
    let creates: Vec<&str> =
        planned.out.lines().filter(|line| line.starts_with("CREATE INDEX CONCURRENTLY")).collect();
    assert_eq!(creates.len(), 2, "{}", planned.out);
    for create in creates {
        postgres.client().batch_execute(create).unwrap();
    }
    let planned = plan(&postgres, &[&examples[1]]);
    assert!(planned.out.contains("All indexes that are needed are there."), "{}", planned.out);
}

#[test]
fn the_sql_is_ascii_and_can_be_run() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(TABLES);
    let before = contents(&postgres);
    let examples = examples();
    let planned = plan(&postgres, &[&["--sql"], &references(&examples)[..]].concat());
    assert_eq!(planned.code, 0, "{}", planned.err);
    assert_eq!(contents(&postgres), before);
    assert!(planned.out.is_ascii());
    share(&postgres);
    postgres.execute(&planned.out);
    postgres.execute("INSERT INTO conversations (account_id) VALUES (1)");
    let deltas: i64 = postgres.value("SELECT count(*) FROM dashboard.delta WHERE tenant = '1' AND n = 1");
    assert_eq!(deltas, 1, "triggers append");
    let bundle: String = postgres.value("SELECT bundle FROM dashboard.bundle_live('1', true)");
    assert!(bundle.starts_with("{\"stats\":{\"open\":3"), "{bundle}");
    let bundle: String = postgres.value("SELECT bundle FROM dashboard.bundle_mrr('7', true)");
    assert_eq!(bundle, "{\"mrr\" : { \"EUR\" : 10.00 }}");
}

#[test]
fn a_mistake_in_a_file_is_shown_at_its_line_and_column_and_that_of_every_file() {
    let postgres = deals();
    let directory = TempDir::with_prefix("dashboard-board-").unwrap();
    let unknown = write(directory.path(), "a.toml", BOARD.replace("at = ", "att = ").as_bytes());
    let broken = write(directory.path(), "b.toml", b"board = \n");
    let right = write(directory.path(), "c.toml", BOARD.as_bytes());
    let again = write(directory.path(), "d.toml", BOARD.as_bytes());
    let missing = directory.path().join("e.toml").display().to_string();
    let planned = plan(&postgres, &[&unknown, &broken, &right, &again, &missing]);
    assert_wrong(
        &planned,
        &[
            &format!("\n{unknown}:7:1: "),
            "\n 7 | att = \"at\"\n   | ^^^\n",
            &format!("\n{broken}:1:9: this is not TOML"),
            &format!("{again}: {right} defines the board sales, too"),
            &format!("{missing}: this file cannot be read"),
        ],
    );
}

#[test]
fn a_file_that_is_no_definition_is_refused_by_its_size() {
    let postgres = deals();
    let planned = plan_text(&postgres.url(), &postgres, &b"board = \"b\"\n".repeat(900_000)[..10_000_000]);
    assert_wrong(&planned, &["sales.toml:1:1: this file has 10000000 bytes"]);
}

#[test]
fn what_does_not_fit_the_tables_is_named_with_its_file() {
    let postgres = deals();
    for (that, this, words) in [
        (
            "\"deals\" }",
            "\"deals\", sum = \"amount\" }",
            "sales.toml: [figures.\"stats.x\"]: public.deals has no column amount",
        ),
        (
            "owner_id",
            "owner_ids",
            "sales.toml: [sources.deals]: public.deals.owner_ids is of type bigint[], and a tenant is named by one text or number",
        ),
        ("\"owners\"", "\"owner\"", "sales.toml: [tenants]: there is no table owner that this role can see"),
        (
            "\"deals\" }",
            "\"deals\", last = \"7 days\", at = \"day\" }",
            "sales.toml: [figures.\"stats.x\"]: public.deals.day is of type text, which is no time",
        ),
        (
            "key = \"id\"",
            "key = \"id\"\nname = \"called\"",
            "sales.toml: [tenants]: public.owners has no column called",
        ),
    ] {
        assert_wrong(&plan_with(&postgres, that, this), &[words]);
    }
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let postgres = deals();
    let more = "\"deals\", sum = \"amount\" }\n\"stats.y\" = { from = \"deals\", where = \"gone\" }";
    assert_wrong(&plan_with(&postgres, "\"deals\" }", more), &["has no column amount", "has no column gone"]);
}

#[test]
fn what_fails_on_the_rows_is_named_by_its_figure_in_the_databases_words() {
    let postgres = deals();
    let place = |what: &str| format!("sales.toml: [figures.\"stats.x\"]: {what}");
    for (this, words) in [
        ("sum = \"name\"", place("sum = \"name\": invalid input syntax for type numeric: \"a deal\"")),
        ("sum = \"paid\"", place("sum = \"paid\": cannot cast type boolean to numeric")),
        (
            "where = \"name\"",
            place("where = \"name\": argument of IS TRUE must be type boolean, not type text"),
        ),
        (
            "where = \"rate(name) = 1\"",
            place("where = \"rate(name) = 1\": function rate(text) does not exist"),
        ),
        ("by = \"1 / (id - 1)\"", place("by = \"1 / (id - 1)\": division by zero")),
    ] {
        assert_wrong(&plan_with(&postgres, "\"deals\" }", &format!("\"deals\", {this} }}")), &[&words]);
    }
    let list = "\"deals\" }\n[lists.recent]\nfrom = \"deals\"\ncolumns = [\"id\"]\norder = \"place\"\n";
    assert_wrong(
        &plan_with(&postgres, "\"deals\" }\n", list),
        &[
            "[lists.recent]: order = \"place asc nulls last\": could not identify an ordering operator for type point",
        ],
    );
}

#[test]
fn a_sum_of_texts_is_refused_also_where_no_row_shows_it() {
    let postgres = deals();
    postgres.execute("DELETE FROM deals");
    let planned = plan_with(&postgres, "\"deals\" }", "\"deals\", sum = \"name\" }");
    assert_wrong(
        &planned,
        &["[figures.\"stats.x\"]: sum = \"name\" is of type text", "write (name)::numeric"],
    );
    let planned = plan_with(&postgres, "\"deals\" }", "\"deals\", sum = \"(name)::numeric\" }");
    assert_eq!(planned.code, 0, "{}", planned.err);
}

#[test]
fn a_volatile_function_is_refused_by_name_and_not_called() {
    let postgres = deals();
    postgres.execute(
        "CREATE SEQUENCE calls;
         CREATE FUNCTION public.rate(text) RETURNS numeric LANGUAGE sql AS 'SELECT nextval(''public.calls'')::numeric';
         CREATE FUNCTION public.fine(text) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT 1.0'",
    );
    let planned = plan_with(&postgres, "\"deals\" }", "\"deals\", sum = \"public.rate(name)\" }");
    assert_wrong(&planned, &["[figures.\"stats.x\"]: sum = \"public.rate(name)\": public.rate is VOLATILE"]);
    assert!(!postgres.value::<bool>("SELECT is_called FROM calls"));
    let planned = plan_with(&postgres, "\"deals\" }", "\"deals\", sum = \"public.fine(name)\" }");
    assert_eq!(planned.code, 0, "{}", planned.err);
}

#[test]
fn what_the_role_may_not_do_is_listed_with_a_way_out() {
    let postgres = deals();
    postgres.execute(
        "CREATE ROLE board_planner LOGIN; GRANT SELECT ON owners TO board_planner; GRANT SELECT (id, owner_id) ON deals TO board_planner;
         CREATE SCHEMA dashboard; CREATE SCHEMA closed; CREATE TABLE closed.deals (owner_id bigint)",
    );
    let url = postgres.url().replace("postgres@", "board_planner@");
    let planned =
        plan_text(&url, &postgres, BOARD.replace("\"deals\" }", "\"deals\", where = \"paid\" }").as_bytes());
    assert_eq!(planned.code, 1, "{}\n{}", planned.out, planned.err);
    for line in [
        "The role board_planner may not",
        "- create functions in the schema dashboard: GRANT CREATE ON SCHEMA dashboard TO board_planner, or use its owner, postgres",
        "- read public.deals (paid): GRANT SELECT ON public.deals TO board_planner",
        "- create triggers on public.deals: use its owner, postgres",
        "- create indexes on public.deals: use its owner, postgres",
    ] {
        assert!(planned.out.lines().any(|own| own == line), "{line:?} is not in\n{}", planned.out);
    }
    assert!(!planned.out.contains("read public.owners"), "{}", planned.out);

    let database: String = postgres.value("SELECT current_database()::text");
    postgres.execute(&format!(
        "GRANT SELECT ON deals TO board_planner; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
    ));
    let planned = plan_text(&url, &postgres, BOARD.as_bytes());
    assert!(
        planned.out.contains(
            "No bundle was made to try: a function of the session's own is refused (permission denied"
        ),
        "{}",
        planned.out
    );

    postgres.execute("ALTER TABLE deals ENABLE ROW LEVEL SECURITY");
    let planned = plan_text(&url, &postgres, BOARD.as_bytes());
    assert!(
        planned.out.contains("- read all rows of public.deals, which has row-level security"),
        "{}",
        planned.out
    );

    let hidden = BOARD.replace("tenant = \"owner_id\"", "table = \"closed.deals\"\ntenant = \"owner_id\"");
    let planned = plan_text(&url, &postgres, hidden.as_bytes());
    assert_wrong(
        &planned,
        &["sales.toml: board_planner may not use the schema of closed.deals: GRANT USAGE ON SCHEMA closed"],
    );
}

#[test]
fn partitions_are_followed_by_triggers_of_rows_and_views_are_refused() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(
        "CREATE TABLE owners (id bigint PRIMARY KEY);
         CREATE TABLE deals (owner_id bigint, at timestamptz) PARTITION BY RANGE (at);
         CREATE TABLE deals_now PARTITION OF deals DEFAULT;
         CREATE VIEW seen AS SELECT * FROM deals",
    );
    let planned = plan_with(&postgres, "\"deals\" }", "\"deals\", last = \"7 days\" }");
    assert_eq!(planned.code, 0, "{}", planned.err);
    assert!(planned.out.contains("for each row, as it has partitions (1)"), "{}", planned.out);
    assert!(planned.out.contains("\nCREATE INDEX IF NOT EXISTS"), "{}", planned.out);
    let planned = plan_with(&postgres, "tenant =", "table = \"seen\"\ntenant =");
    assert_wrong(&planned, &["sales.toml: public.seen is not a table, and only tables have triggers"]);
}

#[test]
fn the_sql_of_a_partitioned_table_follows_its_partitions() {
    let postgres = Postgres::start_unmigrated();
    postgres.execute(
        "CREATE TABLE owners (id bigint PRIMARY KEY);
         CREATE TABLE deals (owner_id bigint, at timestamptz) PARTITION BY RANGE (at);
         CREATE TABLE deals_now PARTITION OF deals DEFAULT",
    );
    let directory = TempDir::with_prefix("dashboard-board-").unwrap();
    let file = write(directory.path(), "sales.toml", BOARD.as_bytes());
    let planned = plan(&postgres, &["--sql", &file]);
    assert_eq!(planned.code, 0, "{}", planned.err);
    share(&postgres);
    postgres.execute(&planned.out);
    let counted = || {
        postgres.value::<i64>("SELECT coalesce(sum(n), 0)::bigint FROM dashboard.delta WHERE tenant = '1'")
    };
    postgres.execute("INSERT INTO deals VALUES (1, now()); INSERT INTO deals_now VALUES (1, now())");
    assert_eq!(counted(), 2);
    postgres.execute("TRUNCATE deals_now");
    assert_eq!(counted(), 0);
}

#[test]
fn the_board_of_the_crm_finds_its_tables_and_indexes() {
    let postgres = Postgres::start();
    let file = repository_root().join("boards/crm.toml").display().to_string();
    let planned = plan(&postgres, &[&file]);
    assert_eq!(planned.code, 0, "{}\n{}", planned.out, planned.err);
    assert!(planned.out.contains("All indexes that are needed are there."), "{}", planned.out);
}

#[test]
fn the_database_that_is_meant_must_be_named() {
    let directory = TempDir::with_prefix("dashboard-board-").unwrap();
    let file = write(directory.path(), "sales.toml", BOARD.as_bytes());
    let planned = plan_at("", &[&file]);
    assert_wrong(&planned, &["DATABASE_URL is not set"]);
    // A definition that is wrong is so without a database, too.
    let file = write(directory.path(), "wrong.toml", b"board = 1\n");
    assert_wrong(&plan_at("", &[&file]), &[&format!("{file}:1:9: ")]);
}
