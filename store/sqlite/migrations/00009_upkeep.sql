-- +goose Up
ALTER TABLE connections ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0; -- to within a minute or two
ALTER TABLE connections ADD COLUMN look_at INTEGER NOT NULL DEFAULT 0; -- when background work should look at it; 0: at once
CREATE INDEX connections_due ON connections (tenant, look_at) WHERE status = 'active';
