//! The file as a person writes it: every table and key, with its type. The words here are the documentation: the
//! reference and the JSON Schema for editors are made from these types, and [`crate::structure`] checks a file
//! against that same schema.
//!
//! Nothing is decided here but what may be written. [`crate::read`] makes a [`crate::Board`] of it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use toml::Spanned;

/// A dashboard of one tenant: where the tenants are, which tables are read, and what is shown.
///
/// A board of figures and lists is counted: it costs the same for a tenant of any size. A board that has `sql`
/// computes its own statement instead. Paths and names are ASCII; titles and notes may be in any language.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a board")]
pub(crate) struct BoardFile {
    /// The name under which the board is asked for: `DASHBOARD.GET acme BOARD support`. Lower-case letters, digits,
    /// `_` and `-`, 32 at most. Words of the commands (`all`, `async`, `board`, `force`, `include`, `meta`, `none`,
    /// `nowait`, `refresh`, `scope`, `soft` and the like) are taken.
    #[schemars(example = &"support", regex(pattern = r"^[a-z0-9_-]{1,32}$"))]
    pub(crate) board: At<String>,
    /// What stands above the board on the page. Default: the board's name.
    #[schemars(example = &"Conversations now", length(min = 1, max = 100))]
    pub(crate) title: Option<At<String>>,
    /// A sentence below the title: what a reader of the figures should know. At most 500 characters.
    #[schemars(example = &"Spam is not counted.", length(min = 1, max = 500))]
    pub(crate) note: Option<At<String>>,
    /// Where the tenants are.
    pub(crate) tenants: TenantsFile,
    /// The tables that figures and lists read, each under a name of this board: `[sources.deals]`. At most 32. Two
    /// sources may read one table, for example as seller and as buyer.
    #[serde(default)]
    pub(crate) sources: Entries<SourceFile>,
    /// The figures, each under its path in the bundle. A path is one key in quotes: `"stats.open" = { ... }`. At most
    /// 200. The bundle and the page show them in the order of the file. A path cannot lie below another figure's
    /// path. `meta` and `lists` are reserved.
    #[serde(default)]
    pub(crate) figures: Entries<FigureFile>,
    /// The lists of rows, each under its name: `[lists.recent]` stands in the bundle as `lists.recent`. At most 20.
    #[serde(default)]
    pub(crate) lists: Entries<ListFile>,
    /// More tables to follow: a change there marks this board as changed, although no figure counts it. At most 32. A
    /// board with `sql` needs at least one.
    #[serde(default)]
    #[schemars(extend("examples" = [["currencies"]]))]
    pub(crate) follow: Vec<At<FollowEntry>>,
    /// Your own statement instead of figures and lists: the name of a file beside this one (`mrr.sql`), or the
    /// statement itself. One SELECT that returns one row with one JSON object; its members become the bundle's. `$1`
    /// is the tenant's name as text (write `$1::bigint` where the key is a number). `$2` is true if rows that are
    /// otherwise left out are included. Such a board needs `follow` and `at_most_every`.
    #[schemars(example = &"mrr.sql")]
    pub(crate) sql: Option<At<String>>,
    /// The shortest time between two computations of a board with `sql`, for each tenant: 1 s to 24 h. If the data
    /// changes faster, a reader's bundle is at most this old, plus the time of two computations.
    #[schemars(example = &"30 s")]
    pub(crate) at_most_every: Option<At<String>>,
}

/// Where the tenants are: one table with a row for each.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "[tenants]")]
pub(crate) struct TenantsFile {
    /// The table, with its schema if `search_path` does not find it: `name` or `schema.name`. Names are written as
    /// the database has them; a name with a dot in it stands in double quotes.
    #[schemars(example = &"accounts")]
    pub(crate) table: At<String>,
    /// The column that names a tenant, one column of any type. Its text is the tenant's name everywhere: in commands,
    /// keys and URLs.
    #[schemars(example = &"id")]
    pub(crate) key: At<String>,
    /// The column with the name that people know. Default: the key.
    #[schemars(example = &"name")]
    pub(crate) name: Option<At<String>>,
    /// A column with a short name. The search for tenants looks there, too, and it is shown where `name` is empty.
    #[schemars(example = &"slug")]
    pub(crate) slug: Option<At<String>>,
    /// Which tenants WARM covers: a condition over one row of this table. Default: all of them. A list of conditions:
    /// all must hold, and one whose columns this database does not have is left out, for applications whose
    /// installations differ.
    #[schemars(example = &"status = 0")]
    pub(crate) active: Option<At<OneOrMore>>,
    /// A name for all tenants together, rows without a tenant included. Default: none, nobody can ask for all.
    #[schemars(example = &"SUPERADMIN_GLOBAL", regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"))]
    pub(crate) all: Option<At<String>>,
}

/// One table that figures and lists read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a source")]
pub(crate) struct SourceFile {
    /// The table: `name` or `schema.name`. Default: the source's own name.
    #[schemars(example = &"conversations")]
    pub(crate) table: Option<At<String>>,
    /// The column that says whose the row is. It holds what `tenants.key` holds.
    #[schemars(example = &"account_id")]
    pub(crate) tenant: At<String>,
    /// The column of the time that windows and days go by: `timestamptz`, `timestamp` (read as UTC) or `date`. Needed
    /// where a figure has `last`. A row without a time is in no window.
    #[schemars(example = &"created_at")]
    pub(crate) at: Option<At<String>>,
    /// A condition over one row: what `INCLUDE false` leaves out, for example test data. A row for which it is NULL
    /// stays. A board without any has one bundle for both.
    #[schemars(example = &"is_test")]
    pub(crate) leave_out: Option<At<String>>,
}

/// One figure: a number, numbers by group or by step, or a series.
///
/// A figure either counts rows (`from`) or is computed from other figures (`value`).
///
/// | a figure with | is in the bundle |
/// |---|---|
/// | `from` alone, or with `last` | a number: how many rows |
/// | `sum` or `avg` | a number: the exact sum (0 of no rows), or the average (`null` of no rows) |
/// | `by` or `steps` | an object with a number for each group or step; with `sum` or `avg`, `{"count": 9, "value": 12.5}` for each |
/// | `per` | `{"from": "2026-08-31", "per": "day", "count": [...]}`, with `sum` or `avg` also `"value": [...]`; with `by`, `"groups"` with these arrays for each group |
/// | `value` | a number, or `null` where it divides by 0 |
///
/// Values that are no numbers to JSON (NaN, infinity) are left out of sums and averages, and so is NULL.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a figure")]
pub(crate) struct FigureFile {
    /// The source whose rows count.
    #[schemars(example = &"conversations")]
    pub(crate) from: Option<At<String>>,
    /// Which rows count: a condition in SQL over one row of the source. NULL is no. Default: every row.
    #[schemars(example = &"status = 0")]
    pub(crate) r#where: Option<At<String>>,
    /// What is summed: a numeric expression over one row.
    #[schemars(example = &"amount")]
    pub(crate) sum: Option<At<String>>,
    /// What is averaged: a numeric expression over one row. Rows where it is NULL are left out.
    #[schemars(example = &"extract(epoch from replied_at - created_at)")]
    pub(crate) avg: Option<At<String>>,
    /// What rows are grouped by: an expression over one row, whose text names the group. In the bundle groups stand
    /// in the order of their names, byte by byte.
    #[schemars(example = &"source")]
    pub(crate) by: Option<At<String>>,
    /// How many groups are shown, largest count first: 1 to 1000. All others are added up under `other`. Default: 50.
    /// Groups of equal count are ordered by name, byte by byte.
    #[schemars(example = 50, range(min = 1, max = 1000))]
    pub(crate) most: Option<At<i64>>,
    /// With `by`: the name of the group for rows beyond `most` and rows whose `by` is NULL; a group that has this
    /// name itself is added to it. Default: `other`. With `steps`: the name of a step for rows that are in none.
    /// Default: such rows are not shown.
    #[schemars(example = &"other", length(min = 1, max = 64))]
    pub(crate) other: Option<At<String>>,
    /// How many characters of a group's name count: 1 to 1000. Names that are equal up to there are one group.
    /// Default: 200.
    #[schemars(example = 200, range(min = 1, max = 1000))]
    pub(crate) cut: Option<At<i64>>,
    /// Counts only rows of the last hours, days, weeks or months, to the second. Bounds: 744 hours, 1096 days, 156
    /// weeks, 36 months. In a series: the number of points, in the unit of `per`, including the current one; 2 to
    /// 400.
    #[schemars(example = &"30 days")]
    pub(crate) last: Option<At<String>>,
    /// Also shows the figure for the period before, under the same path with `Previous` at its end (`stats.new` and
    /// `stats.newPrevious`). For a single number with `last`. Default: false.
    #[schemars(example = true)]
    pub(crate) compare: Option<At<bool>>,
    /// The column of the time that `last` goes by. Default: the source's `at`.
    #[schemars(example = &"resolved_at")]
    pub(crate) at: Option<At<String>>,
    /// Makes a series with a point for each day, week (from Monday) or month. Points without rows are 0. Needs
    /// `last`.
    #[schemars(example = &"day", extend("enum" = ["day", "week", "month"]))]
    pub(crate) per: Option<At<String>>,
    /// The time zone of the days, weeks and months of a series. Default: UTC. A column of type `date` keeps its own
    /// days; there the zone only decides when the current day begins.
    #[schemars(example = &"Europe/Berlin")]
    pub(crate) zone: Option<At<String>>,
    /// The column whose text says in which step of `steps` a row is.
    #[schemars(example = &"stage")]
    pub(crate) column: Option<At<String>>,
    /// The steps in their order, each with the words that mean it. Each step is always shown. A word belongs to one
    /// step. At most 50 steps.
    #[schemars(extend("examples" = [{ "open": ["new", "open"], "won": ["won"] }]))]
    pub(crate) steps: Option<Entries<Words>>,
    /// Arithmetic over other figures that are single numbers: paths, numbers, `+ - * /` and parentheses. It is
    /// computed when the board is read. It is `null` where it divides by 0 or uses a figure that is `null`.
    #[schemars(example = &"stats.won / (stats.won + stats.lost)")]
    pub(crate) value: Option<At<String>>,
    /// How the page writes the number. `percent`: 0.25 is written as 25 %. `seconds`: as a duration. Default:
    /// `number`.
    #[schemars(example = &"money", extend("enum" = ["number", "money", "percent", "seconds"]))]
    pub(crate) unit: Option<At<String>>,
    /// What the page calls it. Default: the last part of the path, as words.
    #[schemars(example = &"Open conversations", length(min = 1, max = 100))]
    pub(crate) title: Option<At<String>>,
    /// What a reader of this figure should know. The page shows it beside the figure.
    #[schemars(example = &"Deals that are neither won nor lost.", length(min = 1, max = 500))]
    pub(crate) note: Option<At<String>>,
}

/// One list: some rows of a source, in an order.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a list")]
pub(crate) struct ListFile {
    /// The source whose rows are listed.
    #[schemars(example = &"conversations")]
    pub(crate) from: At<String>,
    /// Which rows are listed: a condition in SQL over one row. NULL is no. Default: every row.
    #[schemars(example = &"status = 0")]
    pub(crate) r#where: Option<At<String>>,
    /// The columns of a row, in their order: their names as the database has them. At most 64.
    #[schemars(extend("examples" = [["id", "status", "created_at"]]), length(min = 1, max = 64))]
    pub(crate) columns: Vec<At<String>>,
    /// The order: columns with `asc` or `desc` and `nulls first` or `nulls last`, as in SQL. The last of them should
    /// be unique, such as the primary key: otherwise two computations may show rows that are equal up to there in
    /// another order. At most 8.
    #[schemars(example = &"created_at desc nulls last, id desc")]
    pub(crate) order: At<String>,
    /// How many rows: 1 to 1000. Default: 25.
    #[schemars(example = 25, range(min = 1, max = 1000))]
    pub(crate) limit: Option<At<i64>>,
    /// Texts are cut to this many characters: 1 to 10000. Default: 500.
    #[schemars(example = 500, range(min = 1, max = 10000))]
    pub(crate) cut: Option<At<i64>>,
    /// What the page calls it. Default: its name, as words.
    #[schemars(example = &"Newest conversations", length(min = 1, max = 100))]
    pub(crate) title: Option<At<String>>,
    /// What a reader of this list should know. The page shows it beside the list.
    #[schemars(example = &"Newest first.", length(min = 1, max = 500))]
    pub(crate) note: Option<At<String>>,
}

/// A table whose changes change the board.
///
/// As a text it is the table's name alone: a change concerns every tenant. As a table with `table` and `tenant`, it
/// concerns one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a followed table")]
pub(crate) struct FollowFile {
    /// The table: `name` or `schema.name`.
    #[schemars(example = &"inbox_members")]
    pub(crate) table: At<String>,
    /// Whose board a change concerns: a column that holds what `tenants.key` holds, or, by way of another table,
    /// `column -> table.column . column`. Default: everybody's, which fits small tables that change rarely.
    #[schemars(example = &"inbox_id -> inboxes.id . account_id")]
    pub(crate) tenant: Option<At<String>>,
}

/// A value with its place in the file, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(Self { value: spanned.into_inner(), span })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table with keys of the writer's own, in the order of the file.
pub(crate) struct Entries<T>(pub(crate) Vec<(At<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(At<String>, T)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                // The parser sorts them by name.
                entries.sort_by_key(|(name, _)| name.span.start);
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Table(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": entry })
    }
}

/// A followed table: its name, or more.
pub(crate) enum FollowEntry {
    Table(String),
    More(FollowFile),
}

impl<'de> Deserialize<'de> for FollowEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = FollowEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table's name, or a table with `table` and `tenant`")
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(FollowEntry::Table(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                FollowFile::deserialize(MapAccessDeserializer::new(map)).map(FollowEntry::More)
            }
        }

        deserializer.deserialize_any(Entry)
    }
}

impl JsonSchema for FollowEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FollowEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let more = generator.subschema_for::<FollowFile>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, more] })
    }
}

/// A text, or a list of texts.
pub(crate) enum OneOrMore {
    One(String),
    More(Words),
}

/// A list of texts.
pub(crate) type Words = Vec<At<String>>;

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Words::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMore::More)
            }
        }

        deserializer.deserialize_any(Texts)
    }
}

impl JsonSchema for OneOrMore {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] })
    }
}
