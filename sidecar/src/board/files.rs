//! Reads definitions, and the statements beside them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ::board::{Board, read};

/// The most of a file that is read. The definition's own bound is far below, and its message says how large the file is.
const MOST: u64 = 16 * 1024 * 1024;

/// A board, and the file that it is from, as it was named.
pub(super) struct Defined {
    pub(super) file: String,
    pub(super) board: Board,
}

/// Reads all of them.
///
/// # Errors
/// What is wrong, of all files.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Defined>, Vec<String>> {
    let mut defined: Vec<Defined> = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        let file = path.display().to_string();
        let board = match bytes(path) {
            Ok(bytes) => {
                let beside = |name: &str| statement(&path.with_file_name(name));
                read::read(&file, &bytes, &beside).map_err(|errors| errors.to_string())
            }
            Err(error) => {
                Err(format!("{file}: this file cannot be read: {error}; name a file with a definition"))
            }
        };
        match board {
            Ok(board) => match defined.iter().find(|other| other.board.name == board.name) {
                Some(other) => problems.push(format!(
                    "{file}: {} defines the board {}, too; give one of them another name",
                    other.file, board.name
                )),
                None => defined.push(Defined { file, board }),
            },
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(defined) } else { Err(problems) }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A statement's file, or why there is none.
fn statement(path: &Path) -> Result<String, String> {
    let bytes = bytes(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
