-- +goose Up
-- Providers that a tenant or an organization defined itself. The definition is
-- sealed so that nobody who can write this file can redirect credentials.
CREATE TABLE providers (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '', -- empty: the whole tenant's
    version         INTEGER NOT NULL CHECK (version >= 1),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    key_space       TEXT    NOT NULL,
    key_version     INTEGER NOT NULL,
    sealed          BLOB    NOT NULL,
    PRIMARY KEY (tenant, id, organization_id)
) STRICT;
CREATE INDEX providers_by_organization ON providers (tenant, organization_id, id);
