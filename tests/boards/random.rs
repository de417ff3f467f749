//! Definitions and transactions by chance.

use std::fmt::Write as _;

use fastrand::Rng;

/// An operator for the oracle's own arithmetic: NULL where it would divide by 0.
pub(super) const QUOTIENT: &str = "
    CREATE FUNCTION public.quotient(numeric, numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$SELECT $1 / nullif($2, 0)$$;
    CREATE OPERATOR public./ (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = public.quotient);
";

/// Two tables of some application, with columns of every kind that counts.
pub(super) const TABLES: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE deals (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account_id bigint, stage text, source varchar(40), amount numeric,
        price double precision, score integer, at timestamptz, seen timestamp, due date, is_test boolean, note text);
    CREATE INDEX ON deals (account_id, at);
    CREATE TABLE calls (
        id uuid DEFAULT gen_random_uuid() PRIMARY KEY, owner text, kind char(8), seconds integer, at timestamp, hidden boolean);
    INSERT INTO accounts SELECT n, 'Account ' || n FROM generate_series(1, 4) AS n;
";

pub(super) fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(0..of.len())]
}

/// A board of figures of every shape over these tables.
pub(super) fn definition(rng: &mut Rng) -> String {
    let mut text = String::from(
        "board = \"chance\"\n[tenants]\ntable = \"accounts\"\nkey = \"id\"\nname = \"name\"\nall = \"EVERYBODY\"\n[sources.deals]\ntenant = \"account_id\"\nat = \"at\"\n",
    );
    if rng.u8(..) < 200 {
        text.push_str("leave_out = \"is_test\"\n");
    }
    text.push_str("[sources.calls]\ntenant = \"owner\"\nat = \"at\"\n");
    if rng.u8(..) < 128 {
        text.push_str("leave_out = \"hidden\"\n");
    }
    text.push_str("[figures]\n");
    let figures = rng.usize(4..12);
    let mut single: Vec<String> = Vec::new();
    for number in 0..figures {
        let path = format!("stats.f{number}");
        let is_deals = rng.u8(..) < 180;
        let mut figure = format!("from = \"{}\"", if is_deals { "deals" } else { "calls" });
        if rng.u8(..) < 150 {
            let condition = if is_deals {
                pick(
                    rng,
                    &[
                        "stage in ('won', 'closed')",
                        "stage not in ('won', 'lost')",
                        "score > 3",
                        "amount is null",
                        "source = 'web' or source is null",
                        "price > 1.5 and not is_test",
                        "lower(stage) = 'won'",
                    ],
                )
            } else {
                pick(rng, &["kind = 'in'", "seconds > 30", "kind <> 'out' or hidden"])
            };
            let _ = write!(figure, ", where = \"{condition}\"");
        }
        let measure = rng.u8(0..10);
        if measure < 4 {
            let of = if is_deals {
                pick(rng, &["amount", "price", "score", "amount * score"])
            } else {
                pick(rng, &["seconds", "seconds / 7.0"])
            };
            let _ = write!(figure, ", {} = \"{of}\"", if measure < 2 { "sum" } else { "avg" });
        }
        let at = if is_deals && rng.bool() { pick(rng, &["at", "seen", "due"]) } else { "at" };
        let zone = pick(rng, &["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"]);
        let (per, points) =
            [("day", rng.u32(2..20)), ("week", rng.u32(2..6)), ("month", rng.u32(2..5))][rng.usize(0..3)];
        let by = if is_deals {
            pick(rng, &["source", "stage", "score", "nullif(source, '')"])
        } else {
            pick(rng, &["kind", "hidden"])
        };
        let groups = format!(
            ", by = \"{by}\", most = {}, cut = {}, other = \"{}\"",
            rng.u8(1..5),
            pick(rng, &["1", "3", "200"]),
            pick(rng, &["other", "web"])
        );
        let recent = format!(
            ", last = \"{}\", at = \"{at}\"",
            pick(
                rng,
                &["30 days", "7 days", "1 day", "2 weeks", "1 month", "2 months", "24 hours", "36 hours"]
            )
        );
        match rng.u8(0..6) {
            0 => single.push(path.clone()),
            1 => {
                single.push(path.clone());
                figure.push_str(&recent);
                if rng.u8(..) < 180 {
                    figure.push_str(", compare = true");
                    single.push(format!("{path}Previous"));
                }
            }
            2 => {
                figure.push_str(&groups);
                if rng.u8(..) < 100 {
                    figure.push_str(&recent);
                }
            }
            3 if is_deals => {
                figure.push_str(", column = \"stage\", steps = { open = [\"new\", \"open\"], won = [\"won\", \"closed\"], lost = [\"lost\"] }");
                if rng.bool() {
                    figure.push_str(", other = \"rest\"");
                }
                if rng.u8(..) < 100 {
                    figure.push_str(&recent);
                }
            }
            _ => {
                let _ = write!(
                    figure,
                    ", per = \"{per}\", last = \"{points} {per}s\", at = \"{at}\", zone = \"{zone}\""
                );
                if rng.u8(..) < 100 {
                    figure.push_str(&groups);
                }
            }
        }
        let _ = writeln!(text, "\"{path}\" = {{ {figure} }}");
    }
    if let [first, .., last] = single.as_slice() {
        let _ = writeln!(text, "\"derived.share\" = {{ value = \"{first} / ({first} + {last}) - 1\" }}");
        let _ = writeln!(text, "\"derived.twice\" = {{ value = \"derived.share * 2\" }}");
    }
    text.push_str(
        "[lists.recent]\nfrom = \"deals\"\ncolumns = [\"id\", \"stage\", \"amount\", \"price\", \"at\", \"due\", \"note\"]\norder = \"at desc nulls last, id desc\"\nlimit = 5\ncut = 3\n",
    );
    if rng.bool() {
        text.push_str("where = \"stage <> 'lost'\"\n");
    }
    text
}

/// A moment near where something changes, as SQL.
fn moment(rng: &mut Rng) -> String {
    let base = pick(
        rng,
        &[
            "now()",
            "now() - interval '1 day'",
            "now() - interval '2 days'",
            "now() - interval '24 hours'",
            "now() - interval '36 hours'",
            "now() - interval '72 hours'",
            "now() - interval '7 days'",
            "now() - interval '14 days'",
            "now() - interval '28 days'",
            "now() - interval '30 days'",
            "now() - interval '60 days'",
            "now() - interval '1 month'",
            "now() - interval '2 months'",
            "now() - interval '4 months'",
            "date_trunc('day', now())",
            "date_trunc('month', now())",
            "date_trunc('week', now())",
            "date_trunc('day', now() - interval '30 days')",
            "date_trunc('hour', now() - interval '7 days')",
            "date_trunc('hour', now() - interval '14 days')",
            "date_trunc('hour', now() - interval '30 days')",
            "date_trunc('day', now() - interval '7 days') + random() * interval '1 day'",
            "date_trunc('day', now() - interval '14 days') + random() * interval '1 day'",
            "date_trunc('day', now() - interval '60 days')",
            "date_trunc('day', now() - interval '7 days')",
            "date_trunc('day', now() at time zone 'Europe/Berlin') at time zone 'Europe/Berlin'",
            "now() - random() * interval '70 days'",
            "now() - random() * interval '3 days'",
        ],
    );
    let off = pick(
        rng,
        &[
            "0",
            "1 microsecond",
            "-1 microsecond",
            "2 seconds",
            "-1 second",
            "1 hour",
            "-1 hour",
            "23 hours",
            "1 day",
            "-13 hours",
        ],
    );
    match rng.u8(..) {
        0..12 => "NULL".to_owned(),
        12..16 => "'infinity'".to_owned(),
        16..20 => "'-infinity'".to_owned(),
        _ => format!("{base} + interval '{off}'"),
    }
}

fn deal(rng: &mut Rng) -> [(&'static str, String); 11] {
    [
        ("account_id", pick(rng, &["1", "2", "3", "1", "1", "NULL", "9"]).to_owned()),
        (
            "stage",
            pick(rng, &["'new'", "'open'", "'won'", "'closed'", "'lost'", "'Won'", "''", "NULL"]).to_owned(),
        ),
        (
            "source",
            pick(
                rng,
                &[
                    "'web'",
                    "'phone'",
                    "'fair'",
                    "'fairs'",
                    "'a'",
                    "'b'",
                    "'other'",
                    "''",
                    "NULL",
                    "'caf\u{e9}'",
                ],
            )
            .to_owned(),
        ),
        (
            "amount",
            pick(rng, &["1", "2.50", "-3.10", "0.001", "100000000000000000000.25", "'NaN'", "NULL", "0"])
                .to_owned(),
        ),
        ("price", pick(rng, &["1.5", "0.1", "1e300", "'Infinity'", "'NaN'", "NULL", "-2"]).to_owned()),
        ("score", pick(rng, &["1", "2", "3", "4", "5", "NULL"]).to_owned()),
        ("at", moment(rng)),
        ("seen", format!("({})::timestamptz at time zone 'UTC'", moment(rng))),
        ("due", format!("(({})::timestamptz at time zone 'UTC')::date", moment(rng))),
        ("is_test", pick(rng, &["true", "false", "false", "NULL"]).to_owned()),
        ("note", pick(rng, &["'abcdef'", "'ab'", "NULL", "'\u{e9}\u{e9}\u{e9}\u{e9}'"]).to_owned()),
    ]
}

fn call(rng: &mut Rng) -> [(&'static str, String); 5] {
    [
        ("owner", pick(rng, &["'1'", "'2'", "'3'", "NULL", "'x y'"]).to_owned()),
        ("kind", pick(rng, &["'in'", "'out'", "'missed'", "NULL"]).to_owned()),
        ("seconds", pick(rng, &["10", "40", "70", "NULL"]).to_owned()),
        ("at", format!("({})::timestamptz at time zone 'UTC'", moment(rng))),
        ("hidden", pick(rng, &["true", "false", "NULL"]).to_owned()),
    ]
}

/// A statement of a writer.
pub(super) fn statement(rng: &mut Rng) -> String {
    let is_deals = rng.u8(..) < 180;
    let table = if is_deals { "deals" } else { "calls" };
    let row = |rng: &mut Rng| -> Vec<(&'static str, String)> {
        if is_deals { deal(rng).to_vec() } else { call(rng).to_vec() }
    };
    let some = |rng: &mut Rng| {
        let share = pick(rng, &["0.05", "0.2", "0.5"]);
        format!("ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE random() < {share}))")
    };
    match rng.u8(0..20) {
        0..11 => {
            let rows: Vec<String> = (0..rng.usize(1..8))
                .map(|_| {
                    format!(
                        "({})",
                        row(rng).into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(", ")
                    )
                })
                .collect();
            let names: Vec<&str> = row(rng).into_iter().map(|(name, _)| name).collect();
            format!("INSERT INTO {table} ({}) VALUES {}", names.join(", "), rows.join(", "))
        }
        11..16 => {
            let mut changed = row(rng);
            rng.shuffle(&mut changed);
            changed.truncate(rng.usize(1..4));
            let set: Vec<String> =
                changed.into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("UPDATE {table} SET {} WHERE {}", set.join(", "), some(rng))
        }
        16..19 => format!("DELETE FROM {table} WHERE {}", some(rng)),
        _ if rng.u8(..) < 160 => format!("TRUNCATE {table}"),
        _ => format!("DELETE FROM {table} WHERE false"),
    }
}
