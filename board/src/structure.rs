//! Whether a file has the tables, keys and types of a definition: every key is known, every value has its type,
//! nothing is missing. It goes by the schema that editors get, so both say the same.

use crate::error::{File, Found, nearest, quoted};
use crate::schema;
use serde_json::Value;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Everything that is wrong with the structure of a file.
pub(crate) fn check(file: File<'_>, table: &Spanned<DeTable<'_>>) -> Found {
    let mut check = Check { file, found: Found::default() };
    // The file as a whole has no better place than its beginning.
    check.table(schema::get(), table.get_ref(), 0..0, "");
    check.found
}

struct Check<'a> {
    file: File<'a>,
    found: Found,
}

impl Check<'_> {
    fn fail(&mut self, span: Range<usize>, message: String, remedy: String) {
        let file = self.file;
        self.found.add(|| file.error(span, message, remedy));
    }

    /// `key` is what the value stands under.
    fn value(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, key: &str) {
        let span = value.span();
        let outer = resolved(schema);
        let chosen = outer["anyOf"].as_array().map_or(Some(outer), |choices| {
            choices.iter().map(resolved).find(|choice| fits(choice, value.get_ref()))
        });
        match chosen {
            Some(schema) if fits(schema, value.get_ref()) => self.fitting(schema, value, key),
            _ => {
                let expected = kind(outer);
                let found = found(value.get_ref());
                let remedy = match example(outer) {
                    Some(example) => format!("Write {expected}, for example: {key} = {example}"),
                    None => format!("Write {expected}."),
                };
                self.fail(span, format!("`{key}` is {found}, not {expected}"), remedy);
            }
        }
    }

    fn fitting(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, key: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(schema, table, value.span(), key),
            DeValue::Array(items) => {
                for item in items {
                    self.value(&schema["items"], item, key);
                }
            }
            DeValue::String(text) => {
                let Some(words) = schema["enum"].as_array() else { return };
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                if !words.contains(&text.as_ref()) {
                    let list = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
                    self.fail(
                        value.span(),
                        format!("`{key}` cannot be {}", quoted(text)),
                        format!("Write one of {list}."),
                    );
                }
            }
            DeValue::Integer(number) => {
                let bounds = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
                let (Some(least), Some(most)) = bounds else { return };
                let known = number.as_str().parse::<i64>().ok();
                if !known.is_some_and(|known| (least..=most).contains(&known)) {
                    let digits = quoted(number.as_str());
                    self.fail(
                        value.span(),
                        format!("`{key}` is out of bounds: {digits}"),
                        format!("Write a whole number from {least} to {most}."),
                    );
                }
            }
            _ => {}
        }
    }

    fn table(&mut self, schema: &Value, table: &DeTable<'_>, span: Range<usize>, key: &str) {
        let Some(properties) = schema["properties"].as_object() else {
            // Its keys are the writer's own.
            for (name, value) in table {
                if self.found.is_full() {
                    return;
                }
                if key == "figures" && is_group(resolved(&schema["additionalProperties"]), value.get_ref()) {
                    let name = name.get_ref();
                    self.fail(
                        table_key(table, name),
                        format!("{} is a table of tables, not a figure", quoted(name)),
                        "A path is one key in quotes, for example: \"stats.open\" = { from = \"deals\" }"
                            .to_owned(),
                    );
                    continue;
                }
                self.value(&schema["additionalProperties"], value, &shown(name.get_ref()));
            }
            return;
        };
        let what = schema["title"].as_str().unwrap_or("this table");
        for (name, value) in table {
            if self.found.is_full() {
                return;
            }
            match properties.get(name.get_ref().as_ref()) {
                Some(property) => self.value(property, value, name.get_ref()),
                None => {
                    let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
                    let remedy = match nearest(name.get_ref(), keys.iter().copied()) {
                        Some(meant) => format!("Did you mean `{meant}`?"),
                        None => {
                            let mut keys = keys;
                            keys.sort_unstable();
                            format!(
                                "Remove it, or move it to its table. The keys here are {}.",
                                keys.join(", ")
                            )
                        }
                    };
                    self.fail(name.span(), format!("{what} has no key {}", quoted(name.get_ref())), remedy);
                }
            }
        }
        for name in keys(&schema["required"]).into_iter().filter(|name| !table.contains_key(*name)) {
            let example = properties.get(name).and_then(|property| example(resolved(property)));
            let remedy = match example {
                Some(example) => format!("Add it, for example: {name} = {example}"),
                None => format!(
                    "Add [{name}] with {}.",
                    keys(&resolved(&properties[name])["required"]).join(" and ")
                ),
            };
            self.fail(span.clone(), format!("{what} needs `{name}`"), remedy);
        }
    }
}

/// A list of keys in the schema.
fn keys(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Where a key stands.
fn table_key(table: &DeTable<'_>, name: &str) -> Range<usize> {
    table.get_key_value(name).map_or(0..0, |(key, _)| key.span())
}

/// A key as it is called in a message.
fn shown(key: &str) -> String {
    let quoted = quoted(key);
    quoted.trim_matches('`').to_owned()
}

/// `stats.open = { ... }` without quotes makes a table `stats` with tables in it, under names that no figure has as
/// keys.
fn is_group(figure: &Value, value: &DeValue<'_>) -> bool {
    value.as_table().is_some_and(|table| {
        let mut entries = table.iter();
        !table.is_empty()
            && entries.all(|(name, value)| {
                value.get_ref().is_table() && figure["properties"][name.get_ref().as_ref()].is_null()
            })
    })
}

/// The schema, or what it refers to.
pub(crate) fn resolved(schema: &Value) -> &Value {
    let name = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    match name.and_then(|name| name.rsplit('/').next()) {
        Some(name) => &schema::get()["definitions"][name],
        None => schema,
    }
}

fn fits(schema: &Value, value: &DeValue<'_>) -> bool {
    matches!(
        (schema["type"].as_str(), value),
        (Some("string"), DeValue::String(_))
            | (Some("integer"), DeValue::Integer(_))
            | (Some("boolean"), DeValue::Boolean(_))
            | (Some("array"), DeValue::Array(_))
            | (Some("object"), DeValue::Table(_))
    )
}

/// What a value should be, in words.
pub(crate) fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(|choice| kind(resolved(choice))).collect::<Vec<_>>().join(" or ");
    }
    let kind = match schema["type"].as_str() {
        Some("string") => "a text in quotes",
        Some("integer") => "a whole number",
        Some("boolean") => "true or false",
        Some("array") => "a list in brackets",
        _ => "a table",
    };
    kind.to_owned()
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The first example, as TOML.
pub(crate) fn example(schema: &Value) -> Option<String> {
    schema["examples"].get(0).map(toml)
}

fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        // Numbers, texts and truth values are written as in JSON.
        plain => plain.to_string(),
    }
}
