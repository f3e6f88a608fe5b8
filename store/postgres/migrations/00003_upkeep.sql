-- +goose Up
-- The defaults stand for what a server of the version before stores.
ALTER TABLE connections ADD COLUMN used_at timestamptz; -- to within a minute or two
ALTER TABLE connections ADD COLUMN look_at timestamptz NOT NULL DEFAULT 'epoch'; -- when background work should look at it
CREATE INDEX connections_due ON connections (tenant, look_at) WHERE status = 'active';
