//! Boards with a statement of their own.
//!
//! What the statement does, the database decides: it is prepared and run in a transaction that cannot write. Here is
//! looked at what would end or break the text that it is put into, and at its parameters.

use super::Reader;
use crate::definition::Query;
use crate::error::{Fault, quoted};
use crate::expression::offset;
use crate::file::{At, BoardFile};
use crate::window;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Longest statement, in bytes.
const MAX_STATEMENT: usize = 64 * 1024;

impl Reader<'_> {
    pub(super) fn query(&mut self, board: &BoardFile) -> Option<Query> {
        let sql = board.sql.as_ref()?;
        for (name, _) in board.sources.0.iter().take(1) {
            self.not_beside_sql("sources", name);
        }
        for (name, _) in board.figures.0.iter().take(1) {
            self.not_beside_sql("figures", name);
        }
        for (name, _) in board.lists.0.iter().take(1) {
            self.not_beside_sql("lists", name);
        }
        if board.follow.is_empty() {
            self.fail(
                &sql.span,
                "a board with `sql` needs `follow`: nothing else says when it has changed",
                "Name the tables that the statement reads, for example: follow = [\"invoices\"]",
            );
        }
        let interval = match &board.at_most_every {
            Some(text) => self.parse(text, window::interval),
            None => {
                self.fail(
                    &sql.span,
                    "a board with `sql` needs `at_most_every`: its statement could run all the time",
                    "Say how old a bundle may be, for example: at_most_every = \"30 s\"",
                );
                None
            }
        };
        let statement = self.statement(sql);
        let (statement, uses_include) = statement?;
        Some(Query { statement, uses_include, at_most_every: interval? })
    }

    fn not_beside_sql(&mut self, what: &str, name: &At<String>) {
        self.fail(
            &name.span,
            format!("a board with `sql` has no {what}"),
            format!("Keep `sql` or the {what}; a second file can have the other."),
        );
    }

    fn statement(&mut self, sql: &At<String>) -> Option<(String, bool)> {
        if !is_file(&sql.value) {
            return self.parse(sql, check);
        }
        let text = match (self.statement)(&sql.value) {
            Ok(text) => text,
            Err(why) => {
                self.fail(
                    &sql.span,
                    format!("the file {} cannot be read: {why}", quoted(&sql.value)),
                    "Put it beside this file, or write the statement itself.",
                );
                return None;
            }
        };
        match check(&text) {
            Ok(statement) => Some(statement),
            Err(fault) => {
                let file = crate::error::File { name: &sql.value, text: &text };
                let error = file.error(fault.at..fault.at, fault.message, fault.remedy);
                self.found.add(|| error);
                None
            }
        }
    }
}

/// No statement is one word that ends in `.sql`.
fn is_file(text: &str) -> bool {
    text.len() <= 100
        && text.ends_with(".sql")
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// The statement without its last `;`, and whether it uses `$2`.
fn check(text: &str) -> Result<(String, bool), Fault> {
    let remedy =
        "Write one SELECT that returns one JSON object; $1 is the tenant, $2 whether everything is included.";
    if text.len() > MAX_STATEMENT {
        let message = format!("this statement has {} bytes", text.len());
        return Err(Fault::new(
            0,
            message,
            format!("Write at most {MAX_STATEMENT}, or call a function or view of your own."),
        ));
    }
    if let Some(at) = text.find('\0') {
        return Err(Fault::new(at, "a statement cannot have a NUL", "Remove it."));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        Fault::new(offset(text, error.location), format!("this is not SQL: {}", error.message), remedy)
    })?;
    let mut uses_include = false;
    let mut end = None;
    let mut first = true;
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)) {
        let at = offset(text, token.span.start);
        if end.is_some() {
            return Err(Fault::new(
                at,
                "this is a second statement",
                "Write one SELECT. WITH can hold several steps.",
            ));
        }
        if std::mem::take(&mut first) && !reads(&token.token) {
            return Err(Fault::new(
                at,
                format!("this statement begins with {}", quoted(&token.token.to_string())),
                remedy,
            ));
        }
        match &token.token {
            Token::SemiColon => end = Some(at),
            Token::Placeholder(name) if name == "$1" => {}
            Token::Placeholder(name) if name == "$2" => uses_include = true,
            Token::Placeholder(name) => {
                return Err(Fault::new(at, format!("there is no parameter {}", quoted(name)), remedy));
            }
            _ => {}
        }
    }
    if first {
        return Err(Fault::new(0, "this statement is empty", remedy));
    }
    Ok((text[..end.unwrap_or(text.len())].trim().to_owned(), uses_include))
}

fn reads(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_one_select_with_at_most_two_parameters() {
        assert_eq!(check(" select $1; -- end").unwrap(), ("select $1".to_owned(), false));
        assert!(check("with a as (select $2) select * from a where x = ';'").unwrap().1);
        for (text, at) in [
            ("", 0),
            ("-- nothing", 0),
            ("delete from a", 0),
            ("select 1; select 2", 10),
            ("select $3", 7),
            ("select 'a", 7),
        ] {
            assert_eq!(check(text).expect_err(text).at, at, "{text}");
        }
    }

    #[test]
    fn a_file_is_named_by_one_word() {
        assert!(is_file("mrr.sql"));
        for other in ["../mrr.sql", "select 1.sql", ".sql", "mrr", "a/b.sql"] {
            assert!(!is_file(other), "{other}");
        }
    }
}
