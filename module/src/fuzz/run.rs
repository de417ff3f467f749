//! Each check under `cargo test`: first with the whole corpus, then for `FUZZ_SECONDS` (3) with inputs made
//! from it.

use super::mutate::Stock;
use super::{answers, arguments, endpoints, stored, stream};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TARGETS: [&str; 5] = ["answers", "arguments", "endpoints", "stored", "stream"];

#[test]
fn arguments_are_read_as_documented_or_refused_in_one_line() {
    fuzz("arguments", arguments::check);
}

#[test]
fn an_answer_is_taken_only_by_whom_it_names_and_unchanged() {
    fuzz("answers", answers::check);
}

#[test]
fn a_stream_lands_each_order_once_however_it_is_cut() {
    fuzz("stream", stream::check);
}

#[test]
fn a_stored_value_is_read_only_as_what_it_is() {
    fuzz("stored", stored::check);
}

#[test]
fn an_accepted_endpoint_can_be_written_back() {
    fuzz("endpoints", endpoints::check);
}

#[test]
fn every_target_has_a_corpus_and_a_program_for_cargo_fuzz() {
    for (of, name_of) in [("corpus", ""), ("fuzz_targets", ".rs")] {
        let mut found: Vec<String> =
            files(&home().join(of)).iter().map(|path| name(path).replace(name_of, "")).collect();
        found.sort_unstable();
        assert_eq!(found, TARGETS, "in {of}");
    }
}

fn fuzz(target: &str, check: fn(&[u8])) {
    let (mut inputs, mut failed) = (Vec::new(), Vec::new());
    for path in files(&home().join("corpus").join(target)) {
        let input = std::fs::read(&path).unwrap();
        if catch_unwind(|| check(&input)).is_err() {
            failed.push(name(&path));
        }
        inputs.push(input);
    }
    assert!(!inputs.is_empty(), "no corpus for {target}");
    assert!(failed.is_empty(), "the property does not hold for corpus/{target}: {failed:?}");

    let stock = Stock::new(inputs);
    let seconds = number("FUZZ_SECONDS").unwrap_or(3);
    let first = number("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    let until = Instant::now() + Duration::from_secs(seconds);
    for seed in (0..).map(|n| first.wrapping_add(n)) {
        let input = stock.input(&mut fastrand::Rng::with_seed(seed));
        if catch_unwind(|| check(&input)).is_err() {
            let find = home().join("artifacts").join(target).join(format!("seed-{seed}"));
            std::fs::create_dir_all(find.parent().unwrap()).unwrap();
            std::fs::write(&find, &input).unwrap();
            panic!(
                "the property does not hold for {}; again: FUZZ_SEED={seed} cargo test --package dashboard-module {target}",
                find.display()
            );
        }
        if Instant::now() >= until {
            println!("{target}: {} inputs from seed {first}", seed.wrapping_sub(first) + 1);
            break;
        }
    }
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // A seed means the same input wherever the corpus is the same.
    files.sort_unstable();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok()?;
    Some(given.parse().unwrap_or_else(|e| panic!("{variable}={given}: {e}")))
}
