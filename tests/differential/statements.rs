//! Random statements that write to the five tables, in every way that SQL has.

use fastrand::Rng;

use super::tables::{ALL, TABLES, Table, Variant, type_of};
use super::values::{self, Digits};

/// What a statement does, for the count of what was done.
pub(super) const KINDS: [&str; 16] = [
    "insert of one",
    "insert of several",
    "insert of many",
    "update",
    "update of nothing",
    "move",
    "flip",
    "delete",
    "copy",
    "merge",
    "upsert",
    "insert unless there",
    "tables together",
    "subtransactions",
    "truncate",
    "tenant",
];

pub(super) struct Statement {
    pub(super) kind: &'static str,
    pub(super) sql: String,
    /// For COPY: where what `sql` gives goes.
    pub(super) copied_into: Option<String>,
}

/// Where statements come from.
pub(super) struct Statements {
    pub(super) rng: Rng,
    variant: Variant,
    /// The only table that is written to, if it is one.
    only: Option<&'static str>,
    /// Of the ids that the next statement may write.
    digits: Digits,
}

impl Statements {
    pub(super) fn new(rng: Rng, variant: Variant, only: Option<&'static str>) -> Self {
        Self { rng, variant, only, digits: ALL }
    }

    /// The next one; with `truncate`, possibly one that TRUNCATEs.
    pub(super) fn next(&mut self, truncate: bool) -> Statement {
        let of = |kind, sql| Statement { kind, sql, copied_into: None };
        let table = self.table();
        self.digits = ALL;
        match self.rng.u8(0..100) {
            0..14 => of("insert of one", self.insert(table, 1)),
            14..24 => {
                let rows = self.rng.usize(2..30);
                of("insert of several", self.insert(table, rows))
            }
            24..27 => of("insert of many", self.insert_many(table)),
            27..45 => of("update", self.update(table)),
            45..49 => of("update of nothing", self.update_nothing(table)),
            49..56 => of("move", self.move_tenant(table)),
            56..59 => of("flip", self.flip(table)),
            59..71 => of("delete", self.delete(table)),
            71..75 => self.copy(table),
            75..79 => of("merge", self.merge(table)),
            79..83 => of("upsert", self.upsert(table)),
            83..86 => {
                let rows = self.rng.usize(1..6);
                of("insert unless there", format!("{} ON CONFLICT DO NOTHING", self.insert(table, rows)))
            }
            86..91 => of("tables together", self.together()),
            91..95 => of("subtransactions", self.subtransactions()),
            95..97 => of("tenant", self.tenant()),
            _ if truncate => of("truncate", self.truncate()),
            _ => of("delete", self.delete(table)),
        }
    }

    fn table(&mut self) -> &'static Table {
        let chosen = &TABLES[self.rng.usize(0..TABLES.len())];
        self.only.and_then(|name| TABLES.iter().find(|table| table.name == name)).unwrap_or(chosen)
    }

    fn value(&mut self, column: &str) -> String {
        Table::value(column, &mut self.rng, self.variant, &self.digits)
    }

    fn target(&mut self, table: &Table) -> &'static str {
        let (target, digits) = table.target(&mut self.rng, self.variant);
        self.digits = digits;
        target
    }

    fn row(&mut self, table: &Table) -> String {
        let values: Vec<_> = table.columns.iter().map(|column| self.value(column)).collect();
        format!("({})", values.join(", "))
    }

    fn rows(&mut self, table: &Table, count: usize) -> String {
        let rows: Vec<_> = (0..count).map(|_| self.row(table)).collect();
        rows.join(", ")
    }

    fn insert(&mut self, table: &Table, rows: usize) -> String {
        let target = self.target(table);
        format!("INSERT INTO {target} ({}) VALUES {}", table.columns.join(", "), self.rows(table, rows))
    }

    /// Rows of a few kinds each, so that groups are large.
    fn insert_many(&mut self, table: &Table) -> String {
        let count = [60, 120, 400][self.rng.usize(0..3)];
        let values: Vec<_> = table.columns[1..]
            .iter()
            .map(|column| {
                let choices: Vec<_> = (0..self.rng.usize(1..5)).map(|_| self.value(column)).collect();
                let (choices, count) = (choices.join(", "), choices.len());
                format!("(ARRAY[{choices}]::{}[])[1 + g % {count}]", type_of(column))
            })
            .collect();
        format!(
            "INSERT INTO {} ({}) SELECT gen_random_uuid(), {} FROM generate_series(1, {count}) g",
            table.name,
            table.columns.join(", "),
            values.join(", ")
        )
    }

    fn rows_of(&mut self) -> String {
        let rng = &mut self.rng;
        match rng.u8(0..20) {
            0..9 => format!("id = {}", values::pooled_id(rng, &self.digits)),
            9..12 => {
                let ids: Vec<_> = (0..5).map(|_| values::pooled_id(rng, &self.digits)).collect();
                format!("id IN ({})", ids.join(", "))
            }
            12..15 => format!(
                "tenant_id IS NOT DISTINCT FROM {} AND get_byte(uuid_send(id), 15) % 5 = {}",
                values::tenant(rng),
                rng.u8(0..5)
            ),
            15 => format!("tenant_id IS NULL AND is_test_data IS NOT {}", values::test(rng)),
            16 => "is_test_data".to_owned(),
            17 => "true".to_owned(),
            _ => format!("get_byte(uuid_send(id), 14) % 7 = {}", rng.u8(0..7)),
        }
    }

    fn assignments(&mut self, table: &Table) -> String {
        let columns = &table.columns[1..];
        let first = self.rng.usize(0..columns.len());
        let count = 1 + self.rng.usize(0..3).min(columns.len() - 1);
        let sets: Vec<_> = (0..count)
            .map(|n| {
                let column = columns[(first + n) % columns.len()];
                let value = match column {
                    "amount" if self.rng.bool() => "amount / 3".to_owned(),
                    "created_date" if self.rng.u8(0..4) == 0 => {
                        "CASE WHEN isfinite(created_date) AND created_date > '2000-01-01' THEN created_date - interval '1 day' END".to_owned()
                    }
                    _ => self.value(column),
                };
                format!("{column} = {value}")
            })
            .collect();
        sets.join(", ")
    }

    fn update(&mut self, table: &Table) -> String {
        let target = self.target(table);
        if self.variant == Variant::Grown && table.name == "activities" && self.rng.u8(0..3) == 0 {
            // Into another partition, mostly.
            let (to, from) =
                (values::id(&mut self.rng, &self.digits), values::pooled_id(&mut self.rng, &self.digits));
            return format!("UPDATE {target} SET id = {to}, {} WHERE id = {from}", self.assignments(table));
        }
        format!("UPDATE {target} SET {} WHERE {}", self.assignments(table), self.rows_of())
    }

    fn update_nothing(&mut self, table: &Table) -> String {
        let rows = self.rows_of();
        let last = table.columns[self.rng.usize(1..table.columns.len())];
        match self.rng.u8(0..3) {
            0 => format!("UPDATE {} SET {last} = {last} WHERE {rows}", table.name),
            1 => format!("UPDATE {} SET tenant_id = NULL WHERE false", table.name),
            _ => format!("DELETE FROM {} WHERE id IS NULL", table.name),
        }
    }

    fn move_tenant(&mut self, table: &Table) -> String {
        let target = self.target(table);
        format!("UPDATE {target} SET tenant_id = {} WHERE {}", values::tenant(&mut self.rng), self.rows_of())
    }

    fn flip(&mut self, table: &Table) -> String {
        let rows = self.rows_of();
        format!("UPDATE {} SET is_test_data = NOT COALESCE(is_test_data, false) WHERE {rows}", table.name)
    }

    fn delete(&mut self, table: &Table) -> String {
        let target = self.target(table);
        format!("DELETE FROM {target} WHERE {}", self.rows_of())
    }

    fn copy(&mut self, table: &Table) -> Statement {
        let (count, target) = (self.rng.usize(1..40), self.target(table));
        Statement {
            kind: "copy",
            sql: format!("COPY (VALUES {}) TO STDOUT", self.rows(table, count)),
            copied_into: Some(format!("COPY {target} ({}) FROM STDIN", table.columns.join(", "))),
        }
    }

    fn merge(&mut self, table: &Table) -> String {
        let mut ids: Vec<_> = (0..6).map(|_| values::pooled_id(&mut self.rng, &self.digits)).collect();
        ids.sort_unstable();
        ids.dedup();
        let values: Vec<_> = table.columns[1..].iter().map(|column| self.value(column)).collect();
        let (columns, mut sets) = (table.columns.join(", "), self.assignments(table));
        if self.rng.u8(0..4) == 0 {
            // Into another partition, mostly.
            sets = format!("id = {}, {sets}", values::id(&mut self.rng, &ALL));
        }
        format!(
            "MERGE INTO {} AS t USING unnest(ARRAY[{}]::uuid[]) AS s(id) ON t.id = s.id \
             WHEN MATCHED AND is_test_data THEN DELETE WHEN MATCHED AND tenant_id IS NULL THEN DO NOTHING \
             WHEN MATCHED THEN UPDATE SET {sets} WHEN NOT MATCHED THEN INSERT ({columns}) VALUES (s.id, {})",
            table.name,
            ids.join(", "),
            values.join(", ")
        )
    }

    fn upsert(&mut self, table: &Table) -> String {
        let mut ids: Vec<_> = (0..4).map(|_| values::pooled_id(&mut self.rng, &self.digits)).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let rest: Vec<_> = table.columns[1..].iter().map(|column| self.value(column)).collect();
                format!("({id}, {})", rest.join(", "))
            })
            .collect();
        let sets: Vec<_> =
            table.columns[1..].iter().map(|column| format!("{column} = EXCLUDED.{column}")).collect();
        let only = if self.rng.bool() { " WHERE t.is_test_data IS NOT true" } else { "" };
        format!(
            "INSERT INTO {} AS t ({}) VALUES {} ON CONFLICT (id) DO UPDATE SET {}{only}",
            table.name,
            table.columns.join(", "),
            rows.join(", "),
            sets.join(", ")
        )
    }

    /// One statement that writes to several tables, or several times to one.
    fn together(&mut self) -> String {
        let (first, second, third) = (self.table(), self.table(), self.table());
        let (gone, changed) = (self.rows_of(), self.rows_of());
        let rows = self.rng.usize(1..4);
        format!(
            "WITH gone AS (DELETE FROM {} WHERE {gone} RETURNING tenant_id), \
                  changed AS (UPDATE {} SET {} WHERE {changed} RETURNING tenant_id), \
                  moved AS (UPDATE {} SET tenant_id = (SELECT tenant_id FROM gone LIMIT 1) WHERE id = {} RETURNING id) {}",
            first.name,
            second.name,
            self.assignments(second),
            third.name,
            values::pooled_id(&mut self.rng, &self.digits),
            self.insert(third, rows)
        )
    }

    fn subtransactions(&mut self) -> String {
        let (first, second, third) = (self.table(), self.table(), self.table());
        format!(
            "DO $body$ BEGIN \
               BEGIN {}; RAISE EXCEPTION 'never mind'; EXCEPTION WHEN raise_exception OR unique_violation OR check_violation THEN NULL; END; \
               BEGIN {}; EXCEPTION WHEN unique_violation OR check_violation THEN {}; END; \
             END $body$",
            self.delete(first),
            self.insert(second, 2),
            self.update(third)
        )
    }

    fn tenant(&mut self) -> String {
        let passing = values::PASSING;
        match self.rng.u8(0..3) {
            0 => format!("DELETE FROM tenant WHERE id = '{passing}'"),
            1 => "UPDATE tenant SET name = name || '.' WHERE length(name) < 40".to_owned(),
            _ => format!(
                "INSERT INTO tenant (id, tenant_id, name) VALUES ('{passing}', 'passing', 'Passing') ON CONFLICT DO NOTHING"
            ),
        }
    }

    fn truncate(&mut self) -> String {
        let mut tables: Vec<_> = match self.rng.u8(0..8) {
            0 => TABLES.iter().map(|table| table.name).collect(),
            1 => vec!["leads", "opportunities"],
            _ => vec![],
        };
        if tables.is_empty() {
            let table = self.table();
            tables.push(self.target(table));
        }
        let only = if self.rng.u8(0..4) == 0 && tables == ["contacts"] { "ONLY " } else { "" };
        format!("TRUNCATE {only}{} CASCADE", tables.join(", "))
    }
}
