//! The five tables in their two variants: as V1 makes them, and as a CRM that has grown has them.

use fastrand::Rng;
use harness::{Postgres, Sidecar, run_ok};

use super::values::{self, COLLIDING, Digits};
use crate::figures::{EMPTY, ONE, OTHER};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Plain,
    /// Activities in partitions and partitions of these, contacts with an heir and a foreign key, triggers that write
    /// to other tables, amounts of any size, sources of any length.
    Grown,
}

/// A table that bundles count, with the columns that are written.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The first is the key.
    pub(super) columns: &'static [&'static str],
}

/// Every id.
pub(super) const ALL: Digits = 0..16;

pub(super) const TABLES: [Table; 5] = [
    Table { name: "contacts", columns: &["id", "tenant_id", "is_test_data", "created_at", "created_date"] },
    Table { name: "accounts", columns: &["id", "tenant_id", "is_test_data", "name", "created_date"] },
    Table {
        name: "leads",
        columns: &[
            "id",
            "tenant_id",
            "is_test_data",
            "status",
            "source",
            "created_date",
            "created_at",
            "first_name",
        ],
    },
    Table {
        name: "opportunities",
        columns: &["id", "tenant_id", "is_test_data", "stage", "amount", "name", "updated_at"],
    },
    Table {
        name: "activities",
        columns: &[
            "id",
            "tenant_id",
            "is_test_data",
            "created_date",
            "created_at",
            "type",
            "subject",
            "status",
        ],
    },
];

impl Table {
    /// Under which names it may be written to, itself most of the time, and with which ids.
    pub(super) fn target(&self, rng: &mut Rng, variant: Variant) -> (&'static str, Digits) {
        let parts: &[(&'static str, Digits)] = match (variant, self.name) {
            (Variant::Plain, _) => &[],
            (_, "contacts") => &[("contacts_archive", ALL)],
            (_, "activities") => &[
                ("activities_low", 0..8),
                ("activities_high", 8..14),
                ("activities_c", 8..13),
                ("activities_rest", 14..16),
            ],
            _ => &[],
        };
        if parts.is_empty() || rng.u8(0..3) > 0 {
            (self.name, ALL)
        } else {
            parts[rng.usize(0..parts.len())].clone()
        }
    }

    /// A value for this column.
    pub(super) fn value(column: &str, rng: &mut Rng, variant: Variant, digits: &Digits) -> String {
        match column {
            "id" => values::id(rng, digits),
            "tenant_id" => values::tenant(rng),
            "is_test_data" => values::test(rng),
            "status" => values::status(rng),
            "source" if variant == Variant::Grown && rng.u8(0..12) == 0 => values::long_source(rng),
            "source" => values::source(rng),
            "stage" => values::stage(rng),
            "amount" if variant == Variant::Grown => values::any_amount(rng),
            "amount" => values::amount(rng),
            "created_date" | "created_at" | "updated_at" => values::moment(rng),
            _ => values::word(rng),
        }
    }
}

pub(super) fn type_of(column: &str) -> &'static str {
    match column {
        "id" | "tenant_id" => "uuid",
        "is_test_data" => "boolean",
        "amount" => "numeric",
        "created_date" | "created_at" | "updated_at" => "timestamptz",
        _ => "text",
    }
}

/// The CRM promises that a lead has a tenant; nothing here relies on it.
const PLAIN: &str = "ALTER TABLE leads ALTER tenant_id DROP NOT NULL";

const GROWN: &str = "
    CREATE TABLE activities (id uuid DEFAULT gen_random_uuid(), status text, type text NOT NULL, subject text, tenant_id uuid,
        assigned_to text, is_test_data boolean, created_at timestamptz DEFAULT now(), created_date timestamptz,
        PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE activities_low PARTITION OF activities
        FOR VALUES FROM (MINVALUE) TO ('80000000-0000-0000-0000-000000000000');
    CREATE TABLE activities_high PARTITION OF activities
        FOR VALUES FROM ('80000000-0000-0000-0000-000000000000') TO ('e0000000-0000-0000-0000-000000000000')
        PARTITION BY RANGE (id);
    -- Its columns lie in another order, so that rows are converted on their way up.
    CREATE TABLE activities_c (created_date timestamptz, gone text, tenant_id uuid, id uuid NOT NULL, type text NOT NULL,
        status text, subject text, is_test_data boolean, created_at timestamptz DEFAULT now(), assigned_to text);
    ALTER TABLE activities_c DROP gone;
    ALTER TABLE activities_high ATTACH PARTITION activities_c
        FOR VALUES FROM ('80000000-0000-0000-0000-000000000000') TO ('d0000000-0000-0000-0000-000000000000');
    CREATE TABLE activities_d PARTITION OF activities_high DEFAULT;
    CREATE TABLE activities_rest PARTITION OF activities DEFAULT;

    CREATE TABLE accounts (tenant_id uuid, id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(200), is_test_data boolean,
        created_at timestamptz, created_date timestamptz);
    CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), is_test_data boolean, tenant_id uuid,
        account_id uuid REFERENCES accounts ON DELETE CASCADE, created_at timestamptz, created_date timestamptz);
    CREATE TABLE contacts_archive (archived timestamptz DEFAULT now(), PRIMARY KEY (id)) INHERITS (contacts);
    CREATE TABLE opportunities (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, name text, stage varchar(50), amount numeric,
        probability integer, is_test_data boolean, assigned_to uuid, updated_at timestamptz DEFAULT now());
    CREATE TABLE leads (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, first_name text, last_name text, company text,
        email text, phone text, status text, source text, is_test_data boolean, assigned_to uuid,
        created_at timestamptz, created_date timestamptz);

    -- Any contact may be given to an account that exists; it goes with it.
    CREATE FUNCTION give() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF NEW.account_id IS NULL AND get_byte(uuid_send(NEW.id), 0) < 128 THEN
            NEW.account_id := (SELECT id FROM accounts ORDER BY id LIMIT 1);
        END IF;
        RETURN NEW;
    END$$;
    CREATE TRIGGER give BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION give();
    -- A converted lead becomes a deal, and is no test: triggers that write to the same and to other tables.
    CREATE FUNCTION convert() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO opportunities (tenant_id, name, stage, amount) VALUES (NEW.tenant_id, 'converted', 'prospecting', 1.5);
        UPDATE leads SET is_test_data = false WHERE id = NEW.id;
        RETURN NULL;
    END$$;
    CREATE TRIGGER convert AFTER UPDATE OF status ON leads FOR EACH ROW
        WHEN (NEW.status = 'converted' AND OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION convert();
";

/// Their index would refuse the longest sources.
const NO_LIMIT_OF_SOURCES: &str = "DROP INDEX IF EXISTS dashboard_leads_figures";

/// A database with tenants, some rows, and counters that are kept.
pub(super) fn create(variant: Variant) -> Postgres {
    let postgres = match variant {
        Variant::Plain => {
            let postgres = Postgres::start();
            postgres.execute(PLAIN);
            postgres
        }
        Variant::Grown => {
            let postgres = Postgres::start_unmigrated();
            postgres.execute(GROWN);
            run_ok(&mut Sidecar::command(&["migrate"], &postgres.url()));
            postgres.execute(NO_LIMIT_OF_SOURCES);
            postgres
        }
    };
    postgres.execute(&format!(
        "INSERT INTO tenant (id, tenant_id, name) VALUES ('{ONE}', 'one', 'One'), ('{OTHER}', 'other', 'Other'), ('{EMPTY}', 'empty', 'Empty'), ('{COLLIDING}', 'colliding', 'Colliding');
         INSERT INTO opportunities (tenant_id, name, stage, amount) SELECT '{ONE}', 'Deal', 'won', 0.10 FROM generate_series(1, 20);
         INSERT INTO leads (tenant_id, status, source) SELECT '{ONE}', 'new', 'website' FROM generate_series(1, 20);
         INSERT INTO contacts (tenant_id) SELECT '{OTHER}' FROM generate_series(1, 20)"
    ));
    run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
    postgres
}
