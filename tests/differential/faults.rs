//! The faults that are planted: what counters get wrong where somebody has not thought of everything.

use super::planted::{Fault, Plant};
use super::tables::Variant;

/// Most show with one connection, in the tables as V1 makes them.
const ALONE: Fault = Fault { name: "", variant: Variant::Plain, only: None, race: false, plants: &[] };

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "an UPDATE is not counted",
        only: Some("contacts"),
        plants: &[
            Plant::Text(
                "count_contacts",
                "1 AS n, (NULL::numeric) AS amount FROM new_rows AS r\n ",
                "0 AS n, (NULL::numeric) AS amount FROM new_rows AS r WHERE false\n ",
            ),
            Plant::Text(
                "count_contacts",
                "-1, -(NULL::numeric) FROM old_rows AS r",
                "-1, -(NULL::numeric) FROM old_rows AS r WHERE false",
            ),
        ],
        ..ALONE
    },
    Fault {
        name: "a DELETE counts up",
        only: Some("accounts"),
        plants: &[Plant::Text("count_accounts", "-1 AS n", "1 AS n")],
        ..ALONE
    },
    Fault {
        name: "no stage is an open stage",
        only: Some("opportunities"),
        plants: &[Plant::Text(
            "count_opportunities",
            "WHEN r.stage IS NULL THEN 0",
            "WHEN r.stage IS NULL THEN 9",
        )],
        ..ALONE
    },
    Fault {
        name: "no status is an open status",
        only: Some("leads"),
        plants: &[Plant::Text(
            "count_leads",
            "COALESCE(r.status NOT IN ('converted', 'lost'), false)",
            "COALESCE(r.status NOT IN ('converted', 'lost'), true)",
        )],
        ..ALONE
    },
    Fault {
        name: "a table has no trigger for TRUNCATE",
        only: Some("leads"),
        plants: &[Plant::Statement("DROP TRIGGER dashboard_count_truncate ON leads")],
        ..ALONE
    },
    Fault {
        name: "TRUNCATE counts nothing",
        only: Some("activities"),
        plants: &[Plant::Text("count_truncated_activities", "-count(*)", "0")],
        ..ALONE
    },
    Fault {
        name: "a partition has no triggers",
        only: Some("activities"),
        variant: Variant::Grown,
        plants: &[Plant::Statement("ALTER TABLE activities_c DISABLE TRIGGER dashboard_count_row")],
        ..ALONE
    },
    Fault {
        name: "a row of a partition that changes is not counted",
        only: Some("activities"),
        variant: Variant::Grown,
        plants: &[Plant::Text(
            "count_row_activities",
            "(SELECT OLD.*) AS r) AS changed",
            "(SELECT NEW.*) AS r) AS changed",
        )],
        ..ALONE
    },
    Fault {
        name: "an heir that is truncated is not counted",
        only: Some("contacts"),
        variant: Variant::Grown,
        plants: &[Plant::Statement("DROP TRIGGER dashboard_count_truncate ON contacts_archive")],
        ..ALONE
    },
    Fault {
        name: "the day at the window's edge counts twice",
        only: Some("activities"),
        plants: &[Plant::Text("bundle", "slot > this.edge_slot", "slot >= this.edge_slot")],
        ..ALONE
    },
    Fault {
        name: "the day at the window's edge does not count",
        only: Some("activities"),
        plants: &[Plant::Text(
            "bundle",
            "created_date < this.edge_ends",
            "created_date < this.window_begins",
        )],
        ..ALONE
    },
    Fault {
        name: "days are those of another zone",
        only: Some("activities"),
        plants: &[Plant::Text(
            "count_activities",
            "AT TIME ZONE 'UTC')::date",
            "AT TIME ZONE 'Pacific/Kiritimati')::date",
        )],
        ..ALONE
    },
    Fault {
        name: "infinity is no day",
        only: Some("activities"),
        plants: &[Plant::Text(
            "count_activities",
            "CASE WHEN r.created_date IS NOT NULL",
            "CASE WHEN isfinite(r.created_date)",
        )],
        ..ALONE
    },
    Fault {
        name: "who moves counts where it comes to, and stays where it was",
        only: Some("contacts"),
        plants: &[Plant::Text(
            "count_contacts",
            "-1, -(NULL::numeric) FROM old_rows AS r",
            "-1, -(NULL::numeric) FROM old_rows AS r WHERE r.tenant_id IN (SELECT tenant_id FROM new_rows)",
        )],
        ..ALONE
    },
    Fault {
        name: "rows without a tenant do not count for all together",
        plants: &[Plant::Text(
            "compact",
            "FROM part\n        WHERE NOT EXISTS",
            "FROM part\n        WHERE tenant_id IS NOT NULL AND NOT EXISTS",
        )],
        ..ALONE
    },
    Fault {
        name: "a flip of is_test_data is not seen",
        only: Some("accounts"),
        plants: &[Plant::Text("count_accounts", "COALESCE(r.is_test_data, false) AS test", "false AS test")],
        ..ALONE
    },
    Fault {
        name: "a new amount is not added",
        only: Some("opportunities"),
        plants: &[Plant::Text(
            "count_opportunities",
            "(CASE WHEN r.amount - r.amount = 0 THEN r.amount::numeric END) AS amount FROM new_rows AS r\n ",
            "(SELECT CASE WHEN o.amount - o.amount = 0 THEN o.amount END FROM old_rows AS o WHERE o.id = r.id) AS amount FROM new_rows AS r\n ",
        )],
        ..ALONE
    },
    Fault {
        name: "NaN is an amount",
        only: Some("opportunities"),
        plants: &[Plant::Text(
            "count_opportunities",
            "CASE WHEN r.amount - r.amount = 0 THEN r.amount::numeric END",
            "r.amount",
        )],
        ..ALONE
    },
    Fault {
        name: "an empty source is one of its own",
        only: Some("leads"),
        plants: &[Plant::Text(
            "count_leads",
            "COALESCE(NULLIF(r.source, ''), 'other')",
            "COALESCE(r.source, 'other')",
        )],
        ..ALONE
    },
    Fault {
        name: "what has not been merged is not read",
        plants: &[Plant::Text("bundle", "d.xid >= this.merged_before", "false")],
        ..ALONE
    },
    Fault {
        name: "a merged counter begins anew",
        plants: &[Plant::Text("compact", "SET n = c.n + sums.n", "SET n = sums.n")],
        ..ALONE
    },
    Fault {
        name: "a change does not change the version",
        plants: &[Plant::Text(
            "version",
            "SELECT count(*) FROM dashboard.delta\n",
            "SELECT count(*) FILTER (WHERE n <> 0) FROM dashboard.delta\n",
        )],
        ..ALONE
    },
    Fault {
        name: "time does not change a bundle",
        only: Some("activities"),
        plants: &[Plant::Text(
            "unchanged",
            "created_date < this.window_begins",
            "created_date < now.window_began",
        )],
        ..ALONE
    },
    Fault {
        name: "two merge at once",
        race: true,
        plants: &[Plant::Text("compact", "busy := NOT FOUND", "busy := false")],
        ..ALONE
    },
    Fault {
        name: "what is deleted is not what was added",
        race: true,
        plants: &[
            Plant::Text(
                "compact",
                "DELETE FROM dashboard.delta\n        WHERE ctid = ANY (ARRAY(SELECT ctid FROM dashboard.delta WHERE xid >= merged_before ORDER BY xid LIMIT most))\n        RETURNING *",
                "SELECT * FROM dashboard.delta",
            ),
            Plant::Text(
                "compact",
                "    IF merged < most THEN",
                "    PERFORM pg_sleep(0.01); DELETE FROM dashboard.delta;\n    IF merged < most THEN",
            ),
        ],
        ..ALONE
    },
    Fault {
        name: "who commits late has been merged already",
        race: true,
        plants: &[Plant::Text(
            "compact",
            "pg_snapshot_xmin(pg_current_snapshot())",
            "pg_snapshot_xmax(pg_current_snapshot())",
        )],
        ..ALONE
    },
];
