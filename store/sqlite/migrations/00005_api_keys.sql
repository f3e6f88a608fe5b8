-- +goose Up
-- A key from before has no scopes, which stands for all of its kind, and was keyed
-- with the tenant's first data key.
ALTER TABLE api_keys ADD COLUMN scopes       TEXT    NOT NULL DEFAULT ''; -- names with a space between
ALTER TABLE api_keys ADD COLUMN key_version  INTEGER NOT NULL DEFAULT 1;  -- of the tenant's data key, for mac
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;
