-- The CRM tables that a bundle reads, for the demonstration and the tests.
--
-- On an existing CRM database every one of them is found and left alone: a table counts as
-- existing when the search_path reaches it, not only when it lies in the schema that CREATE TABLE
-- would choose, because an empty table of ours in front of a real one would hide its rows.
-- NOT NULL stands only where the CRM has it; everything that reads these tables must expect NULL.

DO $migration$
DECLARE
    tables CONSTANT text[][] := ARRAY[
        ['tenant', $$
            id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id   text NOT NULL,
            name        text NOT NULL,
            status      text DEFAULT 'active'
        $$],
        ['contacts', $$
            id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id     uuid,
            is_test_data  boolean,
            created_at    timestamptz DEFAULT now(),
            created_date  timestamptz
        $$],
        ['accounts', $$
            id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id     uuid,
            name          text NOT NULL,
            is_test_data  boolean,
            created_at    timestamptz DEFAULT now(),
            created_date  timestamptz
        $$],
        ['leads', $$
            id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id     uuid NOT NULL,
            first_name    text,
            last_name     text,
            company       text,
            email         text,
            phone         text,
            status        text DEFAULT 'new',
            source        text,
            is_test_data  boolean DEFAULT false,
            assigned_to   uuid,
            created_at    timestamptz DEFAULT now(),
            created_date  timestamptz,
            updated_at    timestamptz DEFAULT now()
        $$],
        ['opportunities', $$
            id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id     uuid,
            name          text NOT NULL,
            stage         text DEFAULT 'qualification',
            amount        numeric(15,2),
            probability   integer,
            is_test_data  boolean,
            assigned_to   uuid,
            created_at    timestamptz DEFAULT now(),
            created_date  timestamptz,
            updated_at    timestamptz DEFAULT now()
        $$],
        -- assigned_to is text here and uuid elsewhere: the CRM assigns activities to people and to agents.
        ['activities', $$
            id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id     uuid,
            type          text NOT NULL,
            subject       text,
            status        text,
            assigned_to   text,
            is_test_data  boolean,
            created_at    timestamptz DEFAULT now(),
            created_date  timestamptz
        $$],
        ['cron_job', $$
            id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id      uuid,
            name           text NOT NULL,
            schedule       text NOT NULL,
            function_name  text NOT NULL,
            is_active      boolean DEFAULT true,
            last_run       timestamptz,
            next_run       timestamptz,
            metadata       jsonb,
            created_at     timestamptz DEFAULT now(),
            updated_at     timestamptz DEFAULT now()
        $$]
    ];
    home text;
BEGIN
    -- Not in `dashboard`: a role of that name has it first in its search_path ("$user"), and the
    -- CRM's tables are not ours.
    SELECT s INTO home
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(s, n)
    WHERE s <> 'dashboard' ORDER BY n LIMIT 1;

    FOR i IN 1 .. array_length(tables, 1) LOOP
        IF to_regclass(tables[i][1]) IS NULL THEN
            IF home IS NULL THEN
                RAISE EXCEPTION 'no schema for the CRM table %: search_path (%) names none that exists',
                    tables[i][1], current_setting('search_path')
                    USING HINT = 'Set search_path for this role or in the connection string, e.g. options=-csearch_path=public.';
            END IF;
            EXECUTE format('CREATE TABLE %I.%I (%s)', home, tables[i][1], tables[i][2]);
        END IF;
    END LOOP;
END
$migration$;
