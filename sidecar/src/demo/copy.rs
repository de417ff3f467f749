//! Rows on their way into `COPY … FROM STDIN` in its text format: fields parted by tabs, NULL as `\N`.
//! Knows the format and bounds the memory; what the rows mean is the caller's business.

use std::fmt::{Display, Write as _};

use chrono::{DateTime, Utc};

use super::error::Error;
use crate::pg::{CopyIn, Transaction};

/// How much is gathered before it goes to the socket, in bytes.
const BATCH: usize = 64 * 1024;

/// One table's COPY.
pub(super) struct Copy<'a> {
    table: &'static str,
    writer: CopyIn<'a>,
    lines: Lines,
    rows: u64,
}

impl<'a> Copy<'a> {
    /// Starts a COPY into the named columns.
    pub(super) fn start(
        transaction: &'a mut Transaction<'_>,
        table: &'static str,
        columns: &str,
    ) -> Result<Self, Error> {
        let writer = transaction
            .copy_in(&format!("COPY {table} ({columns}) FROM STDIN"))
            .map_err(|source| Error::database("starting to copy rows", source))?;
        Ok(Self { table, writer, lines: Lines::default(), rows: 0 })
    }

    /// Writes one row: as many fields as the COPY has columns.
    pub(super) fn row(&mut self, fields: impl FnOnce(&mut Lines)) -> Result<(), Error> {
        fields(&mut self.lines);
        self.lines.end();
        self.rows += 1;
        if self.lines.text.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Ends the COPY and says how many rows it brought.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        self.flush()?;
        self.writer.finish().map_err(|source| Error::database("copying rows", source))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.writer.write(self.lines.text.as_bytes()).map_err(|source| Error::copy(self.table, source))?;
        self.lines.text.clear();
        Ok(())
    }
}

/// Lines in the text format.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
    /// Whether the line has a field already.
    begun: bool,
}

impl Lines {
    /// A text, or NULL.
    pub(super) fn text<'t>(&mut self, value: impl Into<Option<&'t str>>) -> &mut Self {
        self.separate();
        match value.into() {
            None => self.text.push_str("\\N"),
            Some(value) => {
                for c in value.chars() {
                    match c {
                        '\\' => self.text.push_str("\\\\"),
                        '\t' => self.text.push_str("\\t"),
                        '\n' => self.text.push_str("\\n"),
                        '\r' => self.text.push_str("\\r"),
                        c => self.text.push(c),
                    }
                }
            }
        }
        self
    }

    /// A number or flag, or NULL: anything whose text has nothing to escape.
    pub(super) fn plain(&mut self, value: Option<impl Display>) -> &mut Self {
        self.separate();
        match value {
            None => self.text.push_str("\\N"),
            // Writing to a String cannot fail.
            Some(value) => drop(write!(self.text, "{value}")),
        }
        self
    }

    /// A moment, or NULL.
    pub(super) fn moment(&mut self, value: Option<DateTime<Utc>>) -> &mut Self {
        self.plain(value.map(|moment| moment.format("%Y-%m-%d %H:%M:%S%.6f+00")))
    }

    fn separate(&mut self) {
        if self.begun {
            self.text.push('\t');
        }
        self.begun = true;
    }

    fn end(&mut self) {
        self.text.push('\n');
        self.begun = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_parted_and_escaped() {
        let mut lines = Lines::default();
        lines
            .text("a\tb\\c\nd")
            .text(None)
            .text("")
            .plain(Some(1.5))
            .plain(None::<bool>)
            .moment(DateTime::from_timestamp(0, 0));
        lines.end();
        lines.text("next");
        assert_eq!(lines.text, "a\\tb\\\\c\\nd\t\\N\t\t1.5\t\\N\t1970-01-01 00:00:00.000000+00\nnext");
    }
}
