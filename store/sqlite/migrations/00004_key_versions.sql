-- Rotation looks for the rows that a data key sealed. attempts are few.

-- +goose Up
CREATE INDEX connections_by_key ON connections (tenant, key_space, key_version);
CREATE INDEX apps_by_key ON apps (tenant, key_space, key_version);
CREATE INDEX jobs_by_key ON jobs (tenant, key_space, key_version);
