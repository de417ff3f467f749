-- The schedule: the CRM's table `cron_job`, used as it is, with a row for nightly warming in it; and what the
-- sidecars need so that one of them runs a job that is due.
--
--   dashboard.cron_job_table()  where that table lies; who moves it replaces this function
--   dashboard.lease             who is doing what only one may do at a time, and until when
--
-- A role that runs the schedule needs no more than this (the role `dashboard` is an example). Without it
-- the sidecar serves all the same, and says once that the schedule does not run.
--
--   GRANT SELECT, UPDATE (last_run, next_run, metadata, updated_at) ON cron_job TO dashboard;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON dashboard.lease TO dashboard;
--   ALTER ROLE dashboard BYPASSRLS;   -- where cron_job has row-level security
--
-- `dashboard-sidecar cron enable`, `disable` and `set` are for a person with the right to change the job:
--
--   GRANT INSERT, UPDATE (is_active, schedule) ON cron_job TO …;

DO $migration$
DECLARE
    -- Looked up now, along the search_path in force, as the functions of V2 do it.
    cron_job CONSTANT regclass := to_regclass('cron_job');
    qualified text;
    had_row_security CONSTANT text := current_setting('row_security');
BEGIN
    IF cron_job IS NULL THEN
        RAISE EXCEPTION 'the CRM table cron_job is not reachable through search_path (%)', current_setting('search_path')
            USING HINT = 'Set search_path for this role or in the connection string, e.g. options=-csearch_path=crm.';
    END IF;
    SELECT format('%I.%I', nspname, relname) INTO qualified
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = cron_job;

    -- A function rather than a view: a view would stand in the way of whoever alters the CRM's table.
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION dashboard.cron_job_table() RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS %L
$function$, format('SELECT pg_catalog.to_regclass(%L)', qualified));

    -- A row that a policy hides would be added once more: then rather an error, and so no row.
    PERFORM set_config('row_security', 'off', true);
    BEGIN
        EXECUTE format($insert$
INSERT INTO %s (name, schedule, function_name, is_active, next_run, metadata)
SELECT 'Warm Dashboard Bundle Cache', 'cron:0 0 * * *', 'warmDashboardBundleCache', true,
       -- The next midnight in UTC, so that the row is complete before any sidecar has seen it.
       (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC',
       '{"next_run_for": "cron:0 0 * * *"}'
WHERE NOT EXISTS (SELECT FROM %s WHERE function_name = 'warmDashboardBundleCache')
$insert$, qualified, qualified);
    EXCEPTION WHEN OTHERS THEN
        -- Whatever a CRM's own table demands of a row: all else in here is worth having without it.
        RAISE WARNING 'cron_job got no row for nightly warming (%): run ''dashboard-sidecar cron enable'' with the right to add it, or add one by hand', SQLERRM;
    END;
    PERFORM set_config('row_security', had_row_security, true);
END
$migration$;

-- General on purpose: a lease is a name, and who holds it.
CREATE TABLE IF NOT EXISTS dashboard.lease (
    name        text PRIMARY KEY,
    owner       text NOT NULL,
    -- By a clock that may be set; whether the lease has ended is seen by this row standing still for as long as it lasts.
    expires_at  timestamptz NOT NULL,
    lasts       interval NOT NULL
);

COMMENT ON FUNCTION dashboard.cron_job_table() IS
    'The table that holds the schedule, NULL when it is gone. Who keeps it elsewhere replaces this function.';
COMMENT ON TABLE dashboard.lease IS
    'Who does what only one sidecar may do at a time. A row that has stood still for as long as the lease lasts may be taken by anybody.';
