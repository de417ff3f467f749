-- The indexes that bundles are read through. `dashboard-sidecar migrate` runs these statements one
-- by one after the versioned migrations: CONCURRENTLY, so that a live CRM's writers are not blocked, and
-- therefore outside of any transaction. They may as well be run by hand before (psql -f migrations/indexes.sql,
-- as the owner of the tables); `migrate` skips an index whose name or equal is there and rebuilds an invalid one.
--
-- The first six answer the figures from their entries alone (index-only scans), which is why the filter columns
-- are in the key. Repeated keys are stored once: 100,000 leads take 95 pages of dashboard_leads_figures, where the
-- same columns in an INCLUDE list, or a timestamp in the key, would make every entry a row of its own.
-- A text in a key may have some 2,700 bytes at most: status, source and stage are words, not notes. With such an
-- index, Postgres refuses a row whose value is longer ("index row size … exceeds …", "index row requires …"), and an index
-- over rows that have one already cannot be built. A CRM that must keep such values does without the index: bundles
-- stay right and get slower. To drop it: DROP INDEX CONCURRENTLY dashboard_leads_figures (or whichever it is); and
-- to keep the next `migrate` from trying again, give its name to one without the text:
--   CREATE INDEX CONCURRENTLY dashboard_leads_figures ON leads USING btree (tenant_id, is_test_data)
-- Keep them fresh with (auto)vacuum: an index-only scan visits the table for every page changed since the last one.

-- totalContacts: 50,000 rows in 47 pages, and no read of a table that is 60 columns wide.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_contacts_figures
    ON contacts USING btree (tenant_id, is_test_data);

-- totalAccounts: likewise.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_accounts_figures
    ON accounts USING btree (tenant_id, is_test_data);

-- totalLeads, openLeads, leadsBySource: comes sorted by what the statement groups by, so that nothing is hashed.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_leads_figures
    ON leads USING btree (tenant_id, is_test_data, status, source);

-- totalOpportunities, won, open, pipeline and the funnel: the amount is in the key because its sum is asked for.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_opportunities_figures
    ON opportunities USING btree (tenant_id, is_test_data, stage, amount);

-- newLeadsLast30Days: reads the last 30 days only; status and is_test_data spare it a visit to the table for each
-- of them (100,000 leads over three years: 23 pages instead of some 2,700).
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_leads_created
    ON leads USING btree (tenant_id, created_date, status, is_test_data);

-- activitiesLast30Days: likewise.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_activities_created
    ON activities USING btree (tenant_id, created_date, is_test_data);

-- recentLeads: the newest 50 are the first 50 entries, in the very order of the list (ties by id, NULL last),
-- so that nothing is sorted and a tenant's size does not matter.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_leads_recent
    ON leads USING btree (tenant_id, created_at DESC NULLS LAST, id DESC);

-- recentOpportunities: likewise, by the last change.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_opportunities_recent
    ON opportunities USING btree (tenant_id, updated_at DESC NULLS LAST, id DESC);

-- recentActivities: likewise.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_activities_recent
    ON activities USING btree (tenant_id, created_at DESC NULLS LAST, id DESC);

-- The same three lists for SUPERADMIN_GLOBAL, whose newest rows are strewn over all tenants: without these it
-- reads three whole tables to find 110 rows.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_leads_recent_global
    ON leads USING btree (created_at DESC NULLS LAST, id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_opportunities_recent_global
    ON opportunities USING btree (updated_at DESC NULLS LAST, id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_activities_recent_global
    ON activities USING btree (created_at DESC NULLS LAST, id DESC);

-- With counters, the 30-day figures of all tenants together are whole days and what lies at the edge of the window: of the rows of
-- one day, these find that part.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_leads_created_global
    ON leads USING btree (created_date, status, is_test_data);

CREATE INDEX CONCURRENTLY IF NOT EXISTS dashboard_activities_created_global
    ON activities USING btree (created_date, is_test_data);
