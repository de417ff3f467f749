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
BEGIN
    -- Who was allowed to merge before goes on.
    FOR role IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                FROM pg_class, aclexplode(relacl)
                WHERE pg_class.oid = 'dashboard.pending'::regclass AND privilege_type = 'UPDATE' AND grantee <> relowner LOOP
        EXECUTE format('GRANT SELECT, UPDATE ON dashboard.lock TO %s', role);
    END LOOP;
END
$migration$;
