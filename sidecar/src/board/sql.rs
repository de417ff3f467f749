//! What `board plan --sql` prints: all that boards create, in the order in which it can be run.

use std::fmt::Write as _;

use compiler::{Catalogue, Fault, attach, bundle, fan_out, indexes, triggers};

use super::files::Defined;
use super::look::Database;
use super::{Compiled, needed, report};

const HEAD: &str = "-- What these boards create: in the schema dashboard, which must have what all boards share, and on the tables that they follow.
-- It can be run again, but for the triggers.";

/// The statements, with a comment before each part. ASCII.
pub(super) fn text(
    compiled: &[(&Defined, Compiled<'_>)],
    catalogue: &Catalogue,
    database: &Database,
) -> Result<String, Fault> {
    let mut text = HEAD.to_owned();
    part(
        &mut text,
        "What a delta counts for, and what the tables say.",
        &[
            fan_out::cells_function(catalogue),
            fan_out::units_function(catalogue),
            fan_out::tally_function(catalogue, &tenant_types(compiled, catalogue)),
        ],
    );
    for (definition, board) in compiled {
        let functions = match board {
            Compiled::Counted(plan) => bundle::functions(plan, catalogue)?,
            Compiled::Own(plan) => plan.functions(),
        };
        part(&mut text, &format!("The board {}.", definition.board.name), &functions);
    }
    for (place, feed) in catalogue.feeds.iter().enumerate() {
        let mut statements = triggers::functions(feed, place + 1);
        statements.extend(attach::triggers(feed, place + 1, database.partitions(&feed.table)));
        part(&mut text, &format!("Feed {}: {}.", place + 1, feed.table), &statements);
    }
    let needed = needed(compiled, database);
    let missing = indexes::missing(&needed, &database.indexes);
    if !missing.is_empty() {
        text.push_str("\n\n-- Missing indexes. Each is a statement of its own, outside of any transaction, so that writers go on:");
        for index in missing {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n-- {};", report::create(index, database));
        }
    }
    Ok(text)
}

fn part(text: &mut String, what: &str, statements: &[String]) {
    let _ = write!(text, "\n\n-- {what}");
    for statement in statements {
        let _ = write!(text, "\n\n{statement};");
    }
}

/// The type of each feed's tenant column, of whichever board counts it.
fn tenant_types(compiled: &[(&Defined, Compiled<'_>)], catalogue: &Catalogue) -> Vec<String> {
    let mut types = vec!["text".to_owned(); catalogue.feeds.len()];
    for (_, board) in compiled {
        let Compiled::Counted(plan) = board else { continue };
        for (known, own) in types.iter_mut().zip(plan.tenant_types(catalogue)) {
            if own != "text" {
                *known = own;
            }
        }
    }
    types
}
