//! Definitions, good and bad, as a person writes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

mod cases;
mod properties;
mod shipped;

use board::Board;
use board::error::Errors;
use board::read::{MAX_FILE, read};

/// What most cases begin with.
const HEAD: &str = r#"board = "b"
[tenants]
table = "accounts"
key = "id"
[sources.deals]
tenant = "account_id"
at = "created_at"
"#;

fn read_alone(bytes: &[u8]) -> Result<Board, Errors> {
    read("b.toml", bytes, &|_| Err("there is no such file".to_owned()))
}

fn refusal(bytes: &[u8]) -> String {
    match read_alone(bytes) {
        Ok(board) => format!("this is a board: {board:?}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn each_kind_of_bad_input_is_told_with_its_place_and_the_remedy() {
    let without_time = HEAD.replace("at = \"created_at\"\n", "");
    for (what, text, message) in cases::CASES {
        let text = text.replace("{head}", HEAD).replace("{head without a time}", &without_time);
        assert_eq!(refusal(text.as_bytes()), message.trim_start_matches('\n'), "{what}");
    }
}

#[test]
fn a_file_that_is_too_large_is_not_parsed() {
    let mut text = HEAD.as_bytes().to_vec();
    text.resize(10_000_000, b'[');
    assert_eq!(
        refusal(&text),
        "b.toml:1:1: this file has 10000000 bytes\n 1 | board = \"b\"\n   | ^\n   \
         = A definition has at most 262144. Is this the right file? If so, make several boards of it."
    );
    text.truncate(MAX_FILE);
    assert!(refusal(&text).starts_with("b.toml:8:"));
}

#[test]
fn a_file_in_another_encoding_is_told_where_it_begins_to_be_one() {
    assert_eq!(
        refusal(b"board = \"b\"\ntitle = \"\xfcber\"\n"),
        "b.toml:2:10: this is not UTF-8\n 2 | title = \"\n   |          ^\n   = Save the file as UTF-8."
    );
}

#[test]
fn a_mistake_in_a_statement_is_shown_in_its_own_file() {
    let text = "board = \"mrr\"\nsql = \"mrr.sql\"\nat_most_every = \"1 h\"\nfollow = [\"a\"]\n[tenants]\ntable = \"t\"\nkey = \"id\"\n";
    let errors =
        read("mrr.toml", text.as_bytes(), &|_| Ok("select 1\nfrom a; drop table a".to_owned())).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "mrr.sql:2:9: this is a second statement\n 2 | from a; drop table a\n   |         ^\n   \
         = Write one SELECT. WITH can hold several steps."
    );
}

#[test]
fn line_ends_of_windows_and_a_mark_of_utf8_do_no_harm() {
    let text =
        format!("\u{feff}{HEAD}[figures]\n\"stats.open\" = {{ from = \"deals\" }}\n").replace('\n', "\r\n");
    assert!(read_alone(text.as_bytes()).is_ok(), "{}", refusal(text.as_bytes()));
    let wrong = text.replace("from = \"deals\"", "from = \"deal\"");
    assert!(
        refusal(wrong.as_bytes()).starts_with("b.toml:9:25: there is no source `deal`\n 9 | \"stats.open\"")
    );
}

#[test]
fn a_file_at_its_largest_that_is_full_of_mistakes_gets_one_page_of_them() {
    let filled = |head: &str, line: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > MAX_FILE {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    let figures = format!("{HEAD}[figures]\n");
    for (text, errors) in [
        (filled(HEAD, &|number| format!("key{number} = 1\n")), 50),
        (filled(&figures, &|number| format!("\"a{number}\" = {{}}\n")), 1),
        // Each computes with the next one.
        (filled(&figures, &|number| format!("a{number} = {{ value = \"a{}\" }}\n", number + 1)), 1),
        (
            filled(
                &format!(
                    "{figures}\"a\" = {{ value = \"1\" }}\n[lists.b]\nfrom = \"deals\"\norder = \"id\"\ncolumns = [\n"
                ),
                &|_| "\"\",".to_owned(),
            ) + "]",
            1,
        ),
        (filled("active = [\n", &|_| "[".to_owned()), 1),
    ] {
        assert_eq!(
            read_alone(&text.as_bytes()[..text.len().min(MAX_FILE)]).unwrap_err().iter().count(),
            errors
        );
    }
}
