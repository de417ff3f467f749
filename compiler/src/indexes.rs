//! The indexes by which a board is read, each with its reason.
//!
//! What a table has already is for the caller to ask ([`EXISTING`]) and to compare ([`missing`]): an index serves whatever is a prefix of it,
//! and its order read backwards.

use board::Board;
use board::definition::{List, Whose};
use board::order::Order;
use board::path::Column;
use xxhash_rust::xxh3::xxh3_64;

use crate::facts::{Facts, Kind, TableFacts};
use crate::plan::{Plan, place};

/// The indexes of the table `$1` (as SQL) that can be read in their order: of each its name, its columns and how each is sorted
/// (`pg_index.indoption`). NULL stands for a column that is an expression, or sorted by other rules than its own.
pub const EXISTING: &str = "
    SELECT named.relname::text,
           array_agg(CASE WHEN opcdefault AND indcollation[place - 1] = attcollation THEN attname::text END ORDER BY place),
           array_agg(indoption[place - 1]::integer ORDER BY place)
    FROM pg_index JOIN pg_class AS named ON named.oid = indexrelid JOIN pg_am ON pg_am.oid = relam AND amname = 'btree'
         CROSS JOIN LATERAL generate_series(1, indnkeyatts) AS place
         JOIN pg_opclass ON pg_opclass.oid = indclass[place - 1]
         LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[place - 1] AND attnum > 0
    WHERE indrelid = to_regclass($1) AND indisvalid AND indpred IS NULL
    GROUP BY indexrelid, named.relname
    ORDER BY named.relname";

/// Most of a name that says what an index is of. With what stands around it, a name has at most 63 bytes.
const READABLE: usize = 44;
/// Figures that a reason names. Of more it says how many.
const NAMED: usize = 3;

/// How a column is sorted. The default is Postgres's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Direction {
    /// The largest first.
    pub descending: bool,
    /// NULL before everything else.
    pub nulls_first: bool,
}

impl Direction {
    /// As `pg_index.indoption` has it.
    fn of_option(option: i32) -> Self {
        Self { descending: option & 1 != 0, nulls_first: option & 2 != 0 }
    }

    fn reversed(self) -> Self {
        Self { descending: !self.descending, nulls_first: !self.nulls_first }
    }

    /// As Postgres prints it: without what is the default.
    fn sql(self) -> &'static str {
        match (self.descending, self.nulls_first) {
            (false, false) => "",
            (false, true) => " NULLS FIRST",
            (true, true) => " DESC",
            (true, false) => " DESC NULLS LAST",
        }
    }
}

/// A column of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which.
    pub column: Column,
    /// How it is sorted. None: rows are found by it, so either way will do.
    pub direction: Option<Direction>,
}

/// An index that a board is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The table, as SQL.
    pub table: String,
    /// Its columns.
    pub columns: Vec<Key>,
    /// What it is for.
    pub reason: String,
}

/// An index that a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The table, as SQL.
    pub table: String,
    columns: Vec<Option<(Column, Direction)>>,
}

impl Existing {
    /// Of a row of [`EXISTING`]: the columns and how they are sorted.
    pub fn of(table: &str, columns: &[Option<String>], options: &[i32]) -> Self {
        let columns = columns.iter().zip(options).map(|(name, option)| {
            let column = Column::parse(name.as_deref()?).ok()?;
            Some((column, Direction::of_option(*option)))
        });
        Self { table: table.to_owned(), columns: columns.collect() }
    }

    /// Whether what needs `index` can read this one: forwards or backwards.
    fn serves(&self, index: &Index) -> bool {
        let sorted = |reverse: bool| {
            index.columns.iter().zip(&self.columns).all(|(key, own)| {
                own.as_ref().is_some_and(|(column, direction)| {
                    let direction = if reverse { direction.reversed() } else { *direction };
                    *column == key.column && key.direction.is_none_or(|wanted| wanted == direction)
                })
            })
        };
        self.table == index.table
            && index.columns.len() <= self.columns.len()
            && (sorted(false) || sorted(true))
    }
}

impl Index {
    fn new(table: &TableFacts, columns: Vec<Key>, reason: String) -> Self {
        Self { table: table.qualified.clone(), columns, reason }
    }

    /// A name that is the same for the same index, whoever asks. It has at most 63 bytes, all of them lower-case letters, digits and `_`.
    pub fn name(&self) -> String {
        let table = self.table.rsplit('.').next().unwrap_or_default();
        let words = self
            .columns
            .iter()
            .map(|key| key.column.as_str())
            .fold(table.to_owned(), |words, name| words + "_" + name);
        let readable: String = words
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(READABLE)
            .collect();
        let hash = xxh3_64(format!("{} {}", self.table, self.columns_sql()).as_bytes());
        format!("dashboard_{}_{:08x}", readable.trim_matches('_'), hash >> 32)
    }

    fn columns_sql(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|key| format!("{}{}", key.column.sql(), key.direction.unwrap_or_default().sql()))
            .collect();
        columns.join(", ")
    }

    /// The statement that creates it while writers go on, outside of any transaction.
    pub fn create(&self) -> String {
        self.statement("CONCURRENTLY ")
    }

    /// The statement for a partitioned table. Postgres cannot index one without keeping its writers waiting.
    pub fn create_on_partitioned(&self) -> String {
        self.statement("")
    }

    fn statement(&self, how: &str) -> String {
        format!(
            "CREATE INDEX {how}IF NOT EXISTS {} ON {} USING btree ({})",
            self.name(),
            self.table,
            self.columns_sql()
        )
    }

    /// Whether this one, once it is there, serves what needs `other`.
    fn serves(&self, other: &Self) -> bool {
        let columns = self
            .columns
            .iter()
            .map(|key| Some((key.column.clone(), key.direction.unwrap_or_default())))
            .collect();
        Existing { table: self.table.clone(), columns }.serves(other)
    }

    fn because(&mut self, reason: &str) {
        if !self.reason.split("; ").any(|known| known == reason) {
            self.reason = format!("{}; {reason}", self.reason);
        }
    }
}

/// The indexes that a board of figures is read by, in the order of its definition.
pub fn of_plan(plan: &Plan<'_>) -> Vec<Index> {
    let mut indexes = Vec::new();
    let for_all = plan.board.tenants.all.is_some();
    for (number, (_, source)) in plan.declared.sources().enumerate() {
        let table = plan.sources[number].facts;
        let tenant = found_by(&source.tenant);
        for (place, window) in plan.windows.iter().enumerate().filter(|(_, window)| window.source == number) {
            let paths: Vec<String> = plan
                .counted()
                .filter(|(_, _, _, count)| count.window == Some(place))
                .map(|(_, figure, _, _)| figure.path.to_string())
                .collect();
            let rows = if window.is_of_hours() { "the rows of a window" } else { "the edge of a window" };
            let named = named(&paths);
            indexes.push(Index::new(
                table,
                vec![tenant.clone(), found_by(&window.at)],
                format!("{named}: {rows}, of one tenant"),
            ));
            if for_all {
                let reason = format!("{named}: {rows}, of all tenants together");
                indexes.push(Index::new(table, vec![found_by(&window.at)], reason));
            }
        }
        let lists = plan.declared.lists.iter().zip(&plan.lists);
        for (list, _) in lists.filter(|(list, fits)| **fits && place(plan.declared, list.source) == number) {
            let order: Vec<Key> = list.order.iter().map(sorted_by).collect();
            let caution = caution(table, list);
            let name = format!("lists.{}", list.name);
            indexes.push(Index::new(
                table,
                std::iter::once(tenant.clone()).chain(order.iter().cloned()).collect(),
                format!("{name}: the first {} of one tenant, without sorting{caution}", list.limit),
            ));
            if for_all {
                let reason =
                    format!("{name}: the first {} of all tenants, without sorting{caution}", list.limit);
                indexes.push(Index::new(table, order, reason));
            }
        }
        // Where another one begins with the tenant, that one serves.
        let reason = "one tenant's rows, where counters are checked or cannot be used";
        indexes.push(Index::new(table, vec![tenant], reason.to_owned()));
    }
    indexes
}

/// The indexes that every board needs, also one of its own SQL: by which a tenant is found.
pub fn of_board(board: &Board, facts: &Facts) -> Vec<Index> {
    let mut indexes = Vec::new();
    if let Some(tenants) = facts.table(&board.tenants.table) {
        let reason = "each read looks whether there is such a tenant".to_owned();
        indexes.push(Index::new(tenants, vec![found_by(&board.tenants.key)], reason));
    }
    for follow in &board.follow {
        let Whose::Through { table, key, .. } = &follow.whose else { continue };
        if let Some(through) = facts.table(table) {
            let reason = format!("each changed row of {} finds its tenant by it", follow.table);
            indexes.push(Index::new(through, vec![found_by(key)], reason));
        }
    }
    indexes
}

/// Without those that another one serves as well: what they are for is then for that one to say.
pub fn joined(indexes: Vec<Index>) -> Vec<Index> {
    let mut joined: Vec<Index> = Vec::new();
    for mut index in indexes {
        if let Some(known) = joined.iter_mut().find(|known| known.serves(&index)) {
            known.because(&index.reason);
            continue;
        }
        let first = joined.iter().position(|known| index.serves(known)).unwrap_or(joined.len());
        let (served, mut others): (Vec<Index>, Vec<Index>) =
            joined.into_iter().partition(|known| index.serves(known));
        for known in &served {
            index.because(&known.reason);
        }
        others.insert(first, index);
        joined = others;
    }
    joined
}

/// Those that no index of their table serves.
pub fn missing<'a>(needed: &'a [Index], existing: &[Existing]) -> Vec<&'a Index> {
    needed.iter().filter(|index| !existing.iter().any(|own| own.serves(index))).collect()
}

fn found_by(column: &Column) -> Key {
    Key { column: column.clone(), direction: None }
}

fn sorted_by(order: &Order) -> Key {
    let direction = Direction { descending: order.descending, nulls_first: order.nulls_first };
    Key { column: order.column.clone(), direction: Some(direction) }
}

/// What an index on texts does to writers.
fn caution(table: &TableFacts, list: &List) -> String {
    let texts: Vec<&str> = list
        .order
        .iter()
        .map(|order| &order.column)
        .filter(|column| table.columns.get(*column).is_some_and(|own| own.kind == Kind::Text))
        .map(Column::as_str)
        .collect();
    if texts.is_empty() {
        return String::new();
    }
    format!(" (with it, Postgres refuses rows whose {} has more than some 2,700 bytes)", texts.join(" or "))
}

/// The figures that something is for.
fn named(paths: &[String]) -> String {
    match paths.get(NAMED..) {
        Some(rest) if !rest.is_empty() => format!("{} and {} more", paths[..NAMED].join(", "), rest.len()),
        _ => paths.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalogue;
    use crate::sample;

    fn needed() -> Vec<Index> {
        let (board, facts) = (sample::board(), sample::facts());
        let plan = Plan::of(&board, &facts, &mut Catalogue::default()).unwrap();
        joined([of_board(&board, &facts), of_plan(&plan)].concat())
    }

    fn written(indexes: &[Index]) -> Vec<String> {
        indexes.iter().map(|index| format!("{} ({})", index.table, index.columns_sql())).collect()
    }

    fn existing(table: &str, columns: &[(&str, i32)]) -> Existing {
        let (names, options): (Vec<_>, Vec<_>) =
            columns.iter().map(|(name, option)| (Some((*name).to_owned()), *option)).unzip();
        Existing::of(table, &names, &options)
    }

    #[test]
    fn an_index_serves_windows_and_lists_where_it_can() {
        let needed = needed();
        assert_eq!(
            written(&needed),
            [
                "public.accounts (id)",
                // One for the window and the list, and for what is read without counters.
                "public.deals (account_id, created_at DESC NULLS LAST, id DESC)",
                "public.deals (created_at DESC NULLS LAST, id DESC)",
                "public.calls (account_id, at)",
                "public.calls (at)",
                "public.calls (account_id, kind, id)",
                "public.calls (kind, id)",
            ]
        );
        assert_eq!(
            needed[1].reason,
            "lists.recent: the first 5 of one tenant, without sorting; stats.new, stats.value: the edge of a window, of one tenant; \
             one tenant's rows, where counters are checked or cannot be used"
        );
        assert!(needed[5].reason.contains("2,700 bytes"), "{}", needed[5].reason);
    }

    #[test]
    fn whoever_has_no_name_for_all_tenants_needs_no_index_over_them() {
        let (board, facts) = (sample::board_with("all = \"EVERYBODY\"\n", ""), sample::facts());
        let plan = Plan::of(&board, &facts, &mut Catalogue::default()).unwrap();
        let of_tenants = |index: &Index| index.columns[0].column.as_str() == "account_id";
        assert!(of_plan(&plan).iter().all(of_tenants));
    }

    #[test]
    fn what_is_there_is_not_missing_also_as_a_prefix_and_backwards() {
        let needed = needed();
        let there = [
            existing("public.accounts", &[("id", 0)]),
            // Longer, and read backwards.
            existing("public.deals", &[("account_id", 0), ("created_at", 2), ("id", 0), ("stage", 0)]),
            // The order of NULL is another one.
            existing("public.deals", &[("created_at", 3), ("id", 3)]),
            // A column found by value may be sorted in any way.
            existing("public.calls", &[("account_id", 3), ("at", 1)]),
            // Another table's.
            existing("app.calls", &[("at", 0)]),
            Existing::of("public.calls", &[Some("kind".to_owned()), None], &[0, 0]),
        ];
        let missing: Vec<Index> = missing(&needed, &there).into_iter().cloned().collect();
        assert_eq!(
            written(&missing),
            [
                "public.deals (created_at DESC NULLS LAST, id DESC)",
                "public.calls (at)",
                "public.calls (account_id, kind, id)",
                "public.calls (kind, id)",
            ]
        );
    }

    #[test]
    fn names_are_the_same_each_time_and_fit_whatever_the_table_is_called() {
        let needed = needed();
        assert_eq!(needed[3].name(), "dashboard_calls_account_id_at_fbeb4723");
        let column = Column::parse(&"\u{e4}".repeat(31)).unwrap();
        let long = |table: &str| Index {
            table: table.to_owned(),
            columns: vec![found_by(&column); 8],
            reason: String::new(),
        };
        let (one, other) =
            (long(&format!("s.\"{}\"", "T".repeat(63))), long(&format!("t.\"{}\"", "T".repeat(63))));
        assert_ne!(one.name(), other.name(), "tables of two schemas");
        for index in needed.iter().chain([&one, &other]) {
            let name = index.name();
            assert!(name.len() <= 63, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
            assert!(index.create().is_ascii());
        }
    }

    #[test]
    fn a_statement_lets_writers_go_on_where_postgres_can() {
        let index = &needed()[1];
        let name = index.name();
        assert_eq!(
            index.create(),
            format!(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON public.deals USING btree (account_id, created_at DESC NULLS LAST, id DESC)"
            )
        );
        assert!(index.create_on_partitioned().starts_with("CREATE INDEX IF NOT EXISTS"));
    }
}
