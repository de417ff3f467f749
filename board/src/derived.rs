//! Figures that are computed from other figures: `stats.won / (stats.won + stats.lost)`.

use crate::error::{Fault, quoted};
use crate::expression::{offset, tokens, tree};
use crate::path::{FigurePath, part};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use sqlparser::ast::{BinaryOperator, Expr, Ident, Spanned, UnaryOperator, Value};
use std::collections::BTreeSet;
use std::num::NonZeroU64;

/// How many digits a quotient has.
pub const QUOTIENT_DIGITS: u64 = 20;
/// Most digits of a number in the text.
const MAX_DIGITS: usize = 30;

/// Arithmetic over figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// A number of the text.
    Number(BigDecimal),
    /// What another figure says.
    Figure(FigurePath),
    /// The opposite.
    Minus(Box<Self>),
    /// Two parts, and what is done with them.
    Two(Box<Self>, Operator, Box<Self>),
}

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

impl Operator {
    /// Its sign.
    pub fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }
}

impl Arithmetic {
    /// Reads arithmetic; also says where each figure is named, in bytes.
    pub(crate) fn parse(text: &str) -> Result<(Self, Vec<(FigurePath, usize)>), Fault> {
        let tree = tree(text, tokens(text)?)?;
        let mut named = Vec::new();
        let arithmetic = Self::of(text, &tree, &mut named)?;
        Ok((arithmetic, named))
    }

    fn of(text: &str, tree: &Expr, named: &mut Vec<(FigurePath, usize)>) -> Result<Self, Fault> {
        let at = offset(text, tree.span().start);
        let remedy = "Use paths of figures, numbers, + - * / and parentheses, for example: value = \"stats.won / stats.all\"";
        match tree {
            Expr::Nested(inner) => Self::of(text, inner, named),
            Expr::Identifier(name) => Self::figure(at, std::slice::from_ref(name), named),
            Expr::CompoundIdentifier(names) => Self::figure(at, names, named),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                Ok(Self::Minus(Box::new(Self::of(text, expr, named)?)))
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => Self::of(text, expr, named),
            Expr::BinaryOp { left, op, right } => {
                let operator = match op {
                    BinaryOperator::Plus => Operator::Add,
                    BinaryOperator::Minus => Operator::Subtract,
                    BinaryOperator::Multiply => Operator::Multiply,
                    BinaryOperator::Divide => Operator::Divide,
                    other => {
                        let message =
                            format!("{} cannot be computed with figures", quoted(&other.to_string()));
                        return Err(Fault::new(at, message, remedy));
                    }
                };
                let left = Self::of(text, left, named)?;
                Ok(Self::Two(Box::new(left), operator, Box::new(Self::of(text, right, named)?)))
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, false)
                    if digits.len() <= MAX_DIGITS
                        && digits.chars().all(|c| c.is_ascii_digit() || c == '.') =>
                {
                    let number = digits
                        .parse()
                        .map_err(|_| Fault::new(at, format!("{} is no number", quoted(digits)), remedy))?;
                    Ok(Self::Number(number))
                }
                other => Err(Fault::new(
                    at,
                    format!("{} cannot be computed with", quoted(&other.to_string())),
                    remedy,
                )),
            },
            _ => Err(Fault::new(at, "this is more than arithmetic over figures", remedy)),
        }
    }

    fn figure(at: usize, names: &[Ident], named: &mut Vec<(FigurePath, usize)>) -> Result<Self, Fault> {
        let parts = names.iter().map(|name| part(&name.value, "a figure")).collect::<Result<Vec<_>, _>>();
        let path = parts.and_then(FigurePath::of).map_err(|fault| Fault { at, ..fault })?;
        named.push((path.clone(), at));
        Ok(Self::Figure(path))
    }

    /// The figures that it names.
    pub fn figures(&self) -> BTreeSet<&FigurePath> {
        let mut figures = BTreeSet::new();
        self.collect(&mut figures);
        figures
    }

    fn collect<'a>(&'a self, figures: &mut BTreeSet<&'a FigurePath>) {
        match self {
            Self::Number(_) => {}
            Self::Figure(path) => {
                figures.insert(path);
            }
            Self::Minus(inner) => inner.collect(figures),
            Self::Two(left, _, right) => {
                left.collect(figures);
                right.collect(figures);
            }
        }
    }

    /// Computes it, where `figure` says what each figure is. `None`, thus null in a bundle, where it divides by 0 or
    /// where a figure is null.
    ///
    /// Exact, but for quotients: these are rounded to [`QUOTIENT_DIGITS`] digits, halves away from 0.
    pub fn evaluate(&self, figure: &dyn Fn(&FigurePath) -> Option<BigDecimal>) -> Option<BigDecimal> {
        Some(match self {
            Self::Number(number) => number.clone(),
            Self::Figure(path) => figure(path)?,
            Self::Minus(inner) => -inner.evaluate(figure)?,
            Self::Two(left, operator, right) => {
                let (left, right) = (left.evaluate(figure)?, right.evaluate(figure)?);
                match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide if right.is_zero() => return None,
                    Operator::Divide => {
                        let digits = NonZeroU64::new(QUOTIENT_DIGITS)?;
                        (left / right).with_precision_round(digits, RoundingMode::HalfUp)
                    }
                }
            }
        })
    }

    /// The same for everybody who means the same: as text, in which every operation stands in parentheses.
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => plain(number),
            Self::Figure(path) => path.to_string(),
            Self::Minus(inner) => format!("(-{})", inner.text()),
            Self::Two(left, operator, right) => {
                format!("({} {} {})", left.text(), operator.sign(), right.text())
            }
        }
    }
}

/// A number as JSON has it: no exponent, no zeros that say nothing.
pub fn plain(number: &BigDecimal) -> String {
    number.normalized().to_plain_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        let figures = |path: &FigurePath| match path.to_string().as_str() {
            "won" => "3".parse().ok(),
            "stats.lost" => "9.10".parse().ok(),
            "zero" => "0".parse().ok(),
            "huge" => "12345678901234567890123456789.25".parse().ok(),
            _ => None,
        };
        Arithmetic::parse(text).unwrap().0.evaluate(&figures).as_ref().map(plain)
    }

    #[test]
    fn arithmetic_is_exact_and_null_where_it_divides_by_zero() {
        for (text, expected) in [
            ("won + stats.lost * 2", Some("21.2")),
            ("(won + stats.lost) * 2", Some("24.2")),
            ("won - stats.lost", Some("-6.1")),
            ("-won - -1", Some("-2")),
            ("1 / 3", Some("0.33333333333333333333")),
            ("2 / 3", Some("0.66666666666666666667")),
            ("won / won", Some("1")),
            ("10 / 4 / 5", Some("0.5")),
            ("10 - 4 - 3", Some("3")),
            ("won / zero", None),
            ("won / (zero * 5)", None),
            ("1 + missing", None),
            ("huge + 0.75", Some("12345678901234567890123456790")),
            ("100 * 1", Some("100")),
        ] {
            assert_eq!(value(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_arithmetic_over_figures_is_read() {
        for (text, at) in [
            ("", 0),
            ("stats.won %  2", 0),
            ("won + 'a'", 6),
            ("sum(won)", 0),
            ("won > 1", 0),
            ("won + meta.x", 6),
            ("won, lost", 3),
            ("(select 1)", 1),
            ("won + 1e300", 6),
        ] {
            assert_eq!(Arithmetic::parse(text).expect_err(text).at, at, "{text}");
        }
    }

    #[test]
    fn its_text_says_what_is_computed_first() {
        let (arithmetic, named) = Arithmetic::parse("won / (won + stats.lost) - 1.50").unwrap();
        assert_eq!(arithmetic.text(), "((won / (won + stats.lost)) - 1.5)");
        assert_eq!(arithmetic.figures().len(), 2);
        assert_eq!(named.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [0, 7, 13]);
    }
}
