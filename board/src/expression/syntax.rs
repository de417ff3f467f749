//! From a text to tokens, and from these to the tree of one expression.

use super::{MAX_BYTES, MAX_DEPTH, MAX_TOKENS};
use crate::error::{Fault, quoted};
use sqlparser::ast::Expr;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

/// The tokens of a text that may be parsed.
pub(crate) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, Fault> {
    let remedy = "Write one expression over the columns of one row, for example: status = 'open'";
    if text.trim().is_empty() {
        return Err(Fault::new(0, "this expression is empty", remedy));
    }
    if text.len() > MAX_BYTES {
        let message = format!("this expression has {} bytes", text.len());
        return Err(Fault::new(
            0,
            message,
            format!("Write at most {MAX_BYTES}. A generated column can hold a longer rule."),
        ));
    }
    let too_long = |at| {
        let message = format!("this expression has more than {MAX_TOKENS} words and signs");
        Fault::new(at, message, "Make it shorter, or keep the rule in a generated column.")
    };
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        Fault::new(
            offset(text, error.location),
            format!("this is not SQL: {}", lower(&error.message)),
            remedy,
        )
    })?;

    let mut kept = Vec::with_capacity(tokens.len());
    let mut depth = 0_usize;
    for token in tokens {
        let at = offset(text, token.span.start);
        match &token.token {
            Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab) => continue,
            Token::Whitespace(_) => {
                return Err(Fault::new(
                    at,
                    "an expression has no comments",
                    "Write the comment behind a # of the file.",
                ));
            }
            Token::SemiColon => {
                return Err(Fault::new(
                    at,
                    "a `;` would begin a second statement",
                    "Write one expression, without `;`.",
                ));
            }
            Token::Placeholder(name) => {
                return Err(Fault::new(
                    at,
                    format!("{} is a parameter, and an expression has none", quoted(name)),
                    "Write the value itself. The tenant is added by itself.",
                ));
            }
            Token::LParen | Token::LBracket => depth += 1,
            Token::Word(word) if word.keyword == Keyword::CASE => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::END => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Fault::new(
                at,
                format!("this is nested more than {MAX_DEPTH} deep"),
                "Write it flatter.",
            ));
        }
        if kept.len() == MAX_TOKENS {
            return Err(too_long(at));
        }
        kept.push(token);
    }
    if kept.is_empty() {
        return Err(Fault::new(0, "this expression is empty", remedy));
    }
    Ok(kept)
}

/// The tree of one expression, of which nothing is left over.
pub(crate) fn tree(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Expr, Fault> {
    let dialect = PostgreSqlDialect {};
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(3 * MAX_DEPTH).with_tokens_with_locations(tokens);
    let result = parser.parse_expr();
    let next = parser.peek_token();
    let at = match next.token {
        Token::EOF => text.len(),
        _ => offset(text, next.span.start),
    };
    let remedy = "Write one expression over the columns of one row, for example: status = 'open'";
    match result {
        Ok(tree) if next.token == Token::EOF => Ok(tree),
        Ok(_) => Err(Fault::new(
            at,
            format!("the expression ends before {}", quoted(&next.token.to_string())),
            remedy,
        )),
        Err(ParserError::RecursionLimitExceeded) => {
            Err(Fault::new(0, "this is nested too deep", "Write it flatter."))
        }
        Err(ParserError::ParserError(message) | ParserError::TokenizerError(message)) => {
            let (message, place) = message.split_once(" at Line: ").unwrap_or((&message, ""));
            let message = message.replace("found: EOF", "found: the end");
            let at = location(place).map_or(at, |location| offset(text, location));
            Err(Fault::new(at, format!("this is not one expression: {}", lower(&message)), remedy))
        }
    }
}

/// `3, Column: 7` as the parser ends its messages.
fn location(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
}

fn lower(message: &str) -> String {
    let clean: String =
        message.chars().map(|c| if crate::error::is_unprintable(c) { ' ' } else { c }).take(200).collect();
    let mut characters = clean.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + characters.as_str())
}

/// The bytes before a place of the text.
pub(crate) fn offset(text: &str, place: Location) -> usize {
    let mut start = 0;
    for _ in 1..place.line {
        match text[start..].find('\n') {
            Some(newline) => start += newline + 1,
            None => return 0,
        }
    }
    let before = usize::try_from(place.column).unwrap_or(usize::MAX).saturating_sub(1);
    text[start..].char_indices().nth(before).map_or(text.len(), |(at, _)| start + at)
}
