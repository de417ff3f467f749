//! Names: of boards, of figures in a bundle, of tables and columns.

use crate::error::{Fault, is_unprintable, quoted};
use std::fmt;

/// Longest name of a board.
pub const MAX_BOARD: usize = 32;
/// Longest part of a figure's path, and longest name of a list, a step or a source.
pub const MAX_PART: usize = 63;
/// Most parts of a path.
pub const MAX_PARTS: usize = 4;
/// Longest name of a table or column, in bytes: what Postgres keeps.
pub const MAX_IDENTIFIER: usize = 63;

/// What a board cannot be called: the words that stand beside its name in commands, keys and bundles.
const RESERVED: [&str; 14] = [
    "all",
    "async",
    "board",
    "force",
    "ifnonematch",
    "include",
    "maxage",
    "meta",
    "none",
    "nowait",
    "refresh",
    "scope",
    "soft",
    "withmeta",
];

/// A board's name: 1 to 32 of `[a-z0-9_-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BoardName(String);

impl BoardName {
    /// Checks a name.
    ///
    /// # Errors
    /// A [`Fault`] that says what a name may be.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let remedy = "Use 1 to 32 lower-case letters, digits, `_` and `-`, for example: board = \"support\"";
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if let Some(at) = text.find(|c| !allowed(c)) {
            return Err(Fault::new(at, format!("a board cannot be called {}", quoted(text)), remedy));
        }
        if text.is_empty() || text.len() > MAX_BOARD {
            let message = format!("the name of this board has {} characters", text.len());
            return Err(Fault::new(0, message, remedy));
        }
        if RESERVED.contains(&text) {
            return Err(Fault::new(
                0,
                format!("`{text}` is a word of the commands, so a board cannot be called that"),
                format!("Choose another name, for example: board = \"{text}-1\""),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BoardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks one name in a bundle: a letter, then letters, digits and `_`, all ASCII.
///
/// # Errors
/// A [`Fault`] that names the character or the length.
pub fn part(text: &str, what: &str) -> Result<String, Fault> {
    let remedy = "Use letters a-z and A-Z, digits and `_`, with a letter first, 63 at most.";
    if text.is_empty() {
        return Err(Fault::new(0, format!("the name of {what} is empty"), remedy));
    }
    let wrong = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_alphabetic() || *at > 0 && (c.is_ascii_digit() || *c == '_')));
    if let Some((at, c)) = wrong {
        let message = match c {
            c if is_unprintable(c) => {
                format!("the name of {what} has the invisible character U+{:04X}", u32::from(c))
            }
            '`' => format!("the name of {what} has a backquote"),
            c if at == 0 => format!("the name of {what} begins with `{c}`"),
            c => format!("the name of {what} has the character `{c}`"),
        };
        return Err(Fault::new(at, message, remedy));
    }
    if text.len() > MAX_PART {
        return Err(Fault::new(0, format!("the name of {what} has {} characters", text.len()), remedy));
    }
    Ok(text.to_owned())
}

/// Where a figure stands in the bundle: `stats.openDeals` is member `openDeals` of the member `stats`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FigurePath(Vec<String>);

impl FigurePath {
    /// Checks a path. `meta` and `lists` are taken: every bundle has them.
    ///
    /// # Errors
    /// A [`Fault`] that names the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        let mut at = 0;
        for piece in text.split('.') {
            let part = part(piece, "a figure").map_err(|fault| Fault { at: at + fault.at, ..fault })?;
            at += piece.len() + 1;
            parts.push(part);
        }
        Self::of(parts)
    }

    /// The path with these parts, each of which is a name.
    pub(crate) fn of(parts: Vec<String>) -> Result<Self, Fault> {
        if parts.len() > MAX_PARTS {
            return Err(Fault::new(
                0,
                format!("this path has {} parts", parts.len()),
                format!("Use at most {MAX_PARTS}, for example: \"stats.open\""),
            ));
        }
        match parts.first().map(String::as_str) {
            Some(taken @ ("meta" | "lists")) => Err(Fault::new(
                0,
                format!("a figure cannot stand in `{taken}`, which every bundle has"),
                "Begin the path with another word, for example: \"stats.open\"",
            )),
            _ => Ok(Self(parts)),
        }
    }

    /// Its parts, at least one.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Whether `other` lies below this.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }

    /// Where the figure's value for the period before stands.
    pub(crate) fn previous(&self) -> Self {
        let mut parts = self.0.clone();
        if let Some(last) = parts.last_mut() {
            last.push_str("Previous");
        }
        Self(parts)
    }
}

impl fmt::Display for FigurePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A column's name as the database has it: case and all, without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column(String);

impl Column {
    /// Checks a name.
    ///
    /// # Errors
    /// A [`Fault`] that says why Postgres has no such column.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        identifier(text, "a column").map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As SQL, ASCII.
    pub fn sql(&self) -> String {
        quote(&self.0)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table's name, with its schema where the definition names one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// Without one, the table is the one that `search_path` finds.
    pub schema: Option<String>,
    /// Its name as the database has it.
    pub name: String,
}

impl Table {
    /// Reads `name`, `schema.name`, and parts in double quotes where a name has a dot in it.
    ///
    /// # Errors
    /// A [`Fault`] that says what is no name.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let remedy = "Write name or schema.name; a name with a dot in it stands in double quotes.";
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let at = text.len() - rest.len();
            let (name, after) = match rest.strip_prefix('"') {
                Some(inner) => {
                    let close = inner
                        .find('"')
                        .ok_or_else(|| Fault::new(at, "a double quote is not closed", remedy))?;
                    (&inner[..close], &inner[close + 1..])
                }
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            parts.push(identifier(name, "a table").map_err(|fault| Fault { at: at + fault.at, ..fault })?);
            let at = text.len() - after.len();
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => {
                    return Err(Fault::new(at, format!("{} is no name of a table", quoted(text)), remedy));
                }
            }
        }
        let mut parts = parts.into_iter().rev();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), schema, None) => Ok(Self { schema, name }),
            _ => Err(Fault::new(0, format!("{} has too many parts", quoted(text)), remedy)),
        }
    }

    /// As SQL, ASCII.
    pub fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
            None => quote(&self.name),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Checks a name of the database.
fn identifier(text: &str, what: &str) -> Result<String, Fault> {
    let remedy = "Write the name as the database has it, without quotes.";
    if text.is_empty() {
        return Err(Fault::new(0, format!("the name of {what} is empty"), remedy));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_unprintable(*c)) {
        let message = format!("the name of {what} has the invisible character U+{:04X}", u32::from(c));
        return Err(Fault::new(at, message, remedy));
    }
    if text.len() > MAX_IDENTIFIER {
        let message =
            format!("the name of {what} has {} bytes, and Postgres keeps {MAX_IDENTIFIER}", text.len());
        return Err(Fault::new(0, message, remedy));
    }
    Ok(text.to_owned())
}

/// A name as SQL: bare where it can be, else in quotes, and in ASCII always, since a database may be in any encoding.
pub(crate) fn quote(name: &str) -> String {
    let mut characters = name.chars();
    let bare = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_keyword(name);
    if bare {
        return name.to_owned();
    }
    if name.is_ascii() {
        return format!("\"{}\"", name.replace('"', "\"\""));
    }
    let mut sql = String::from("U&\"");
    for c in name.chars() {
        match c {
            '"' => sql.push_str("\"\""),
            '\\' => sql.push_str("\\\\"),
            c if c.is_ascii() => sql.push(c),
            c => sql.push_str(&format!("\\+{:06X}", u32::from(c))),
        }
    }
    sql.push('"');
    sql
}

/// The words that Postgres does not take for a column, unless they stand in quotes. In alphabetical order.
const KEYWORDS: [&str; 101] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

/// Whether a bare word would mean something else than a column.
pub(crate) fn is_keyword(name: &str) -> bool {
    KEYWORDS.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_with_dots_between_them() {
        assert_eq!(FigurePath::parse("stats.open").unwrap().parts(), ["stats", "open"]);
        assert_eq!(FigurePath::parse("stats.op en").unwrap_err().at, 8);
        for bad in
            ["", ".", "a.", "a..b", "1a", "a.b.c.d.e", "meta.x", "lists.x", "a\"b", "\u{5d0}", "a\u{202e}b"]
        {
            assert!(FigurePath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(FigurePath::parse(&"x".repeat(300)).is_err());
    }

    #[test]
    fn a_path_contains_what_lies_below_it_and_not_itself() {
        let path = |text| FigurePath::parse(text).unwrap();
        assert!(path("stats").contains(&path("stats.open")));
        assert!(!path("stats").contains(&path("stats")));
        assert!(!path("stats.open").contains(&path("stats.openDeals")));
        assert_eq!(path("a.b").previous(), path("a.bPrevious"));
    }

    #[test]
    fn a_table_is_a_name_with_or_without_a_schema() {
        let table = |text| Table::parse(text).unwrap();
        assert_eq!(table("Orders").sql(), "\"Orders\"");
        assert_eq!(table("sales.orders").sql(), "sales.orders");
        assert_eq!(table("sales.\"a.b\"").sql(), "sales.\"a.b\"");
        for bad in ["", "a.", "a.b.c", "\"a", "\"a\"b", "a\nb"] {
            assert!(Table::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_written_in_ascii_and_cannot_end_their_quotes() {
        assert_eq!(quote("created_at"), "created_at");
        assert_eq!(quote("createdAt"), "\"createdAt\"");
        assert_eq!(quote("order"), "\"order\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote("gr\u{f6}\u{df}e"), "U&\"gr\\+0000F6\\+0000DFe\"");
    }

    #[test]
    fn the_words_of_commands_are_no_boards() {
        assert!(BoardName::parse("crm").is_ok());
        for bad in ["", "CRM", "a.b", "soft", "board", "\u{e4}", &"x".repeat(33)] {
            assert!(BoardName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
