-- Counters: a bundle that costs the same for a tenant of any size, and a record of which tenants have changed.
--
--   dashboard.delta      what a statement of a writer has changed: append-only, so that writers never wait for one another
--   dashboard.counter    the sums of all deltas that have been merged
--   dashboard.pending    whose change has not been announced yet: the change feed's position
--   dashboard.uncounted  whose figures cannot be summed, and why: their bundles are computed from the tables
--   dashboard.counters   whether bundles are computed from them
--
-- A figure is the sum of its rows in `counter` and `delta`, read in one snapshot. Merging moves numbers from one to the other in
-- one transaction, so no snapshot sees a mixture. All of this rests until `dashboard-sidecar counters enable` has created
-- the triggers and counted what is there; until then, and after `counters disable`, bundles are computed from the tables.
--
-- Where dashboard.bundle is somebody's own, it stays, and there is nothing here to enable. Rights, for the examples
-- `dashboard` (computes) and `dashboard_feed` (merges and announces); writers need none, their triggers run as the functions' owner:
--
--   GRANT SELECT ON dashboard.delta, dashboard.counter, dashboard.uncounted, dashboard.counters, dashboard.feed TO dashboard;
--   GRANT USAGE ON SCHEMA dashboard TO dashboard_feed;
--   GRANT SELECT ON dashboard.schema_history TO dashboard_feed;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON dashboard.delta, dashboard.counter, dashboard.uncounted, dashboard.pending,
--         dashboard.counters, dashboard.feed, dashboard.lease TO dashboard_feed;
--   GRANT SELECT, UPDATE ON dashboard.lock TO dashboard_feed;

CREATE TABLE dashboard.delta (
    -- Which transaction; see dashboard.counters.low.
    xid        xid8    NOT NULL DEFAULT pg_current_xact_id(),
    n          bigint  NOT NULL,
    tenant_id  uuid,
    slot       integer,
    -- Of which table the rows are: C contacts, A accounts, L leads, O opportunities, V activities, T tenant (whose rows are not
    -- counted, but whose coming and going is a change). H is a heartbeat of the feed, whose name is `source`. In lower case: a figure, as
    -- in `counter`.
    kind       "char"  NOT NULL,
    test       boolean NOT NULL,
    open       boolean NOT NULL,
    source     text COLLATE "C",
    amount     numeric
)
-- It is emptied all day long. Statistics would be those of a random moment, and turn plans into sequential scans.
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
      autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 2147483647);

CREATE INDEX delta_tenant ON dashboard.delta (tenant_id, xid);
-- The compactor's: what has been merged and cannot be removed yet, as a long transaction may still see it, is not looked at again.
CREATE INDEX delta_xid ON dashboard.delta (xid);

CREATE TABLE dashboard.counter (
    -- A tenant, or dashboard.all_tenants().
    owner      uuid    NOT NULL,
    -- c contacts, a accounts, l leads by source, o open leads, n open leads by day, s opportunities by stage, v activities by
    -- day, z changes.
    figure     "char"  NOT NULL,
    test       boolean NOT NULL,
    -- A day of created_date (UTC, days since 1970), the number of a stage, or the hash of a source.
    slot       integer NOT NULL,
    source     text COLLATE "C" NOT NULL,
    n          bigint  NOT NULL,
    amount     numeric NOT NULL
)
-- Room for the next version of a row on its own page: then no index is touched.
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Not unique, as a source may be longer than an index takes: only who holds the compactor's lock writes here.
CREATE INDEX counter_owner ON dashboard.counter (owner, figure, slot, test);

CREATE TABLE dashboard.pending (
    owner      uuid PRIMARY KEY,
    -- The last merge that found it changed. Who has announced an earlier one has not announced this.
    merged_by  xid8 NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_threshold = 2147483647);

CREATE TABLE dashboard.uncounted (
    -- A tenant, or dashboard.all_tenants().
    owner      uuid        PRIMARY KEY,
    -- What the database said when it was to add one number to another.
    why        text        NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE dashboard.counters (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    ready         boolean NOT NULL DEFAULT false,
    -- Another one whenever the counting has begun anew: versions from before mean nothing any more.
    epoch         text    NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12),
    -- What transactions before this one have appended has been merged, so that readers need not look among the dead rows
    -- that a long transaction keeps from being removed. It holds for the server that has said it, not for a restored dump.
    low           xid8    NOT NULL DEFAULT '0',
    server_start  timestamptz,
    -- The oldest day that counters know of (days since 1970); older ones have been dropped, one at a time.
    first_day     integer NOT NULL DEFAULT 0,
    pruned_at     timestamptz NOT NULL DEFAULT '-infinity',
    -- Which tables have been counted: dashboard.tables() of then. NULL: none.
    tables        jsonb
);
INSERT INTO dashboard.counters DEFAULT VALUES;

CREATE TABLE dashboard.feed (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- Which Redis, and which Postgres, the feed has gone on with. With another one something may be missing.
    redis        text,
    postgres     text,
    -- Written, merged and acknowledged by Redis: the last heartbeat, and how long that took.
    heartbeat_at timestamptz,
    lag_ms       bigint,
    -- Grows with each heartbeat. The feed and Redis remember it: where it is less than that, these rows are older ones.
    position     bigint NOT NULL DEFAULT 0,
    -- Everything is to be marked as changed: which time this is, when it was found out, and why.
    gap_number   bigint NOT NULL DEFAULT 0,
    gap_at       timestamptz,
    gap          text
);
INSERT INTO dashboard.feed DEFAULT VALUES;

-- Who was allowed to compute bundles before goes on.
DO $migration$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                FROM pg_class, aclexplode(relacl)
                WHERE pg_class.oid = to_regclass('dashboard.schema_history') AND privilege_type = 'SELECT' AND grantee <> relowner LOOP
        EXECUTE format('GRANT SELECT ON dashboard.delta, dashboard.counter, dashboard.uncounted, dashboard.counters, '
                       'dashboard.feed TO %s', role);
    END LOOP;
END
$migration$;

-- The owner of what is counted over all tenants together. Drawn once; a tenant of this id is not counted by itself.
CREATE FUNCTION dashboard.all_tenants() RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT '5a6d7e1c-93f2-4c0b-8b1e-2f40a9d7c3e8'::uuid$$;

-- What a number of equal deltas, with sums n and amount, adds to which figures. (The planner puts this text in the place of a call.)
CREATE FUNCTION dashboard.parts(kind "char", open boolean, slot integer, source text, n bigint, amount numeric, deltas bigint)
RETURNS TABLE(figure "char", slot integer, source text, n bigint, amount numeric)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT part.figure, part.slot, part.source, part.n, part.amount
    FROM (VALUES ('z'::"char", 0, '', $7, 0::numeric, kind <> 'H'),
                 ('c', 0, '', $5, 0, kind = 'C'),
                 ('a', 0, '', $5, 0, kind = 'A'),
                 ('l', hashtext($4), $4, $5, 0, kind = 'L'),
                 ('o', 0, '', $5, 0, kind = 'L' AND open),
                 ('n', $3, '', $5, 0, kind = 'L' AND open AND $3 IS NOT NULL),
                 ('s', $3, '', $5, COALESCE($6, 0), kind = 'O'),
                 ('v', $3, '', $5, 0, kind = 'V' AND $3 IS NOT NULL),
                 -- What `verify` has corrected.
                 (kind, $3, $4, $5, COALESCE($6, 0), kind IN ('c', 'a', 'l', 'o', 'n', 's', 'v'))
         ) AS part(figure, slot, source, n, amount, applies)
    WHERE part.applies
$$;

-- The oldest day that any window reaches, and ten more for clocks, as a number. Of two clocks the one that is behind counts: a clock
-- that is ahead would drop days that are still shown.
CREATE FUNCTION dashboard.oldest_day(elsewhere timestamptz) RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$SELECT (LEAST(now(), elsewhere) AT TIME ZONE 'UTC')::date - DATE '1970-01-01' - 40$$;

-- Merges the oldest deltas, at most so many, and puts on record whose they were. `elsewhere`: the time by another clock. `busy`: somebody
-- else is at it. `heartbeats`: those that have been merged with all that is older. In READ COMMITTED the lock is taken before the snapshot
-- is, so what another one has merged is seen as merged.
CREATE FUNCTION dashboard.compact(most integer DEFAULT 20000, elsewhere timestamptz DEFAULT NULL,
    OUT busy boolean, OUT merged bigint, OUT heartbeats text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    merged_before xid8 := '0';
    xmin_then xid8;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'dashboard.compact must see what was merged just before it: call it in READ COMMITTED';
    END IF;
    busy := false;
    merged := 0;
    SELECT low INTO merged_before FROM dashboard.counters WHERE server_start = pg_postmaster_start_time();
    merged_before := COALESCE(merged_before, '0');
    IF NOT EXISTS (SELECT FROM dashboard.delta WHERE xid >= merged_before) THEN
        RETURN;
    END IF;

    -- Locking a row writes to its page: not where there is nothing to do.
    PERFORM FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE SKIP LOCKED;
    busy := NOT FOUND;
    IF busy THEN
        RETURN;
    END IF;

    -- One statement, thus one snapshot: what is deleted is what is added.
    WITH taken AS (
        DELETE FROM dashboard.delta
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM dashboard.delta WHERE xid >= merged_before ORDER BY xid LIMIT most))
        RETURNING *
    ), part AS (
        SELECT tenant_id, test, part.*
        FROM (SELECT tenant_id, kind, test, open, slot, source, sum(n)::bigint AS n, sum(amount) AS amount, count(*) AS deltas
              FROM taken
              WHERE tenant_id NOT IN (SELECT owner FROM dashboard.uncounted) IS NOT FALSE
              GROUP BY tenant_id, kind, test, open, slot, source) AS alike
             CROSS JOIN LATERAL dashboard.parts(kind, open, alike.slot, alike.source, alike.n, alike.amount, deltas) AS part
        -- Days that no window reaches any more are nobody's figures.
        WHERE NOT (part.figure IN ('n', 'v') AND part.slot < (SELECT first_day FROM dashboard.counters))
    ), sums AS MATERIALIZED (
        SELECT tenant_id AS owner, figure, test, slot, source, sum(n)::bigint AS n, sum(amount) AS amount
        FROM part WHERE tenant_id <> dashboard.all_tenants()
        GROUP BY tenant_id, figure, test, slot, source
        UNION ALL
        SELECT dashboard.all_tenants(), figure, test, slot, source, sum(n)::bigint, sum(amount)
        FROM part
        WHERE NOT EXISTS (SELECT FROM dashboard.uncounted WHERE owner = dashboard.all_tenants())
        GROUP BY figure, test, slot, source
    ), updated AS (
        UPDATE dashboard.counter AS c
        SET n = c.n + sums.n, amount = c.amount + sums.amount
        FROM sums
        WHERE c.owner = sums.owner AND c.figure = sums.figure AND c.slot = sums.slot AND c.test = sums.test
          AND c.source = sums.source
        RETURNING c.owner, c.figure, c.slot, c.test, c.source
    ), inserted AS (
        INSERT INTO dashboard.counter (owner, figure, test, slot, source, n, amount)
        SELECT owner, figure, test, slot, source, n, amount FROM sums
        WHERE NOT EXISTS (
            SELECT FROM updated AS u
            WHERE u.owner = sums.owner AND u.figure = sums.figure AND u.slot = sums.slot AND u.test = sums.test
              AND u.source = sums.source)
    ), announced AS (
        INSERT INTO dashboard.pending (owner, merged_by)
        SELECT DISTINCT announce.owner, pg_current_xact_id()
        FROM taken CROSS JOIN LATERAL (VALUES (tenant_id), (dashboard.all_tenants())) AS announce(owner)
        WHERE kind <> 'H' AND announce.owner IS NOT NULL
        ON CONFLICT (owner) DO UPDATE SET merged_by = EXCLUDED.merged_by
    )
    SELECT count(*), array_agg(taken.source) FILTER (WHERE kind = 'H'), pg_snapshot_xmin(pg_current_snapshot())
    INTO merged, heartbeats, xmin_then
    FROM taken;

    IF merged < most THEN
        UPDATE dashboard.counters SET low = xmin_then, server_start = pg_postmaster_start_time()
        WHERE low <> xmin_then OR server_start IS DISTINCT FROM pg_postmaster_start_time();
    ELSE
        -- There may be more before them.
        heartbeats := NULL;
    END IF;
    -- A day at a time, and four times a day, as a time: however wrong the clocks are, by what is dropped too soon they have not been wrong for long.
    UPDATE dashboard.counters SET first_day = first_day + 1, pruned_at = now()
    WHERE first_day < dashboard.oldest_day(elsewhere) AND NOT now() BETWEEN pruned_at AND pruned_at + interval '6 hours';
    IF FOUND THEN
        DELETE FROM dashboard.counter
        WHERE figure IN ('n', 'v') AND slot < (SELECT first_day FROM dashboard.counters)
           OR figure <> 'z' AND n = 0 AND amount = 0;
    END IF;
END
$function$;

-- Where merging fails, as a sum is larger than any number may be: puts on record whose numbers are that large among the oldest deltas, at most so
-- many, and the counters that they belong to. Bundles of these are computed from the tables from then on, and so are those of all together,
-- until everything is counted anew; everybody's deltas can be merged then.
CREATE FUNCTION dashboard.set_aside(most integer DEFAULT 20000) RETURNS TABLE(tenant uuid, why text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
BEGIN
    PERFORM FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE;
    RETURN QUERY
    WITH oldest AS MATERIALIZED (
        SELECT d.tenant_id, d.amount FROM dashboard.delta AS d
        WHERE d.kind <> 'H' AND d.tenant_id NOT IN (SELECT u.owner FROM dashboard.uncounted AS u)
              AND d.tenant_id <> dashboard.all_tenants()
        ORDER BY d.xid LIMIT most
    ), largest AS MATERIALIZED (
        SELECT number.owner, max(abs(number.amount)) AS amount
        FROM (SELECT tenant_id AS owner, amount FROM oldest
              UNION ALL
              SELECT c.owner, c.amount FROM dashboard.counter AS c WHERE c.owner IN (SELECT tenant_id FROM oldest)) AS number
        WHERE number.amount <> 0
        GROUP BY number.owner
    ), aside AS (
        INSERT INTO dashboard.uncounted (owner, why)
        SELECT largest.owner,
               format('an amount of %s digits is too large to be added to others', length(trunc(largest.amount)::text))
        FROM largest
        -- A sum is too large only where some number in it is nearly so. Should that be wrong, it is one tenant a time, until merging goes on.
        WHERE largest.amount >= 1e130000 OR largest.amount = (SELECT max(others.amount) FROM largest AS others)
        ON CONFLICT (owner) DO NOTHING
        RETURNING owner, uncounted.why
    ), all_together AS (
        INSERT INTO dashboard.uncounted (owner, why)
        SELECT dashboard.all_tenants(), 'a tenant among them is not counted' FROM aside
        ON CONFLICT (owner) DO NOTHING
    )
    SELECT aside.owner, aside.why FROM aside;
END
$function$;

DO $migration$
DECLARE
    -- What a row of each table counts as: table, kind, tenant, test, open, slot, source, amount. The expressions are those of
    -- dashboard.bundle (V2); r is the row.
    tables CONSTANT text[][] := ARRAY[
        ['contacts', 'C', 'r.tenant_id', 'COALESCE(r.is_test_data, false)', 'false', 'NULL::integer', 'NULL', 'NULL::numeric'],
        ['accounts', 'A', 'r.tenant_id', 'COALESCE(r.is_test_data, false)', 'false', 'NULL::integer', 'NULL', 'NULL::numeric'],
        ['leads', 'L', 'r.tenant_id', 'COALESCE(r.is_test_data, false)',
         $$COALESCE(r.status NOT IN ('converted', 'lost'), false)$$,
         $$CASE WHEN r.status NOT IN ('converted', 'lost') THEN @day@ END$$,
         $$COALESCE(NULLIF(r.source, ''), 'other')$$, 'NULL::numeric'],
        ['opportunities', 'O', 'r.tenant_id', 'COALESCE(r.is_test_data, false)', 'false',
         $$CASE WHEN r.stage IS NULL THEN 0
                WHEN r.stage = 'prospecting' THEN 1 WHEN r.stage = 'qualification' THEN 2
                WHEN r.stage = 'proposal' THEN 3 WHEN r.stage = 'negotiation' THEN 4
                WHEN r.stage IN ('won', 'closed_won') THEN 5 WHEN r.stage = 'closedwon' THEN 6
                WHEN r.stage IN ('lost', 'closed_lost') THEN 7 WHEN r.stage = 'closedlost' THEN 8 ELSE 9 END$$,
         'NULL', 'CASE WHEN r.amount - r.amount = 0 THEN r.amount::numeric END'],
        ['activities', 'V', 'r.tenant_id', 'COALESCE(r.is_test_data, false)', 'false', '@day@', 'NULL', 'NULL::numeric'],
        ['tenant', 'T', 'r.id', 'false', 'false', 'NULL::integer', 'NULL', 'NULL::numeric']];

    -- Days before and after anybody's window are one each; so are the infinities.
    day CONSTANT text := $$CASE WHEN @moment@ IS NOT NULL THEN
        (LEAST(GREATEST(@moment@, '1970-01-01 00:00+00'), '2200-01-01 00:00+00') AT TIME ZONE 'UTC')::date - DATE '1970-01-01' END$$;

    -- Called once a statement, with the rows that it has changed. It runs as its owner: who writes to the CRM needs no right here. A few
    -- rows are appended as they are, which is quickest; many are grouped first. These are two statements, also because a plan
    -- is kept, and one that was made for many rows is slow for one.
    count_function CONSTANT text := $template$
CREATE OR REPLACE FUNCTION dashboard.count_@table@() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp@timezone@
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        @few of inserted@;
        IF NOT FOUND THEN
            @many of inserted@;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        @few of deleted@;
        IF NOT FOUND THEN
            @many of deleted@;
        END IF;
    ELSE
        @few of updated@;
        IF NOT FOUND THEN
            @many of updated@;
        END IF;
    END IF;
    RETURN NULL;
END
$function$
$template$;
    few CONSTANT text := $template$INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT '@kind@', tenant_id, test, open, slot, source, n, amount
        FROM (@changed@) AS changed
        WHERE NOT EXISTS (SELECT FROM @transition@ OFFSET 8)$template$;
    -- Most updates change no figure: of their two rows one is left.
    few_grouped CONSTANT text := $template$INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT '@kind@', tenant_id, test, open, slot, source, sum(n), sum(amount)
        FROM (@changed@) AS changed
        WHERE NOT EXISTS (SELECT FROM @transition@ OFFSET 8)
        GROUP BY tenant_id, test, open, slot, source$template$;
    -- A group that nothing is left of stays, as 0: its tenant has changed all the same.
    many CONSTANT text := $template$INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
            SELECT '@kind@', tenant_id, test, open, slot, source, sum(n), sum(amount)
            FROM (@changed@) AS changed
            GROUP BY tenant_id, test, open, slot, source$template$;
    -- What an event has changed, as rows of `delta`, and the transition table that says how many.
    events CONSTANT text[][] := ARRAY[
        ['inserted', 'new_rows', 'SELECT @columns@, 1 AS n, @amount@ AS amount FROM new_rows AS r'],
        ['deleted', 'old_rows', 'SELECT @columns@, -1 AS n, -@amount@ AS amount FROM old_rows AS r'],
        ['updated', 'new_rows', 'SELECT @columns@, 1 AS n, @amount@ AS amount FROM new_rows AS r
              UNION ALL
              SELECT @columns@, -1, -@amount@ FROM old_rows AS r']];

    -- The same of one row, for partitioned tables: of a row that MERGE moves to another partition, no transition table of an UPDATE
    -- tells (seen in Postgres 15), but triggers of rows do. And partitions that are made later have it by themselves.
    row_function CONSTANT text := $template$
CREATE OR REPLACE FUNCTION dashboard.count_row_@table@() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp@timezone@
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT '@kind@', @columns@, 1, @amount@ FROM (SELECT NEW.*) AS r;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT '@kind@', @columns@, -1, -@amount@ FROM (SELECT OLD.*) AS r;
    ELSE
        INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT '@kind@', tenant_id, test, open, slot, source, sum(n), sum(amount)
        FROM (SELECT @columns@, 1 AS n, @amount@ AS amount FROM (SELECT NEW.*) AS r
              UNION ALL
              SELECT @columns@, -1, -@amount@ FROM (SELECT OLD.*) AS r) AS changed
        GROUP BY tenant_id, test, open, slot, source;
    END IF;
    RETURN NULL;
END
$function$
$template$;

    -- Before the rows are gone they are counted once more. TRUNCATE has waited for every writer, and it fires this for each
    -- partition. (Under a REPEATABLE READ snapshot that is older than some rows, those are not seen, and `verify` is needed.)
    truncate_function CONSTANT text := $template$
CREATE OR REPLACE FUNCTION dashboard.count_truncated_@table@() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET row_security = off
SET jit = off
AS $function$
DECLARE
    counting text;
BEGIN
    FOR counting IN SELECT format($statement$
        INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT '@kind@', tenant_id, test, open, slot, source, -count(*), -sum(amount)
        FROM (SELECT @columns@, @amount@ AS amount FROM ONLY %s AS r) AS gone
        GROUP BY tenant_id, test, open, slot, source$statement$, place)
    FROM (SELECT TG_RELID::regclass AS place
          UNION ALL
          -- Partitions that were made since have no such trigger of their own: the topmost table counts theirs.
          SELECT relid FROM pg_partition_tree(TG_RELID)
          WHERE isleaf AND relid <> TG_RELID AND TG_RELID NOT IN (SELECT inhrelid FROM pg_inherits)
            AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relid AND tgname = TG_NAME)) AS places LOOP
        EXECUTE counting;
    END LOOP;
    RETURN NULL;
END
$function$
$template$;

    -- What the tables say, of some tenants or (NULL) of all but those `without`, from the `oldest` day on, as `counter` would have it. STABLE:
    -- it sees its caller's snapshot.
    tally_function text := $template$
CREATE OR REPLACE FUNCTION dashboard.tally(tenants uuid[], oldest integer, without uuid[] DEFAULT '{}')
RETURNS TABLE(owner uuid, figure "char", test boolean, slot integer, source text, n bigint, amount numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET row_security = off
SET jit = off
AS $function$
#variable_conflict use_column
BEGIN
    IF tenants IS NULL THEN
        RETURN QUERY @tally of all@;
    ELSE
        RETURN QUERY @tally of some@;
    END IF;
END
$function$
$template$;
    tally_query CONSTANT text := $template$
        SELECT counted.tenant_id, part.figure, counted.test, part.slot, part.source,
               sum(part.n)::bigint, sum(part.amount)
        FROM (@tables@) AS counted(kind, tenant_id, test, open, slot, source, n, amount)
             CROSS JOIN LATERAL dashboard.parts(kind, open, counted.slot, counted.source, counted.n, counted.amount, 0) AS part
        WHERE part.figure <> 'z'
        GROUP BY counted.tenant_id, part.figure, counted.test, part.slot, part.source$template$;
    tally_table CONSTANT text := $template$
        SELECT '@kind@'::"char", tenant_id, test, open,
               -- Days that have left the window for good are not kept.
               CASE WHEN '@kind@' NOT IN ('L', 'V') OR slot >= tally.oldest THEN slot END,
               source, count(*), sum(amount)
        FROM (SELECT @columns@, @amount@ AS amount FROM @qualified@ AS r WHERE @scope@) AS rows
        GROUP BY 2, 3, 4, 5, 6$template$;
    tally_tables text[] := '{}';

    known text[] := '{}';
    columns text;
    amount text;
    moment text;
    moment_type regtype;
    qualified text;
    table_owner name;
    trigger_function text;
    timezone text;
    count_sql text;
    size text;
BEGIN
    FOR i IN 1 .. array_length(tables, 1) LOOP
        -- Looked up now, along the search_path in force, as the functions of V2 do it.
        SELECT format('%I.%I', nspname, relname), pg_get_userbyid(relowner) INTO qualified, table_owner
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = to_regclass(tables[i][1]);
        CONTINUE WHEN qualified IS NULL;
        known := known || format('(%L, to_regclass(%L))', tables[i][1], qualified);

        -- Older tables may have times without a zone, which are UTC.
        SELECT atttypid INTO moment_type FROM pg_attribute
        WHERE attrelid = to_regclass(tables[i][1]) AND attname = 'created_date' AND NOT attisdropped;
        moment := CASE moment_type
            WHEN 'timestamp'::regtype THEN $$(r.created_date AT TIME ZONE 'UTC')$$
            WHEN 'date'::regtype THEN $$(LEAST(GREATEST(r.created_date, '1970-01-01'), '2200-01-01')::timestamp AT TIME ZONE 'UTC')$$
            ELSE 'r.created_date' END;
        -- The types of today may not be those of tomorrow: then a day is one of UTC all the same.
        timezone := CASE WHEN strpos(tables[i][6], '@day@') > 0 THEN E'\nSET timezone = ''UTC''' ELSE '' END;
        columns := format('%s AS tenant_id, %s AS test, %s AS open, %s AS slot, %s::text AS source',
            tables[i][3], tables[i][4], tables[i][5],
            replace(tables[i][6], '@day@', replace(day, '@moment@', moment)), tables[i][7]);
        amount := '(' || tables[i][8] || ')';

        count_sql := replace(count_function, '@timezone@', timezone);
        FOR e IN 1 .. array_length(events, 1) LOOP
            FOREACH size IN ARRAY ARRAY['few', 'many'] LOOP
                count_sql := replace(count_sql, format('@%s of %s@', size, events[e][1]), replace(replace(
                    CASE size WHEN 'many' THEN many WHEN 'few' THEN CASE events[e][1] WHEN 'updated' THEN few_grouped ELSE few END END,
                    '@changed@', events[e][3]), '@transition@', events[e][2]));
            END LOOP;
        END LOOP;
        EXECUTE replace(replace(replace(replace(count_sql,
            '@table@', tables[i][1]), '@kind@', tables[i][2]), '@columns@', columns), '@amount@', amount);
        EXECUTE replace(replace(replace(replace(replace(row_function, '@timezone@', timezone),
            '@table@', tables[i][1]), '@kind@', tables[i][2]), '@columns@', columns), '@amount@', amount);
        EXECUTE replace(replace(replace(replace(truncate_function,
            '@table@', tables[i][1]), '@kind@', tables[i][2]), '@columns@', replace(columns, '%', '%%')), '@amount@', amount);
        -- Whoever may call such a function can hang it on a table of their own, with types and casts of their own: it must be nobody but
        -- the table's owner, and it must not run with more than that one's rights.
        FOREACH trigger_function IN ARRAY ARRAY['count_', 'count_row_', 'count_truncated_'] LOOP
            trigger_function := format('dashboard.%I()', trigger_function || tables[i][1]);
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', trigger_function);
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', trigger_function, table_owner);
            IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND table_owner <> current_user THEN
                EXECUTE format('GRANT USAGE ON SCHEMA dashboard TO %I', table_owner);
                EXECUTE format('GRANT INSERT ON dashboard.delta TO %I', table_owner);
                EXECUTE format('ALTER FUNCTION %s OWNER TO %I', trigger_function, table_owner);
            END IF;
        END LOOP;
        IF tables[i][1] <> 'tenant' THEN
            tally_tables := tally_tables || replace(replace(replace(replace(tally_table,
                '@kind@', tables[i][2]), '@columns@', columns), '@amount@', amount), '@qualified@', qualified);
        END IF;
    END LOOP;

    tally_function := replace(tally_function, '@tally of all@',
        replace(tally_query, '@tables@', replace(array_to_string(tally_tables, ' UNION ALL '), '@scope@', '(r.tenant_id = ANY (tally.without)) IS NOT TRUE')));
    tally_function := replace(tally_function, '@tally of some@',
        replace(tally_query, '@tables@', replace(array_to_string(tally_tables, ' UNION ALL '), '@scope@', 'r.tenant_id = ANY (tally.tenants)')));
    EXECUTE tally_function;

    EXECUTE format($function$
CREATE FUNCTION dashboard.crm_tables() RETURNS TABLE(name text, place regclass)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS %L
$function$, 'SELECT * FROM (VALUES ' || array_to_string(known, ', ') || ') AS crm(name, place) WHERE place IS NOT NULL');

    SELECT format('%I.%I', nspname, relname) INTO qualified
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = to_regclass('tenant');
    EXECUTE format($function$
CREATE FUNCTION dashboard.known_tenants() RETURNS SETOF uuid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS %L
$function$, CASE WHEN qualified IS NULL THEN 'SELECT NULL::uuid WHERE false' ELSE 'SELECT id FROM ' || qualified END);
END
$migration$;

-- A table with its partitions and children, each of which may be written to by itself.
CREATE FUNCTION dashboard.family(crm_table regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    WITH RECURSIVE family(member) AS (
        SELECT crm_table::oid
        UNION
        SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = member)
    SELECT member::regclass FROM family JOIN pg_class ON pg_class.oid = member WHERE relkind IN ('r', 'p') ORDER BY 1
$function$;

-- The triggers that a member of a CRM table's family has: of its statements; or, where partitions are involved, of its rows, made on the
-- topmost table and handed down by Postgres to every partition, those of later included.
CREATE FUNCTION dashboard.events(member regclass, crm_table regclass) RETURNS TABLE(event text, inherited boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT made.event, made.event = 'row' AND member <> crm_table
    FROM pg_class, unnest(CASE WHEN relkind = 'p' OR relispartition THEN ARRAY['row', 'truncate']
                               ELSE ARRAY['insert', 'update', 'delete', 'truncate'] END) AS made(event)
    WHERE oid = member
$function$;

-- Creates what is missing of the triggers on a table itself; false where nothing was. ALWAYS: also for sessions that pass for a replica.
CREATE FUNCTION dashboard.create_triggers(place regclass, name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    event text;
    created boolean := false;
BEGIN
    FOR event IN SELECT made.event
                 FROM dashboard.crm_tables() AS crm CROSS JOIN LATERAL dashboard.events(create_triggers.place, crm.place) AS made
                 WHERE crm.name = create_triggers.name AND NOT made.inherited LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_trigger
                              WHERE tgrelid = place AND tgname = 'dashboard_count_' || event AND tgenabled = 'A');
        -- Only then: it keeps readers out, too.
        IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = place AND tgname = 'dashboard_count_' || event) THEN
            EXECUTE format('DROP TRIGGER %I ON %s', 'dashboard_count_' || event, place);
        END IF;
        EXECUTE format('CREATE TRIGGER %I %s ON %s %s EXECUTE FUNCTION dashboard.%I()',
            'dashboard_count_' || event,
            CASE event WHEN 'truncate' THEN 'BEFORE TRUNCATE' WHEN 'row' THEN 'AFTER INSERT OR UPDATE OR DELETE'
                       ELSE 'AFTER ' || upper(event) END,
            place,
            CASE event WHEN 'insert' THEN 'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'
                       WHEN 'update' THEN 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'
                       WHEN 'delete' THEN 'REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'
                       WHEN 'row' THEN 'FOR EACH ROW' ELSE 'FOR EACH STATEMENT' END,
            CASE event WHEN 'truncate' THEN 'count_truncated_' WHEN 'row' THEN 'count_row_' ELSE 'count_' END || name);
        EXECUTE format('ALTER TABLE %s %s ENABLE ALWAYS TRIGGER %I',
            CASE event WHEN 'row' THEN '' ELSE 'ONLY' END, place, 'dashboard_count_' || event);
        created := true;
    END LOOP;
    RETURN created;
END
$function$;

-- Removes them; what a partition has been handed down goes with its parent's.
CREATE FUNCTION dashboard.drop_triggers(place regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    event text;
BEGIN
    FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'row', 'truncate'] LOOP
        IF EXISTS (SELECT FROM pg_trigger
                   WHERE tgrelid = place AND tgname = 'dashboard_count_' || event AND tgparentid = 0) THEN
            EXECUTE format('DROP TRIGGER %I ON %s', 'dashboard_count_' || event, place);
        END IF;
    END LOOP;
END
$function$;

-- Members of the CRM's tables whose changes are not, or not all, recorded.
CREATE FUNCTION dashboard.unrecorded() RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT DISTINCT member
    FROM dashboard.crm_tables() AS crm CROSS JOIN LATERAL dashboard.family(crm.place) AS member
         CROSS JOIN LATERAL dashboard.events(member, crm.place) AS made
    WHERE NOT EXISTS (SELECT FROM pg_trigger
                      WHERE tgrelid = member AND tgname = 'dashboard_count_' || made.event AND tgenabled = 'A')
$function$;

-- Which tables these are, by what stays the same when one is written anew, and changes when another one takes its name: ours, the CRM's, and
-- the database itself.
CREATE FUNCTION dashboard.tables() RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT jsonb_build_object('database', (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
                              'dashboard.counters', to_regclass('dashboard.counters')::oid::bigint)
           || COALESCE((SELECT jsonb_object_agg(name, place::oid::bigint) FROM dashboard.crm_tables()), '{}')
$function$;

-- The tables that are others than those that have been counted. None where all of them are, ours included: then all come from one dump, or this
-- is a copy of the database, and the counters are those of its rows.
CREATE FUNCTION dashboard.replaced() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT differing.name
    FROM (SELECT counted.name, known.tables -> 'database' = now.tables -> 'database' AS same_database,
                 bool_or(counted.id = now.tables -> counted.name IS TRUE) OVER () AS some_stay,
                 counted.id = now.tables -> counted.name IS TRUE AS stays
          FROM dashboard.counters AS known, dashboard.tables() AS now(tables), jsonb_each(known.tables) AS counted(name, id)
          WHERE counted.name <> 'database') AS differing
    WHERE same_database AND some_stay AND NOT stays
$function$;

-- Where tables have been replaced, bundles are computed from the tables, until everything is counted anew. Which ones.
CREATE FUNCTION dashboard.leave_replaced() RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    names CONSTANT text[] := ARRAY(SELECT dashboard.replaced());
BEGIN
    IF names = '{}' THEN
        UPDATE dashboard.counters SET tables = dashboard.tables() WHERE tables <> dashboard.tables();
        RETURN names;
    END IF;
    UPDATE dashboard.counters
    SET ready = false, epoch = DEFAULT
    WHERE ready;
    IF FOUND THEN
        UPDATE dashboard.feed
        SET gap = 'tables that had been counted have been replaced by others (bundles are computed from the tables until counters rebuild)', gap_at = clock_timestamp(), gap_number = gap_number + 1;
    END IF;
    RETURN names;
END
$function$;

-- Counts everything anew. What has been changed meanwhile is in no snapshot of this and stays a delta; merging waits, writers do not.
-- Tenants whose figures cannot be summed are put on record instead.
CREATE FUNCTION dashboard.recount(elsewhere timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
DECLARE
    oldest CONSTANT integer := dashboard.oldest_day(elsewhere);
    aside uuid[] := '{}';
    candidate uuid;
    problem text;
    counted bigint;
BEGIN
    PERFORM FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE;
    -- A table that is truncated is empty in older snapshots, too, and the change that says so is not in them: keep TRUNCATE out from
    -- before the snapshot. No writer waits for this.
    EXECUTE (SELECT string_agg(format('LOCK TABLE %s IN ACCESS SHARE MODE', place), '; ') FROM dashboard.crm_tables());
    DELETE FROM dashboard.uncounted;
    LOOP
        BEGIN
            WITH gone AS (
                DELETE FROM dashboard.delta WHERE kind <> 'H' RETURNING tenant_id
            ), announced AS (
                INSERT INTO dashboard.pending (owner, merged_by)
                SELECT DISTINCT COALESCE(owner, dashboard.all_tenants()), pg_current_xact_id()
                FROM gone CROSS JOIN LATERAL (VALUES (tenant_id), (dashboard.all_tenants())) AS announce(owner)
                ON CONFLICT (owner) DO UPDATE SET merged_by = EXCLUDED.merged_by
            ), emptied AS (
                DELETE FROM dashboard.counter
            ), tally AS MATERIALIZED (
                SELECT * FROM dashboard.tally(NULL, oldest, aside)
            )
            INSERT INTO dashboard.counter (owner, figure, test, slot, source, n, amount)
            SELECT * FROM tally WHERE owner <> dashboard.all_tenants()
            UNION ALL
            SELECT dashboard.all_tenants(), figure, test, slot, source, sum(n)::bigint, sum(amount)
            FROM tally WHERE aside = '{}'
            GROUP BY figure, test, slot, source
            -- Each tenant's rows side by side.
            ORDER BY 1, 2, 4;
            GET DIAGNOSTICS counted = ROW_COUNT;
            EXIT;
        EXCEPTION WHEN data_exception THEN
            IF dashboard.all_tenants() = ANY (aside) THEN
                RAISE;
            END IF;
        END;
        FOR candidate IN
            SELECT tenants.id FROM dashboard.known_tenants() AS tenants(id)
            UNION SELECT owner FROM dashboard.counter UNION SELECT tenant_id FROM dashboard.delta WHERE tenant_id IS NOT NULL LOOP
            CONTINUE WHEN candidate = dashboard.all_tenants();
            BEGIN
                PERFORM FROM dashboard.tally(ARRAY[candidate], oldest);
            EXCEPTION WHEN data_exception THEN
                GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
                INSERT INTO dashboard.uncounted (owner, why) VALUES (candidate, problem);
                aside := aside || candidate;
            END;
        END LOOP;
        aside := aside || dashboard.all_tenants();
        INSERT INTO dashboard.uncounted (owner, why)
        VALUES (dashboard.all_tenants(), 'all together, or a tenant among them, cannot be summed');
    END LOOP;
    -- The last that is done here: the feed waits for these rows, in this order.
    UPDATE dashboard.counters
    SET ready = true, epoch = DEFAULT, first_day = oldest, pruned_at = now(),
        tables = dashboard.tables();
    -- What has changed before, while triggers were missing, is on no record.
    UPDATE dashboard.feed
    SET gap = 'the counters were counted anew', gap_at = clock_timestamp(), gap_number = gap_number + 1;
    RETURN counted;
END
$function$;

-- Compares the counters of some tenants, or (NULL) those of all together, with the tables, in one snapshot, and returns by how much they
-- are short. A repair is a delta more, so it needs no lock and disturbs nobody.
CREATE FUNCTION dashboard.verify(tenants uuid[], repair boolean)
RETURNS TABLE(owner uuid, figure "char", test boolean, slot integer, source text, n bigint, amount numeric)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
    oldest CONSTANT integer := (SELECT first_day FROM dashboard.counters);
    -- What is not counted is not wrong, and may be too large to be summed.
    owners CONSTANT uuid[] := ARRAY(
        SELECT asked.owner FROM unnest(COALESCE(tenants, ARRAY[dashboard.all_tenants()])) AS asked(owner)
        WHERE asked.owner NOT IN (SELECT u.owner FROM dashboard.uncounted AS u));
BEGIN
    IF owners = '{}' THEN
        RETURN;
    END IF;
    -- A table that is truncated is empty in older snapshots, too, and the change that says so is not in them: keep TRUNCATE out from
    -- before the snapshot. No writer waits for this.
    EXECUTE (SELECT string_agg(format('LOCK TABLE %s IN ACCESS SHARE MODE', place), '; ') FROM dashboard.crm_tables());
    IF repair THEN
        -- Two at once would correct the same twice. Whose correction was waited for is in the snapshot of the statement that follows.
        PERFORM FROM dashboard.lock WHERE name = 'corrections' FOR UPDATE;
    END IF;
    RETURN QUERY
    WITH entry AS (
        SELECT CASE WHEN tenants IS NULL THEN dashboard.all_tenants() ELSE owner END AS owner, figure, test, slot, source, n, amount
        FROM dashboard.tally(CASE WHEN tenants IS NOT NULL THEN owners END, oldest)
        UNION ALL
        SELECT owner, figure, test, slot, source, -n, -amount FROM dashboard.counter WHERE owner = ANY (owners)
        UNION ALL
        SELECT CASE WHEN tenants IS NULL THEN dashboard.all_tenants() ELSE tenant_id END, part.figure, test, part.slot, part.source,
               -part.n, -part.amount
        FROM dashboard.delta AS d
             CROSS JOIN LATERAL dashboard.parts(kind, open, d.slot, d.source, d.n, d.amount, 1) AS part
        WHERE tenants IS NULL OR tenant_id = ANY (owners)
    ), difference AS MATERIALIZED (
        SELECT owner, figure, test, CASE figure WHEN 'l' THEN hashtext(source) ELSE slot END AS slot, source,
               sum(n)::bigint AS n, sum(amount) AS amount
        FROM entry
        WHERE figure <> 'z' AND NOT (figure IN ('n', 'v') AND slot < oldest)
        GROUP BY 1, 2, 3, 4, 5
        HAVING sum(n) <> 0 OR sum(amount) <> 0
    ), repaired AS (
        INSERT INTO dashboard.delta (kind, tenant_id, test, open, slot, source, n, amount)
        SELECT figure, NULLIF(owner, dashboard.all_tenants()), test, false, slot, source, n, amount
        FROM difference WHERE repair
    )
    SELECT * FROM difference ORDER BY 1, 2, 4, 5;
END
$function$;

-- Whether dashboard.bundle is the one of below, which knows the counters.
CREATE FUNCTION dashboard.bundle_is_ours() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$SELECT false$$;

-- Which state of a tenant's rows a statement has seen: while two are equal but for the time at their end, so are the rows. NULL where that is not known.
CREATE FUNCTION dashboard.version(tenant text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
AS $function$
#variable_conflict use_variable
DECLARE
    is_all CONSTANT boolean := tenant = 'SUPERADMIN_GLOBAL';
    tenant_key uuid := dashboard.all_tenants();
    state dashboard.counters;
    merged_before xid8;
    changes bigint;
BEGIN
    state := (SELECT c FROM dashboard.counters AS c);
    IF NOT state.ready OR NOT dashboard.bundle_is_ours() THEN
        RETURN NULL;
    END IF;
    IF NOT is_all THEN
        IF tenant !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' OR tenant::uuid = tenant_key THEN
            RETURN NULL;
        END IF;
        tenant_key := tenant::uuid;
    END IF;
    IF EXISTS (SELECT FROM dashboard.uncounted WHERE owner = tenant_key) THEN
        RETURN NULL;
    END IF;
    merged_before := CASE WHEN state.server_start = pg_postmaster_start_time() THEN state.low ELSE '0' END;
    changes := (SELECT COALESCE(sum(n), 0) FROM dashboard.counter WHERE owner = tenant_key AND figure = 'z');
    IF is_all THEN
        changes := changes + (SELECT count(*) FROM dashboard.delta WHERE kind <> 'H' AND xid >= merged_before);
    ELSE
        changes := changes + (
            SELECT count(*) FROM dashboard.delta
            WHERE tenant_id = tenant_key AND xid >= merged_before);
    END IF;
    RETURN format('%s.%s.%s.%s', state.epoch, dashboard.server(), changes, dashboard.micros(now()));
END
$function$;

-- Of which of these nothing that a bundle shows has changed since that version: no row, and none has left a window of 30 days. Both arrays are
-- of one length; false also where that is not known.
CREATE FUNCTION dashboard.unchanged(tenants text[], versions text[]) RETURNS boolean[]
LANGUAGE sql STABLE
-- While dashboard.bundle is somebody's own, nothing is known.
AS $$SELECT ARRAY(SELECT false FROM unnest(tenants))$$;

CREATE FUNCTION dashboard.micros(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT (EXTRACT(epoch FROM moment) * 1000000)::bigint$$;

-- Which run of which server this is, and which tables: one that was restarted, has failed over, was restored or has recovered from a crash
-- (which resets its statistics) may have lost what it had committed, and so has a database that was put in the place of another, or tables
-- that were made anew from a dump. Then the same number of changes stands for other rows.
CREATE FUNCTION dashboard.server() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT dashboard.micros(pg_postmaster_start_time()) || '-' || COALESCE(dashboard.micros(pg_stat_get_bgwriter_stat_reset_time()), 0)
           || '-' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '-' || to_regclass('dashboard.counters')::oid
$$;

DO $migration$
DECLARE
    bundle_function text := $template$
CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000
-- As V2 has it, and for its reasons; and no table is read but through an index, whatever its statistics say.
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
SET row_security = off
SET enable_seqscan = off
AS $function$
-- The bundle from counters; from the tables where there are none.
#variable_conflict use_variable
<<this>>
DECLARE
    window_begins CONSTANT timestamptz := now() - interval '30 days';
    edge_slot CONSTANT integer := (window_begins AT TIME ZONE 'UTC')::date - DATE '1970-01-01';
    edge_ends CONSTANT timestamptz := ((window_begins AT TIME ZONE 'UTC')::date + 1)::timestamp AT TIME ZONE 'UTC';
    tenant_key uuid;
    state dashboard.counters;
    merged_before xid8 := '0';
BEGIN
    state := (SELECT c FROM dashboard.counters AS c);
    -- Counters from which days are missing, as a clock was ahead, are of no use.
    IF NOT state.ready OR state.first_day > edge_slot OR tenant = dashboard.all_tenants()::text
       OR EXISTS (SELECT FROM dashboard.uncounted
                  WHERE owner::text = CASE tenant WHEN 'SUPERADMIN_GLOBAL' THEN dashboard.all_tenants()::text ELSE tenant END) THEN
        RETURN dashboard.bundle_from_tables(tenant, include_test_data);
    END IF;
    IF state.server_start = pg_postmaster_start_time() THEN
        merged_before := state.low;
    END IF;
    IF tenant = 'SUPERADMIN_GLOBAL' THEN
        tenant_key := dashboard.all_tenants();
        RETURN (@bundle of every row@);
    END IF;
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

    -- What is known of a tenant, or of all: the base and what has been changed since. Deltas are read as they are, each by its kind:
    -- taking them apart, as the compactor does, would take longer.
    facts CONSTANT text := $template$(
            SELECT figure AS kind, test, false AS open, slot, source, n, amount, CASE figure WHEN 'z' THEN n ELSE 0 END AS changes
            FROM dashboard.counter WHERE owner = @key@@and figure@
            UNION ALL
            SELECT d.kind, d.test, d.open, d.slot, d.source, d.n, d.amount, 1
            FROM dashboard.delta AS d
            WHERE @delta in scope@ AND d.xid >= this.merged_before AND d.kind @delta kinds@) AS fact$template$;

    -- The part of the windows that is no whole day.
    edge CONSTANT text := $template$
            SELECT *
            FROM (SELECT count(*) AS leads, count(*) FILTER (WHERE is_test_data) AS test_leads
                  FROM @leads@
                  WHERE @in scope@ AND created_date >= this.window_begins AND created_date < this.edge_ends
                    AND status NOT IN ('converted', 'lost')) AS of_leads,
                 (SELECT count(*) AS activities, count(*) FILTER (WHERE is_test_data) AS test_activities
                  FROM @activities@
                  WHERE @in scope@ AND created_date >= this.window_begins AND created_date < this.edge_ends) AS of_activities$template$;

    -- The figures of what counts.
    stats text := $template$
        SELECT row_to_json(figures) FROM (SELECT
            total.contacts AS "totalContacts",
            total.accounts AS "totalAccounts",
            total.leads AS "totalLeads",
            total.deals AS "totalOpportunities",
            total.open_leads AS "openLeads",
            total.won AS "wonOpportunities",
            total.open_deals AS "openOpportunities",
            total.new_leads + edge.leads@less test_leads@ AS "newLeadsLast30Days",
            total.activities + edge.activities@less test_activities@ AS "activitiesLast30Days",
            trim_scale(total.pipeline_value) AS "pipelineValue",
            trim_scale(total.won_value) AS "wonValue",
            (SELECT COALESCE(json_object_agg(by_source.source, by_source.n ORDER BY by_source.source COLLATE "C"), '{}')
             FROM (SELECT source, sum(n) AS n FROM @facts of sources@ WHERE @counts@
                   GROUP BY source HAVING sum(n) <> 0) AS by_source) AS "leadsBySource"
        ) AS figures$template$;

    funnel CONSTANT text := $template$
        format('{ "prospecting" : {"count":%s,"value":%s}, "qualification" : {"count":%s,"value":%s}, '
               '"proposal" : {"count":%s,"value":%s}, "negotiation" : {"count":%s,"value":%s}, '
               '"closed_won" : {"count":%s,"value":%s}, "closed_lost" : {"count":%s,"value":%s} }',
            total.n1, trim_scale(total.v1), total.n2, trim_scale(total.v2), total.n3, trim_scale(total.v3),
            total.n4, trim_scale(total.v4), total.n56, trim_scale(total.v56), total.n78, trim_scale(total.v78))::json$template$;

    totals text := $template$
        SELECT *
        FROM (SELECT COALESCE(sum(n) FILTER (WHERE kind IN ('c', 'C')), 0)::bigint AS contacts,
                     COALESCE(sum(n) FILTER (WHERE kind IN ('a', 'A')), 0)::bigint AS accounts,
                     COALESCE(sum(n) FILTER (WHERE kind IN ('l', 'L')), 0)::bigint AS leads,
                     COALESCE(sum(n) FILTER (WHERE kind = 'o' OR kind = 'L' AND open), 0)::bigint AS open_leads,
                     COALESCE(sum(n) FILTER (WHERE slot > this.edge_slot AND (kind = 'n' OR kind = 'L' AND open)), 0)::bigint AS new_leads,
                     COALESCE(sum(n) FILTER (WHERE slot > this.edge_slot AND kind IN ('v', 'V')), 0)::bigint AS activities,
                     -- Rows of test data that a bundle shows.
                     COALESCE(sum(n) FILTER (WHERE test AND (kind IN ('c', 'C', 'a', 'A', 'l', 'L')
                                                             OR slot > this.edge_slot AND kind IN ('v', 'V'))), 0) AS test,
                     COALESCE(sum(changes), 0) AS changes
              FROM @facts of the rest@ WHERE @counts@) AS rest,
             (SELECT COALESCE(sum(n), 0)::bigint AS deals,
                     COALESCE(sum(n) FILTER (WHERE test), 0) AS test_deals,
                     COALESCE(sum(changes), 0) AS deal_changes,
                     COALESCE(sum(n) FILTER (WHERE slot = 5), 0)::bigint AS won,
                     COALESCE(sum(n) FILTER (WHERE slot IN (1, 2, 3, 4, 6, 8, 9)), 0)::bigint AS open_deals,
                     COALESCE(sum(amount) FILTER (WHERE slot = 5), 0) AS won_value,
                     COALESCE(sum(amount) FILTER (WHERE slot IN (1, 2, 3, 4, 6, 8, 9)), 0) AS pipeline_value,
                     @steps@
              FROM @facts of deals@ WHERE @counts@) AS deals$template$;
    -- In the order of the funnel.
    steps CONSTANT text[][] := ARRAY[['1', '1'], ['2', '2'], ['3', '3'], ['4', '4'], ['5, 6', '56'], ['7, 8', '78']];

    json_lists CONSTANT text := $template$
        (SELECT row_to_json(lists) FROM (SELECT
            array_to_json(ARRAY(SELECT item FROM (
                SELECT id, type, subject, status, created_at, created_date, assigned_to
                FROM @activities@ WHERE @in scope@ AND @row counts@
                ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 10) AS item)) AS "recentActivities",
            array_to_json(ARRAY(SELECT item FROM (
                SELECT id, first_name, last_name, company, email, phone, created_date, created_at,
                       status, source, is_test_data, assigned_to
                FROM @leads@ WHERE @in scope@ AND @row counts@
                ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 50) AS item)) AS "recentLeads",
            array_to_json(ARRAY(SELECT item FROM (
                SELECT id, name, CASE WHEN amount - amount = 0 THEN amount END AS amount, stage, probability, updated_at, is_test_data, assigned_to
                FROM @opportunities@ WHERE @in scope@ AND @row counts@
                ORDER BY updated_at DESC NULLS LAST, id DESC LIMIT 50) AS item)) AS "recentOpportunities"
         ) AS lists)$template$;

    bundles_function text := $template$
CREATE FUNCTION dashboard.bundles(tenants text[])
RETURNS TABLE(
    tenant text, bundle json, without_test_data json,
    "recentActivities" dashboard.recent_activity[],
    "recentActivities_without_test_data" dashboard.recent_activity[],
    "recentLeads" dashboard.recent_lead[],
    "recentLeads_without_test_data" dashboard.recent_lead[],
    "recentOpportunities" dashboard.recent_opportunity[],
    "recentOpportunities_without_test_data" dashboard.recent_opportunity[],
    version text)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000 ROWS 100
-- As for dashboard.bundle, and work_mem as V4 has it.
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
SET row_security = off
SET enable_seqscan = off
SET work_mem = '16MB'
AS $function$
#variable_conflict use_column
<<this>>
DECLARE
    window_begins CONSTANT timestamptz := now() - interval '30 days';
    edge_slot CONSTANT integer := (window_begins AT TIME ZONE 'UTC')::date - DATE '1970-01-01';
    edge_ends CONSTANT timestamptz := ((window_begins AT TIME ZONE 'UTC')::date + 1)::timestamp AT TIME ZONE 'UTC';
    at CONSTANT text := dashboard.micros(now());
    server CONSTANT text := dashboard.server();
    state dashboard.counters;
    merged_before xid8 := '0';
BEGIN
    -- Replaced since: what it returns for a tenant is also what belongs into a batch.
    IF NOT dashboard.bundle_is_ours() THEN
        RETURN QUERY
        SELECT asked.name, dashboard.bundle(asked.name, true), dashboard.bundle(asked.name, false),
               NULL::dashboard.recent_activity[], NULL::dashboard.recent_activity[],
               NULL::dashboard.recent_lead[], NULL::dashboard.recent_lead[],
               NULL::dashboard.recent_opportunity[], NULL::dashboard.recent_opportunity[], NULL::text
        FROM (SELECT names.name
              FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
              ORDER BY names.place) AS asked;
        RETURN;
    END IF;
    state := (SELECT c FROM dashboard.counters AS c);
    IF NOT state.ready OR state.first_day > edge_slot OR NOT dashboard.lists_are_current() THEN
        RETURN QUERY SELECT made.*, NULL::text FROM dashboard.bundles_from_tables(tenants) AS made;
        RETURN;
    END IF;
    IF state.server_start = pg_postmaster_start_time() THEN
        merged_before := state.low;
    END IF;

    -- As it comes in batches: by itself.
    IF tenants = ARRAY['SUPERADMIN_GLOBAL']
       AND NOT EXISTS (SELECT FROM dashboard.uncounted AS u WHERE u.owner = dashboard.all_tenants()) THEN
        RETURN QUERY
        SELECT tenants[1], made.* FROM (@bundles of every row@) AS made;
        RETURN;
    END IF;

    RETURN QUERY
    SELECT asked.name,
           CASE WHEN asked.special THEN dashboard.bundle(asked.name, true) ELSE made.bundle END,
           CASE WHEN asked.special THEN dashboard.bundle(asked.name, false) ELSE made.without END,
           made.activities, made.activities_without,
           made.leads, made.leads_without,
           made.opportunities, made.opportunities_without, made.version
    FROM (SELECT names.name, known.id AS key,
                 names.name IN ('SUPERADMIN_GLOBAL', dashboard.all_tenants()::text)
                     OR known.id IN (SELECT u.owner FROM dashboard.uncounted AS u) AS special
          FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
          LEFT JOIN @tenant@ AS known ON known.id =
              CASE WHEN names.name ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN names.name::uuid END
          ORDER BY names.place) AS asked
    LEFT JOIN LATERAL (@bundles of one tenant@) AS made ON asked.key IS NOT NULL AND NOT asked.special;
END
$function$
$template$;

    bundles_query text := $template$
        WITH edge AS MATERIALIZED (@edge@), total AS MATERIALIZED (@total with test data@)
        SELECT (SELECT row_to_json(bundle) FROM (SELECT (@stats with test data@) AS stats, @funnel@ AS funnel) AS bundle) AS bundle,
               -- Whether leaving test data out changes anything: activities count only where the bundle shows them.
               CASE WHEN total.test > 0 OR total.test_deals > 0 OR edge.test_activities > 0 OR activities.test
                    THEN (SELECT row_to_json(bundle)
                          FROM (SELECT (@stats without test data@) AS stats, @funnel@ AS funnel
                                FROM (@total without test data@) AS total) AS bundle) END AS without,
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
                   ORDER BY own.updated_at DESC NULLS LAST, own.id DESC LIMIT 50) END AS opportunities_without,
               this.state.epoch || '.' || this.server || '.' || total.changes + total.deal_changes || '.' || this.at AS version
        FROM total, edge,
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

    unchanged_function text := $template$
CREATE OR REPLACE FUNCTION dashboard.unchanged(tenants text[], versions text[]) RETURNS boolean[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
SET row_security = off
SET enable_seqscan = off
AS $function$
<<this>>
DECLARE
    state dashboard.counters;
    merged_before xid8 := '0';
    window_begins CONSTANT timestamptz := now() - interval '30 days';
BEGIN
    state := (SELECT c FROM dashboard.counters AS c);
    IF NOT state.ready OR NOT dashboard.bundle_is_ours() THEN
        RETURN ARRAY(SELECT false FROM unnest(tenants));
    END IF;
    IF state.server_start = pg_postmaster_start_time() THEN
        merged_before := state.low;
    END IF;
    RETURN ARRAY(
        SELECT COALESCE(now.owner IS NOT NULL AND now.epoch = this.state.epoch AND now.server = dashboard.server() AND now.changes = (
                   SELECT COALESCE(sum(n), 0) FROM dashboard.counter WHERE owner = now.owner AND figure = 'z')
                   + CASE WHEN now.is_all THEN (SELECT count(*) FROM dashboard.delta WHERE kind <> 'H' AND xid >= this.merged_before)
                     ELSE (SELECT count(*) FROM dashboard.delta WHERE tenant_id = now.owner AND xid >= this.merged_before) END
               AND NOT EXISTS (SELECT FROM dashboard.uncounted WHERE owner = now.owner)
               -- By a clock that was ahead: what had left the window then may be in it again.
               AND now.window_began <= this.window_begins
               -- What was in the window then and is not in it now.
               AND NOT EXISTS (
                   SELECT FROM @leads@
                   WHERE now.is_all AND created_date >= now.window_began AND created_date < this.window_begins
                     AND status NOT IN ('converted', 'lost'))
               AND NOT EXISTS (
                   SELECT FROM @leads@
                   WHERE NOT now.is_all AND tenant_id = now.owner
                     AND created_date >= now.window_began AND created_date < this.window_begins
                     AND status NOT IN ('converted', 'lost'))
               AND NOT EXISTS (
                   SELECT FROM @activities@
                   WHERE now.is_all AND created_date >= now.window_began AND created_date < this.window_begins)
               AND NOT EXISTS (
                   SELECT FROM @activities@
                   WHERE NOT now.is_all AND tenant_id = now.owner
                     AND created_date >= now.window_began AND created_date < this.window_begins), false)
        FROM (SELECT place, tenant = 'SUPERADMIN_GLOBAL' AS is_all,
                     -- Also of one that is gone: that is a change.
                     CASE WHEN tenant = 'SUPERADMIN_GLOBAL' THEN dashboard.all_tenants()
                          WHEN tenant ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                          THEN NULLIF(tenant::uuid, dashboard.all_tenants()) END AS owner,
                     parts[1] AS epoch, parts[2] AS server, parts[3]::bigint AS changes,
                     to_timestamp(parts[4]::bigint / 1000000) + parts[4]::bigint % 1000000 * interval '1 microsecond'
                         - interval '30 days' AS window_began
              FROM unnest(tenants, versions) WITH ORDINALITY AS asked(tenant, version, place)
              LEFT JOIN LATERAL regexp_match(version, '^([0-9a-f]{12})\.([0-9-]+)\.([0-9]{1,18})\.([0-9]{1,18})$') AS parts ON true
              ORDER BY place) AS now);
END
$function$
$template$;

    -- SHA-256 of what V2 makes, as V4 has it.
    our_bundle CONSTANT text := 'a7ced26a2c2ec7a791374a06af05658b5b84dd6a4f130fa1d9640470c28e62e5';
    bundle_template text;
    bundle_query text;
    one text;
    every text;
    total text;
    current text;
    list record;
    crm record;
    qualified text;
BEGIN
    -- Whoever has changed no more than a word of it has made it their own.
    bundle_template := (SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure('dashboard.bundle(text, boolean)'));
    FOR crm IN SELECT known.name, format('%I.%I', nspname, relname) AS qualified
               FROM dashboard.crm_tables() AS known JOIN pg_class ON pg_class.oid = known.place
                    JOIN pg_namespace ON pg_namespace.oid = relnamespace LOOP
        bundle_template := replace(bundle_template, crm.qualified, '@' || crm.name || '@');
    END LOOP;
    IF encode(sha256(convert_to(bundle_template, 'UTF8')), 'hex') IS DISTINCT FROM our_bundle
       OR (SELECT count(*) FROM dashboard.crm_tables()) < 6 THEN
        RAISE NOTICE 'dashboard.bundle is not ours: it stays as it is, without counters';
        RETURN;
    END IF;

    -- The direct statements keep their texts, and the fingerprint by which one knows the other.
    EXECUTE replace(pg_get_functiondef('dashboard.bundle(text, boolean)'::regprocedure),
                    'FUNCTION dashboard.bundle(', 'FUNCTION dashboard.bundle_from_tables(');

    stats := replace(stats, '@facts of sources@',
        replace(replace(facts, '@and figure@', $$ AND figure = 'l'$$), '@delta kinds@', $$IN ('L', 'l')$$));
    totals := replace(totals, '@facts of deals@',
        replace(replace(facts, '@and figure@', $$ AND figure = 's'$$), '@delta kinds@', $$IN ('O', 's')$$));
    totals := replace(totals, '@facts of the rest@',
        replace(replace(facts, '@and figure@', $$ AND figure <> 's'$$), '@delta kinds@', $$NOT IN ('O', 's', 'H')$$));
    total := replace(totals, '@steps@', (
        SELECT string_agg(format(
            'COALESCE(sum(n) FILTER (WHERE slot IN (%s)), 0)::bigint AS n%s, '
            'COALESCE(sum(amount) FILTER (WHERE slot IN (%s)), 0) AS v%s',
            steps[i][1], steps[i][2], steps[i][1], steps[i][2]), ', ')
        FROM generate_series(1, array_length(steps, 1)) AS i));
    bundle_query := format(
        'SELECT row_to_json(bundle) FROM (SELECT (%s) AS stats, %s AS funnel, %s AS lists FROM (%s) AS edge, (%s) AS total) AS bundle',
        stats, funnel, json_lists, edge, total);
    bundle_query := replace(bundle_query, '@counts@', '(include_test_data OR NOT test)');
    bundle_query := replace(bundle_query, '@row counts@', '(include_test_data OR NOT COALESCE(is_test_data, false))');
    bundle_query := regexp_replace(bundle_query, '@less (\w+)@', ' - CASE WHEN include_test_data THEN 0 ELSE edge.\1 END', 'g');
    one := replace(replace(bundle_query, '@in scope@', 'tenant_id = tenant_key'), '@delta in scope@', 'd.tenant_id = tenant_key');
    every := replace(replace(bundle_query, '@in scope@', 'true'), '@delta in scope@', 'true');
    bundle_function := replace(replace(bundle_function, '@bundle of one tenant@', one), '@bundle of every row@', every);
    bundle_function := replace(bundle_function, '@key@', 'tenant_key');

    bundles_query := replace(bundles_query, '@edge@', edge);
    bundles_query := replace(bundles_query, '@funnel@', funnel);
    bundles_query := replace(bundles_query, '@total with test data@', replace(total, '@counts@', 'true'));
    bundles_query := replace(bundles_query, '@total without test data@', replace(total, '@counts@', 'NOT test'));
    bundles_query := replace(bundles_query, '@stats with test data@',
        regexp_replace(replace(stats, '@counts@', 'true'), '@less \w+@', '', 'g'));
    bundles_query := replace(bundles_query, '@stats without test data@',
        regexp_replace(replace(stats, '@counts@', 'NOT test'), '@less (\w+)@', ' - edge.\1', 'g'));
    bundles_function := replace(bundles_function, '@bundles of one tenant@',
        replace(replace(replace(bundles_query, '@in scope@', 'tenant_id = asked.key'),
                        '@delta in scope@', 'd.tenant_id = asked.key'), '@key@', 'asked.key'));
    bundles_function := replace(bundles_function, '@bundles of every row@',
        replace(replace(replace(bundles_query, '@in scope@', 'true'),
                        '@delta in scope@', 'true'), '@key@', 'dashboard.all_tenants()'));

    FOR crm IN SELECT * FROM dashboard.crm_tables() LOOP
        qualified := (SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                      WHERE pg_class.oid = crm.place);
        bundle_function := replace(bundle_function, '@' || crm.name || '@', qualified);
        bundles_function := replace(bundles_function, '@' || crm.name || '@', qualified);
        unchanged_function := replace(unchanged_function, '@' || crm.name || '@', qualified);
    END LOOP;
    EXECUTE bundle_function;
    EXECUTE unchanged_function;

    EXECUTE (SELECT format($create$
CREATE OR REPLACE FUNCTION dashboard.bundle_is_ours() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Cheaper than a hash of all of it; who writes a function of their own does not hit the length of this one.
    SELECT octet_length(prosrc) = %s AND left(prosrc, 40) = %L
    FROM pg_proc WHERE oid = 'dashboard.bundle(text, boolean)'::regprocedure
$$$create$, octet_length(prosrc), left(prosrc, 40))
    FROM pg_proc WHERE oid = 'dashboard.bundle(text, boolean)'::regprocedure);

    -- Somebody's own stays; then bundles of one tenant alone come from counters.
    IF (SELECT NOT prosrc LIKE '%made.opportunities, made.opportunities_without%' FROM pg_proc
        WHERE oid = to_regprocedure('dashboard.bundles(text[])')) THEN
        RETURN;
    END IF;
    EXECUTE replace(replace(pg_get_functiondef('dashboard.bundles(text[])'::regprocedure),
                            'FUNCTION dashboard.bundles(', 'FUNCTION dashboard.bundles_from_tables('),
                    'dashboard.bundle(', 'dashboard.bundle_from_tables(');
    DROP FUNCTION dashboard.bundles(text[]);

    -- The rows of lists are of the types that V4 has made, and are written as it writes them.
    current := '';
    FOR list IN SELECT * FROM (VALUES ('activity', 'activities'), ('lead', 'leads'), ('opportunity', 'opportunities')) AS lists(item, source) LOOP
        bundles_function := replace(bundles_function, '@' || list.item || '@', (
            SELECT 'ROW(' || string_agg(CASE WHEN attname = 'amount' THEN 'to_json(CASE WHEN own.amount - own.amount = 0 THEN own.amount END)'
                                             WHEN atttypid = 'json'::regtype THEN format('to_json(own.%I)', attname)
                                             ELSE format('own.%I', attname) END, ', ' ORDER BY attnum)
                   || ')::dashboard.recent_' || list.item
            FROM pg_attribute WHERE attrelid = ('dashboard.recent_' || list.item)::regclass AND attnum > 0 AND NOT attisdropped));
        current := concat_ws(', ', NULLIF(current, ''), format('(%L, %L)',
            (SELECT format('%I.%I', nspname, relname)
             FROM dashboard.crm_tables() AS known JOIN pg_class ON pg_class.oid = known.place
                  JOIN pg_namespace ON pg_namespace.oid = relnamespace
             WHERE known.name = list.source), 'dashboard.recent_' || list.item));
    END LOOP;
    EXECUTE bundles_function;

    EXECUTE format($create$
CREATE FUNCTION dashboard.lists_are_current() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A column of the CRM may have another type by now, of which a cast to the former one would make something else.
    SELECT NOT EXISTS (
        SELECT FROM (VALUES %s) AS lists(source, list)
        JOIN pg_attribute AS member ON member.attrelid = lists.list::regclass AND member.atttypid <> 'json'::regtype
        LEFT JOIN pg_attribute AS own ON own.attrelid = lists.source::regclass AND own.attname = member.attname
        WHERE CASE own.atttypid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE own.atttypid END
              IS DISTINCT FROM member.atttypid)
$$$create$, current);
END
$migration$;

COMMENT ON TABLE dashboard.delta IS 'What statements have changed and the compactor has not merged yet.';
COMMENT ON TABLE dashboard.counter IS 'The figures of each tenant, and of all together, without what is still in delta.';
COMMENT ON TABLE dashboard.uncounted IS 'Tenants whose figures are too large to be summed; their bundles are computed from the tables.';
COMMENT ON TABLE dashboard.pending IS 'Tenants whose change Redis has not been told, or has not acknowledged.';
COMMENT ON TABLE dashboard.counters IS 'Whether bundles are computed from counters: dashboard-sidecar counters enable.';
COMMENT ON TABLE dashboard.feed IS 'How far the change feed is.';
