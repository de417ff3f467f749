//! Makes a [`Board`] of a file, or says everything that is wrong with it.
//!
//! In this order, and what is wrong in one step ends it: size and encoding, the syntax of TOML, the structure (which
//! keys and types), and then what the values mean. `figure`, `list` and `query` do the latter for their parts of the
//! file.

mod figure;
mod list;
mod query;
mod references;

use crate::definition::{Active, Board, Content, Declared, Follow, Source, SourceId, Tenants, Whose};
use crate::error::{Errors, Fault, File, Found, is_unprintable, nearest, quoted};
use crate::expression::Expression;
use crate::file::{At, BoardFile, Entries, FollowEntry, OneOrMore, SourceFile, TenantsFile};
use crate::path::{BoardName, Column, Table, part};
use crate::{size, structure};
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};
use wire::tenant::Tenant;

/// Largest file, in bytes.
pub const MAX_FILE: usize = 256 * 1024;
/// Most sources of a board.
pub const MAX_SOURCES: usize = 32;
/// Most figures of a board.
pub const MAX_FIGURES: usize = 200;
/// Most lists of a board.
pub const MAX_LISTS: usize = 20;
/// Most conditions on which tenants are active.
const MAX_CONDITIONS: usize = 8;
/// Most followed tables of a board.
pub const MAX_FOLLOWED: usize = 32;

/// Reads a definition.
///
/// `name` is the file's name, for messages. `statement` brings the text of a file that `sql` names, from beside this
/// one; or says why it cannot.
///
/// # Errors
/// All mistakes of the first step that finds one, each with its place.
pub fn read(
    name: &str,
    bytes: &[u8],
    statement: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Board, Errors> {
    let text = text(name, bytes)?;
    let file = File { name, text };
    let table = DeTable::parse(text).map_err(|error| syntax(file, &error))?;
    if let Some(errors) = structure::check(file, &table).into_errors() {
        return Err(errors);
    }
    let board = typed(file, table)?;
    let mut reader = Reader { file, statement, found: Found::default() };
    let board = reader.board(board);
    match (board, reader.found.into_errors()) {
        (Some(board), None) => Ok(board),
        (_, Some(errors)) => Err(errors),
        // Who returns nothing has said why. Should that ever be missing, this is better than a board that nobody has
        // checked.
        (None, None) => Err(file.error(0..0, "this is no board", "Compare it with the examples.").into()),
    }
}

/// The text of a file, if it is one.
fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Errors> {
    if bytes.len() > MAX_FILE {
        let first = &bytes[..bytes.iter().take(200).position(|byte| *byte == b'\n').unwrap_or(200)];
        let text = String::from_utf8_lossy(first);
        let message = format!("this file has {} bytes", bytes.len());
        let remedy = format!(
            "A definition has at most {MAX_FILE}. Is this the right file? If so, make several boards of it."
        );
        return Err(File { name, text: &text }.error(0..0, message, remedy).into());
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let message = "this is not UTF-8";
        let remedy = "Save the file as UTF-8.";
        File { name, text: good }.error(good.len()..good.len(), message, remedy).into()
    })
}

/// What the parser of TOML says, in words of ours where they are known to be needed.
fn syntax(file: File<'_>, error: &toml::de::Error) -> Errors {
    let span = error.span().unwrap_or(file.text.len()..file.text.len());
    let written = file.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
    let (message, remedy) = match error.message() {
        "duplicate key" => (
            format!("{} is here twice", quoted(written)),
            "Keep one of them, or give the second another name.".to_owned(),
        ),
        other => {
            let message: String =
                other.lines().next().unwrap_or_default().chars().filter(|c| !is_unprintable(*c)).collect();
            (
                format!("this is not TOML: {message}"),
                "Write key = value, texts in quotes, tables as [name]; see https://toml.io for the syntax."
                    .to_owned(),
            )
        }
    };
    file.error(span, message, remedy).into()
}

/// The file as typed tables. After the check of its structure nothing should be left that can fail.
fn typed(file: File<'_>, table: Spanned<DeTable<'_>>) -> Result<BoardFile, Errors> {
    BoardFile::deserialize(Deserializer::from(table)).map_err(|error| {
        let message: String = error.message().chars().filter(|c| !is_unprintable(*c)).collect();
        let remedy = "Compare it with the reference of the definition.";
        file.error(error.span().unwrap_or(0..0), message, remedy).into()
    })
}

struct Reader<'a> {
    file: File<'a>,
    statement: &'a dyn Fn(&str) -> Result<String, String>,
    found: Found,
}

impl Reader<'_> {
    fn fail(&mut self, span: &Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        let file = self.file;
        self.found.add(|| file.error(span.clone(), message, remedy));
    }

    /// Notes what is wrong within a text of the file.
    fn fault(&mut self, text: &At<String>, fault: Fault) {
        let file = self.file;
        self.found.add(|| file.fault(text.span.clone(), &text.value, fault));
    }

    /// Reads a text of the file, and notes what is wrong with it.
    fn parse<T>(&mut self, text: &At<String>, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        match parse(&text.value) {
            Ok(parsed) => Some(parsed),
            Err(fault) => {
                self.fault(text, fault);
                None
            }
        }
    }

    /// The same where the text may be missing: the outer `None` is a mistake.
    fn optional<T>(
        &mut self,
        text: Option<&At<String>>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Option<T>> {
        match text {
            Some(text) => self.parse(text, parse).map(Some),
            None => Some(None),
        }
    }

    fn expression(&mut self, text: Option<&At<String>>) -> Option<Option<Expression>> {
        self.optional(text, Expression::parse)
    }

    /// A text for people: any language, one line, within bounds.
    fn words(&mut self, key: &str, text: Option<&At<String>>, most: usize) -> Option<Option<String>> {
        let Some(text) = text else { return Some(None) };
        let length = text.value.chars().count();
        let remedy = format!("Write 1 to {most} characters on one line.");
        if text.value.trim().is_empty() || length > most {
            self.fail(&text.span, format!("`{key}` has {length} characters"), remedy);
            return None;
        }
        if let Some((at, c)) = text.value.char_indices().find(|(_, c)| is_unprintable(*c)) {
            let message = format!("`{key}` has the invisible character U+{:04X}", u32::from(c));
            self.fault(text, Fault::new(at, message, remedy));
            return None;
        }
        Some(Some(text.value.clone()))
    }

    fn title(&mut self, text: Option<&At<String>>) -> Option<Option<String>> {
        self.words("title", text, 100)
    }

    fn note(&mut self, text: Option<&At<String>>) -> Option<Option<String>> {
        self.words("note", text, 500)
    }

    /// A number that the structure's check has found within its bounds.
    fn number(&self, number: Option<&At<i64>>, default: u32) -> u32 {
        number.and_then(|number| u32::try_from(number.value).ok()).unwrap_or(default)
    }

    /// Whether there are no more of them than may be. Who has more is told this alone.
    fn at_most<T>(&mut self, what: &str, entries: &Entries<T>, most: usize) -> bool {
        if let Some((name, _)) = entries.0.get(most) {
            let message = format!("this board has {} {what}", entries.0.len());
            self.fail(
                &name.span,
                message,
                format!("Use at most {most}, and make a second board of the rest."),
            );
        }
        entries.0.len() <= most
    }

    fn board(&mut self, board: BoardFile) -> Option<Board> {
        let name = self.parse(&board.board, BoardName::parse);
        let title = self.title(board.title.as_ref());
        let note = self.note(board.note.as_ref());
        let tenants = self.tenants(&board.tenants);
        let follow = self.follow(&board.follow);
        let content = match &board.sql {
            Some(_) => self.query(&board).map(Content::Query),
            None => self.declared(&board).map(Content::Declared),
        };
        let name = name?;
        let title = title?.unwrap_or_else(|| words_of(name.as_str()));
        let made = Board { name, title, note: note?, tenants: tenants?, content: content?, follow: follow? };
        self.fits(&board, &made);
        Some(made)
    }

    /// A bundle that the module would refuse is a mistake of the definition.
    fn fits(&mut self, file: &BoardFile, board: &Board) {
        let size = size::largest(board);
        if size.total() <= size::MAX_BUNDLE {
            return;
        }
        let Some((part, bytes)) = size.parts().iter().max_by_key(|(_, bytes)| *bytes) else { return };
        let list = file
            .lists
            .0
            .iter()
            .find(|(name, _)| part.strip_prefix("lists.") == Some(&name.value))
            .map(|(name, _)| name);
        let figure = file.figures.0.iter().find(|(path, _)| path.value == *part).map(|(path, _)| path);
        let span = list.or(figure).map_or(0..0, |name| name.span.clone());
        self.fail(
            &span,
            format!("a bundle of this board may have {} bytes, of which {bytes} are `{part}`", size.total()),
            format!(
                "A bundle has at most {} bytes: lower `limit`, `cut` or `most`, or name fewer columns.",
                size::MAX_BUNDLE
            ),
        );
    }

    fn tenants(&mut self, tenants: &TenantsFile) -> Option<Tenants> {
        let table = self.parse(&tenants.table, Table::parse);
        let key = self.parse(&tenants.key, Column::parse);
        let name = self.optional(tenants.name.as_ref(), Column::parse);
        let slug = self.optional(tenants.slug.as_ref(), Column::parse);
        let active = self.active(tenants.active.as_ref());
        let all = self.optional(tenants.all.as_ref(), |text| {
            Tenant::parse(text).map_err(|error| {
                Fault::new(
                    0,
                    format!("{} is no name for all tenants", quoted(text)),
                    format!("Choose another: {error}."),
                )
            })
        });
        Some(Tenants { table: table?, key: key?, name: name?, slug: slug?, active: active?, all: all? })
    }

    fn active(&mut self, active: Option<&At<OneOrMore>>) -> Option<Active> {
        match active.map(|active| (&active.value, &active.span)) {
            None => Some(Active::All),
            Some((OneOrMore::One(condition), span)) => {
                let text = At { value: condition.clone(), span: span.clone() };
                self.parse(&text, Expression::parse).map(Active::Where)
            }
            Some((OneOrMore::More(conditions), span)) => {
                if !(1..=MAX_CONDITIONS).contains(&conditions.len()) {
                    let message = format!("this list has {} conditions", conditions.len());
                    self.fail(span, message, format!("Write 1 to {MAX_CONDITIONS}, or leave `active` out."));
                    return None;
                }
                let parsed: Vec<_> =
                    conditions.iter().map(|text| self.parse(text, Expression::parse)).collect();
                parsed.into_iter().collect::<Option<_>>().map(Active::WhereKnown)
            }
        }
    }

    fn follow(&mut self, follow: &[At<FollowEntry>]) -> Option<Vec<Follow>> {
        if let Some(entry) = follow.get(MAX_FOLLOWED) {
            let message = format!("this board follows {} tables", follow.len());
            self.fail(&entry.span, message, format!("Follow at most {MAX_FOLLOWED}."));
            return None;
        }
        let mut followed: Vec<Follow> = Vec::new();
        let mut whole = true;
        for entry in follow {
            let read = match &entry.value {
                FollowEntry::Table(name) => {
                    let text = At { value: name.clone(), span: entry.span.clone() };
                    self.parse(&text, Table::parse).map(|table| Follow { table, whose: Whose::Everybody })
                }
                FollowEntry::More(more) => {
                    let table = self.parse(&more.table, Table::parse);
                    let whose = self.optional(more.tenant.as_ref(), whose);
                    table
                        .zip(whose)
                        .map(|(table, whose)| Follow { table, whose: whose.unwrap_or(Whose::Everybody) })
                }
            };
            let Some(read) = read else {
                whole = false;
                continue;
            };
            if followed.contains(&read) {
                self.fail(&entry.span, format!("`{}` is followed twice", read.table), "Keep one of them.");
            }
            followed.push(read);
        }
        whole.then_some(followed)
    }

    fn declared(&mut self, board: &BoardFile) -> Option<Declared> {
        if let Some(at) = &board.at_most_every {
            self.fail(
                &at.span,
                "`at_most_every` is for boards with `sql`: figures are counted, and cost nothing to read",
                "Remove it.",
            );
        }
        if board.figures.0.is_empty() && board.lists.0.is_empty() {
            self.fail(
                &board.board.span,
                "this board shows nothing",
                "Add [figures] or a list, for example: [lists.recent]",
            );
        }
        let bounded = self.at_most("sources", &board.sources, MAX_SOURCES)
            & self.at_most("figures", &board.figures, MAX_FIGURES)
            & self.at_most("lists", &board.lists, MAX_LISTS);
        if !bounded {
            return None;
        }

        let sources: Vec<Option<Source>> =
            board.sources.0.iter().map(|(name, source)| self.source(name, source)).collect();
        let figures = self.figures(&board.figures, &board.sources);
        let lists: Vec<_> =
            board.lists.0.iter().map(|(name, list)| self.list(name, list, &board.sources)).collect();
        let (figures, derived) = figures?;
        Some(Declared {
            sources: sources.into_iter().collect::<Option<_>>()?,
            figures,
            lists: lists.into_iter().collect::<Option<_>>()?,
            derived,
        })
    }

    fn source(&mut self, name: &At<String>, source: &SourceFile) -> Option<Source> {
        let known = self.parse(name, |text| part(text, "a source"));
        let table = self.parse(source.table.as_ref().unwrap_or(name), Table::parse);
        let tenant = self.parse(&source.tenant, Column::parse);
        // Each figure that goes by time takes it from here; it is checked also where none does.
        let at = self.optional(source.at.as_ref(), Column::parse);
        let leave_out = self.expression(source.leave_out.as_ref());
        at?;
        Some(Source { name: known?, table: table?, tenant: tenant?, leave_out: leave_out? })
    }

    /// The source that a figure or list names.
    fn from(&mut self, from: &At<String>, sources: &Entries<SourceFile>) -> Option<SourceId> {
        if let Some(place) = sources.0.iter().position(|(name, _)| name.value == from.value) {
            return Some(SourceId(place));
        }
        let remedy = match nearest(&from.value, sources.0.iter().map(|(name, _)| name.value.as_str())) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => "Add it, for example: [sources.deals] with tenant = \"account_id\"".to_owned(),
        };
        self.fail(&from.span, format!("there is no source {}", quoted(&from.value)), remedy);
        None
    }
}

/// `inbox_id -> inboxes.id . account_id`, or a column.
fn whose(text: &str) -> Result<Whose, Fault> {
    let remedy = "Write a column, or: column -> table.column . column";
    let Some((column, through)) = text.split_once("->") else {
        return Column::parse(text.trim()).map(Whose::Column);
    };
    let at = text.len() - through.len();
    // From the right, as the table may have its schema before it.
    let parts = through
        .rsplit_once('.')
        .and_then(|(rest, tenant)| rest.rsplit_once('.').map(|(table, key)| (table, key, tenant)));
    let Some((table, key, tenant)) = parts else {
        return Err(Fault::new(at, "this does not say by which table the tenant is found", remedy));
    };
    let here = |fault: Fault| Fault { at: at + fault.at, ..fault };
    Ok(Whose::Through {
        column: Column::parse(column.trim())?,
        table: Table::parse(table.trim()).map_err(here)?,
        key: Column::parse(key.trim()).map_err(here)?,
        tenant: Column::parse(tenant.trim()).map_err(here)?,
    })
}

/// `newDealsLast30Days` as `New deals last 30 days`.
fn words_of(name: &str) -> String {
    let mut words = String::new();
    let mut before = '_';
    for c in name.chars() {
        let begins = c.is_ascii_uppercase() && !before.is_ascii_uppercase()
            || c.is_ascii_digit() != before.is_ascii_digit()
            || c == '_'
            || c == '-';
        if begins && !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
        if c.is_ascii_alphanumeric() {
            words.push(if words.is_empty() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
        }
        before = c;
    }
    words.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_words() {
        for (name, words) in [
            ("newDealsLast30Days", "New deals last 30 days"),
            ("closed_won", "Closed won"),
            ("support-eu", "Support eu"),
            ("x", "X"),
            ("avgURL", "Avg url"),
        ] {
            assert_eq!(words_of(name), words);
        }
    }

    #[test]
    fn a_tenant_is_found_by_a_column_or_by_another_table() {
        assert!(matches!(whose("account_id"), Ok(Whose::Column(_))));
        let Ok(Whose::Through { column, table, key, tenant }) =
            whose("inbox_id -> app.inboxes.id . account_id")
        else {
            panic!()
        };
        assert_eq!(
            [column.as_str(), &table.to_string(), key.as_str(), tenant.as_str()],
            ["inbox_id", "app.inboxes", "id", "account_id"]
        );
        for bad in ["", "a ->", "a -> b", "a -> b.c", "-> b.c.d", "a -> b..d"] {
            assert!(whose(bad).is_err(), "{bad:?}");
        }
    }
}
