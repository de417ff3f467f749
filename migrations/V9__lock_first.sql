-- What a statement is going to read is locked before its snapshot is taken.
--
--   dashboard.lock_for_bundles()  before dashboard.bundle, bundles, version and unchanged
--   dashboard.lock_for_tenants()  before dashboard.active_tenants, tenants and directory
--
-- TRUNCATE and an ALTER TABLE that writes a table anew leave it empty for every snapshot from before. A function takes its caller's snapshot and
-- waits for its tables afterwards, so it would find nothing in them, and say so. The sidecar calls these in the same transaction, as a statement of
-- their own: the next one, in READ COMMITTED, has a snapshot of its own, from when nobody else was at these tables.
--
-- Whoever has replaced dashboard.bundle by a function over tables of their own replaces dashboard.lock_for_bundles, too, with these in it.

DO $migration$
DECLARE
    lock_function CONSTANT text := $template$
CREATE FUNCTION dashboard.lock_for_@what@() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Shorter than deadlock_timeout, and then what is held already is let go: where a migration takes the same tables in another order, one of us
-- would be ended as a deadlock, and it must not be the migration.
SET lock_timeout = '400ms'
AS $function$
BEGIN
    LOOP
        BEGIN
            LOCK TABLE @tables@ IN ACCESS SHARE MODE;
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- Ended by statement_timeout, if not before.
        END;
    END LOOP;
END
$function$
$template$;
    what record;
BEGIN
    FOR what IN
        SELECT lists.name, string_agg(format('%I.%I', nspname, relname), ', ' ORDER BY crm.name) AS tables
        FROM (VALUES ('bundles', '.*'), ('tenants', 'tenant')) AS lists(name, names)
             JOIN dashboard.crm_tables() AS crm ON crm.name ~ ('^(' || lists.names || ')$')
             JOIN pg_class ON pg_class.oid = crm.place JOIN pg_namespace ON pg_namespace.oid = relnamespace
        GROUP BY lists.name LOOP
        EXECUTE replace(replace(lock_function, '@what@', what.name), '@tables@', what.tables);
    END LOOP;
END
$migration$;

COMMENT ON FUNCTION dashboard.lock_for_bundles() IS 'Waits until nobody rewrites a table that bundles are computed from, and keeps it so until the transaction ends.';
COMMENT ON FUNCTION dashboard.lock_for_tenants() IS 'The same for the tables that list tenants.';
