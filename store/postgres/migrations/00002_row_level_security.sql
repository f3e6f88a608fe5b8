-- +goose Up

-- Who owns what has to look across tenants: three views for the hot read, and
-- functions that tell a tenant. Nobody logs in as this role.
-- +goose StatementBegin
DO $$
DECLARE
    system text := current_schema() || '_system';
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = system) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', system);
    END IF;
    EXECUTE format('GRANT %I TO CURRENT_USER', system);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), system);
END
$$;
-- +goose StatementEnd

-- A transaction sees the rows of the tenant that it was begun for.
-- +goose StatementBegin
DO $$
DECLARE
    system text := current_schema() || '_system';
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['connections', 'permissions', 'auth_requests', 'attempts', 'nonces', 'apps', 'providers', 'data_keys', 'api_keys', 'jobs',
        'audit', 'audit_heads'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON %I USING (tenant = current_setting(''tokenvault.tenant'', true))', name);
        EXECUTE format('CREATE POLICY of_system ON %I FOR SELECT TO %I USING (true)', name, system);
        EXECUTE format('GRANT SELECT ON %I TO %I', name, system);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- The hot read.
CREATE VIEW hot_connections AS SELECT * FROM connections;
CREATE VIEW hot_permissions AS SELECT * FROM permissions;
CREATE VIEW hot_data_keys AS SELECT * FROM data_keys;

-- Each tells the tenant of what is known by a value that only its owner has.
-- +goose StatementBegin
CREATE FUNCTION tenant_of_attempt(hash text) RETURNS text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT tenant FROM attempts WHERE state_hash = hash;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tenant_of_api_key(key text) RETURNS text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT tenant FROM api_keys WHERE id = key;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tenant_of_job(job text) RETURNS text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT tenant FROM jobs WHERE id = job;
END;
-- +goose StatementEnd

-- Whose work is due, the most overdue first.
-- +goose StatementBegin
CREATE FUNCTION tenants_with_jobs(now timestamptz, most integer) RETURNS SETOF text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT tenant FROM jobs WHERE state IN ('ready', 'leased') AND due_at <= now
    GROUP BY tenant ORDER BY min(due_at) LIMIT most;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tenants_to_sweep(now timestamptz, most integer) RETURNS SETOF text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT tenant FROM (
        SELECT tenant FROM auth_requests WHERE status = 'pending' AND expires_at <= now
        UNION SELECT tenant FROM attempts WHERE expires_at <= now
        UNION SELECT tenant FROM nonces WHERE expires_at <= now
    ) AS due LIMIT most;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION any_tenant_with_data_key() RETURNS text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT tenant FROM data_keys WHERE length(wrapped) > 0 LIMIT 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tenants_with_data_keys(first text) RETURNS SETOF text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT DISTINCT tenant FROM data_keys WHERE tenant >= first ORDER BY tenant;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION newest_audit_id() RETURNS text LANGUAGE SQL STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT max(id) FROM audit;
END;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    system text := current_schema() || '_system';
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['hot_connections', 'hot_permissions', 'hot_data_keys'] LOOP
        EXECUTE format('ALTER VIEW %I OWNER TO %I', name, system);
        EXECUTE format('GRANT SELECT ON %I TO CURRENT_USER', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenant_of_attempt(text)', 'tenant_of_api_key(text)', 'tenant_of_job(text)',
        'tenants_with_jobs(timestamptz, integer)', 'tenants_to_sweep(timestamptz, integer)', 'any_tenant_with_data_key()', 'tenants_with_data_keys(text)',
        'newest_audit_id()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', name, system);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO CURRENT_USER', name);
    END LOOP;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM %I', current_schema(), system);
    EXECUTE format('REVOKE %I FROM CURRENT_USER', system);
END
$$;
-- +goose StatementEnd
