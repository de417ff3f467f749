-- Many tenants at once, each with both of its bundles: dashboard.bundles(tenants).
--
-- Where dashboard.bundle is the one of V2, one statement reads all tenants. For small ones that takes three quarters of
-- the time of a call for each; and it gives both bundles: nearly no tenant has test data, and who has none has the same
-- bundle without it. Where dashboard.bundle is somebody's own, it is called for each.
-- A function of these names that is not ours is left alone.

DO $migration$
DECLARE
    -- Which text of ours a function has (SHA-256; the tables of bundle named as in the template of V2).
    our_bundle CONSTANT text := 'a7ced26a2c2ec7a791374a06af05658b5b84dd6a4f130fa1d9640470c28e62e5';
    our_former_bundles CONSTANT text := 'dbdcb6e8c4bf195feed669a4cfda69b1a7593d400b5b7b7f6ef37056aa537a02';

    -- Rows come out one after the other while the reader takes them: the names are put in order first, without
    -- their bundles, and no SET clause or volatility keeps the planner from inlining the function.
    each_function CONSTANT text := $template$
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(tenant text, bundle json, without_test_data json)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
AS $function$
    SELECT asked.name, dashboard.bundle(asked.name, true), dashboard.bundle(asked.name, false)
    FROM (SELECT name
          FROM pg_catalog.unnest(tenants) WITH ORDINALITY AS names(name, place)
          ORDER BY place) AS asked
$function$
$template$;

    together_function text := $template$
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(tenant text, bundle json, without_test_data json)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000 ROWS 100
-- As for dashboard.bundle, and for its reasons; likewise: ALTER FUNCTION dashboard.bundles(text[]) RESET row_security.
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
SET row_security = off
-- The rows of a statement are kept until the last is computed: 200 of 40 KB, in memory.
SET work_mem = '16MB'
AS $function$
-- The statement's names are its own: `bundle` is a result of this function and also a row of its statement.
#variable_conflict use_column
BEGIN
    -- Replaced since: what it returns for a tenant is also what belongs into a batch.
    IF (SELECT encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') <> '@fingerprint@'
        FROM pg_proc WHERE oid = 'dashboard.bundle(text, boolean)'::regprocedure) THEN
        RETURN QUERY
        SELECT asked.name, dashboard.bundle(asked.name, true), dashboard.bundle(asked.name, false)
        FROM (SELECT names.name
              FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
              ORDER BY names.place) AS asked;
        RETURN;
    END IF;

    -- A statement within the statement, computed for each tenant, so that every table is read through an index
    -- whatever the planner believes of their number. Grouping the rows of all tenants at once (= ANY) is no faster:
    -- two thirds of the time go into lists and JSON.
    RETURN QUERY
    SELECT asked.name,
           CASE WHEN asked.name = 'SUPERADMIN_GLOBAL' THEN dashboard.bundle(asked.name, true)
                WHEN asked.key IS NOT NULL THEN (@bundle with test data@) END,
           CASE WHEN asked.name = 'SUPERADMIN_GLOBAL' THEN dashboard.bundle(asked.name, false)
                -- Whether leaving test data out would change anything: each is a look at one place of an index, and
                -- activities count only where the bundle shows them.
                WHEN EXISTS (SELECT FROM @leads@ WHERE tenant_id = asked.key AND is_test_data)
                  OR EXISTS (SELECT FROM @opportunities@ WHERE tenant_id = asked.key AND is_test_data)
                  OR EXISTS (SELECT FROM @contacts@ WHERE tenant_id = asked.key AND is_test_data)
                  OR EXISTS (SELECT FROM @accounts@ WHERE tenant_id = asked.key AND is_test_data)
                  OR EXISTS (SELECT FROM @activities@
                             WHERE tenant_id = asked.key AND created_date >= now() - interval '30 days' AND is_test_data)
                  OR EXISTS (SELECT FROM (
                                 SELECT is_test_data
                                 FROM @activities@ WHERE tenant_id = asked.key
                                 ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 10) AS recent
                             WHERE is_test_data)
                THEN (@bundle without test data@) END
    FROM (SELECT names.name, known.id AS key
          FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
          LEFT JOIN @tenant@ AS known ON known.id =
              CASE WHEN names.name ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN names.name::uuid END
          ORDER BY names.place) AS asked;
END
$function$
$template$;

    -- The statement of dashboard.bundle, word for word. Its reasons stand in V2.
    bundle_query CONSTANT text := $template$
        WITH lead AS MATERIALIZED (
            SELECT status, source, count(*) AS n
            FROM @leads@
            WHERE @in scope@
            GROUP BY is_test_data, status, source
        ), opportunity AS MATERIALIZED (
            SELECT stage, count(*) AS n,
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

    crm_table text;
    qualified text;
    bundle_source text;
    -- With the template's names in place of the tables'.
    bundle_template text;
BEGIN
    together_function := replace(together_function, '@bundle with test data@',
        replace(bundle_query, '@in scope@', 'tenant_id = asked.key'));
    together_function := replace(together_function, '@bundle without test data@',
        replace(bundle_query, '@in scope@', 'tenant_id = asked.key AND NOT COALESCE(is_test_data, false)'));

    IF (SELECT encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') = our_former_bundles
        FROM pg_proc WHERE oid = to_regprocedure('dashboard.bundles(text[], boolean)')) THEN
        DROP FUNCTION dashboard.bundles(text[], boolean);
    END IF;
    IF to_regprocedure('dashboard.bundles(text[])') IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT prosrc INTO bundle_source
    FROM pg_proc WHERE oid = to_regprocedure('dashboard.bundle(text, boolean)');
    bundle_template := bundle_source;
    FOREACH crm_table IN ARRAY ARRAY['tenant', 'contacts', 'accounts', 'leads', 'opportunities', 'activities'] LOOP
        -- NULL where the table is out of reach, and so is all that follows from it.
        qualified := (SELECT format('%I.%I', nspname, relname)
                      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                      WHERE pg_class.oid = to_regclass(crm_table));
        bundle_template := replace(bundle_template, qualified, '@' || crm_table || '@');
        together_function := replace(together_function, '@' || crm_table || '@', qualified);
    END LOOP;

    IF encode(sha256(convert_to(bundle_template, 'UTF8')), 'hex') = our_bundle THEN
        EXECUTE replace(together_function, '@fingerprint@',
                        encode(sha256(convert_to(bundle_source, 'UTF8')), 'hex'));
    ELSE
        EXECUTE each_function;
    END IF;

    COMMENT ON FUNCTION dashboard.bundles(text[]) IS
        'One row for each requested tenant, in their order; bundle is NULL where there is no such tenant, without_test_data where it is the same as bundle.';
END
$migration$;
