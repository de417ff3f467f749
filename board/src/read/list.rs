//! Lists.

use super::{Reader, words_of};
use crate::definition::List;
use crate::error::quoted;
use crate::file::{At, Entries, ListFile, SourceFile};
use crate::order;
use crate::path::{Column, part};

/// Most columns of a list.
const MAX_COLUMNS: usize = 64;

impl Reader<'_> {
    pub(super) fn list(
        &mut self,
        name: &At<String>,
        list: &ListFile,
        sources: &Entries<SourceFile>,
    ) -> Option<List> {
        let known = self.parse(name, |text| part(text, "a list"));
        let title = self.title(list.title.as_ref());
        let note = self.note(list.note.as_ref());
        let source = self.from(&list.from, sources);
        let filter = self.expression(list.r#where.as_ref());
        let order = self.parse(&list.order, order::parse);
        let columns = self.columns(name, &list.columns);
        let known = known?;
        Some(List {
            title: title?.unwrap_or_else(|| words_of(&known)),
            name: known,
            note: note?,
            source: source?,
            filter: filter?,
            columns: columns?,
            order: order?,
            limit: self.number(list.limit.as_ref(), 25),
            cut: self.number(list.cut.as_ref(), 500),
        })
    }

    fn columns(&mut self, list: &At<String>, texts: &[At<String>]) -> Option<Vec<Column>> {
        if texts.is_empty() || texts.len() > MAX_COLUMNS {
            let span = texts.get(MAX_COLUMNS).map_or(&list.span, |text| &text.span).clone();
            let message = format!("this list has {} columns", texts.len());
            self.fail(
                &span,
                message,
                format!("Name 1 to {MAX_COLUMNS}, for example: columns = [\"id\", \"status\"]"),
            );
            return None;
        }
        let mut columns = Vec::new();
        let mut whole = true;
        for text in texts {
            match self.parse(text, Column::parse) {
                Some(column) if columns.contains(&column) => {
                    self.fail(
                        &text.span,
                        format!("the column {} is here twice", quoted(&text.value)),
                        "Keep one of them.",
                    );
                }
                Some(column) => columns.push(column),
                None => whole = false,
            }
        }
        whole.then_some(columns)
    }
}
