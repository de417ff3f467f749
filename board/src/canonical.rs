//! One form for all definitions that mean the same, and its hash: by it a sidecar knows whether a board has changed.
//!
//! It is made from the checked board, so blanks, comments, the order of keys and of tables, defaults that are written
//! out, and the spelling of expressions do not matter. The order of figures, lists, columns and steps does: bundles
//! and the page have it.

use crate::definition::{
    Active, Board, Content, Counted, Declared, Follow, Groups, List, Measure, Recent, Rule, Shape, Source,
    SourceId, Whose,
};
use crate::expression::Expression;
use crate::order::Order;
use crate::path::{Column, Table};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// Of this form. Another one gives every board another hash, and so applies every board anew.
const FORMAT: u32 = 1;

/// The canonical form: JSON on one line, members in alphabetical order.
pub fn canonical(board: &Board) -> String {
    let mut text = String::new();
    write(&value(board), &mut text);
    text
}

/// The hash of the canonical form: 32 hexadecimal digits.
pub fn hash(board: &Board) -> String {
    digest(&canonical(board))
}

/// A hash of what a figure counts, wherever it stands and whatever it is called: while it stays the same, its
/// counters do.
pub fn counting_hash(declared: &Declared, counted: &Counted) -> String {
    let mut text = String::new();
    write(&json!([FORMAT, source(&declared[counted.source]), rule(counted)]), &mut text);
    digest(&text)
}

fn digest(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

fn value(board: &Board) -> Value {
    let tenants = &board.tenants;
    let mut follow: Vec<Value> = board.follow.iter().map(followed).collect();
    follow.sort_by_cached_key(Value::to_string);
    json!({
        "format": FORMAT,
        "board": board.name.as_str(),
        "title": board.title,
        "note": board.note,
        "tenants": {
            "table": table(&tenants.table),
            "key": tenants.key.as_str(),
            "name": tenants.name.as_ref().map(Column::as_str),
            "slug": tenants.slug.as_ref().map(Column::as_str),
            "active": match &tenants.active {
                Active::All => Value::Null,
                Active::Where(condition) => json!(condition.sql(None)),
                Active::WhereKnown(conditions) => conditions.iter().map(|condition| condition.sql(None)).collect(),
            },
            "all": tenants.all.as_ref().map(|name| name.as_str()),
        },
        "follow": follow,
        "content": match &board.content {
            Content::Declared(declared) => of_declared(declared),
            Content::Query(query) => json!({
                "sql": query.statement,
                "at_most_every_s": query.at_most_every.as_secs(),
            }),
        },
    })
}

fn of_declared(declared: &Declared) -> Value {
    let named = |id: SourceId| declared[id].name.as_str();
    let sources: serde_json::Map<String, Value> =
        declared.sources.iter().map(|own| (own.name.clone(), source(own))).collect();
    let figures: Vec<Value> = declared
        .figures
        .iter()
        .map(|figure| {
            json!({
                "path": figure.path.to_string(),
                "title": figure.title,
                "note": figure.note,
                "unit": figure.unit.name(),
                "rule": match &figure.rule {
                    Rule::Counted(counted) => json!({ "from": named(counted.source), "counts": rule(counted) }),
                    Rule::Derived(arithmetic) => json!({ "value": arithmetic.text() }),
                },
                "previous": match figure.counted().map(|counted| &counted.shape) {
                    Some(Shape::Number { previous: Some(path), .. }) => json!(path.to_string()),
                    _ => Value::Null,
                },
            })
        })
        .collect();
    let lists: Vec<Value> = declared.lists.iter().map(|list| of_list(named(list.source), list)).collect();
    json!({ "sources": sources, "figures": figures, "lists": lists })
}

fn of_list(from: &str, list: &List) -> Value {
    json!({
        "name": list.name,
        "title": list.title,
        "note": list.note,
        "from": from,
        "where": sql(list.filter.as_ref()),
        "columns": list.columns.iter().map(Column::as_str).collect::<Vec<_>>(),
        "order": list.order.iter().map(|order: &Order| order.sql(None)).collect::<Vec<_>>(),
        "limit": list.limit,
        "cut": list.cut,
    })
}

/// A source without its name, which nothing outside of the definition knows.
fn source(source: &Source) -> Value {
    json!({
        "table": table(&source.table),
        "tenant": source.tenant.as_str(),
        "leave_out": sql(source.leave_out.as_ref()),
    })
}

fn rule(counted: &Counted) -> Value {
    let measure = match &counted.measure {
        Measure::Count => Value::Null,
        Measure::Sum(of) => json!({ "sum": of.sql(None) }),
        Measure::Average(of) => json!({ "avg": of.sql(None) }),
    };
    let shape = match &counted.shape {
        // Whether there is a period before is part of what is counted; where it stands is not.
        Shape::Number { previous, .. } => json!({ "number": { "compare": previous.is_some() } }),
        Shape::Groups { groups, .. } => json!({ "groups": of_groups(groups) }),
        Shape::Steps { steps, .. } => {
            let of_steps: Vec<Value> = steps
                .steps
                .iter()
                .map(|step| {
                    let mut words = step.words.clone();
                    words.sort_unstable();
                    json!([step.name, words])
                })
                .collect();
            json!({ "steps": { "column": steps.column.as_str(), "steps": of_steps, "other": steps.other } })
        }
        Shape::Series(series) => json!({ "series": {
            "per": series.per.name(),
            "points": series.points,
            "zone": series.zone.name(),
            "at": series.at.as_str(),
            "groups": series.groups.as_ref().map(of_groups),
        } }),
    };
    json!({
        "where": sql(counted.filter.as_ref()),
        "measure": measure,
        "shape": shape,
        "recent": counted.shape.recent().map(|Recent { window, at, .. }| json!([window.interval(), at.as_str()])),
    })
}

fn of_groups(groups: &Groups) -> Value {
    json!({ "by": groups.by.sql(None), "most": groups.most, "other": groups.other, "cut": groups.cut })
}

fn followed(follow: &Follow) -> Value {
    let whose = match &follow.whose {
        Whose::Everybody => Value::Null,
        Whose::Column(column) => json!([column.as_str()]),
        Whose::Through { column, table: through, key, tenant } => {
            json!([column.as_str(), table(through), key.as_str(), tenant.as_str()])
        }
    };
    json!([table(&follow.table), whose])
}

fn table(table: &Table) -> Value {
    json!([table.schema, table.name])
}

fn sql(expression: Option<&Expression>) -> Value {
    expression.map_or(Value::Null, |expression| json!(expression.sql(None)))
}

/// JSON with sorted members. How serde_json orders them depends on what other crates of a build ask of it.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (number, (name, member)) in members.into_iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::read;

    const ONE: &str = r#"
board = "deals"
[tenants]
table = "accounts"
key = "id"
[sources.deals]
tenant = "account_id"
at = "created_at"
[figures]
"stats.new" = { from = "deals", where = "stage = 'new'", last = "30 days" }
"stats.stages" = { from = "deals", column = "stage", steps = { open = ["new", "open"], won = ["won"] } }
[[follow]]
table = "a"
[[follow]]
table = "b"
tenant = "account_id"
"#;

    /// The same, but for what does not matter.
    const SAME: &str = r#"
# Deals.
follow = [{ table = "b", tenant = "account_id" }, "a"]
title = "Deals"
board = "deals"
[figures."stats.new"]
last = "30 day"
where = "STAGE='new'"
from = "deals"
unit = "number"
title = "New"
[figures."stats.stages"]
from = 'deals'
steps.open = ["open", "new"]
steps.won = ["won"]
column = "stage"
[sources.deals]
at = "created_at"
table = "deals"
tenant = "account_id"
[tenants]
key = "id"
table = "accounts"
"#;

    fn board(text: &str) -> Board {
        read("a.toml", text.as_bytes(), &|_| Err("not here".to_owned()))
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn definitions_that_mean_the_same_have_the_same_form() {
        assert_eq!(canonical(&board(ONE)), canonical(&board(SAME)));
    }

    #[test]
    fn the_hash_is_the_same_in_every_release_until_the_format_changes() {
        assert_eq!(hash(&board(ONE)), "c4bed1ad90d7ec697079fed03d0f6b32");
    }

    #[test]
    fn whatever_is_shown_is_part_of_the_form() {
        let one = hash(&board(ONE));
        for (from, to) in [
            ("'new'", "'newer'"),
            ("30 days", "31 days"),
            ("account_id", "tenant_id"),
            ("stats.new", "stats.newer"),
            ("open = [\"new\", \"open\"], won = [\"won\"]", "won = [\"won\"], open = [\"new\", \"open\"]"),
            ("last = \"30 days\"", "last = \"30 days\", title = \"X\""),
            ("table = \"b\"", "table = \"c\""),
        ] {
            assert_ne!(hash(&board(&ONE.replace(from, to))), one, "{to}");
        }
    }

    #[test]
    fn a_figure_that_is_only_renamed_counts_the_same() {
        let counting = |board: &Board| {
            let Content::Declared(declared) = &board.content else { panic!() };
            counting_hash(declared, declared.figures[0].counted().unwrap())
        };
        let one = counting(&board(ONE));
        assert_eq!(counting(&board(&ONE.replace("stats.new", "other.newest").replace("deals", "sales"))), {
            counting(&board(&ONE.replace("deals", "sales")))
        });
        assert_eq!(counting(&board(&ONE.replace("stats.new", "other.newest"))), one);
        assert_ne!(counting(&board(&ONE.replace("30 days", "31 days"))), one);
        assert_ne!(counting(&board(&ONE.replace("account_id", "x"))), one);
    }
}
