//! Holds what counters say against what the tables say, in one snapshot, byte for byte; and what versions say of two
//! snapshots against their bundles.

use std::collections::BTreeMap;
use std::time::SystemTime;

use fastrand::Rng;
use harness::Postgres;
use postgres::{Client, IsolationLevel, Transaction};
use serde_json::Value as Json;

use super::journal::Journal;
use super::values::{ALL_TENANTS, ASKED, COLLIDING};
use crate::figures::{EMPTY, ONE, OTHER};

/// Of so many earlier states of each tenant is remembered what they looked like.
const REMEMBERED: usize = 12;

const ONE_BY_ONE: &str = "
    SELECT tenant, include, dashboard.bundle(tenant, include)::text, dashboard.bundle_from_tables(tenant, include)::text
    FROM unnest($1::text[]) AS tenant, unnest(ARRAY[true, false]) AS include";

/// A table that is truncated is empty even in older snapshots; those of its changes are what counters go by. Taken
/// before the snapshot is.
const KEEP_TRUNCATE_OUT: &str =
    "LOCK TABLE contacts, accounts, leads, opportunities, activities IN ACCESS SHARE MODE";

/// Column lists take the place of the marks; the order of rows is part of the answer.
const TOGETHER: &str = "
    SELECT ours.tenant, ours.version, ours.answer, theirs.answer, dashboard.version(ours.tenant)
    FROM (SELECT row_number() OVER () AS place, r.tenant, r.version, ROW(@columns@)::text AS answer
          FROM dashboard.bundles($1) AS r) AS ours
    FULL JOIN (SELECT row_number() OVER () AS place, ROW(@columns@)::text AS answer
               FROM dashboard.bundles_from_tables($1) AS r) AS theirs USING (place)";

/// Whether time alone has changed a figure of the tenant since `$2`.
const LEFT_THE_WINDOW: &str = "
    SELECT EXISTS (SELECT FROM (SELECT tenant_id, created_date FROM leads
                                UNION ALL SELECT tenant_id, created_date FROM activities) AS r
                   WHERE $1 IN ('SUPERADMIN_GLOBAL', tenant_id::text)
                     AND created_date >= $2::timestamptz - interval '30 days'
                     AND created_date < now() - interval '30 days')";

/// A tenant at some moment.
struct Seen {
    version: String,
    /// With and without test data.
    bundles: Bundles,
    at: SystemTime,
}

type Bundles = [Option<String>; 2];

pub(super) struct Comparator<'a> {
    client: Client,
    rng: Rng,
    journal: &'a Journal,
    seen: BTreeMap<&'static str, Vec<Seen>>,
    together: String,
}

impl<'a> Comparator<'a> {
    pub(super) fn new(postgres: &Postgres, rng: Rng, journal: &'a Journal) -> Self {
        let mut client = postgres.client();
        client.batch_execute("SET timezone = 'UTC'").expect("the zone is set");
        let columns: String = client
            .query_one(
                "SELECT string_agg('r.' || quote_ident(name), ', ')
                 FROM pg_proc, unnest(proargnames, proargmodes) AS argument(name, mode)
                 WHERE pg_proc.oid = 'dashboard.bundles_from_tables(text[])'::regprocedure
                   AND mode = 't' AND name <> 'version'",
                &[],
            )
            .expect("the columns of dashboard.bundles_from_tables")
            .get(0);
        let together = TOGETHER.replace("@columns@", &columns);
        Self { client, rng, journal, seen: BTreeMap::new(), together }
    }

    /// Compares everything in one snapshot; `Err` says what differs.
    pub(super) fn compare(&mut self) -> Result<(), String> {
        let transaction = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let mut snapshot = Snapshot { transaction: transaction.read_only(true).start().map_err(said)? };
        snapshot.transaction.batch_execute(KEEP_TRUNCATE_OUT).map_err(said)?;
        // Some of them, and always all together: asking for everybody takes so long that little is written meanwhile.
        let mut asked = ASKED;
        self.rng.shuffle(&mut asked);
        let mut asked = asked[..self.rng.usize(2..=4)].to_vec();
        asked.retain(|tenant| *tenant != ALL_TENANTS);
        asked.push(ALL_TENANTS);
        let bundles = snapshot.one_by_one(&asked)?;
        if self.rng.u8(0..4) == 0 {
            asked = vec![ALL_TENANTS];
        }
        // That one's lists come inside its bundle: the same in another form.
        asked.retain(|tenant| *tenant != COLLIDING);
        for (tenant, version) in snapshot.together(&self.together, &asked)? {
            let earlier = self.seen.entry(tenant).or_default();
            snapshot.hold_against(tenant, &version, &bundles[tenant], earlier, self.journal)?;
        }
        self.journal.count("comparisons");
        snapshot.transaction.commit().map_err(said)
    }
}

/// One REPEATABLE READ transaction.
struct Snapshot<'a> {
    transaction: Transaction<'a>,
}

impl Snapshot<'_> {
    fn one_by_one(&mut self, asked: &[&str]) -> Result<BTreeMap<&'static str, Bundles>, String> {
        let mut bundles: BTreeMap<&'static str, Bundles> = BTreeMap::new();
        for row in self.transaction.query(ONE_BY_ONE, &[&asked]).map_err(said)? {
            let (tenant, include): (&str, bool) = (row.get(0), row.get(1));
            let (ours, theirs): (Option<String>, Option<String>) = (row.get(2), row.get(3));
            if ours != theirs {
                let how = difference(ours.as_deref(), theirs.as_deref());
                return Err(format!("bundle({tenant}, {include}): {how}"));
            }
            bundles.entry(known(tenant)).or_default()[usize::from(!include)] = ours;
        }
        Ok(bundles)
    }

    /// Gives the version of each of these that has one.
    fn together(&mut self, sql: &str, asked: &[&str]) -> Result<Vec<(&'static str, String)>, String> {
        let mut versions = Vec::new();
        let rows = self.transaction.query(sql, &[&asked]).map_err(said)?;
        if rows.len() != asked.len() {
            return Err(format!("bundles({asked:?}): {} rows", rows.len()));
        }
        for row in rows {
            let (ours, theirs): (Option<String>, Option<String>) = (row.get(2), row.get(3));
            if ours.is_none() || ours != theirs {
                return Err(format!("bundles({asked:?}): {ours:?}, tables say {theirs:?}"));
            }
            let tenant = known(row.get(0));
            let (version, alone): (Option<String>, Option<String>) = (row.get(1), row.get(4));
            // All together are only by themselves computed as one of many.
            let alone_or_none = version.is_none() && ![ONE, OTHER, EMPTY].contains(&tenant);
            if version != alone && !alone_or_none {
                return Err(format!("version({tenant}) is {alone:?}, among others {version:?}"));
            }
            versions.extend(alone.map(|version| (tenant, version)));
        }
        Ok(versions)
    }

    /// The same version means the same rows; and what has not changed is the same.
    fn hold_against(
        &mut self,
        tenant: &'static str,
        version: &str,
        bundles: &Bundles,
        earlier: &mut Vec<Seen>,
        journal: &Journal,
    ) -> Result<(), String> {
        let opaque = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
        if !(1..=128).contains(&version.len()) || !version.chars().all(opaque) {
            return Err(format!("version({tenant}) is {version:?}"));
        }
        let versions: Vec<&str> = earlier.iter().map(|seen| seen.version.as_str()).collect();
        let unchanged: Vec<Option<bool>> = self
            .transaction
            .query_one("SELECT dashboard.unchanged($1, $2)", &[&vec![tenant; versions.len()], &versions])
            .map_err(said)?
            .get(0);
        for (seen, unchanged) in earlier.iter().zip(unchanged) {
            let same = seen.bundles == *bundles;
            let what = || {
                let which = usize::from(seen.bundles[0] == bundles[0]);
                let how = difference(seen.bundles[which].as_deref(), bundles[which].as_deref());
                format!("{tenant}, version {} at {:?}, now {version}, and {how}", seen.version, seen.at)
            };
            match unchanged {
                Some(true) if !same => return Err(format!("unchanged is said of {}", what())),
                Some(true) => journal.count("unchanged bundles"),
                Some(false) => {}
                None => return Err(format!("NULL is said of {}", what())),
            }
            if rows_of(&seen.version) == rows_of(version) && !same {
                let left: bool =
                    self.transaction.query_one(LEFT_THE_WINDOW, &[&tenant, &seen.at]).map_err(said)?.get(0);
                if !left {
                    return Err(format!("the same version of two states of {}", what()));
                }
                journal.count("changes by time alone");
            }
        }
        if earlier.iter().all(|seen| rows_of(&seen.version) != rows_of(version)) {
            let at = self.transaction.query_one("SELECT now()", &[]).map_err(said)?.get(0);
            earlier.push(Seen { version: version.to_owned(), bundles: bundles.clone(), at });
            if earlier.len() > REMEMBERED {
                earlier.remove(0);
            }
        }
        Ok(())
    }
}

/// What a version says of the rows; the rest says when.
fn rows_of(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(rows, _)| rows)
}

fn known(tenant: &str) -> &'static str {
    ASKED.iter().find(|name| **name == tenant).expect("an answer is one of those asked for")
}

fn said(error: postgres::Error) -> String {
    format!("{error:?}")
}

/// Where two bundles differ, and how.
fn difference(ours: Option<&str>, theirs: Option<&str>) -> String {
    let read = |text: Option<&str>| text.map_or(Json::Null, |text| serde_json::from_str(text).expect("JSON"));
    let mut lines = Vec::new();
    differ("", &read(ours), &read(theirs), &mut lines);
    if lines.is_empty() {
        return format!("other bytes: {ours:?}, not {theirs:?}");
    }
    lines.truncate(12);
    lines.join("; ")
}

fn differ(path: &str, ours: &Json, theirs: &Json, lines: &mut Vec<String>) {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let of =
                    |object: &serde_json::Map<String, Json>| object.get(name).cloned().unwrap_or_default();
                differ(&format!("{path}/{name}"), &of(a), &of(b), lines);
            }
        }
        _ if ours == theirs => {}
        _ => lines.push(format!("{path} is {ours}, not {theirs}")),
    }
}
