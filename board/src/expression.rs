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

use crate::error::{Fault, quoted};
use crate::functions::{self, Refused};
use crate::path::{Column, quote};
use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CeilFloorKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, InTarget, Spanned, Subscript, UnaryOperator, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Longest expression, in bytes.
pub const MAX_BYTES: usize = 4000;
/// Most words, numbers, texts and signs of an expression. This bounds how deep its tree can be.
pub const MAX_TOKENS: usize = 400;
/// How deep parentheses, calls and CASE may be nested.
pub const MAX_DEPTH: usize = 20;

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
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// A [`Fault`] that says what an expression over one row cannot have.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let tokens = tokens(text)?;
        let tree = tree(text, tokens.clone())?;
        let mut walk = Walk { text, columns: Vec::new(), functions: Vec::new() };
        walk.expression(&tree)?;
        let pieces = write(text, &tokens, &walk)?;
        let columns = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Column(column) => Some(column.clone()),
                Piece::Sql(_) => None,
            })
            .collect();
        Ok(Self { pieces, columns })
    }

    /// The columns that it reads.
    pub fn columns(&self) -> &BTreeSet<Column> {
        &self.columns
    }

    /// As SQL, ASCII, to be put in parentheses. `row` is put before each column, as in `row.status`: an alias,
    /// written as SQL. Without one, columns stand alone.
    pub fn sql(&self, row: Option<&str>) -> String {
        let mut sql = String::new();
        for piece in &self.pieces {
            match (piece, row) {
                (Piece::Sql(text), _) => sql.push_str(text),
                (Piece::Column(column), None) => sql.push_str(&column.sql()),
                (Piece::Column(column), Some(row)) => {
                    sql.push_str(row);
                    sql.push('.');
                    sql.push_str(&column.sql());
                }
            }
        }
        sql
    }
}

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

/// Goes through the tree, and notes which words are columns and which are functions.
struct Walk<'a> {
    text: &'a str,
    columns: Vec<Location>,
    functions: Vec<Location>,
}

type Checked = Result<(), Fault>;

impl Walk<'_> {
    fn fault(&self, place: Location, message: impl Into<String>, remedy: impl Into<String>) -> Checked {
        Err(Fault::new(offset(self.text, place), message, remedy))
    }

    fn all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr>) -> Checked {
        expressions.into_iter().try_for_each(|expression| self.expression(expression))
    }

    fn expression(&mut self, expression: &Expr) -> Checked {
        let place = expression.span().start;
        match expression {
            Expr::Identifier(name) => self.column(name),
            Expr::Value(value) => match &value.value {
                Value::Number(..)
                | Value::Boolean(_)
                | Value::Null
                | Value::SingleQuotedString(_)
                | Value::EscapedStringLiteral(_)
                | Value::UnicodeStringLiteral(_) => Ok(()),
                _ => self.unknown(value.span.start),
            },
            Expr::TypedString(typed) => {
                self.constant(&typed.data_type, &typed.value.value, typed.value.span.start)
            }
            Expr::Cast {
                kind: sqlparser::ast::CastKind::Cast | sqlparser::ast::CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => {
                if let Expr::Value(value) = &**expr {
                    self.constant(data_type, &value.value, value.span.start)?;
                }
                self.data_type(data_type, place)?;
                self.expression(expr)
            }
            Expr::Nested(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Extract { expr: inner, .. }
            | Expr::Ceil {
                expr: inner,
                field: CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime),
            }
            | Expr::Floor {
                expr: inner,
                field: CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime),
            }
            | Expr::Collate { expr: inner, .. } => self.expression(inner),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.all([&**left, &**right])
            }
            Expr::In { expr, target, global: false, .. } => {
                self.expression(expr)?;
                match target {
                    InTarget::List(list) => self.all(list),
                    InTarget::Subquery(_) => self.sub_query(place),
                    _ => self.unknown(place),
                }
            }
            Expr::Between { expr, low, high, .. } => self.all([&**expr, &**low, &**high]),
            Expr::BinaryOp { left, op, right } => {
                self.operator(op, left.span().start)?;
                self.all([&**left, &**right])
            }
            Expr::UnaryOp {
                op:
                    UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not | UnaryOperator::BitwiseNot,
                expr,
            } => self.expression(expr),
            Expr::Like { any: false, expr, pattern, escape_char, .. }
            | Expr::ILike { any: false, expr, pattern, escape_char, .. }
            | Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                self.all([&**expr, &**pattern])?;
                self.all(escape_char.as_deref())
            }
            Expr::AnyOp { left, compare_op, right, is_some: false }
            | Expr::AllOp { left, compare_op, right } => {
                self.operator(compare_op, left.span().start)?;
                self.all([&**left, &**right])
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.all([&**timestamp, &**time_zone]),
            Expr::Position { expr, r#in } => self.all([&**expr, &**r#in]),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.expression(expr)?;
                self.all(substring_from.as_deref())?;
                self.all(substring_for.as_deref())
            }
            Expr::Trim { trim_what, expr, trim_characters, .. } => {
                self.expression(expr)?;
                self.all(trim_what.as_deref())?;
                self.all(trim_characters.iter().flatten())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.all([&**expr, &**overlay_what, &**overlay_from])?;
                self.all(overlay_for.as_deref())
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.all(operand.as_deref())?;
                self.all(conditions.iter().flat_map(|when| [&when.condition, &when.result]))?;
                self.all(else_result.as_deref())
            }
            Expr::Array(Array { elem, named: true }) => self.all(elem),
            Expr::Interval(interval) => self.expression(&interval.value),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expression(root)?;
                for access in access_chain {
                    match access {
                        AccessExpr::Subscript(Subscript::Index { index }) => self.expression(index)?,
                        _ => self.unknown(place)?,
                    }
                }
                Ok(())
            }
            Expr::Function(function) => self.function(function),
            Expr::CompoundIdentifier(parts) => {
                let written: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                self.fault(
                    place,
                    format!("{} names a table, and an expression sees one row", quoted(&written.join("."))),
                    format!("Write the column alone: {}", written.last().copied().unwrap_or_default()),
                )
            }
            Expr::Subquery(_) | Expr::Exists { .. } => self.sub_query(place),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                self.fault(place, "`*` is no column", "Name the columns that the rule is about.")
            }
            _ => self.unknown(place),
        }
    }

    fn column(&mut self, name: &Ident) -> Checked {
        let place = name.span.start;
        let known = folded(name);
        if name.quote_style.is_none() {
            if let Some(why) =
                functions::refused(&known).filter(|why| matches!(why, Refused::Time | Refused::Session))
            {
                return self.refused(&known, why, place);
            }
        }
        if functions::SYSTEM_COLUMNS.contains(&known.as_str()) {
            return self.fault(
                place,
                format!("`{known}` is a column of Postgres's own, and changes without the row"),
                "Use a column of the application.",
            );
        }
        Column::parse(&known).map_err(|fault| Fault { at: offset(self.text, place), ..fault })?;
        self.columns.push(place);
        Ok(())
    }

    fn function(&mut self, function: &Function) -> Checked {
        let parts: Option<Vec<&Ident>> = function.name.0.iter().map(|part| part.as_ident()).collect();
        let Some((name, first)) = parts.as_deref().and_then(|parts| Some((*parts.last()?, *parts.first()?)))
        else {
            return self.unknown(function.span().start);
        };
        let place = first.span.start;
        let known = folded(name);
        if let Some(why) = functions::refused(&known) {
            return self.refused(&known, why, place);
        }
        if known == "row" {
            return self.fault(
                place,
                "`row` makes a row, and an expression gives one value",
                "Name one column.",
            );
        }
        if function.over.is_some() {
            return self.refused(&known, Refused::Window, place);
        }
        if function.filter.is_some() || !function.within_group.is_empty() {
            return self.refused(&known, Refused::Aggregate, place);
        }
        let arguments = match &function.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::Subquery(_) => return self.sub_query(place),
            FunctionArguments::None => return self.unknown(place),
        };
        if arguments.duplicate_treatment.is_some() || !arguments.clauses.is_empty() {
            return self.refused(&known, Refused::Aggregate, place);
        }
        if function.uses_odbc_syntax
            || function.null_treatment.is_some()
            || function.parameters != FunctionArguments::None
        {
            return self.unknown(place);
        }
        // With one argument it counts from today.
        if known == "age" && arguments.args.len() == 1 {
            return self.refused(&known, Refused::Time, place);
        }
        self.functions.push(name.span.start);
        for argument in &arguments.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => self.expression(expression)?,
                _ => return self.unknown(place),
            }
        }
        Ok(())
    }

    /// A text that becomes a value of some type.
    fn constant(&self, data_type: &DataType, value: &Value, place: Location) -> Checked {
        if let Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) = value
        {
            let word = text.trim().to_ascii_lowercase();
            if functions::WORDS_OF_TIME.contains(&word.as_str()) {
                return self.refused(&word, Refused::Time, place);
            }
        }
        self.data_type(data_type, place)
    }

    fn data_type(&self, data_type: &DataType, place: Location) -> Checked {
        let name = data_type.to_string().to_ascii_lowercase();
        let base = name.rsplit('.').next().unwrap_or_default();
        if base.starts_with("reg") {
            return self.fault(
                place,
                format!("{} looks things up in the database's catalogue", quoted(base)),
                "Use columns of the row only.",
            );
        }
        Ok(())
    }

    fn operator(&self, operator: &BinaryOperator, place: Location) -> Checked {
        use BinaryOperator as Op;
        match operator {
            Op::Plus
            | Op::Minus
            | Op::Multiply
            | Op::Divide
            | Op::Modulo
            | Op::StringConcat
            | Op::Gt
            | Op::Lt
            | Op::GtEq
            | Op::LtEq
            | Op::Eq
            | Op::NotEq
            | Op::And
            | Op::Or
            | Op::BitwiseOr
            | Op::BitwiseAnd
            | Op::PGBitwiseXor
            | Op::PGBitwiseShiftLeft
            | Op::PGBitwiseShiftRight
            | Op::PGExp
            | Op::PGOverlap
            | Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch
            | Op::PGNotLikeMatch
            | Op::PGNotILikeMatch
            | Op::PGStartsWith
            | Op::Arrow
            | Op::LongArrow
            | Op::HashArrow
            | Op::HashLongArrow
            | Op::AtArrow
            | Op::ArrowAt
            | Op::Question
            | Op::QuestionAnd
            | Op::QuestionPipe => Ok(()),
            other => self.fault(
                place,
                format!("the operator {} is not known here", quoted(&other.to_string())),
                "Use the operators of plain SQL, or keep the rule in a generated column.",
            ),
        }
    }

    fn sub_query(&self, place: Location) -> Checked {
        self.fault(
            place,
            "a sub-query looks at other rows, and an expression sees one row",
            "Use columns of this row only, or keep the value in a column of this table.",
        )
    }

    fn unknown(&self, place: Location) -> Checked {
        self.fault(
            place,
            "this form of SQL is not known here",
            "Use columns, constants, comparisons, CASE and functions, or keep the rule in a generated column.",
        )
    }

    fn refused(&self, name: &str, why: Refused, place: Location) -> Checked {
        let name = quoted(name);
        let (message, remedy) = match why {
            Refused::Aggregate => (
                format!("{name} looks at many rows, and an expression sees one row"),
                "Let the figure count: leave it out, or use `sum` or `avg` beside `from`.",
            ),
            Refused::Window => (
                format!("{name} looks at the rows around this one, and an expression sees one row"),
                "Use columns of this row only.",
            ),
            Refused::Rows => (
                format!("{name} makes rows, and an expression gives one value"),
                "Use a function that gives one value.",
            ),
            Refused::Time => (
                format!("{name} changes with time, and an expression must change with its row only"),
                "Say the time beside the expression, for example: last = \"30 days\"",
            ),
            Refused::Session => (
                format!("{name} depends on who asks, and a bundle is the same for all who may read it"),
                "Use columns of this row only.",
            ),
            Refused::Volatile => (
                format!("{name} gives another result each time, so counters could not be kept right"),
                "Use columns of this row only.",
            ),
        };
        self.fault(place, message, remedy)
    }
}

/// A name as Postgres knows it.
fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => unquoted(&name.value),
        None => name.value.to_ascii_lowercase(),
    }
}

/// The tokenizer leaves a double quote within a name as it is written: twice.
fn unquoted(name: &str) -> String {
    name.replace("\"\"", "\"")
}

/// Writes the tokens anew.
fn write(text: &str, tokens: &[TokenWithSpan], walk: &Walk<'_>) -> Result<Vec<Piece>, Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> String {
        Expression::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}")).sql(None)
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
                "age(a) > interval '1 day'",
                0,
                "`age` changes with time, and an expression must change with its row only",
            ),
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
