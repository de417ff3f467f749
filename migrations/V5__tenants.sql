-- What a person picks a tenant from: the active tenants by name.
--
--   dashboard.tenants(search, tenant, most)  those that the search fits, SUPERADMIN_GLOBAL first; or of one tenant alone
--
-- Who is active, dashboard.active_tenants() says; the names are the CRM's. It runs with the rights of its caller, which
-- needs no more than for bundles. Who keeps a CRM under other names replaces it, too.

DO $migration$
DECLARE
    -- strpos knows no wildcards, so nothing in a search has to be escaped. COLLATE "C", because not every collation
    -- that a column may have can be searched in.
    function CONSTANT text := $template$
CREATE OR REPLACE FUNCTION dashboard.tenants(search text, tenant text, most integer)
RETURNS TABLE(tenant_id text, name text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $function$
    SELECT listed.id, COALESCE(NULLIF(listed.name, ''), NULLIF(listed.slug, ''), listed.id)
    FROM (SELECT active.id, @slug@ AS slug,
                 CASE active.id WHEN 'SUPERADMIN_GLOBAL' THEN 'All tenants' ELSE @name@ END AS name
          FROM dashboard.active_tenants() AS active(id) LEFT JOIN @tenant@ AS t ON t.id::text = active.id
          WHERE $2 IS NULL OR active.id = $2) AS listed
    WHERE EXISTS (SELECT FROM unnest(ARRAY[listed.id, listed.slug, listed.name]) AS word
                  WHERE strpos(lower(word) COLLATE "C", lower($1) COLLATE "C") > 0)
    ORDER BY listed.id <> 'SUPERADMIN_GLOBAL', lower(listed.name) COLLATE "C" NULLS LAST, listed.id COLLATE "C"
    LIMIT $3
$function$
$template$;
    crm_table CONSTANT regclass := to_regclass('tenant');
    qualified text;
    sql text := function;
    col text;
BEGIN
    IF crm_table IS NULL THEN
        RAISE EXCEPTION 'the CRM table tenant is not reachable through search_path (%)', current_setting('search_path')
            USING HINT = 'Set search_path for this role or in the connection string, e.g. options=-csearch_path=crm.';
    END IF;
    SELECT format('%I.%I', nspname, relname) INTO qualified
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = crm_table;
    -- Not every installation has both.
    FOREACH col IN ARRAY ARRAY['name', 'tenant_id'] LOOP
        sql := replace(sql, CASE col WHEN 'name' THEN '@name@' ELSE '@slug@' END,
            CASE WHEN EXISTS (SELECT FROM pg_attribute
                              WHERE attrelid = crm_table AND attname = col AND NOT attisdropped)
                 THEN format('t.%I::text', col) ELSE 'NULL::text' END);
    END LOOP;
    EXECUTE replace(sql, '@tenant@', qualified);
END
$migration$;

COMMENT ON FUNCTION dashboard.tenants(text, text, integer) IS
    'Active tenants whose id, slug or name contains the search, whatever its case; of one tenant alone where it is not NULL.';
