//! What a bundle has to say, found by the plainest statement for each figure: nothing here knows units, days or edges.

use board::definition::{Content, Counted, Declared, Figure, Groups, Measure, Recent, Rule, Shape};
use board::expression::{Expression, literal};
use board::window::Per;
use postgres::Transaction;
use serde_json::{Map, Value, json};

use super::scene::Scene;

/// Asks within one transaction, so at one moment and of one snapshot.
pub(super) struct Oracle<'a, 'b> {
    pub(super) scene: &'a Scene,
    pub(super) transaction: &'a mut Transaction<'b>,
    /// NULL: every row.
    pub(super) tenant: Option<String>,
    pub(super) include: bool,
}

/// Numbers as text: what they are exactly is for Postgres to say.
#[derive(Clone, Debug, Default)]
struct Number {
    n: i64,
    value: Option<String>,
}

impl Oracle<'_, '_> {
    /// The bundle, as JSON for `jsonb`.
    pub(super) fn bundle(&mut self) -> Value {
        let board = self.scene.board.clone();
        let Content::Declared(declared) = &board.content else { panic!("it counts") };
        let mut bundle = json!({ "lists": {} });
        let mut known: Vec<(String, String)> = Vec::new();
        for figure in &declared.figures {
            if let Rule::Counted(counted) = &figure.rule {
                self.figure(declared, figure, counted, &mut bundle, &mut known);
            }
        }
        for place in &declared.derived {
            let figure = &declared.figures[*place];
            let Rule::Derived(arithmetic) = &figure.rule else { panic!("it is derived") };
            let value = self.compute(&arithmetic.text(), &known);
            known.push((figure.path.to_string(), value.clone().unwrap_or_else(|| "NULL".to_owned())));
            put(&mut bundle, figure.path.parts(), number_json(value.as_deref()));
        }
        for list in &declared.lists {
            let conditions = self.conditions(declared, list.source, list.filter.as_ref(), &[]);
            let columns: Vec<String> = list
                .columns
                .iter()
                .map(|column| {
                    let name = column.sql();
                    format!(
                        "CASE WHEN pg_typeof({name}) IN ('text', 'varchar') THEN to_json(left({name}::text, {})) \
                         WHEN {name}::text IN ('NaN', 'Infinity', '-Infinity') AND pg_typeof({name}) IN ('numeric', 'double precision') THEN NULL \
                         WHEN pg_typeof({name}) = 'numeric'::regtype THEN to_json('number:' || {name}) ELSE to_json({name}) END AS {name}",
                        list.cut
                    )
                })
                .collect();
            let order: Vec<String> = list.order.iter().map(|order| order.sql(Some("r"))).collect();
            let sql = format!(
                "SELECT coalesce(json_agg(item ORDER BY place), '[]')::text
                 FROM (SELECT row_number() OVER (ORDER BY {}) AS place, {} FROM {} AS r WHERE {}) AS ranked,
                      LATERAL (SELECT {}) AS item
                 WHERE place <= {}",
                order.join(", "),
                columns.join(", "),
                declared[list.source].table.sql(),
                conditions,
                list.columns.iter().map(board::path::Column::sql).collect::<Vec<_>>().join(", "),
                list.limit
            );
            let text: String = self.one(&sql);
            bundle["lists"][&list.name] = serde_json::from_str(&text).unwrap();
        }
        bundle
    }

    fn one(&mut self, sql: &str) -> String {
        self.transaction.query_one(sql, &[]).unwrap_or_else(|error| panic!("{error:?}\n{sql}")).get(0)
    }

    fn conditions(
        &self,
        declared: &Declared,
        source: board::definition::SourceId,
        filter: Option<&Expression>,
        more: &[String],
    ) -> String {
        let source = &declared[source];
        let mut conditions = vec!["true".to_owned()];
        if let Some(tenant) = &self.tenant {
            conditions.push(format!("{}::text = {}", source.tenant.sql(), literal(tenant)));
        }
        if let (false, Some(out)) = (self.include, &source.leave_out) {
            conditions.push(format!("({}) IS NOT TRUE", out.sql(None)));
        }
        conditions.extend(filter.map(|filter| format!("({})", filter.sql(None))));
        conditions.extend(more.iter().cloned());
        conditions.join(" AND ")
    }

    fn measure(counted: &Counted) -> String {
        let finite = |of: &Expression| {
            let value = format!("({})::numeric", of.sql(None));
            format!("CASE WHEN {value}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN {value} END")
        };
        match &counted.measure {
            Measure::Count => "NULL::text".to_owned(),
            Measure::Sum(of) => format!("trim_scale(coalesce(sum({}), 0))::text", finite(of)),
            Measure::Average(of) => {
                format!("trim_scale(trim_scale(sum({0})) / nullif(count({0}), 0))::text", finite(of))
            }
        }
    }

    fn window(recent: Option<&Recent>, before: bool) -> Vec<String> {
        recent.map_or_else(Vec::new, |recent| {
            let moment = moment(&recent.at.sql());
            let (span, factor) = (recent.window.interval(), 1 + i32::from(before));
            let mut conditions = vec![format!("{moment} >= now() - {factor} * INTERVAL '{span}'")];
            if before {
                conditions.push(format!("{moment} < now() - INTERVAL '{span}'"));
            }
            conditions
        })
    }

    /// One number of the rows on which these hold.
    fn number(&mut self, declared: &Declared, counted: &Counted, more: &[String]) -> Number {
        let conditions = self.conditions(declared, counted.source, counted.filter.as_ref(), more);
        let sql = format!(
            "SELECT count(*), {} FROM {} WHERE {conditions}",
            Self::measure(counted),
            declared[counted.source].table.sql()
        );
        let row = self.transaction.query_one(&sql, &[]).unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        Number { n: row.get(0), value: row.get(1) }
    }

    /// Likewise for each text of an expression.
    fn by(
        &mut self,
        declared: &Declared,
        counted: &Counted,
        by: &str,
        more: &[String],
    ) -> Vec<(Option<String>, i64)> {
        let conditions = self.conditions(declared, counted.source, counted.filter.as_ref(), more);
        let sql = format!(
            "SELECT {by} AS name, count(*) FROM {} WHERE {conditions} GROUP BY 1",
            declared[counted.source].table.sql()
        );
        let rows = self.transaction.query(&sql, &[]).unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    fn figure(
        &mut self,
        declared: &Declared,
        figure: &Figure,
        counted: &Counted,
        bundle: &mut Value,
        known: &mut Vec<(String, String)>,
    ) {
        let window = Self::window(counted.shape.recent(), false);
        match &counted.shape {
            Shape::Number { recent, previous } => {
                let number = self.number(declared, counted, &window);
                let mut show = |path: &board::path::FigurePath, number: &Number| {
                    let text = single(counted, number);
                    known.push((path.to_string(), text.clone().unwrap_or_else(|| "NULL".to_owned())));
                    put(bundle, path.parts(), number_json(text.as_deref()));
                };
                show(&figure.path, &number);
                if let Some(previous) = previous {
                    let before = self.number(declared, counted, &Self::window(recent.as_ref(), true));
                    show(previous, &before);
                }
            }
            Shape::Steps { steps, .. } => {
                let column = format!("{}::text", steps.column.sql());
                let mut object = Map::new();
                let mut all = Vec::new();
                for step in &steps.steps {
                    let words = step.words.iter().map(|word| literal(word)).collect::<Vec<_>>().join(", ");
                    all.push(words.clone());
                    let more = [&window[..], &[format!("{column} IN ({words})")]].concat();
                    let number = self.number(declared, counted, &more);
                    object.insert(step.name.clone(), entry(counted, &number));
                }
                if let Some(other) = &steps.other {
                    let more =
                        [&window[..], &[format!("({column} IN ({})) IS NOT TRUE", all.join(", "))]].concat();
                    let number = self.number(declared, counted, &more);
                    object.insert(other.clone(), entry(counted, &number));
                }
                put(bundle, figure.path.parts(), Value::Object(object));
            }
            Shape::Groups { groups, .. } => {
                let names = self.ranked(declared, counted, groups, &window);
                let mut object = Map::new();
                for (name, condition) in names {
                    let number = self.number(declared, counted, &[&window[..], &[condition]].concat());
                    object.insert(name, entry(counted, &number));
                }
                put(bundle, figure.path.parts(), Value::Object(object));
            }
            Shape::Series(series) => {
                let zone = literal(series.zone.name());
                let date = self.is_date(declared, counted, &series.at);
                let local = if date {
                    series.at.sql()
                } else {
                    format!("({} AT TIME ZONE {zone})::date", moment(&series.at.sql()))
                };
                let per = series.per.name();
                let unit = match series.per {
                    Per::Day => "1 day",
                    Per::Week => "1 week",
                    Per::Month => "1 month",
                };
                let today = format!("date_trunc('{per}', (now() AT TIME ZONE {zone})::date::timestamp)");
                let first = format!("({today} - {} * INTERVAL '{unit}')::date", series.points - 1);
                let begins: String = self.one(&format!("SELECT {first}::text"));
                let in_point = |place: u32| {
                    format!(
                        "{local} >= ({first} + {place} * INTERVAL '{unit}')::date AND {local} < ({first} + {} * INTERVAL '{unit}')::date",
                        place + 1
                    )
                };
                let whole =
                    vec![format!("{local} >= {first} AND {local} < ({today} + INTERVAL '{unit}')::date")];
                let arrays = |oracle: &mut Self, more: &[String]| {
                    let (mut count, mut value) = (Vec::new(), Vec::new());
                    for place in 0..series.points {
                        let number = oracle.number(declared, counted, &[more, &[in_point(place)]].concat());
                        count.push(json!(number.n));
                        value.push(number_json(number.value.as_deref()));
                    }
                    let mut arrays = Map::new();
                    arrays.insert("count".to_owned(), Value::Array(count));
                    if !matches!(counted.measure, Measure::Count) {
                        arrays.insert("value".to_owned(), Value::Array(value));
                    }
                    arrays
                };
                let mut object = Map::new();
                object.insert("from".to_owned(), json!(begins));
                object.insert("per".to_owned(), json!(per));
                match &series.groups {
                    None => object.extend(arrays(self, &[])),
                    Some(groups) => {
                        let mut all = Map::new();
                        for (name, condition) in self.ranked(declared, counted, groups, &whole) {
                            all.insert(name, Value::Object(arrays(self, &[condition])));
                        }
                        object.insert("groups".to_owned(), Value::Object(all));
                    }
                }
                put(bundle, figure.path.parts(), Value::Object(object));
            }
        }
    }

    fn is_date(&mut self, declared: &Declared, counted: &Counted, at: &board::path::Column) -> bool {
        let table = declared[counted.source].table.sql();
        self.one(&format!("SELECT coalesce(max(pg_typeof({})::text), (SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = {}::regclass AND attname = {})) FROM {table}",
            at.sql(), literal(&table), literal(at.as_str()))) == "date"
    }

    /// The groups that are shown, each with a condition for its rows.
    fn ranked(
        &mut self,
        declared: &Declared,
        counted: &Counted,
        groups: &Groups,
        more: &[String],
    ) -> Vec<(String, String)> {
        let by = format!("left(({})::text, {})", groups.by.sql(None), groups.cut);
        let mut found = self.by(declared, counted, &by, more);
        let mut own: Vec<(String, i64)> = Vec::new();
        found.retain(|(name, n)| match name {
            Some(name) if *name != groups.other => {
                own.push((name.clone(), *n));
                false
            }
            _ => true,
        });
        own.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.as_bytes().cmp(b.0.as_bytes())));
        let rest = own.split_off(own.len().min(groups.most as usize));
        let names: Vec<String> = own.iter().map(|(name, _)| literal(name)).collect();
        let mut shown: Vec<(String, String)> =
            own.iter().map(|(name, _)| (name.clone(), format!("{by} = {}", literal(name)))).collect();
        if !found.is_empty() || !rest.is_empty() {
            let condition = if names.is_empty() {
                "true".to_owned()
            } else {
                format!("({by} IN ({})) IS NOT TRUE", names.join(", "))
            };
            shown.push((groups.other.clone(), condition));
        }
        shown
    }

    fn compute(&mut self, text: &str, known: &[(String, String)]) -> Option<String> {
        // Longer paths first, so that none is taken for a part of another.
        let mut known: Vec<&(String, String)> = known.iter().collect();
        known.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let mut sql = text.to_owned();
        for (place, (path, _)) in known.iter().enumerate() {
            sql = sql.replace(path.as_str(), &format!("v{place}"));
        }
        let values: Vec<String> = known
            .iter()
            .enumerate()
            .map(|(place, (_, value))| format!("({value})::numeric AS v{place}"))
            .collect();
        // An operator of this scene's own, which is NULL where it would divide by 0.
        let sql = sql.replace('/', "OPERATOR(public./)");
        let sql = format!("SELECT trim_scale({sql})::text FROM (SELECT {}) AS known", values.join(", "));
        self.transaction.query_one(&sql, &[]).unwrap_or_else(|error| panic!("{error:?}\n{sql}")).get(0)
    }
}

fn single(counted: &Counted, number: &Number) -> Option<String> {
    match counted.measure {
        Measure::Count => Some(number.n.to_string()),
        _ => number.value.clone(),
    }
}

fn entry(counted: &Counted, number: &Number) -> Value {
    match counted.measure {
        Measure::Count => json!(number.n),
        _ => json!({ "count": number.n, "value": number_json(number.value.as_deref()) }),
    }
}

/// A number that keeps its digits on the way to `jsonb`: see [`exact`].
fn number_json(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| json!(format!("number:{text}")))
}

/// The text of JSON in which numbers stand as they were found.
pub(super) fn exact(value: &Value) -> String {
    let mut rest = value.to_string();
    let mut text = String::new();
    while let Some(at) = rest.find("\"number:") {
        text.push_str(&rest[..at]);
        let after = rest.split_off(at + 8);
        let end = after.find('"').expect("a text ends");
        text.push_str(&after[..end]);
        rest = after[end + 1..].to_owned();
    }
    text + &rest
}

fn moment(column: &str) -> String {
    // Also of `timestamp` and `date`, which are UTC here: the session's zone is.
    format!("{column}::timestamptz")
}

fn put(bundle: &mut Value, path: &[String], value: Value) {
    let mut place = bundle;
    for part in path {
        place = &mut place[part.as_str()];
    }
    *place = value;
}
