//! The order of a list: `created_at desc nulls last, id desc`.

use crate::error::Fault;
use crate::expression::{offset, tokens};
use crate::path::Column;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

/// Most columns of an order.
pub const MAX_ORDER: usize = 8;

/// One column of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// What is compared.
    pub column: Column,
    /// The largest first.
    pub descending: bool,
    /// NULL before everything else. Where the definition says nothing, it is as in Postgres: first if descending.
    pub nulls_first: bool,
}

impl Order {
    /// As SQL, ASCII, with every word that has a default.
    pub fn sql(&self, row: Option<&str>) -> String {
        let row = row.map_or_else(String::new, |row| format!("{row}."));
        let direction = if self.descending { "desc" } else { "asc" };
        let nulls = if self.nulls_first { "first" } else { "last" };
        format!("{row}{} {direction} nulls {nulls}", self.column.sql())
    }
}

/// Reads an order.
///
/// # Errors
/// A [`Fault`] at the word that does not belong there.
pub fn parse(text: &str) -> Result<Vec<Order>, Fault> {
    let remedy =
        "Write columns with asc or desc, for example: order = \"created_at desc nulls last, id desc\"";
    let tokens = tokens(text)?;
    let mut rest = tokens.as_slice();
    let mut order: Vec<Order> = Vec::new();
    loop {
        let at = rest.first().map_or(text.len(), |token| offset(text, token.span.start));
        let Some((Token::Word(word), after)) = rest.split_first().map(|(token, after)| (&token.token, after))
        else {
            return Err(Fault::new(at, "a column is missing in this order", remedy));
        };
        rest = after;
        let name = match word.quote_style {
            Some(_) => word.value.replace("\"\"", "\""),
            None => word.value.to_ascii_lowercase(),
        };
        let column = Column::parse(&name).map_err(|fault| Fault { at, ..fault })?;
        if order.iter().any(|earlier| earlier.column == column) {
            return Err(Fault::new(at, format!("`{column}` stands in this order twice"), "Keep the first."));
        }
        let descending = match keyword(rest) {
            Some(Keyword::DESC) => true,
            Some(Keyword::ASC) => false,
            _ => {
                // Nothing is taken.
                let nulls_first = nulls(&mut rest).unwrap_or(false);
                order.push(Order { column, descending: false, nulls_first });
                if next(text, &mut rest, remedy)? { continue } else { break }
            }
        };
        rest = &rest[1..];
        let nulls_first = nulls(&mut rest).unwrap_or(descending);
        order.push(Order { column, descending, nulls_first });
        if !next(text, &mut rest, remedy)? {
            break;
        }
    }
    if order.len() > MAX_ORDER {
        return Err(Fault::new(
            0,
            format!("this order has {} columns", order.len()),
            format!("Use at most {MAX_ORDER}."),
        ));
    }
    Ok(order)
}

type Tokens<'a> = &'a [sqlparser::tokenizer::TokenWithSpan];

fn keyword(tokens: Tokens<'_>) -> Option<Keyword> {
    match tokens.first().map(|token| &token.token) {
        Some(Token::Word(Word { keyword, .. })) => Some(*keyword),
        _ => None,
    }
}

/// Takes `nulls first` or `nulls last`, where that comes next.
fn nulls(rest: &mut Tokens<'_>) -> Option<bool> {
    if keyword(rest) != Some(Keyword::NULLS) {
        return None;
    }
    let first = match keyword(rest.get(1..)?) {
        Some(Keyword::FIRST) => true,
        Some(Keyword::LAST) => false,
        _ => return None,
    };
    *rest = rest.get(2..)?;
    Some(first)
}

/// Takes a comma; false where nothing is left.
fn next(text: &str, rest: &mut Tokens<'_>, remedy: &str) -> Result<bool, Fault> {
    match rest.split_first() {
        None => Ok(false),
        Some((token, after)) if token.token == Token::Comma => {
            *rest = after;
            Ok(true)
        }
        Some((token, _)) => {
            let sign = crate::error::quoted(&token.token.to_string());
            Err(Fault::new(
                offset(text, token.span.start),
                format!("{sign} does not belong into an order"),
                remedy,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(|order| order.sql(None)).collect()
    }

    #[test]
    fn an_order_says_what_postgres_would_assume() {
        assert_eq!(
            sql("created_at DESC NULLS LAST, id desc"),
            ["created_at desc nulls last", "id desc nulls first"]
        );
        assert_eq!(
            sql("\"createdAt\", x nulls first"),
            ["\"createdAt\" asc nulls last", "x asc nulls first"]
        );
        assert_eq!(parse("a").unwrap()[0].sql(Some("r")), "r.a asc nulls last");
    }

    #[test]
    fn an_order_is_of_columns_only() {
        for (text, at) in [
            ("", 0),
            ("a desc,", 7),
            ("lower(a)", 5),
            ("a desc desc", 7),
            ("a nulls", 2),
            ("a, a", 3),
            ("1", 0),
            ("a; b", 1),
            ("a.b", 1),
            ("a using <", 2),
        ] {
            assert_eq!(parse(text).expect_err(text).at, at, "{text}");
        }
        let many: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
        assert!(parse(&many.join(",")).is_err());
    }
}
