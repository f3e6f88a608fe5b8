-- +goose Up
ALTER TABLE connections ADD COLUMN name TEXT NOT NULL DEFAULT '';    -- what its owner calls it
ALTER TABLE connections ADD COLUMN used_by TEXT NOT NULL DEFAULT ''; -- the agent that used it last
