-- Many tenants at once, each with both of its bundles: dashboard.bundles(tenants).
--
-- Where dashboard.bundle is the one of V2, one statement reads all tenants, and gives both bundles of each from one
-- look: nearly no tenant has test data, and who has none has the same bundle without it. The rows of lists leave as they
-- are, in a column for each list: writing them as JSON would take as long as all the rest, and whoever asks can do it.
-- Where dashboard.bundle is somebody's own, it is called for each.
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
RETURNS TABLE(
    tenant text, bundle json, without_test_data json,
    "recentActivities" dashboard.recent_activity[],
    "recentActivities_without_test_data" dashboard.recent_activity[],
    "recentLeads" dashboard.recent_lead[],
    "recentLeads_without_test_data" dashboard.recent_lead[],
    "recentOpportunities" dashboard.recent_opportunity[],
    "recentOpportunities_without_test_data" dashboard.recent_opportunity[])
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
    -- Replaced since.
    IF (SELECT encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') <> '@fingerprint@'
        FROM pg_proc WHERE oid = 'dashboard.bundle(text, boolean)'::regprocedure)
       -- Or a column of the CRM has another type by now, of which a cast to the former one would make something else.
       OR EXISTS (SELECT FROM (VALUES (@activities as literal@::regclass, 'dashboard.recent_activity'::regclass),
                                      (@leads as literal@::regclass, 'dashboard.recent_lead'::regclass),
                                      (@opportunities as literal@::regclass, 'dashboard.recent_opportunity'::regclass)
                               ) AS lists(source, list)
                  JOIN pg_attribute AS member ON member.attrelid = lists.list AND member.atttypid <> 'json'::regtype
                  LEFT JOIN pg_attribute AS own ON own.attrelid = lists.source AND own.attname = member.attname
                  WHERE CASE own.atttypid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE own.atttypid END
                        IS DISTINCT FROM member.atttypid) THEN
        -- What the other one returns for a tenant is also what belongs into a batch.
        RETURN QUERY
        SELECT asked.name, dashboard.bundle(asked.name, true), dashboard.bundle(asked.name, false),
               NULL::dashboard.recent_activity[], NULL::dashboard.recent_activity[],
               NULL::dashboard.recent_lead[], NULL::dashboard.recent_lead[],
               NULL::dashboard.recent_opportunity[], NULL::dashboard.recent_opportunity[]
        FROM (SELECT names.name
              FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
              ORDER BY names.place) AS asked;
        RETURN;
    END IF;

    -- As it comes in batches: by itself.
    IF tenants = ARRAY['SUPERADMIN_GLOBAL'] THEN
        RETURN QUERY
        SELECT tenants[1], made.* FROM (@bundles of every row@) AS made;
        RETURN;
    END IF;

    -- A statement within the statement, computed for each tenant, so that every table is read through an index
    -- whatever the planner believes of their number. Grouping the rows of all tenants at once (= ANY) is no faster.
    RETURN QUERY
    SELECT asked.name,
           CASE WHEN asked.name = 'SUPERADMIN_GLOBAL' THEN dashboard.bundle(asked.name, true) ELSE made.bundle END,
           CASE WHEN asked.name = 'SUPERADMIN_GLOBAL' THEN dashboard.bundle(asked.name, false) ELSE made.without END,
           made.activities, made.activities_without,
           made.leads, made.leads_without,
           made.opportunities, made.opportunities_without
    FROM (SELECT names.name, known.id AS key
          FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
          LEFT JOIN @tenant@ AS known ON known.id =
              CASE WHEN names.name ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN names.name::uuid END
          ORDER BY names.place) AS asked
    LEFT JOIN LATERAL (@bundles of one tenant@) AS made ON asked.key IS NOT NULL;
END
$function$
$template$;

    -- What dashboard.bundle reads, with and without test data from the same look. Its reasons stand in V2.
    bundles_query text := $template$
        WITH lead AS MATERIALIZED (
            SELECT COALESCE(is_test_data, false) AS test, status, source, count(*) AS n
            FROM @leads@
            WHERE @in scope@
            GROUP BY is_test_data, status, source
        ), opportunity AS MATERIALIZED (
            SELECT COALESCE(is_test_data, false) AS test, stage, count(*) AS n,
                   sum(amount) FILTER (WHERE amount - amount = 0) AS amount
            FROM @opportunities@
            WHERE @in scope@
            GROUP BY is_test_data, stage
        ), counted AS MATERIALIZED (
            SELECT *
            FROM (SELECT count(*) AS contacts, count(*) FILTER (WHERE is_test_data) AS test_contacts
                  FROM @contacts@ WHERE @in scope@) AS of_contacts,
                 (SELECT count(*) AS accounts, count(*) FILTER (WHERE is_test_data) AS test_accounts
                  FROM @accounts@ WHERE @in scope@) AS of_accounts,
                 (SELECT count(*) AS new_leads, count(*) FILTER (WHERE is_test_data) AS test_new_leads
                  FROM @leads@
                  WHERE @in scope@ AND created_date >= now() - interval '30 days'
                    AND status NOT IN ('converted', 'lost')) AS of_leads,
                 (SELECT count(*) AS activities, count(*) FILTER (WHERE is_test_data) AS test_activities
                  FROM @activities@
                  WHERE @in scope@ AND created_date >= now() - interval '30 days') AS of_activities
        )
        SELECT (@figures with test data@) AS bundle,
               -- Whether leaving test data out changes anything: activities count only where the bundle shows them.
               CASE WHEN counted.test_contacts > 0 OR counted.test_accounts > 0 OR counted.test_activities > 0
                      OR activities.test
                      OR EXISTS (SELECT FROM lead WHERE test) OR EXISTS (SELECT FROM opportunity WHERE test)
                    THEN (@figures without test data@) END AS without,
               activities.items AS activities,
               CASE WHEN activities.test THEN ARRAY(SELECT @activity@ FROM @activities@ AS own
                   WHERE @in scope@ AND NOT COALESCE(is_test_data, false)
                   ORDER BY own.created_at DESC NULLS LAST, own.id DESC LIMIT 10) END AS activities_without,
               leads.items AS leads,
               CASE WHEN leads.test THEN ARRAY(SELECT @lead@ FROM @leads@ AS own
                   WHERE @in scope@ AND NOT COALESCE(is_test_data, false)
                   ORDER BY own.created_at DESC NULLS LAST, own.id DESC LIMIT 50) END AS leads_without,
               opportunities.items AS opportunities,
               CASE WHEN opportunities.test THEN ARRAY(SELECT @opportunity@ FROM @opportunities@ AS own
                   WHERE @in scope@ AND NOT COALESCE(is_test_data, false)
                   ORDER BY own.updated_at DESC NULLS LAST, own.id DESC LIMIT 50) END AS opportunities_without
        FROM counted,
             (SELECT COALESCE(array_agg(item), '{}') AS items, bool_or(test) AS test
              FROM (SELECT @activity@ AS item, is_test_data AS test
                    FROM @activities@ AS own WHERE @in scope@
                    ORDER BY own.created_at DESC NULLS LAST, own.id DESC LIMIT 10) AS shown) AS activities,
             (SELECT COALESCE(array_agg(item), '{}') AS items, bool_or(test) AS test
              FROM (SELECT @lead@ AS item, is_test_data AS test
                    FROM @leads@ AS own WHERE @in scope@
                    ORDER BY own.created_at DESC NULLS LAST, own.id DESC LIMIT 50) AS shown) AS leads,
             (SELECT COALESCE(array_agg(item), '{}') AS items, bool_or(test) AS test
              FROM (SELECT @opportunity@ AS item, is_test_data AS test
                    FROM @opportunities@ AS own WHERE @in scope@
                    ORDER BY own.updated_at DESC NULLS LAST, own.id DESC LIMIT 50) AS shown) AS opportunities$template$;

    -- The figures of those rows that count.
    figures CONSTANT text := $template$
        SELECT row_to_json(bundle) FROM (SELECT
            (SELECT row_to_json(figures) FROM (SELECT
                counted.contacts@less test_contacts@ AS "totalContacts",
                counted.accounts@less test_accounts@ AS "totalAccounts",
                leads.total AS "totalLeads",
                deals.total AS "totalOpportunities",
                leads.open AS "openLeads",
                deals.won AS "wonOpportunities",
                deals.open AS "openOpportunities",
                counted.new_leads@less test_new_leads@ AS "newLeadsLast30Days",
                counted.activities@less test_activities@ AS "activitiesLast30Days",
                deals.pipeline_value AS "pipelineValue",
                deals.won_value AS "wonValue",
                (SELECT COALESCE(json_object_agg(source, n ORDER BY source COLLATE "C"), '{}')
                 FROM (SELECT COALESCE(NULLIF(source, ''), 'other') AS source, sum(n) AS n
                       FROM lead WHERE @counts@ GROUP BY 1) AS by_source) AS "leadsBySource"
             FROM (SELECT COALESCE(sum(n), 0)::bigint AS total,
                          COALESCE(sum(n) FILTER (WHERE status NOT IN ('converted', 'lost')), 0)::bigint AS open
                   FROM lead WHERE @counts@) AS leads,
                  (SELECT COALESCE(sum(n), 0)::bigint AS total,
                          COALESCE(sum(n) FILTER (WHERE won), 0)::bigint AS won,
                          COALESCE(sum(n) FILTER (WHERE open), 0)::bigint AS open,
                          trim_scale(COALESCE(sum(amount) FILTER (WHERE won), 0)) AS won_value,
                          trim_scale(COALESCE(sum(amount) FILTER (WHERE open), 0)) AS pipeline_value
                   FROM (SELECT n, amount,
                                stage IN ('won', 'closed_won') AS won,
                                stage NOT IN ('won', 'closed_won', 'lost', 'closed_lost') AS open
                         FROM opportunity WHERE @counts@) AS stages) AS deals
            ) AS figures) AS stats,
            (SELECT json_object_agg(step.name, step.figures ORDER BY step.place)
             FROM (SELECT steps.place, steps.name,
                          (SELECT row_to_json(figures) FROM (SELECT
                              COALESCE(sum(n), 0)::bigint AS count,
                              trim_scale(COALESCE(sum(amount), 0)) AS value
                           FROM opportunity WHERE @counts@ AND stage = ANY (steps.spellings)) AS figures) AS figures
                   FROM (VALUES (1, 'prospecting', ARRAY['prospecting']),
                                (2, 'qualification', ARRAY['qualification']),
                                (3, 'proposal', ARRAY['proposal']),
                                (4, 'negotiation', ARRAY['negotiation']),
                                (5, 'closed_won', ARRAY['closed_won', 'won', 'closedwon']),
                                (6, 'closed_lost', ARRAY['closed_lost', 'lost', 'closedlost'])
                        ) AS steps(place, name, spellings)) AS step) AS funnel
        ) AS bundle$template$;

    -- A list's table, the name of its rows' type, and its members. These leave as the CRM has them where the sidecar
    -- can write them as Postgres does; other types, and exact decimals, are written here.
    lists CONSTANT text[][] := ARRAY[
        ['activities', 'activity', 'id type subject status created_at created_date assigned_to'],
        ['leads', 'lead', 'id first_name last_name company email phone created_date created_at status source is_test_data assigned_to'],
        ['opportunities', 'opportunity', 'id name amount stage probability updated_at is_test_data assigned_to']];
    members text;
    expressions text;

    crm_table text;
    qualified text;
    bundle_source text;
    -- With the template's names in place of the tables'.
    bundle_template text;
BEGIN
    bundles_query := replace(bundles_query, '@figures with test data@',
        regexp_replace(replace(figures, '@counts@', 'true'), '@less \w+@', '', 'g'));
    bundles_query := replace(bundles_query, '@figures without test data@',
        regexp_replace(replace(figures, '@counts@', 'NOT test'), '@less (\w+)@', ' - counted.\1', 'g'));
    together_function := replace(together_function, '@bundles of one tenant@',
        replace(bundles_query, '@in scope@', 'tenant_id = asked.key'));
    together_function := replace(together_function, '@bundles of every row@',
        replace(bundles_query, '@in scope@', 'true'));

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
        together_function := replace(together_function, '@' || crm_table || ' as literal@', quote_literal(qualified));
    END LOOP;

    IF encode(sha256(convert_to(bundle_template, 'UTF8')), 'hex') = our_bundle THEN
        FOR i IN 1 .. array_length(lists, 1) LOOP
            SELECT string_agg(format('%I %s', name, type), ', ' ORDER BY place),
                   'ROW(' || string_agg(CASE WHEN name = 'amount' THEN 'to_json(CASE WHEN own.amount - own.amount = 0 THEN own.amount END)'
                                             WHEN type = 'json' THEN format('to_json(own.%I)', name)
                                             ELSE format('own.%I', name) END, ', ' ORDER BY place)
                   || ')::dashboard.recent_' || lists[i][2]
            INTO members, expressions
            FROM (SELECT place, name,
                         CASE WHEN name = 'amount' THEN 'json'
                              WHEN atttypid IN ('text'::regtype, 'varchar'::regtype) THEN 'text'
                              WHEN atttypid IN ('uuid'::regtype, 'boolean'::regtype, 'timestamptz'::regtype,
                                                'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
                              THEN format_type(atttypid, NULL)
                              ELSE 'json' END AS type
                  FROM unnest(string_to_array(lists[i][3], ' ')) WITH ORDINALITY AS names(name, place)
                  LEFT JOIN pg_attribute ON attrelid = to_regclass(lists[i][1]) AND attname = name) AS typed;
            EXECUTE format('CREATE TYPE dashboard.%I AS (%s)', 'recent_' || lists[i][2], members);
            together_function := replace(together_function, '@' || lists[i][2] || '@', expressions);
        END LOOP;
        EXECUTE replace(together_function, '@fingerprint@',
                        encode(sha256(convert_to(bundle_source, 'UTF8')), 'hex'));
    ELSE
        EXECUTE each_function;
    END IF;

    COMMENT ON FUNCTION dashboard.bundles(text[]) IS
        'One row for each requested tenant, in their order; bundle is NULL where there is no such tenant, without_test_data where it is the same as bundle. Each column after these is one of the bundle''s lists, or, by its name, the same without test data; NULL: not in lists, or the same.';
END
$migration$;
