//! The JSON Schema of a definition, for editors that complete and check TOML, and for this crate's own check.

use crate::file::BoardFile;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, transform_subschemas};
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft07()
        .with_transform(RecursiveTransform(without_null))
        .with_transform(in_one_line);
    settings.into_generator().into_root_schema_for::<BoardFile>().to_value()
});

/// The JSON Schema (draft 7, which editors of TOML know) of a definition.
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The same, to be looked at.
pub(crate) fn get() -> &'static Value {
    &SCHEMA
}

/// TOML has no null: what is optional is left out.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            schema.insert(key, value);
        }
    }
}

/// Descriptions have the line breaks of this crate's source, paragraphs and tables apart.
fn in_one_line(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let mut joined = String::new();
        for line in description.lines() {
            let apart =
                line.is_empty() || line.starts_with('|') || joined.ends_with('\n') || joined.is_empty();
            match (apart, line.is_empty()) {
                (true, true) => joined.push_str("\n\n"),
                (true, false) => joined.push_str(line),
                (false, _) => {
                    joined.push(' ');
                    joined.push_str(line);
                }
            }
            if line.starts_with('|') {
                joined.push('\n');
            }
        }
        *description = joined;
    }
    transform_subschemas(&mut in_one_line, schema);
}
