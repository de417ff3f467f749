//! Writing SQL that people read.

/// A function's body between dollar signs that do not occur in it.
pub(crate) fn quoted(text: &str) -> String {
    let mut tag = "$function$".to_owned();
    for number in 1.. {
        if !text.contains(&tag) {
            break;
        }
        tag = format!("$function{number}$");
    }
    format!("{tag}{text}{tag}")
}

/// The lines after the first, moved to the right.
pub(crate) fn indent(text: &str, by: usize) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(by)))
}
