-- What a statement is going to read is locked before its snapshot is taken.
--
--   dashboard.lock_for_bundles()  before dashboard.bundle, bundles, version and unchanged
--   dashboard.lock_for_tenants()  before dashboard.active_tenants, tenants and directory
--
-- TRUNCATE and an ALTER TABLE that writes a table anew leave it empty for every snapshot from before. A function takes its caller's snapshot and
-- waits for its tables afterwards, so it would find nothing in them, and say so. The sidecar calls these in the same transaction, as a statement of
-- their own: the next one, in READ COMMITTED, has a snapshot of its own, from when nobody else was at these tables.
--
-- What cannot be locked (a foreign table, a materialized view, a table that the caller may not read as a whole) is read as it is found, as before.
-- Whoever has replaced dashboard.bundle by a function over tables of their own may replace dashboard.lock_for_bundles, too, with these in it.

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
DECLARE
    places text[] := %L;
    lockable text[];
BEGIN
    WHILE places <> '{}' LOOP
        BEGIN
            EXECUTE 'LOCK TABLE ' || array_to_string(places, ', ') || ' IN ACCESS SHARE MODE';
            RETURN;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                -- Ended by statement_timeout, if not before.
            WHEN wrong_object_type OR insufficient_privilege OR undefined_table OR invalid_schema_name THEN
                lockable := ARRAY(
                    SELECT place
                    FROM unnest(places) AS place
                         JOIN (pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace) ON format('%%I.%%I', nspname, relname) = place
                    WHERE relkind IN ('r', 'p', 'v') AND has_schema_privilege(pg_namespace.oid, 'USAGE')
                          AND has_table_privilege(pg_class.oid, 'SELECT'));
                IF lockable = places THEN
                    RAISE;
                END IF;
                places := lockable;
        END;
    END LOOP;
END
$function$
$template$;
    what record;
BEGIN
    FOR what IN
        SELECT lists.name, COALESCE(array_agg(format('%I.%I', nspname, relname) ORDER BY crm.name) FILTER (WHERE nspname IS NOT NULL), '{}') AS places
        FROM (VALUES ('bundles', '.*'), ('tenants', 'tenant')) AS lists(name, names)
             LEFT JOIN (dashboard.crm_tables() AS crm
                        JOIN pg_class ON pg_class.oid = crm.place JOIN pg_namespace ON pg_namespace.oid = relnamespace)
                    ON crm.name ~ ('^(' || lists.names || ')$')
        GROUP BY lists.name LOOP
        EXECUTE format(replace(lock_function, '@what@', what.name), what.places);
    END LOOP;
END
$migration$;

COMMENT ON FUNCTION dashboard.lock_for_bundles() IS 'Waits until nobody rewrites a table that bundles are computed from, and keeps it so until the transaction ends.';
COMMENT ON FUNCTION dashboard.lock_for_tenants() IS 'The same for the tables that list tenants.';
