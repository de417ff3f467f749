//! An expression of SQL over one row: what `where`, `sum`, `avg`, `by`, `leave_out` and `active` take.
//!
//! It ends up in a trigger, in a bundle and in an index's condition, so it must give the same for the same row
//! wherever and whenever it is computed, and it must not be able to end the parentheses that it is put into. Three
//! steps:
//!
//! 1. Its tokens are looked at: no comment, no `;`, no parameter, no text in `$$`.
//! 2. A parser makes a tree of them, and each node of the tree must be of a kind that is known here. What is unknown is refused.
//! 3. The text that goes into generated SQL is written anew from the tokens, one blank between them, words in lower case, texts and names
//!    in ASCII. So the database reads just the tokens that were looked at, whatever its encoding and its settings.

mod syntax;
mod walk;
mod write;

pub(crate) use syntax::{offset, tokens, tree};
pub use write::literal;

use crate::error::Fault;
use crate::path::Column;
use std::collections::BTreeSet;
use walk::Walk;

/// Longest expression, in bytes.
pub const MAX_BYTES: usize = 4000;
/// Most words, numbers, texts and signs of an expression. This bounds how deep its tree can be.
pub const MAX_TOKENS: usize = 400;
/// How deep parentheses, calls and CASE may be nested.
pub const MAX_DEPTH: usize = 20;

/// One expression over the columns of one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expression {
    pieces: Vec<Piece>,
    columns: BTreeSet<Column>,
}

/// A part of the expression's normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Piece {
    Sql(String),
    Column(Column),
    /// Writes nothing: a function that the SQL calls.
    Calls(Option<String>, String),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// A [`Fault`] that says what an expression over one row cannot have.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let tokens = tokens(text)?;
        let tree = tree(text, tokens.clone())?;
        let mut walk = Walk::new(text);
        walk.expression(&tree)?;
        let mut pieces = write::write(text, &tokens, &walk)?;
        let columns = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Column(column) => Some(column.clone()),
                Piece::Sql(_) | Piece::Calls(..) => None,
            })
            .collect();
        let called: BTreeSet<_> = walk.called.into_iter().collect();
        pieces.extend(called.into_iter().map(|(schema, name)| Piece::Calls(schema, name)));
        Ok(Self { pieces, columns })
    }

    /// The columns that it reads.
    pub fn columns(&self) -> &BTreeSet<Column> {
        &self.columns
    }

    /// The functions that it calls, each once: schema, where one is written, and name. Whether one is volatile, the database knows.
    pub fn functions(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Calls(schema, name) => Some((schema.as_deref(), name.as_str())),
            Piece::Sql(_) | Piece::Column(_) => None,
        })
    }

    /// As SQL, ASCII, to be put in parentheses. `row` is put before each column, as in `row.status`: an alias,
    /// written as SQL. Without one, columns stand alone.
    pub fn sql(&self, row: Option<&str>) -> String {
        self.with(|column| match row {
            None => column.sql(),
            Some(row) => format!("{row}.{}", column.sql()),
        })
    }

    /// Likewise, with this in the place of each column.
    pub fn with(&self, column: impl Fn(&Column) -> String) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Sql(text) => text.clone(),
                Piece::Column(name) => column(name),
                Piece::Calls(..) => String::new(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> String {
        Expression::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}")).sql(None)
    }

    #[test]
    fn an_expression_knows_the_functions_that_it_calls() {
        let expression =
            Expression::parse("public.\"Rate\"(lower(a)) > 1 and extract(year from b) = 1").unwrap();
        let called: Vec<_> = expression.functions().collect();
        assert_eq!(called, [(None, "lower"), (Some("public"), "Rate")]);
    }

    #[test]
    fn an_expression_is_written_anew_the_same_however_it_was_spelt() {
        for (written, normal) in [
            ("status = 0", "status = 0"),
            ("Status  =\n 0", "status = 0"),
            ("COALESCE(NULLIF(source,''),'other')", "coalesce(nullif(source, ''), 'other')"),
            ("stage NOT IN ('won','lost')", "stage not in ('won', 'lost')"),
            ("\"createdAt\" is not null and \"order\" = 1", "\"createdAt\" is not null and \"order\" = 1"),
            ("(a->>'x')::int + tags[1] - -1", "(a ->> 'x')::int + tags[1] - - 1"),
            ("case when a then 1 else 2 end", "case when a then 1 else 2 end"),
            ("extract(epoch from replied_at - created_at)", "extract(epoch from replied_at - created_at)"),
            (
                "at >= date '2024-01-01' and x between 1 and 2",
                "at >= date '2024-01-01' and x between 1 and 2",
            ),
            ("amount * 1.5 / 3 % 2", "amount * 1.5 / 3 % 2"),
            ("name ilike 'a%' or name ~ '^b'", "name ilike 'a%' or name ~ '^b'"),
            ("status = any (array['a', 'b'])", "status = any (array['a', 'b'])"),
            ("created_at at time zone 'UTC' > '2024-01-01'", "created_at at time zone 'UTC' > '2024-01-01'"),
            ("x is distinct from y", "x is distinct from y"),
            (
                "priority = 'today'::text or note = 'call now'",
                "priority = 'today'::text or note = 'call now'",
            ),
            ("version = 1 and \"user\" = 2", "version = 1 and \"user\" = 2"),
            ("public.rate(currency) > 1", "public.rate(currency) > 1"),
            ("kind = 'caf\u{e9} \u{1f600}'", "kind = E'caf\\u00E9 \\U0001F600'"),
            ("kind = 'it''s' or kind = 'a\\b'", "kind = 'it''s' or kind = E'a\\\\b'"),
            ("gr\u{f6}\u{df}e > 1", "U&\"gr\\+0000F6\\+0000DFe\" > 1"),
            (
                "created_at > '2024-01-01'::date + interval '1 day'",
                "created_at > '2024-01-01'::date + interval '1 day'",
            ),
            (
                "trim(both ' ' from name) = '' and not is_test",
                "trim(both ' ' from name) = '' and not is_test",
            ),
        ] {
            assert_eq!(sql(written), normal);
            // A name beyond ASCII is written for the database, not for people.
            if !normal.starts_with("U&") {
                assert_eq!(sql(normal), normal, "is its own normal form");
            }
        }
    }

    #[test]
    fn it_names_its_columns_and_can_put_a_row_before_each() {
        let expression = Expression::parse("lower(Kind) = 'a' and \"when\" > kind::text").unwrap();
        let columns: Vec<&str> = expression.columns().iter().map(Column::as_str).collect();
        assert_eq!(columns, ["kind", "when"]);
        assert_eq!(expression.sql(Some("r")), "lower(r.kind) = 'a' and r.\"when\" > r.kind::text");
    }

    #[test]
    fn what_is_no_expression_over_one_row_is_refused_at_its_place() {
        for (text, at, message) in [
            ("", 0, "this expression is empty"),
            ("a = 1; drop table x", 5, "a `;` would begin a second statement"),
            ("a = 1 -- b", 6, "an expression has no comments"),
            ("a /* b */ = 1", 2, "an expression has no comments"),
            ("a = $1", 4, "`$1` is a parameter, and an expression has none"),
            ("a = 1, b", 5, "the expression ends before `,`"),
            ("a = 1) or (b", 5, "the expression ends before `)`"),
            ("other.a = 1", 0, "`other.a` names a table, and an expression sees one row"),
            ("a = (select 1)", 5, "a sub-query looks at other rows, and an expression sees one row"),
            ("exists (select 1)", 8, "a sub-query looks at other rows, and an expression sees one row"),
            ("a in (select 1)", 0, "a sub-query looks at other rows, and an expression sees one row"),
            ("a = 1 and count(*) > 1", 10, "`count` looks at many rows, and an expression sees one row"),
            (
                "upper(a) over () = 'b'",
                0,
                "`upper` looks at the rows around this one, and an expression sees one row",
            ),
            (
                "rank() over () = 1",
                0,
                "`rank` looks at the rows around this one, and an expression sees one row",
            ),
            (
                "a > random()",
                4,
                "`random` gives another result each time, so counters could not be kept right",
            ),
            (
                "a > pg_catalog.RANDOM()",
                4,
                "`random` gives another result each time, so counters could not be kept right",
            ),
            ("a > now()", 4, "`now` changes with time, and an expression must change with its row only"),
            (
                "a > current_date",
                4,
                "`current_date` changes with time, and an expression must change with its row only",
            ),
            (
                "a > 'today'::date",
                4,
                "`today` changes with time, and an expression must change with its row only",
            ),
            ("a > date 'now'", 9, "`now` changes with time, and an expression must change with its row only"),
            (
                "a > '10:00 TODAY'",
                4,
                "`today` changes with time, and an expression must change with its row only",
            ),
            (
                "a in ('x', 'now')",
                11,
                "`now` changes with time, and an expression must change with its row only",
            ),
            (
                "a <@ '[now,)'::tstzrange",
                5,
                "`now` changes with time, and an expression must change with its row only",
            ),
            (
                "age(a) > interval '1 day'",
                0,
                "`age` changes with time, and an expression must change with its row only",
            ),
            ("a = user", 4, "`user` depends on who asks, and a bundle is the same for all who may read it"),
            (
                "a = current_user",
                4,
                "`current_user` depends on who asks, and a bundle is the same for all who may read it",
            ),
            ("a = unnest(b)", 4, "`unnest` makes rows, and an expression gives one value"),
            ("xmin = 1", 0, "`xmin` is a column of Postgres's own, and changes without the row"),
            ("a = 'x'::regclass", 4, "`regclass` looks things up in the database's catalogue"),
            ("a = $$x$$", 4, "this form of SQL is not known here"),
            ("a @@ b", 0, "the operator `@@` is not known here"),
        ] {
            let fault = Expression::parse(text).expect_err(text);
            assert_eq!((fault.at, fault.message.as_str()), (at, message), "{text}");
        }
    }

    #[test]
    fn length_and_depth_are_bounded() {
        for text in [
            "x".repeat(MAX_BYTES + 1),
            format!("{}1{}", "(".repeat(1500), ")".repeat(1500)),
            format!("a{}", " + a".repeat(900)),
            "not ".repeat(300) + "a",
            "- ".repeat(390) + "1",
            "case when ".repeat(100) + "a",
            "(((((((((((((((((((((((((((((((((".to_owned(),
            "a[".repeat(300),
        ] {
            assert!(Expression::parse(&text).is_err(), "{text}");
        }
    }
}
