//! What `board plan` prints for a person.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use compiler::{Catalogue, indexes, report};

use super::files::Defined;
use super::look::Database;
use super::trying::Tried;
use super::{Compiled, needed};

/// The report on boards that fit.
pub(super) fn text(
    compiled: &[(&Defined, Compiled<'_>)],
    tried: &[Tried],
    catalogue: &Catalogue,
    database: &Database,
) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    for ((definition, board), tried) in compiled.iter().zip(tried) {
        of_board(&mut text, definition, board, tried);
    }
    let _ = writeln!(text, "Triggers\n\n{}\n", triggers(catalogue, database));
    let _ = writeln!(text, "{DELTAS}");
    let _ = writeln!(text, "\n{}", missing_indexes(compiled, database));
    let obstacles: Vec<&String> =
        database.obstacles.iter().chain(tried.iter().flat_map(|tried| &tried.obstacles)).collect();
    if obstacles.is_empty() {
        let _ = write!(text, "The role {} may do all of this.", database.role);
    } else {
        let _ = writeln!(text, "The role {} may not", database.role);
        for obstacle in obstacles {
            let _ = write!(text, "\n- {obstacle}");
        }
    }
    text
}

/// What the number of deltas leaves out.
const DELTAS: &str = "Equal rows of one statement share a delta. An UPDATE that changes what is counted of a row appends one more.";

fn of_board(text: &mut String, definition: &Defined, board: &Compiled<'_>, tried: &Tried) {
    let report = match board {
        Compiled::Counted(plan) => report::of_plan(plan),
        Compiled::Own(plan) => report::of_query(plan),
    };
    let name = &definition.board.name;
    let mut table = plain(["part", "read from", "why"]);
    for line in &report.lines {
        table.add_row([line.part.as_str(), line.cost.name(), line.why.as_str()]);
    }
    let _ =
        writeln!(text, "{name}: {} ({})\n\n{}\n", definition.board.title, definition.file, table.trim_fmt());
    if let (Some(bytes), Some((part, of))) = (report.largest, report.largest_part) {
        let _ = writeln!(text, "The largest bundle has {bytes} bytes, of which {of} are {part}.");
    }
    for note in &tried.notes {
        let _ = writeln!(text, "{note}");
    }
    text.push('\n');
}

fn triggers(catalogue: &Catalogue, database: &Database) -> String {
    let mut table = plain(["table", "fire", "deltas a changed row"]);
    for followed in report::followed(catalogue) {
        let fire = match database.partitions(&followed.table) {
            None => "once a statement".to_owned(),
            Some(partitions) => format!("for each row, as it has partitions ({})", partitions.len()),
        };
        table.add_row([followed.table, fire, followed.feeds.len().to_string()]);
    }
    table.trim_fmt()
}

fn missing_indexes(compiled: &[(&Defined, Compiled<'_>)], database: &Database) -> String {
    let needed = needed(compiled, database);
    let missing = indexes::missing(&needed, &database.indexes);
    if missing.is_empty() {
        return "All indexes that are needed are there.\n".to_owned();
    }
    let mut text = "Missing indexes\n".to_owned();
    for index in missing {
        let _ = write!(text, "\n{};\n    {}\n", create(index, database), index.reason);
    }
    text
}

/// The statement that creates an index, as far as its table allows it without keeping writers waiting.
pub(super) fn create(index: &indexes::Index, database: &Database) -> String {
    match database.partitions(&index.table) {
        None => index.create(),
        Some(_) => index.create_on_partitioned(),
    }
}

fn plain(header: [&str; 3]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}
