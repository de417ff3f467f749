-- The tenants that a person picks from, all at once, for a sidecar that searches them in memory: with hundreds of thousands of
-- tenants one search in the tables takes most of a second.
--
--   dashboard.directory()  what dashboard.tenants lists, in its order, and the slug of each
--
-- It takes list, names and order from dashboard.tenants, so whoever has replaced that function need not replace this one.

DO $migration$
DECLARE
    function CONSTANT text := $template$
CREATE OR REPLACE FUNCTION dashboard.directory()
RETURNS TABLE(tenant_id text, name text, slug text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $function$
    SELECT listed.tenant_id, listed.name, @slug@
    FROM dashboard.tenants('', NULL, 2147483647) WITH ORDINALITY AS listed(tenant_id, name, place)
    LEFT JOIN @tenant@ AS t ON t.id::text = listed.tenant_id
    ORDER BY listed.place
$function$
$template$;
    crm_table CONSTANT regclass := to_regclass('tenant');
    qualified text;
    slug text := 'NULL::text';
BEGIN
    IF crm_table IS NULL THEN
        RAISE EXCEPTION 'the CRM table tenant is not reachable through search_path (%)', current_setting('search_path')
            USING HINT = 'Set search_path for this role or in the connection string, e.g. options=-csearch_path=crm.';
    END IF;
    SELECT format('%I.%I', nspname, relname) INTO qualified
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = crm_table;
    -- Not every installation has it.
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = crm_table AND attname = 'tenant_id' AND NOT attisdropped) THEN
        slug := 't.tenant_id::text';
    END IF;
    EXECUTE replace(replace(function, '@slug@', slug), '@tenant@', qualified);
END
$migration$;

COMMENT ON FUNCTION dashboard.directory() IS 'All active tenants with name and slug, in the order of dashboard.tenants.';
