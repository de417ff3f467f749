//! What a person reads who has written something that is no board: where, what, and what to write instead. Every
//! message of this crate takes its form here.
//!
//! [`Fault`] is what the small readers (names, windows, expressions) return: an offset in the text that they were
//! given. [`Error`] is the same in a file, with line, column and the line itself.

use std::fmt;
use std::ops::Range;

/// Longest excerpt of a line, in characters. A longer line is cut around the caret.
const EXCERPT: usize = 100;
/// More than this many errors of one file help nobody.
const MOST: usize = 50;

/// Why a text within a definition is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong: a sentence without its full stop.
    pub message: String,
    /// What to write instead: a sentence.
    pub remedy: String,
}

impl Fault {
    pub(crate) fn new(at: usize, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at, message: message.into(), remedy: remedy.into() }
    }
}

/// One mistake in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    excerpt: String,
    /// How many characters of the excerpt stand before the caret, and how many carets there are.
    caret: (usize, usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (before, carets) = self.caret;
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        writeln!(f, " {number} | {}", self.excerpt)?;
        writeln!(f, " {margin} | {}{}", " ".repeat(before), "^".repeat(carets))?;
        write!(f, " {margin} = {}", self.remedy)
    }
}

impl std::error::Error for Error {}

/// All mistakes that were found in a file, in its order. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Found {
    errors: Vec<Error>,
    count: usize,
}

impl Found {
    /// Adds one. Beyond [`MOST`] they are only counted: to make one costs a look at the whole file.
    pub(crate) fn add(&mut self, error: impl FnOnce() -> Error) {
        self.count += 1;
        if !self.is_full() {
            self.errors.push(error());
        }
    }

    /// Whether there are as many as are shown.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= MOST
    }

    /// How many there are, those that are not shown included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// All of them, in the order of the file; `None` where there are none.
    pub(crate) fn into_errors(mut self) -> Option<Errors> {
        self.errors.sort_by_key(|error| (error.line, error.column));
        self.errors.dedup();
        if self.errors.is_empty() { None } else { Some(Errors(self.errors)) }
    }
}

/// A file: its name and its text.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl File<'_> {
    /// The error that stands at these bytes of the text. Bytes beyond the end, or within a character, are moved into
    /// the text: a position is always one that an editor can go to.
    pub(crate) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Error {
        let start = floor(self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let end = floor(self.text, span.end.max(start)).min(line_start + line.len()).max(start);
        let column = self.text[line_start..start].chars().count();
        let width = self.text[start..end].chars().count().max(1);
        let (excerpt, before) = excerpt(line, column);
        let room = excerpt.chars().count().saturating_sub(before).max(1);
        Error {
            file: self.name.to_owned(),
            line: self.text[..line_start].matches('\n').count() + 1,
            column: column + 1,
            message: message.into(),
            remedy: remedy.into(),
            excerpt,
            caret: (before, width.min(room)),
        }
    }

    /// The same for a fault in a text of which `span` is the place in the file, and `value` what it says.
    pub(crate) fn fault(&self, span: Range<usize>, value: &str, fault: Fault) -> Error {
        let place = match fault.at {
            // It is about all of it.
            0 => span,
            at => self.place(span, value, at, 0),
        };
        self.error(place, fault.message, fault.remedy)
    }

    /// Where a part of such a text stands in the file; all of the text if that cannot be said.
    pub(crate) fn place(&self, span: Range<usize>, value: &str, at: usize, length: usize) -> Range<usize> {
        match self.inner(span.clone(), value) {
            Some(start) => start + floor(value, at)..start + floor(value, at + length),
            None => span,
        }
    }

    /// Where the content of a text begins, if the file has it letter by letter, without escapes.
    fn inner(&self, span: Range<usize>, value: &str) -> Option<usize> {
        let raw = self.text.get(span.clone())?;
        for quotes in ["\"\"\"", "'''", "\"", "'"] {
            let Some(inner) = raw.strip_prefix(quotes).and_then(|raw| raw.strip_suffix(quotes)) else {
                continue;
            };
            // A line break right behind three quotes is not part of the text.
            let cut = inner.len() - inner.strip_prefix('\n').unwrap_or(inner).len();
            return [0, cut]
                .into_iter()
                .find(|cut| &inner[*cut..] == value)
                .map(|cut| span.start + quotes.len() + cut);
        }
        // A bare key.
        (raw == value).then_some(span.start)
    }
}

/// The nearest place at or before `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A part of the line with the column in it, and how many characters stand before that. What would move the cursor or
/// turn the direction of writing is shown as `?`: the caret must stand below what it means.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let visible = |c: char| match c {
        '\t' => ' ',
        c if is_unprintable(c) => '?',
        c => c,
    };
    let length = line.chars().count();
    if length <= EXCERPT {
        return (line.chars().map(visible).collect(), column);
    }
    let first = column.saturating_sub(EXCERPT / 2).min(length - EXCERPT);
    let mut part = String::new();
    if first > 0 {
        part.push_str("...");
    }
    let before = part.len() + column - first;
    part.extend(line.chars().skip(first).take(EXCERPT).map(visible));
    if first + EXCERPT < length {
        part.push_str("...");
    }
    (part, before)
}

/// Control characters, and those that are invisible or turn the direction of writing.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text of the definition, fit to be quoted in a message: on one line, and not too long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let shown: String =
        text.chars().take(LONGEST).map(|c| if is_unprintable(c) || c == '`' { '?' } else { c }).collect();
    let more = if text.chars().nth(LONGEST).is_some() { "..." } else { "" };
    format!("`{shown}{more}`")
}

/// The candidate that was probably meant.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&written.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_file_line_column_and_a_caret_below_what_it_means() {
        let file = File { name: "a.toml", text: "x = 1\nlimit = 0\n" };
        let error = file.error(14..15, "`limit` is 0", "Write a number from 1 to 1000.");
        assert_eq!(
            error.to_string(),
            "a.toml:2:9: `limit` is 0\n 2 | limit = 0\n   |         ^\n   = Write a number from 1 to 1000."
        );
    }

    #[test]
    fn columns_are_characters_and_a_long_line_is_cut_around_the_caret() {
        let text = format!("{}x{}", "\u{e4}".repeat(200), "b".repeat(200));
        let error = File { name: "f", text: &text }.error(400..401, "m", "r");
        assert_eq!((error.line, error.column), (1, 201));
        let shown = error.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[2].find('^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('x'), "{shown}");
    }

    #[test]
    fn a_fault_within_a_text_stands_at_its_own_column() {
        let text = "where = \"a = b\"";
        let error = File { name: "f", text }.fault(8..15, "a = b", Fault::new(4, "m", "r"));
        assert_eq!(error.column, 14);
        // With an escape in it, the text begins where the caret stands.
        let error =
            File { name: "f", text: "where = \"a\\t b\"" }.fault(8..15, "a\t b", Fault::new(3, "m", "r"));
        assert_eq!(error.column, 9);
    }
}
