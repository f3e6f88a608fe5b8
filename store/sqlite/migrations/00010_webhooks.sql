-- +goose Up
-- Endpoints that are told of changes. sealed holds the secrets that sign.
CREATE TABLE webhooks (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '', -- whose changes; empty: everybody's in the tenant
    url             TEXT    NOT NULL,
    types           TEXT    NOT NULL,            -- a JSON array of text; empty: all
    enabled         INTEGER NOT NULL,
    version         INTEGER NOT NULL CHECK (version >= 1),
    overlap_until   INTEGER NOT NULL DEFAULT 0,  -- until when the secret of before signs too
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    key_space       TEXT    NOT NULL,
    key_version     INTEGER NOT NULL,
    sealed          BLOB    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX webhooks_by_key ON webhooks (tenant, key_space, key_version);

-- What was told, and what is still to be: while that is so, the job with the same
-- id is there. Ids sort as changes come.
CREATE TABLE deliveries (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    webhook_id      TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '', -- whose change it tells
    user_id         TEXT    NOT NULL DEFAULT '',
    type            TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    status_code     INTEGER NOT NULL DEFAULT 0,
    error           TEXT    NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL,
    attempted_at    INTEGER NOT NULL DEFAULT 0,
    delivered_at    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, webhook_id) REFERENCES webhooks (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_webhook ON deliveries (tenant, webhook_id, id);
CREATE INDEX deliveries_by_owner ON deliveries (tenant, organization_id, user_id);
CREATE INDEX deliveries_by_age ON deliveries (tenant, created_at);
