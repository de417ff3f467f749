//! The trigger functions of a feed: what appends a delta for each row that a statement changes.
//!
//! Counting never fails a writer. What can fail, as a column has another type by now, is computed in a block with a handler that writes
//! nothing, so that it takes no transaction number of its own; what was computed is appended behind it. Where it has failed, that is
//! appended instead, and the board goes on from the tables.

use crate::catalogue::Feed;
use crate::text::{indent, quoted};

/// So many rows of a statement are appended from memory. Of more they are appended where they are computed: one large statement may have a
/// transaction number more.
const FEW: u32 = 1000;

/// What is to be appended from memory.
const DELTAS: &str = "deltas dashboard.delta[];";

/// What a statement does to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It adds them.
    Insert,
    /// It replaces them.
    Update,
    /// It removes them.
    Delete,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// As in the names of functions and triggers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Where the rows are that count, and those that do so no more.
    fn rows(self) -> &'static [(&'static str, i32)] {
        match self {
            Self::Insert => &[("new_rows", 1)],
            Self::Update => &[("new_rows", 1), ("old_rows", -1)],
            Self::Delete => &[("old_rows", -1)],
        }
    }

    fn referencing(self) -> &'static str {
        match self {
            Self::Insert => "NEW TABLE AS new_rows",
            Self::Update => "OLD TABLE AS old_rows NEW TABLE AS new_rows",
            Self::Delete => "OLD TABLE AS old_rows",
        }
    }
}

/// The functions that the triggers of a feed call.
pub fn functions(feed: &Feed, number: usize) -> Vec<String> {
    let mut functions: Vec<String> = Event::ALL
        .into_iter()
        .map(|event| {
            let rows: Vec<(String, i32)> =
                event.rows().iter().map(|(rows, sign)| ((*rows).to_owned(), *sign)).collect();
            let first = event.rows()[0].0;
            let body = append(
                number,
                &changed(feed, &rows),
                &format!("WHERE NOT EXISTS (SELECT FROM {first} OFFSET {FEW})"),
                Some(first),
            );
            let what = format!("{}: counts what a statement {}s.", feed.table, event.name());
            function(&format!("count_{number}_{}", event.name()), &what, DELTAS, &body)
        })
        .collect();
    functions.push(of_rows(feed, number));
    functions.push(of_truncate(feed, number));
    functions
}

/// The triggers of a feed on its table, where no partition is involved.
pub fn triggers(feed: &Feed, number: usize) -> Vec<String> {
    let table = &feed.table;
    let of = |event: &str, when: &str, referencing: &str| {
        let name = format!("dashboard_count_{number}_{event}");
        format!(
            "CREATE TRIGGER {name} {when} ON {table}\n    {referencing}FOR EACH STATEMENT EXECUTE FUNCTION dashboard.count_{number}_{event}();\n\
             ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {name}"
        )
    };
    let mut triggers: Vec<String> = Event::ALL
        .into_iter()
        .map(|event| {
            let when = format!("AFTER {}", event.name().to_uppercase());
            of(event.name(), &when, &format!("REFERENCING {} ", event.referencing()))
        })
        .collect();
    triggers.push(of("truncate", "BEFORE TRUNCATE", ""));
    triggers
}

/// Rows as deltas, of several relations: each with its sign.
fn changed(feed: &Feed, relations: &[(String, i32)]) -> String {
    let via = feed.via.as_deref().unwrap_or_default();
    let selects: Vec<String> = relations
        .iter()
        .map(|(rows, sign)| {
            format!("SELECT {sign} AS sign,\n           {}\n    FROM {rows} AS r{via}", feed.dimensions())
        })
        .collect();
    // A group that nothing is left of stays, with 0: its tenant has changed all the same.
    format!(
        "SELECT tenant, flags, slots, keys, sum(sign) AS n, {} AS numbers\nFROM (\n    {}\n) AS changed",
        feed.numbers(|number| format!("sum(sign * {number})")),
        selects.join("\n    UNION ALL\n    ")
    )
}

/// Statements that append what has changed: from memory where there are few rows, which `few` says.
fn append(number: usize, changed: &str, few: &str, rows: Option<&str>) -> String {
    let group = "GROUP BY tenant, flags, slots, keys";
    let many = rows.map_or_else(String::new, |rows| {
        format!(
            "
        IF deltas = '{{}}' AND EXISTS (SELECT FROM {rows}) THEN
            INSERT INTO dashboard.delta (feed, tenant, flags, slots, keys, n, numbers)
            SELECT {number}, many.*
            FROM ({}) AS many;
            RETURN NULL;
        END IF;",
            indent(&format!("{changed}\n{group}"), 18)
        )
    });
    format!(
        "    BEGIN
        deltas := ARRAY(
            SELECT ROW(pg_current_xact_id(), {number}, few.tenant, few.n, few.flags, few.slots, few.keys, few.numbers, NULL)::dashboard.delta
            FROM ({}) AS few);{many}
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO dashboard.delta (feed, n, note) VALUES ({number}, 0, SQLERRM);
        RETURN NULL;
    END;
    INSERT INTO dashboard.delta SELECT * FROM unnest(deltas);
    RETURN NULL;",
        indent(&format!("{changed}\n{few}\n{group}"), 18)
    )
}

/// The same of one row, for partitioned tables: of a row that MERGE moves to another partition, no transition table of an UPDATE tells
/// (seen in Postgres 15), but triggers of rows do. And partitions that are made later have it by themselves.
fn of_rows(feed: &Feed, number: usize) -> String {
    let of = |relations: &[(&str, i32)]| {
        let relations: Vec<(String, i32)> =
            relations.iter().map(|(row, sign)| (format!("(SELECT {row}.*)"), *sign)).collect();
        indent(&append(number, &changed(feed, &relations), "", None), 4)
    };
    let body = format!(
        "    IF TG_OP = 'INSERT' THEN\n    {}\n    ELSIF TG_OP = 'DELETE' THEN\n    {}\n    ELSE\n    {}\n    END IF;",
        of(&[("NEW", 1)]),
        of(&[("OLD", -1)]),
        of(&[("NEW", 1), ("OLD", -1)])
    );
    function(
        &format!("count_{number}_row"),
        &format!("{}: counts a row, where there are partitions.", feed.table),
        DELTAS,
        &body,
    )
}

/// Before the rows are gone they are counted once more. TRUNCATE has waited for every writer, and it fires this for each partition.
/// (Under a REPEATABLE READ snapshot that is older than some rows, those are not seen, and `verify` is needed.)
fn of_truncate(feed: &Feed, number: usize) -> String {
    let gone = format!(
        "{}\nGROUP BY tenant, flags, slots, keys",
        changed(feed, &[("ONLY %s".to_owned(), -1)]).replace('%', "%%")
    )
    .replace("ONLY %%s", "ONLY %s");
    let body = format!(
        "    FOR place IN
        SELECT TG_RELID::regclass
        UNION ALL
        -- Partitions that were made since have no such trigger of their own: the topmost table counts theirs.
        SELECT relid FROM pg_partition_tree(TG_RELID)
        WHERE isleaf AND relid <> TG_RELID AND TG_RELID NOT IN (SELECT inhrelid FROM pg_inherits)
          AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relid AND tgname = TG_NAME)
    LOOP
        EXECUTE format({}, place);
    END LOOP;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    INSERT INTO dashboard.delta (feed, n, note) VALUES ({number}, 0, SQLERRM);
    RETURN NULL;",
        quoted(&format!(
            "
            INSERT INTO dashboard.delta (feed, tenant, flags, slots, keys, n, numbers)
            SELECT {number}, gone.*
            FROM ({}) AS gone",
            indent(&gone, 18)
        ))
    );
    function(
        &format!("count_{number}_truncate"),
        &format!("{}: counts what TRUNCATE is about to remove.", feed.table),
        "place regclass;",
        &body,
    )
}

/// A function for triggers. It runs as its owner: who writes to the table needs no right here.
fn function(name: &str, what: &str, variable: &str, body: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION dashboard.{name}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS {}",
        quoted(&format!(
            "
-- {what}
DECLARE
    {variable}
BEGIN
{body}
END
"
        ))
    )
}
