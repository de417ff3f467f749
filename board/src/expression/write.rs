//! An expression written anew, for generated SQL.

use super::Piece;
use super::syntax::offset;
use super::walk::{Walk, unquoted};
use crate::error::{Fault, quoted};
use crate::path::{Column, quote};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use std::fmt::Write;

/// Words of SQL that are written like functions.
const CALLED: [Keyword; 8] = [
    Keyword::CAST,
    Keyword::CEIL,
    Keyword::EXTRACT,
    Keyword::FLOOR,
    Keyword::OVERLAY,
    Keyword::POSITION,
    Keyword::SUBSTRING,
    Keyword::TRIM,
];
/// Writes the tokens anew.
pub(super) fn write(text: &str, tokens: &[TokenWithSpan], walk: &Walk<'_>) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let mut sql = String::new();
    let mut glued = true;
    let mut callable = false;
    for token in tokens {
        let place = token.span.start;
        let at = offset(text, place);
        let closes = matches!(
            token.token,
            Token::Comma
                | Token::RParen
                | Token::RBracket
                | Token::LBracket
                | Token::DoubleColon
                | Token::Period
        ) || callable && token.token == Token::LParen;
        if !glued && !closes {
            sql.push(' ');
        }
        glued = matches!(token.token, Token::LParen | Token::LBracket | Token::DoubleColon | Token::Period);
        callable = walk.functions.contains(&place)
            || matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && CALLED.contains(&word.keyword));
        match &token.token {
            Token::Word(word) => {
                let name = match word.quote_style {
                    Some(_) => unquoted(&word.value),
                    None => word.value.to_ascii_lowercase(),
                };
                if walk.columns.contains(&place) {
                    let column = Column::parse(&name).map_err(|fault| Fault { at, ..fault })?;
                    pieces.push(Piece::Sql(std::mem::take(&mut sql)));
                    pieces.push(Piece::Column(column));
                } else if word.quote_style.is_some() || !name.is_ascii() {
                    sql.push_str(&quote(&name));
                } else {
                    sql.push_str(&name);
                }
            }
            Token::Number(digits, false) => sql.extend(digits.chars().filter(|c| *c != '_')),
            Token::SingleQuotedString(value)
            | Token::EscapedStringLiteral(value)
            | Token::UnicodeStringLiteral(value) => {
                if value.contains('\0') {
                    return Err(Fault::new(at, "a text in Postgres cannot have a NUL", "Leave the NUL out."));
                }
                sql.push_str(&literal(value));
            }
            Token::Number(_, true)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_) => {
                return Err(Fault::new(
                    at,
                    "this way to write a constant is not known here",
                    "Write a text in single quotes: 'text'",
                ));
            }
            other => {
                let sign = other.to_string();
                if !sign.is_ascii() {
                    return Err(Fault::new(
                        at,
                        format!("{} is no sign of SQL", quoted(&sign)),
                        "Write texts in single quotes: 'text'",
                    ));
                }
                sql.push_str(&sign);
            }
        }
    }
    pieces.push(Piece::Sql(sql));
    pieces.retain(|piece| !matches!(piece, Piece::Sql(sql) if sql.is_empty()));
    Ok(pieces)
}

/// A text as SQL, in ASCII. Where it has a backslash or anything beyond ASCII it is written with escapes, whose
/// meaning depends on no setting and on no encoding.
pub fn literal(text: &str) -> String {
    if text.chars().all(|c| (' '..='~').contains(&c) && c != '\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut sql = String::from("E'");
    for c in text.chars() {
        match c {
            '\'' => sql.push_str("''"),
            '\\' => sql.push_str("\\\\"),
            ' '..='~' => sql.push(c),
            // Writing into a String cannot fail.
            c if u32::from(c) <= 0xffff => _ = write!(sql, "\\u{:04X}", u32::from(c)),
            c => _ = write!(sql, "\\U{:08X}", u32::from(c)),
        }
    }
    sql.push('\'');
    sql
}
