//! Whatever the bytes: a board, or errors whose places an editor can go to.

use crate::{HEAD, read_alone};
use board::canonical::canonical;
use board::expression::Expression;
use proptest::prelude::*;

const CRM: &str = include_str!("../../../boards/crm.toml");
const HELPDESK: &str = include_str!("../../../examples/boards/helpdesk.toml");
const MRR: &str = include_str!("../../../examples/boards/mrr.toml");

/// What a mutation puts in: pieces that mean something to TOML, to SQL, or to a definition.
const PIECES: &[&str] = &[
    "\"",
    "'",
    "\"\"\"",
    "=",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "#",
    "\n",
    "\r",
    "\\",
    "\\u0000",
    "\0",
    "\u{202e}",
    "\u{e9}",
    "\u{1f600}",
    "0",
    "-1",
    "99999999999999999999",
    "1e9",
    "true",
    "now()",
    "select",
    "(",
    ")",
    "--",
    "/*",
    ";",
    "$1",
    "$$",
    "::",
    "count(*)",
    "not ",
    "case when ",
    "figures",
    "lists",
    "from",
    "where",
    "value = \"a\"",
    "steps",
    "per = \"day\"",
    "last = \"2 days\"",
    "compare = true",
    "[[follow]]\n",
    "sql = \"select 1\"\n",
    "meta",
    "stats.open",
    "E'",
    "U&'",
    "interval '",
    "array[",
];

fn has_places_within(bytes: &[u8]) -> Result<(), TestCaseError> {
    match read_alone(bytes) {
        Ok(board) => prop_assert_ne!(canonical(&board), ""),
        Err(errors) => {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<&str> = text.split('\n').collect();
            prop_assert!(errors.iter().next().is_some());
            for error in errors.iter().filter(|error| error.file == "b.toml") {
                prop_assert!(error.line >= 1 && error.line <= lines.len(), "{error}");
                let width = lines[error.line - 1].chars().count();
                prop_assert!(error.column >= 1 && error.column <= width + 1, "{error}");
                prop_assert!(!error.message.is_empty() && !error.remedy.is_empty());
                prop_assert_eq!(error.to_string().lines().count(), 4, "{}", error);
            }
        }
    }
    Ok(())
}

/// Takes a part of a definition out and puts something else in, some times.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0_usize..40, prop::sample::select(PIECES));
    let file = prop::sample::select(&[CRM, HELPDESK, MRR][..]);
    (file, prop::collection::vec(change, 1..4)).prop_map(|(file, changes)| {
        let mut characters: Vec<char> = file.chars().collect();
        for (place, length, piece) in changes {
            let start = place.index(characters.len().max(1)).min(characters.len());
            let end = (start + length).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_a_board_or_errors_within_the_file(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        has_places_within(&bytes)?;
    }

    #[test]
    fn any_text_below_a_good_head_is_a_board_or_errors_within_the_file(text in "\\PC{0,100}", lists: bool) {
        let table = if lists { "[lists.recent]\n" } else { "[figures]\n" };
        has_places_within(format!("{HEAD}{table}{text}").as_bytes())?;
    }

    #[test]
    fn a_mutated_definition_is_a_board_or_errors_within_the_file(text in mutated()) {
        has_places_within(text.as_bytes())?;
    }

    #[test]
    fn a_definition_cut_off_anywhere_is_a_board_or_errors_within_the_file(at in any::<prop::sample::Index>()) {
        has_places_within(&CRM.as_bytes()[..at.index(CRM.len())])?;
    }

    #[test]
    fn any_text_in_a_figure_is_a_board_or_errors_within_the_file(
        key in prop::sample::select(&["where", "sum", "avg", "by", "last", "column", "zone", "title", "value", "at", "other"][..]),
        text in "\\PC{0,60}",
    ) {
        let quoted = serde_json::Value::from(text).to_string();
        has_places_within(format!("{HEAD}[figures]\n\"a.b\" = {{ from = \"deals\", {key} = {quoted} }}\n").as_bytes())?;
    }

    #[test]
    fn whatever_is_an_expression_stays_one_in_parentheses(pieces in prop::collection::vec(prop::sample::select(&[
        "a", "b", "\"C d\"", "1", "2.5", "'x'", "'it''s'", "E'\\n'", "'\u{e9}'", "+", "-", "*", "/", "=", "<", "and", "or", "not", "(", ")", ",",
        "lower(", "is null", "in (", "::int", "->>", "||", "case when", "then", "else", "end", "between", "[1]", "$$", ";", "--", "/*", "*/", "now()",
        "select", ".", "like", "interval",
    ][..]), 1..14)) {
        let text = pieces.join(" ");
        if let Ok(expression) = Expression::parse(&text) {
            let sql = expression.sql(None);
            prop_assert!(sql.is_ascii());
            // What generated SQL does with it: it is still one expression, and the same.
            let within = Expression::parse(&format!("({sql}) is not null")).map_err(|fault| TestCaseError::fail(format!("{sql}: {fault:?}")))?;
            prop_assert_eq!(within.sql(None), format!("({sql}) is not null"));
            prop_assert_eq!(within.columns(), expression.columns());
        }
    }
}
