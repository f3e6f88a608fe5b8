-- +goose Up
-- Endpoints that are told of changes. sealed holds the secrets that sign.
CREATE TABLE webhooks (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '', -- whose changes; empty: everybody's in the tenant
    url             text COLLATE "C" NOT NULL DEFAULT '',
    types           text[]      NOT NULL, -- empty: all
    enabled         boolean     NOT NULL,
    version         bigint      NOT NULL CHECK (version >= 1),
    overlap_until   timestamptz,          -- until when the secret of before signs too
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    key_space       text COLLATE "C" NOT NULL DEFAULT '',
    key_version     bigint      NOT NULL,
    sealed          bytea       NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX webhooks_by_key ON webhooks (tenant, key_space, key_version);

-- What was told, and what is still to be: while that is so, the job with the same
-- id is there. Ids sort as changes come.
CREATE TABLE deliveries (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    webhook_id      text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '', -- whose change it tells
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    type            text COLLATE "C" NOT NULL DEFAULT '',
    body            text COLLATE "C" NOT NULL DEFAULT '',
    attempts        bigint      NOT NULL DEFAULT 0,
    status_code     bigint      NOT NULL DEFAULT 0,
    error           text COLLATE "C" NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    attempted_at    timestamptz,
    delivered_at    timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, webhook_id) REFERENCES webhooks (tenant, id) ON DELETE CASCADE
);
CREATE INDEX deliveries_by_webhook ON deliveries (tenant, webhook_id, id);
CREATE INDEX deliveries_by_owner ON deliveries (tenant, organization_id, user_id);
CREATE INDEX deliveries_by_age ON deliveries (tenant, created_at);

-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhooks', 'deliveries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON %I USING (tenant = current_setting(''tokenvault.tenant'', true))', name);
    END LOOP;
END
$$;
-- +goose StatementEnd
