-- +goose Up
ALTER TABLE connections ADD COLUMN name text COLLATE "C" NOT NULL DEFAULT '';    -- what its owner calls it
ALTER TABLE connections ADD COLUMN used_by text COLLATE "C" NOT NULL DEFAULT ''; -- the agent that used it last
