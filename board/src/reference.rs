//! The reference of the definition: a page of Markdown, made from the same types and words as the schema.

use crate::schema;
use crate::structure::{example, kind, resolved};
use serde_json::Value;
use std::fmt::Write;

/// The tables of a definition in the order in which one reads about them: heading, name in the schema.
const TABLES: [(&str, &str); 6] = [
    ("The board", ""),
    ("`[tenants]`", "TenantsFile"),
    ("`[sources.NAME]`", "SourceFile"),
    ("`[figures]`: `\"PATH\" = { ... }`", "FigureFile"),
    ("`[lists.NAME]`", "ListFile"),
    ("`follow`", "FollowFile"),
];

/// The reference as Markdown.
pub fn reference() -> String {
    let schema = schema::get();
    let mut page = String::from(
        "# Reference: the definition of a board\n\n\
         A definition is a file in TOML. Expressions are SQL over one row of a table: columns, constants, operators, CASE and functions; no sub-query, \
         no aggregate, nothing that depends on time or chance.\n",
    );
    for (heading, name) in TABLES {
        let table = if name.is_empty() { schema } else { &schema["definitions"][name] };
        // Writing into a String cannot fail.
        let _ = write!(
            page,
            "\n## {heading}\n\n{}\n",
            table["description"].as_str().unwrap_or_default().trim_end()
        );
        let required: Vec<&str> =
            table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        page.push_str("\n| key | takes | meaning |\n|---|---|---|\n");
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            let need = if required.contains(&key.as_str()) { ", required" } else { "" };
            let takes = kind(resolved(property));
            let description =
                property["description"].as_str().unwrap_or_default().replace("\n\n", " ").replace('|', "\\|");
            let example = example(property)
                .map_or_else(String::new, |example| format!(" Example: `{key} = {example}`"));
            let _ = writeln!(page, "| `{key}` | {takes}{need} | {description}{example} |");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_explains_every_key_with_an_example() {
        let page = reference();
        for (_, name) in TABLES {
            let table = if name.is_empty() { schema::get() } else { &schema::get()["definitions"][name] };
            let properties = table["properties"].as_object().unwrap();
            for (key, property) in properties {
                assert!(property["description"].as_str().is_some_and(|text| text.len() > 10), "{name}.{key}");
                let is_table = property["additionalProperties"].is_object() || key == "tenants";
                assert!(is_table || example(property).is_some(), "{name}.{key} has no example");
                assert!(page.contains(&format!("| `{key}` | ")), "{key}");
            }
        }
        assert!(page.is_ascii());
    }

    #[test]
    fn the_schema_refuses_unknown_keys_everywhere_and_knows_no_null() {
        let text = schema::get().to_string();
        assert!(!text.contains("\"null\""), "{text}");
        for (_, table) in schema::get()["definitions"].as_object().unwrap() {
            assert_eq!(table["additionalProperties"], Value::Bool(false), "{table}");
        }
    }
}
