-- +goose Up
-- What foreign keys to the host's own tables need, whatever their types are. The
-- keys themselves are made if they are asked for: see hostkeys.go.
CREATE TABLE host_keys (
    kind        text COLLATE "C" PRIMARY KEY CHECK (kind IN ('user', 'organization')),
    host_schema text COLLATE "C" NOT NULL,
    host_table  text COLLATE "C" NOT NULL,
    host_column text COLLATE "C" NOT NULL,
    type        text COLLATE "C" NOT NULL CHECK (type IN ('uuid', 'text', 'bigint')),
    on_delete   text COLLATE "C" NOT NULL CHECK (on_delete IN ('restrict', 'cascade')),
    ready       boolean NOT NULL DEFAULT false -- every row was found to have its user or organization
);

-- Owners who lost rows because the host deleted a row of its own. All that is left
-- of them is deleted in the background.
CREATE TABLE host_deletions (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, organization_id, user_id)
);
ALTER TABLE host_deletions ENABLE ROW LEVEL SECURITY;
ALTER TABLE host_deletions FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON host_deletions USING (tenant = current_setting('tokenvault.tenant', true));

-- Whether rows of an owner are being deleted: new ones wait until that is done.
-- +goose StatementBegin
CREATE FUNCTION being_deleted(of_tenant text, of_organization text, of_user text) RETURNS boolean LANGUAGE SQL STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM host_deletions WHERE tenant = of_tenant
        AND (organization_id = of_organization AND user_id IN ('', of_user) OR organization_id = '' AND user_id = of_user));
END;
-- +goose StatementEnd

-- The functions below run in transactions of the host's, which are bound to no
-- tenant, by any of its roles. They find the vault's schema by the trigger.

-- A row went with its user or organization.
-- +goose StatementBegin
CREATE FUNCTION host_row_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('tokenvault.tenant', OLD.tenant, true);
    EXECUTE format('INSERT INTO %I.host_deletions (tenant, organization_id, user_id) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA)
        USING OLD.tenant, OLD.organization_id, OLD.user_id;
    PERFORM set_config('tokenvault.tenant', '', true);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- A row that lost its user or organization stays, since it takes all three to end a
-- grant at its provider: connection, app and data key. The connection is of no use
-- from now on.
-- +goose StatementBegin
CREATE FUNCTION host_row_left() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound text := coalesce(current_setting('tokenvault.tenant', true), '');
    of_organization text;
    of_user text := '';
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'connections' THEN
        of_organization := OLD.organization_id;
        of_user := OLD.user_id;
        IF NEW.status <> 'revoked' THEN
            NEW.status := 'needs_reauth';
            NEW.reason := 'owner_deleted';
        END IF;
    WHEN 'data_keys' THEN
        of_organization := substr(OLD.space, 5);
    ELSE
        of_organization := OLD.organization_id;
    END CASE;
    PERFORM set_config('tokenvault.tenant', OLD.tenant, true);
    EXECUTE format('INSERT INTO %I.host_deletions (tenant, organization_id, user_id) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA)
        USING OLD.tenant, of_organization, of_user;
    PERFORM set_config('tokenvault.tenant', bound, true);
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- Who shared a connection of an organization's is forgotten with the user.
-- +goose StatementBegin
CREATE FUNCTION host_sharer_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.shared_by := '';
    RETURN NEW;
END
$$;
-- +goose StatementEnd
