//! Whose the functions of the schema `dashboard` are: this project's, in one of the texts that its migrations have
//! given them, or somebody's own, for a CRM under other names.

use std::fmt;

use ring::digest::{SHA256, digest};

use super::Plan;
use super::crm::Table;
use crate::pg::Queries;

/// A function that a migration makes and that somebody may replace.
struct Ours {
    /// As Postgres names it, without the schema.
    signature: &'static str,
    made_by: i32,
    /// Whether that migration replaces one that is there before.
    replaces: bool,
    /// The later migration that gives ours another text, and what only that has in it.
    remade: Option<(i32, &'static str)>,
    /// SHA-256 of the first text, as [`in_template`] puts it.
    text: &'static str,
}

const OURS: [Ours; 5] = [
    Ours {
        signature: "bundle(text, boolean)",
        made_by: 2,
        replaces: true,
        remade: Some((6, "RETURN dashboard.bundle_from_tables(tenant, include_test_data);")),
        text: "a7ced26a2c2ec7a791374a06af05658b5b84dd6a4f130fa1d9640470c28e62e5",
    },
    Ours {
        signature: "active_tenants()",
        made_by: 2,
        replaces: true,
        remade: None,
        text: "9809fcf19d63ace82102eac5c4969bfcce92434d8cb155d89871d4a01dff2771",
    },
    Ours {
        signature: "cron_job_table()",
        made_by: 3,
        replaces: true,
        remade: None,
        text: "9b51dd341196a42c3474b545e6c541fc8493eacb407d38d1de5b10879b37e22d",
    },
    Ours {
        signature: "bundles(text[])",
        made_by: 4,
        replaces: false,
        remade: Some((6, "FROM dashboard.bundles_from_tables(tenants) AS made;")),
        text: "e6a4eddb0522fb109f96721128aed31a87034c23cc0da44ff88768abe46b2a01",
    },
    Ours {
        signature: "tenants(text, text, integer)",
        made_by: 5,
        replaces: true,
        remade: None,
        text: "3ca0801c269476eea565e7043667cbd5bb5a0f14958c91b04091508215de01c1",
    },
];

/// What stands in a text of ours before the SHA-256 of another.
const FINGERPRINT: &str = "'hex') <> '";

/// A function of somebody's own, and what `migrate` would do to it.
#[derive(Debug)]
pub(super) struct Foreign {
    signature: &'static str,
    replaced: bool,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = self.signature;
        if self.replaced {
            write!(f, "would replace dashboard.{signature}, which is not this project's")
        } else {
            write!(f, "would leave dashboard.{signature} alone, which is not this project's")
        }
    }
}

/// Those that exist and are not ours.
pub(super) fn not_ours(client: &mut impl Queries, plan: &Plan) -> Result<Vec<Foreign>, postgres::Error> {
    let mut foreign = Vec::new();
    for Ours { signature, made_by, replaces, remade, text } in OURS {
        let source = client.query_opt(
            "SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure('dashboard.' || $1)",
            &[&signature],
        )?;
        let Some(source) = source else { continue };
        let source: String = source.try_get(0)?;
        let is_ours = remade.is_some_and(|(_, mark)| source.contains(mark))
            || hex(digest(&SHA256, in_template(&source, &plan.tables).as_bytes()).as_ref()) == text;
        if !is_ours {
            foreign.push(Foreign { signature, replaced: replaces && plan.is_pending(made_by) });
        }
    }
    Ok(foreign)
}

/// Those that a pending migration would replace and the role does not own, each with its owner.
pub(super) fn out_of_hand(
    client: &mut impl Queries,
    plan: &Plan,
) -> Result<Vec<(String, String)>, postgres::Error> {
    let mut found = Vec::new();
    for Ours { signature, made_by, replaces, remade, .. } in OURS {
        let foreign = plan.functions.iter().find(|foreign| foreign.signature == signature);
        let is_replaced = match foreign {
            Some(foreign) => foreign.replaced,
            None => replaces && plan.is_pending(made_by) || remade.is_some_and(|(by, _)| plan.is_pending(by)),
        };
        if !is_replaced {
            continue;
        }
        let owner = client.query_opt(
            "SELECT quote_ident(pg_get_userbyid(proowner)) FROM pg_proc
             WHERE oid = to_regprocedure('dashboard.' || $1) AND NOT pg_has_role(proowner, 'USAGE')",
            &[&signature],
        )?;
        if let Some(owner) = owner {
            found.push((format!("dashboard.{signature}"), owner.try_get(0)?));
        }
    }
    Ok(found)
}

/// A function's text with the names of the templates in place of what a migration has put in for them: names of tables,
/// what a CRM's columns demand, and what another function's text was.
fn in_template(source: &str, tables: &[Table]) -> String {
    let mut text = source.to_owned();
    for table in tables {
        if let Some(found) = &table.found {
            text = text.replace(&found.qualified, &format!("@{}@", table.name));
        }
    }
    for column in ["t.name::text", "t.tenant_id::text"] {
        text = text.replace(column, "NULL::text");
    }
    // The two columns that may say who is active, in either order, or neither.
    for condition in ["COALESCE(status::text, 'active') = 'active'", "COALESCE(is_active, true)"] {
        text = text.replace(&format!(" AND {condition}"), "").replace(condition, "true");
    }
    // A member of a list that leaves as JSON, as its column's type demands.
    let mut parts = text.split("to_json(own.");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |text, part| text + "own." + &part.replacen(')', "", 1));
    match text.split_once(FINGERPRINT) {
        Some((before, after)) => {
            format!("{before}{FINGERPRINT}{}", after.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
        }
        None => text,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
