-- A CRM of years: wide tables that somebody else's migrations made, run by their owner, who is no superuser.

CREATE FUNCTION fill_up(wide regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    types CONSTANT text[] := ARRAY['text', 'jsonb', 'numeric(12,4)', 'timestamp', 'integer DEFAULT 7', 'text[]', 'bytea',
                                   'varchar(40) DEFAULT ''x''', 'boolean', 'date', 'inet', 'tsvector'];
    has integer;
BEGIN
    SELECT count(*) INTO has FROM pg_attribute WHERE attrelid = wide AND attnum > 0 AND NOT attisdropped;
    FOR i IN has + 1 .. 60 LOOP
        EXECUTE format('ALTER TABLE %s ADD %I %s', wide, 'field_' || i, types[1 + i % cardinality(types)]);
    END LOOP;
END
$$;

CREATE TABLE tenant (
    region varchar(10), id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id varchar(100) NOT NULL UNIQUE,
    name varchar(255) NOT NULL, is_active boolean NOT NULL DEFAULT true, branding_settings jsonb DEFAULT '{}');
CREATE TABLE contacts (
    first_name varchar(100), gone integer, id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid REFERENCES tenant ON DELETE CASCADE, email varchar(255) UNIQUE, is_test_data boolean,
    created_at timestamptz DEFAULT now(), created_date timestamptz, n bigint, kind text, slot integer);
CREATE TABLE accounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(255) NOT NULL,
    tenant_id uuid REFERENCES tenant ON DELETE CASCADE, is_test_data boolean, created_at timestamptz DEFAULT now(),
    created_date timestamptz, updated_at timestamptz, owner uuid, amount numeric, test boolean);
CREATE TABLE leads (
    score integer, id uuid PRIMARY KEY DEFAULT gen_random_uuid(), gone text,
    tenant_id uuid NOT NULL REFERENCES tenant ON DELETE CASCADE, first_name varchar(100), last_name varchar(100),
    company varchar(255), email varchar(255), phone varchar(50), status varchar(50) DEFAULT 'new', source varchar(255),
    is_test_data boolean DEFAULT false, assigned_to uuid, created_at timestamptz DEFAULT now(), created_date timestamptz,
    updated_at timestamptz DEFAULT now(), tenant text, r text, n bigint, open boolean, changed text);
CREATE TABLE opportunities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), lead_id uuid REFERENCES leads ON DELETE SET NULL,
    tenant_id uuid REFERENCES tenant ON DELETE CASCADE, name varchar(255) NOT NULL,
    stage varchar(100) DEFAULT 'qualification', amount numeric(15,2), probability smallint, is_test_data boolean,
    assigned_to uuid, created_at timestamptz DEFAULT now(), created_date timestamptz, updated_at timestamptz DEFAULT now(),
    tenant_key uuid, figure text, xid text, source text);
CREATE TABLE activities (
    gone text, id uuid NOT NULL DEFAULT gen_random_uuid(), tenant_id uuid REFERENCES tenant ON DELETE CASCADE,
    type varchar(50) NOT NULL, subject varchar(255), status varchar(50), assigned_to varchar(100), is_test_data boolean,
    created_at timestamptz DEFAULT now(), created_date timestamptz, new_rows text, old_rows text
) PARTITION BY RANGE (created_at);
SELECT fill_up(wide) FROM unnest('{tenant, contacts, accounts, leads, opportunities, activities}'::regclass[]) AS wide;
ALTER TABLE contacts DROP gone;
ALTER TABLE leads DROP gone;
ALTER TABLE activities DROP gone;

CREATE TABLE activities_past PARTITION OF activities FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:00+00');
CREATE TABLE activities_other PARTITION OF activities DEFAULT;
-- Made by itself and attached: its columns lie in another order than its parent's.
CREATE TABLE activities_now (created_date timestamptz, type varchar(50) NOT NULL, created_at timestamptz DEFAULT now());
DO $$
DECLARE
    member record;
BEGIN
    FOR member IN SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute
                  WHERE attrelid = 'activities'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname DESC LOOP
        EXECUTE format('ALTER TABLE activities_now ADD IF NOT EXISTS %I %s %s', member.attname, member.type,
                       CASE WHEN member.attnotnull THEN 'NOT NULL' END);
    END LOOP;
END
$$;
ALTER TABLE activities_now ALTER id SET DEFAULT gen_random_uuid();
ALTER TABLE activities ATTACH PARTITION activities_now FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2100-01-01 00:00+00');

CREATE INDEX leads_of_tenant ON leads (tenant_id);
CREATE INDEX opportunities_of_tenant ON opportunities (tenant_id);

CREATE TABLE audit (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), what text, n bigint);

-- BEFORE, a row: what is stored is not what was written.
CREATE FUNCTION tidy_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.source := CASE NEW.source WHEN 'Web' THEN 'website' ELSE NEW.source END;
    NEW.status := CASE NEW.status WHEN 'dead' THEN 'lost' ELSE NEW.status END;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tidy_lead();
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated_at := now(); RETURN NEW; END$$;
CREATE TRIGGER touch BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION touch();
-- BEFORE, a row that is not written at all.
CREATE FUNCTION refuse_spam() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RETURN CASE WHEN NEW.first_name = 'spam' THEN NULL ELSE NEW END; END$$;
CREATE TRIGGER refuse_spam BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION refuse_spam();
-- AFTER, a row, writing elsewhere, and another of the tables that are counted.
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO crm.audit (what, n) VALUES (TG_TABLE_NAME || ' ' || TG_OP, 1);
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_row AFTER INSERT OR UPDATE OR DELETE ON leads FOR EACH ROW EXECUTE FUNCTION audit_row();
CREATE FUNCTION follow_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO crm.activities (tenant_id, type, subject, created_date) VALUES (NEW.tenant_id, 'follow-up', NEW.name, now());
    RETURN NULL;
END
$$;
CREATE TRIGGER follow_up AFTER UPDATE OF stage ON opportunities FOR EACH ROW
    WHEN (NEW.stage = 'won' AND NEW.stage IS DISTINCT FROM OLD.stage) EXECUTE FUNCTION follow_up();
-- Of a statement: BEFORE, and AFTER with a transition table.
CREATE FUNCTION audit_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO crm.audit (what) VALUES (TG_WHEN || ' ' || TG_OP || ' ' || TG_TABLE_NAME);
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_statement BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON contacts
    FOR EACH STATEMENT EXECUTE FUNCTION audit_statement();
CREATE FUNCTION audit_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO crm.audit (what, n) SELECT 'opportunities', count(*) FROM new_rows;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_rows AFTER INSERT ON opportunities REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows();

-- Each session of the application sees one tenant.
CREATE FUNCTION own_tenant() RETURNS uuid LANGUAGE sql STABLE AS
    $$SELECT NULLIF(current_setting('app.tenant', true), '')::uuid$$;
DO $$
DECLARE
    crm_table text;
BEGIN
    FOREACH crm_table IN ARRAY ARRAY['contacts', 'accounts', 'leads', 'opportunities', 'activities', 'activities_now',
                                     'activities_past', 'activities_other'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', crm_table);
        EXECUTE format('CREATE POLICY own ON %I USING (tenant_id = crm.own_tenant())', crm_table);
    END LOOP;
END
$$;
