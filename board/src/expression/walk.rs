//! Through the tree of an expression: every node is of a kind that is known here, or the expression is refused.

use super::syntax::offset;
use crate::error::{Fault, quoted};
use crate::functions::{self, Refused};
use crate::path::{Column, is_keyword};
use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, Ident, InTarget, Spanned, Subscript, UnaryOperator,
    Value,
};
use sqlparser::tokenizer::Location;

/// Goes through the tree, and notes which words are columns and which are functions.
pub(super) struct Walk<'a> {
    text: &'a str,
    pub(super) columns: Vec<Location>,
    pub(super) functions: Vec<Location>,
    /// The names of the functions, each with its schema where one is written.
    pub(super) called: Vec<(Option<String>, String)>,
}

type Checked = Result<(), Fault>;

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, columns: Vec::new(), functions: Vec::new(), called: Vec::new() }
    }

    fn fault(&self, place: Location, message: impl Into<String>, remedy: impl Into<String>) -> Checked {
        Err(Fault::new(offset(self.text, place), message, remedy))
    }

    fn all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr>) -> Checked {
        expressions.into_iter().try_for_each(|expression| self.expression(expression))
    }

    pub(super) fn expression(&mut self, expression: &Expr) -> Checked {
        let place = expression.span().start;
        match expression {
            Expr::Identifier(name) => self.column(name),
            Expr::Value(value) => self.constant(&value.value, value.span.start),
            Expr::TypedString(typed) => {
                self.typed(&typed.data_type, &typed.value.value, typed.value.span.start)
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None } => {
                match &**expr {
                    Expr::Value(value) => self.typed(data_type, &value.value, value.span.start),
                    inner => {
                        self.data_type(data_type, place)?;
                        self.expression(inner)
                    }
                }
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
            | Expr::Ceil { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) }
            | Expr::Floor { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) }
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
        // `user` is no column without quotes, whatever the table has; `version` is one.
        let taken = functions::refused(&known).filter(|why| matches!(why, Refused::Time | Refused::Session));
        if let Some(why) = taken.filter(|_| name.quote_style.is_none() && is_keyword(&known)) {
            return self.refused(&known, why, place);
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
        let schema =
            parts.as_deref().and_then(|parts| parts.iter().rev().nth(1)).map(|schema| folded(schema));
        self.called.push((schema, known));
        for argument in &arguments.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => self.expression(expression)?,
                _ => return self.unknown(place),
            }
        }
        Ok(())
    }

    /// A constant by itself. What type it takes, its neighbours decide: beside a column of dates `'today'` is a date.
    fn constant(&self, value: &Value, place: Location) -> Checked {
        match value {
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text) => match functions::word_of_time(text) {
                Some(word) => self.refused(word, Refused::Time, place),
                None => Ok(()),
            },
            Value::Number(..) | Value::Boolean(_) | Value::Null => Ok(()),
            _ => self.unknown(place),
        }
    }

    /// A constant that is said to be of a type.
    fn typed(&self, data_type: &DataType, value: &Value, place: Location) -> Checked {
        self.data_type(data_type, place)?;
        match (data_type, value) {
            (
                DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_),
                Value::SingleQuotedString(_)
                | Value::EscapedStringLiteral(_)
                | Value::UnicodeStringLiteral(_),
            ) => Ok(()),
            _ => self.constant(value, place),
        }
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
pub(super) fn unquoted(name: &str) -> String {
    name.replace("\"\"", "\"")
}
