-- What this project adds to a CRM database: the schema `dashboard` and the three functions through
-- which the sidecar reads it. Who keeps a CRM under other names replaces these functions (same
-- names, arguments and results) and nothing else.
--
--   dashboard.bundle(tenant, include_test_data)    one tenant's bundle, NULL when there is no such tenant
--   dashboard.bundles(tenants, include_test_data)  the same for many tenants, one row each, in order
--   dashboard.active_tenants()                     the tenants that nightly warming covers
--
-- Nothing in the CRM's own tables changes. The functions run with the rights of their caller, which
-- needs no more than this (the role `dashboard` is an example):
--
--   GRANT USAGE  ON SCHEMA dashboard, public TO dashboard;
--   GRANT SELECT ON dashboard.schema_history TO dashboard;
--   GRANT SELECT ON tenant, contacts, accounts, leads, opportunities, activities TO dashboard;
--   ALTER ROLE dashboard BYPASSRLS;   -- where the tables have row-level security

DO $migration$
DECLARE
    bundle_function text := $template$
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000
-- The tables are named with their schema; nothing in the caller's path can take their place.
SET search_path = pg_catalog, pg_temp
-- Planning takes longer than running the statement for a small tenant: plan once a connection.
SET plan_cache_mode = force_generic_plan
-- Compiling the statement takes longer than running it, whatever the planner's estimate says.
SET jit = off
-- The same rows make the same bytes, and 30 days are 720 hours, wherever the session believes it is.
SET timezone = 'UTC'
-- A policy that hides rows would turn into wrong figures without a word: refuse instead. Where a policy shows
-- all rows to the sidecar's role: ALTER FUNCTION dashboard.bundle(text, boolean) RESET row_security, and the
-- same for dashboard.active_tenants().
SET row_security = off
AS $function$
-- A CRM may have columns called as our variables are, such as tenant.
#variable_conflict use_variable
DECLARE
    tenant_key uuid;
BEGIN
    -- RETURN (query) and not SELECT INTO: the latter plans for parallel workers that it then never starts.
    IF tenant = 'SUPERADMIN_GLOBAL' THEN
        RETURN (@bundle of every row@);
    END IF;

    -- Cache keys are compared byte for byte, so another spelling of a uuid is another, unknown, tenant.
    IF tenant ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        tenant_key := (SELECT t.id FROM @tenant@ AS t WHERE t.id = tenant::uuid);
    END IF;
    IF tenant_key IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (@bundle of one tenant@);
END
$function$
$template$;

    -- One statement, thus one snapshot. Each table is read once for its figures; NULL in status or stage is
    -- neither open nor closed, as NOT IN has it. row_to_json and array_to_json rather than
    -- json_build_object and json_agg: they write no blanks, and json rather than jsonb: half the time.
    bundle_query CONSTANT text := $template$
        WITH lead AS MATERIALIZED (
            SELECT status, source, count(*) AS n
            FROM @leads@
            WHERE @in scope@
            -- As the index is sorted: groups come ready out of it, and only they are looked at more closely.
            GROUP BY is_test_data, status, source
        ), opportunity AS MATERIALIZED (
            SELECT stage, count(*) AS n,
                   -- Neither NaN nor an infinity: JSON has no number for them, and one would swallow the sum.
                   sum(amount) FILTER (WHERE amount - amount = 0) AS amount
            FROM @opportunities@
            WHERE @in scope@
            GROUP BY is_test_data, stage
        )
        SELECT row_to_json(bundle) FROM (SELECT
            (SELECT row_to_json(figures) FROM (SELECT
                (SELECT count(*) FROM @contacts@ WHERE @in scope@) AS "totalContacts",
                (SELECT count(*) FROM @accounts@ WHERE @in scope@) AS "totalAccounts",
                leads.total AS "totalLeads",
                deals.total AS "totalOpportunities",
                leads.open AS "openLeads",
                deals.won AS "wonOpportunities",
                deals.open AS "openOpportunities",
                (SELECT count(*) FROM @leads@
                 WHERE @in scope@ AND created_date >= now() - interval '30 days'
                   AND status NOT IN ('converted', 'lost')) AS "newLeadsLast30Days",
                (SELECT count(*) FROM @activities@
                 WHERE @in scope@ AND created_date >= now() - interval '30 days') AS "activitiesLast30Days",
                deals.pipeline_value AS "pipelineValue",
                deals.won_value AS "wonValue",
                (SELECT COALESCE(json_object_agg(source, n ORDER BY source COLLATE "C"), '{}')
                 FROM (SELECT COALESCE(NULLIF(source, ''), 'other') AS source, sum(n) AS n
                       FROM lead GROUP BY 1) AS by_source) AS "leadsBySource"
             FROM (SELECT COALESCE(sum(n), 0)::bigint AS total,
                          COALESCE(sum(n) FILTER (WHERE status NOT IN ('converted', 'lost')), 0)::bigint AS open
                   FROM lead) AS leads,
                  (SELECT COALESCE(sum(n), 0)::bigint AS total,
                          COALESCE(sum(n) FILTER (WHERE won), 0)::bigint AS won,
                          COALESCE(sum(n) FILTER (WHERE open), 0)::bigint AS open,
                          trim_scale(COALESCE(sum(amount) FILTER (WHERE won), 0)) AS won_value,
                          trim_scale(COALESCE(sum(amount) FILTER (WHERE open), 0)) AS pipeline_value
                   FROM (SELECT n, amount,
                                stage IN ('won', 'closed_won') AS won,
                                stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost') AS open
                         FROM opportunity) AS stages) AS deals
            ) AS figures) AS stats,

            (SELECT json_object_agg(step.name, step.figures ORDER BY step.place)
             FROM (SELECT steps.place, steps.name,
                          (SELECT row_to_json(figures) FROM (SELECT
                              COALESCE(sum(n), 0)::bigint AS count,
                              trim_scale(COALESCE(sum(amount), 0)) AS value
                           FROM opportunity WHERE stage = ANY (steps.spellings)) AS figures) AS figures
                   FROM (VALUES (1, 'prospecting', ARRAY['prospecting']),
                                (2, 'qualification', ARRAY['qualification']),
                                (3, 'proposal', ARRAY['proposal']),
                                (4, 'negotiation', ARRAY['negotiation']),
                                (5, 'closed_won', ARRAY['closed_won', 'won', 'closedwon']),
                                (6, 'closed_lost', ARRAY['closed_lost', 'lost', 'closedlost'])
                        ) AS steps(place, name, spellings)) AS step) AS funnel,

            (SELECT row_to_json(lists) FROM (SELECT
                array_to_json(ARRAY(SELECT item FROM (
                    SELECT id, type, subject, status, created_at, created_date, assigned_to
                    FROM @activities@ WHERE @in scope@
                    ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 10) AS item)) AS "recentActivities",
                array_to_json(ARRAY(SELECT item FROM (
                    SELECT id, first_name, last_name, company, email, phone, created_date, created_at,
                           status, source, is_test_data, assigned_to
                    FROM @leads@ WHERE @in scope@
                    ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 50) AS item)) AS "recentLeads",
                array_to_json(ARRAY(SELECT item FROM (
                    SELECT id, name, CASE WHEN amount - amount = 0 THEN amount END AS amount, stage, probability, updated_at, is_test_data, assigned_to
                    FROM @opportunities@ WHERE @in scope@
                    ORDER BY updated_at DESC NULLS LAST, id DESC LIMIT 50) AS item)) AS "recentOpportunities"
             ) AS lists) AS lists
        ) AS bundle$template$;

    active_tenants_function text := $template$
CREATE OR REPLACE FUNCTION dashboard.active_tenants() RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $function$
    -- SUPERADMIN_GLOBAL has a dashboard too, and somebody opens it in the morning.
    SELECT name
    FROM (SELECT 1 AS place, id::text AS name FROM @tenant@ WHERE @active@
          UNION ALL
          SELECT 2, 'SUPERADMIN_GLOBAL') AS tenants
    ORDER BY place, name COLLATE "C"
$function$
$template$;

    crm_table text;
    crm_table_id regclass;
    qualified text;
    bundle_of_one text;
    bundle_of_all text;
    active text;
BEGIN
    -- CREATE SCHEMA IF NOT EXISTS asks for the right to create even where the schema exists.
    IF to_regnamespace('dashboard') IS NULL THEN
        CREATE SCHEMA dashboard;
    END IF;

    -- Two statements from one text: `(tenant_key IS NULL OR tenant_id = tenant_key)` would cost the generic
    -- plan its indexes. SUPERADMIN_GLOBAL is every row, those that belong to no tenant included.
    bundle_of_one := replace(bundle_query, '@in scope@',
        'tenant_id = tenant_key AND (include_test_data OR NOT COALESCE(is_test_data, false))');
    bundle_of_all := replace(bundle_query, '@in scope@',
        '(include_test_data OR NOT COALESCE(is_test_data, false))');
    bundle_function := replace(bundle_function, '@bundle of one tenant@', bundle_of_one);
    bundle_function := replace(bundle_function, '@bundle of every row@', bundle_of_all);

    -- A tenant without a word about its state is active. Installations differ in which column says it.
    SELECT COALESCE(string_agg(CASE attname WHEN 'status' THEN $$COALESCE(status::text, 'active') = 'active'$$
                                            ELSE 'COALESCE(is_active, true)' END, ' AND '), 'true')
    INTO active
    FROM pg_attribute
    WHERE attrelid = to_regclass('tenant') AND attname IN ('status', 'is_active') AND NOT attisdropped;
    active_tenants_function := replace(active_tenants_function, '@active@', active);

    -- The tables are looked up now, along the search_path in force, and named with their schema from here on.
    FOREACH crm_table IN ARRAY ARRAY['tenant', 'contacts', 'accounts', 'leads', 'opportunities', 'activities'] LOOP
        crm_table_id := to_regclass(crm_table);
        IF crm_table_id IS NULL THEN
            RAISE EXCEPTION 'the CRM table % is not reachable through search_path (%)',
                crm_table, current_setting('search_path')
                USING HINT = 'Set search_path for this role or in the connection string, e.g. options=-csearch_path=crm.';
        END IF;
        SELECT format('%I.%I', nspname, relname) INTO qualified
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = crm_table_id;
        bundle_function := replace(bundle_function, '@' || crm_table || '@', qualified);
        active_tenants_function := replace(active_tenants_function, '@' || crm_table || '@', qualified);
    END LOOP;

    EXECUTE bundle_function;
    EXECUTE active_tenants_function;
END
$migration$;

-- Rows come out one after the other while the reader takes them: the names are put in order first, without
-- their bundles, and no SET clause or volatility keeps the planner from inlining the function.
CREATE OR REPLACE FUNCTION dashboard.bundles(tenants text[], include_test_data boolean)
RETURNS TABLE(tenant text, bundle json)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
AS $function$
    SELECT asked.name, dashboard.bundle(asked.name, include_test_data)
    FROM (SELECT name
          FROM pg_catalog.unnest(tenants) WITH ORDINALITY AS names(name, place)
          ORDER BY place) AS asked
$function$;

COMMENT ON SCHEMA dashboard IS
    'redis-dashboard: functions that compute dashboard bundles. Other CRM schemas replace the functions bundle, bundles and active_tenants.';
COMMENT ON FUNCTION dashboard.bundle(text, boolean) IS
    'The dashboard bundle {"stats","funnel","lists"} of one tenant (tenant.id as text, byte for byte) or of SUPERADMIN_GLOBAL; NULL: no such tenant.';
COMMENT ON FUNCTION dashboard.bundles(text[], boolean) IS
    'One row for each requested tenant, in their order; bundle is NULL where there is no such tenant.';
COMMENT ON FUNCTION dashboard.active_tenants() IS
    'The tenants that nightly warming covers: the active ones in order, then SUPERADMIN_GLOBAL.';
