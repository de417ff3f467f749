-- Locks that only our own roles can take: rows of a table of ours, in place of advisory locks, which are numbers that every role of the
-- database may take, and keep.
--
-- A row is locked by SELECT ... FOR UPDATE, for as long as a transaction lasts. That also holds behind a pooler, where what a session
-- holds stays with a connection that somebody else gets next.
--
-- Rights, for the example `dashboard_feed` (merges and announces); who has those of V6 has got this one, too:
--
--   GRANT SELECT, UPDATE ON dashboard.lock TO dashboard_feed;

CREATE TABLE dashboard.lock (
    name  text PRIMARY KEY,
    what  text NOT NULL
);
INSERT INTO dashboard.lock (name, what) VALUES
    ('compactor', 'merges dashboard.delta into dashboard.counter, or counts anew'),
    ('corrections', 'corrects what counters verify has found'),
    ('counters', 'is a command of dashboard-sidecar counters'),
    ('migrate', 'builds indexes, as dashboard-sidecar migrate');

COMMENT ON TABLE dashboard.lock IS 'One row for each thing that one session does at a time; it locks the row FOR UPDATE meanwhile.';

DO $migration$
DECLARE
    role text;
    change record;
    definition text;
BEGIN
    -- Who was allowed to merge before goes on.
    FOR role IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                FROM pg_class, aclexplode(relacl)
                WHERE pg_class.oid = 'dashboard.pending'::regclass AND privilege_type = 'UPDATE' AND grantee <> relowner LOOP
        EXECUTE format('GRANT SELECT, UPDATE ON dashboard.lock TO %s', role);
    END LOOP;

    -- The functions of V6, each with its lock in another place.
    FOR change IN SELECT * FROM (VALUES
        ('dashboard.compact(integer)', $$
    busy := NOT pg_try_advisory_xact_lock(7164775482013344114);
    merged := 0;
    IF busy THEN
        RETURN;
    END IF;
$$, $$
    busy := false;
    merged := 0;
$$),
        -- Locking a row writes to its page: not where there is nothing to do.
        ('dashboard.compact(integer)', $$
    -- One statement, thus one snapshot: what is deleted is what is added.
$$, $$
    PERFORM FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE SKIP LOCKED;
    busy := NOT FOUND;
    IF busy THEN
        RETURN;
    END IF;

    -- One statement, thus one snapshot: what is deleted is what is added.
$$),
        ('dashboard.recount()', $$
    PERFORM pg_advisory_xact_lock(7164775482013344114);
$$, $$
    PERFORM FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE;
$$),
        ('dashboard.verify(uuid[], boolean)', $$
        PERFORM pg_advisory_xact_lock(7164775482013344115);
$$, $$
        PERFORM FROM dashboard.lock WHERE name = 'corrections' FOR UPDATE;
$$)) AS changes(function, old, new) LOOP
        definition := pg_get_functiondef(change.function::regprocedure);
        IF strpos(definition, change.old) = 0 THEN
            RAISE EXCEPTION '% is not the one of V6__counters', change.function
                USING HINT = 'Restore it from migrations/V6__counters.sql, then run migrate again.';
        END IF;
        EXECUTE replace(definition, change.old, change.new);
    END LOOP;
END
$migration$;
