-- What all boards share: deltas, counters, and the merging of the one into the other. What is counted, and how a bundle is made of it, is
-- generated from the definitions of boards.
--
--   dashboard.delta     what a statement of a writer has changed: append-only, so that writers never wait for one another
--   dashboard.counter   the sums of all deltas that have been merged
--   dashboard.pending   whose change has not been announced yet: the change feed's position
--   dashboard.counters  the state of all of this
--   dashboard.board     the boards that have been applied
--
-- A figure is the sum of its rows in `counter` and `delta`, read in one snapshot. Merging moves numbers from one to the other in one
-- transaction, so no snapshot sees a mixture.

CREATE TABLE dashboard.delta (
    -- Which transaction; see dashboard.counters.low.
    xid      xid8    NOT NULL DEFAULT pg_current_xact_id(),
    -- Of which feed: a table as seen from one of its tenant columns. 0: a heartbeat. Less than 0: what `verify` has corrected, by unit.
    feed     integer NOT NULL,
    tenant   text COLLATE "C",
    n        bigint  NOT NULL,
    -- What holds for the row, in which slots of time it is, to which groups it belongs, and what is added up of it: by the places that
    -- these have in the feed.
    flags    bigint  NOT NULL DEFAULT 0,
    slots    integer[],
    keys     text[] COLLATE "C",
    numbers  numeric[],
    -- A heartbeat's name; or why a statement could not be counted.
    note     text
)
-- It is emptied all day long. Statistics would be those of a random moment, and turn plans into sequential scans.
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
      autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 2147483647);

CREATE INDEX delta_tenant ON dashboard.delta (tenant, xid);
-- The compactor's: what has been merged and cannot be removed yet, as a long transaction may still see it, is not looked at again.
CREATE INDEX delta_xid ON dashboard.delta (xid);
-- What could not be counted is rare, and every reader looks for it.
CREATE INDEX delta_uncounted ON dashboard.delta (feed) WHERE note IS NOT NULL AND feed <> 0;

CREATE TABLE dashboard.counter (
    -- A tenant, or '' for all together.
    owner    text COLLATE "C" NOT NULL,
    -- 0: changes, by feed (`slot`).
    unit     integer NOT NULL,
    variant  boolean NOT NULL,
    slot     integer NOT NULL,
    key      text COLLATE "C" NOT NULL,
    n        bigint  NOT NULL,
    amount   numeric NOT NULL
)
-- Room for the next version of a row on its own page: then no index is touched.
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Not unique, as a key may be longer than an index takes: only who holds the compactor's lock writes here.
CREATE INDEX counter_owner ON dashboard.counter (owner, unit, slot, hashtext(key), variant);

CREATE TABLE dashboard.pending (
    owner      text COLLATE "C" NOT NULL,
    feed       integer NOT NULL,
    -- The last merge that found it changed. Who has announced an earlier one has not announced this.
    merged_by  xid8 NOT NULL,
    PRIMARY KEY (owner, feed)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_threshold = 2147483647);

CREATE TABLE dashboard.counters (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- Another one whenever the counting has begun anew: versions from before mean nothing any more.
    epoch         text    NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12),
    -- What transactions before this one have appended has been merged, so that readers need not look among the dead rows
    -- that a long transaction keeps from being removed. It holds for the server that has said it, not for a restored dump.
    low           xid8    NOT NULL DEFAULT '0',
    server_start  timestamptz
);
INSERT INTO dashboard.counters DEFAULT VALUES;

CREATE TABLE dashboard.board (
    name        text COLLATE "C" PRIMARY KEY,
    -- As the file had it.
    definition  text    NOT NULL,
    hash        text    NOT NULL,
    -- Which feeds it reads.
    feeds       integer[] NOT NULL,
    -- The name for all tenants together.
    everybody   text,
    -- Whether its bundles are made from counters.
    counted     boolean NOT NULL DEFAULT false,
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- NULL for what is no number to JSON.
CREATE FUNCTION dashboard.finite(number numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE WHEN $1 - $1 = 0 THEN $1 END$$;

CREATE FUNCTION dashboard.micros(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE WHEN isfinite($1) THEN (EXTRACT(epoch FROM $1) * 1000000)::bigint ELSE 0 END$$;

-- Whether a board's bundle of this tenant can be made from counters: they are there, and nothing has escaped them.
CREATE FUNCTION dashboard.is_counted(board text, tenant text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM dashboard.board AS b
        WHERE b.name = $1 AND b.counted
          AND NOT EXISTS (SELECT FROM dashboard.delta AS d WHERE d.feed = ANY (b.feeds) AND d.feed <> 0 AND d.note IS NOT NULL))
$$;

-- Which state of a tenant's rows a statement has seen, when, and until when that is what a bundle shows.
CREATE FUNCTION dashboard.version_of(state dashboard.counters, changes bigint, valid_until timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws('.', state.epoch, dashboard.micros(pg_postmaster_start_time()), changes, dashboard.micros(now()),
                     COALESCE(dashboard.micros(valid_until), 0))
$$;

-- How often something has changed that a board of this tenant shows, as far as this snapshot knows. NULL where there is no such board. What
-- concerns every tenant is a change of '*'.
CREATE FUNCTION dashboard.changes(board text, tenant text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $function$
DECLARE
    known dashboard.board;
    merged_before xid8;
    owners text[] := ARRAY[tenant, '*'];
BEGIN
    known := (SELECT b FROM dashboard.board AS b WHERE b.name = changes.board);
    IF known.name IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT CASE WHEN server_start = pg_postmaster_start_time() THEN low ELSE '0' END INTO merged_before FROM dashboard.counters;
    IF tenant = known.everybody THEN
        RETURN (SELECT COALESCE(sum(c.n), 0) FROM dashboard.counter AS c WHERE c.owner = '' AND c.unit = 0 AND c.slot = ANY (known.feeds))
               + (SELECT count(*) FROM dashboard.delta AS d WHERE d.xid >= merged_before AND d.feed = ANY (known.feeds));
    END IF;
    RETURN (SELECT COALESCE(sum(c.n), 0) FROM dashboard.counter AS c
            WHERE c.owner = ANY (owners) AND c.unit = 0 AND c.slot = ANY (known.feeds))
           + (SELECT count(*) FROM dashboard.delta AS d
              WHERE d.tenant = ANY (owners) AND d.xid >= merged_before AND d.feed = ANY (known.feeds));
END
$function$;

-- Which state of a tenant's rows a statement has seen, for a board that is not counted.
CREATE FUNCTION dashboard.version(tenant text, board text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT dashboard.version_of(c, known.changes, NULL)
    -- OFFSET 0 keeps the planner from counting once for each mention.
    FROM dashboard.counters AS c CROSS JOIN (SELECT dashboard.changes($2, $1) AS changes OFFSET 0) AS known
    WHERE known.changes IS NOT NULL
$$;

-- Of which of these nothing that a bundle shows has changed since that version: no row, and no window. Both arrays are of one length; false
-- also where that is not known.
CREATE FUNCTION dashboard.unchanged(board text, tenants text[], versions text[]) RETURNS boolean[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(
        COALESCE(dashboard.is_counted($1, asked.tenant) AND parts[1] = c.epoch
                 AND parts[2] = dashboard.micros(pg_postmaster_start_time())::text
                 AND parts[3]::bigint = dashboard.changes($1, asked.tenant)
                 -- By a clock that was ahead: what had left a window then may be in it again.
                 AND parts[4]::bigint <= dashboard.micros(now())
                 AND (parts[5] = '0' OR dashboard.micros(now()) < parts[5]::bigint), false) ORDER BY place), '{}')
    FROM unnest($2, $3) WITH ORDINALITY AS asked(tenant, version, place)
    CROSS JOIN dashboard.counters AS c
    LEFT JOIN LATERAL regexp_match(version, '^([0-9a-f]{12})[.]([0-9]{1,18})[.]([0-9]{1,18})[.]([0-9]{1,18})[.]([0-9]{1,18})$') AS parts ON true
$$;

-- What a delta counts for. As long as no board is applied: nothing.
CREATE FUNCTION dashboard.cells(
    feed integer, flags bigint, slots integer[], keys text[], n bigint, numbers numeric[])
RETURNS TABLE(unit integer, variant boolean, slot integer, key text, n bigint, amount numeric)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT -$1, $2 = 1, $3[1], $4[1], $5, $6[1] WHERE $1 < 0$$;

-- Merges the oldest deltas, at most so many, and puts on record whose they were. `busy`: somebody else is at it. In READ COMMITTED the lock
-- is taken before the snapshot is, so what another one has merged is seen as merged.
CREATE FUNCTION dashboard.compact(most integer DEFAULT 20000, OUT busy boolean, OUT merged bigint)
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
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM dashboard.delta WHERE xid >= merged_before AND note IS NULL ORDER BY xid LIMIT most))
        RETURNING *
    ), part AS (
        SELECT taken.tenant, cell.*
        FROM taken CROSS JOIN LATERAL dashboard.cells(taken.feed, taken.flags, taken.slots, taken.keys, taken.n, taken.numbers) AS cell
        UNION ALL
        SELECT taken.tenant, 0, false, taken.feed, '', count(*), 0 FROM taken WHERE feed > 0 GROUP BY taken.tenant, taken.feed
    ), sums AS MATERIALIZED (
        SELECT tenant AS owner, unit, variant, slot, key, sum(n)::bigint AS n, sum(amount) AS amount
        FROM part WHERE tenant <> '' GROUP BY tenant, unit, variant, slot, key
        UNION ALL
        SELECT '', unit, variant, slot, key, sum(n)::bigint, sum(amount) FROM part GROUP BY unit, variant, slot, key
    ), updated AS (
        UPDATE dashboard.counter AS c
        SET n = c.n + sums.n, amount = c.amount + sums.amount
        FROM sums
        WHERE c.owner = sums.owner AND c.unit = sums.unit AND c.slot = sums.slot AND hashtext(c.key) = hashtext(sums.key)
          AND c.variant = sums.variant AND c.key = sums.key
        RETURNING c.owner, c.unit, c.variant, c.slot, c.key
    ), inserted AS (
        INSERT INTO dashboard.counter (owner, unit, variant, slot, key, n, amount)
        SELECT owner, unit, variant, slot, key, n, amount FROM sums
        WHERE NOT EXISTS (
            SELECT FROM updated AS u
            WHERE u.owner = sums.owner AND u.unit = sums.unit AND u.slot = sums.slot AND u.variant = sums.variant AND u.key = sums.key)
    ), announced AS (
        INSERT INTO dashboard.pending (owner, feed, merged_by)
        SELECT DISTINCT announce.owner, taken.feed, pg_current_xact_id()
        FROM taken CROSS JOIN LATERAL (VALUES (taken.tenant), ('')) AS announce(owner)
        WHERE taken.feed > 0 AND announce.owner IS NOT NULL
        ON CONFLICT (owner, feed) DO UPDATE SET merged_by = EXCLUDED.merged_by
    )
    SELECT count(*), pg_snapshot_xmin(pg_current_snapshot()) INTO merged, xmin_then FROM taken;

    IF merged < most THEN
        UPDATE dashboard.counters SET low = xmin_then, server_start = pg_postmaster_start_time()
        WHERE low <> xmin_then OR server_start IS DISTINCT FROM pg_postmaster_start_time();
    END IF;
END
$function$;

-- Counts these feeds anew. What has been changed meanwhile is in no snapshot of this and stays a delta; merging waits, writers do not.
CREATE FUNCTION dashboard.recount(feeds integer[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
DECLARE
    counted bigint;
BEGIN
    PERFORM FROM dashboard.lock WHERE name = 'compactor' FOR UPDATE;
    WITH gone AS (
        DELETE FROM dashboard.delta AS d WHERE d.feed = ANY (recount.feeds)
           OR d.feed < 0 AND -d.feed IN (SELECT u FROM dashboard.units_of(recount.feeds) AS u) RETURNING d.tenant, d.feed
    ), announced AS (
        INSERT INTO dashboard.pending (owner, feed, merged_by)
        SELECT DISTINCT announce.owner, gone.feed, pg_current_xact_id()
        FROM gone CROSS JOIN LATERAL (VALUES (gone.tenant), ('')) AS announce(owner)
        WHERE gone.feed > 0 AND announce.owner IS NOT NULL
        ON CONFLICT (owner, feed) DO UPDATE SET merged_by = EXCLUDED.merged_by
    ), emptied AS (
        DELETE FROM dashboard.counter
        WHERE unit IN (SELECT u FROM dashboard.units_of(recount.feeds) AS u) OR unit = 0 AND slot = ANY (recount.feeds)
    ), tally AS MATERIALIZED (
        SELECT * FROM dashboard.tally(recount.feeds, NULL)
    )
    INSERT INTO dashboard.counter (owner, unit, variant, slot, key, n, amount)
    SELECT owner, unit, variant, slot, key, n, amount FROM tally WHERE owner <> ''
    UNION ALL
    SELECT '', unit, variant, slot, key, sum(n)::bigint, sum(amount) FROM tally GROUP BY unit, variant, slot, key
    -- Each tenant's rows side by side.
    ORDER BY 1, 2, 4;
    GET DIAGNOSTICS counted = ROW_COUNT;
    UPDATE dashboard.counters SET epoch = DEFAULT;
    RETURN counted;
END
$function$;
