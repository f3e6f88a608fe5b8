-- +goose Up
ALTER TABLE permissions RENAME COLUMN created_at TO granted_at;
ALTER TABLE attempts ADD COLUMN permission_ttl INTEGER NOT NULL DEFAULT 0; -- microseconds; 0: until withdrawn
ALTER TABLE attempts ADD COLUMN new_account INTEGER NOT NULL DEFAULT 0;    -- beside the one that the request names
ALTER TABLE connections ADD COLUMN shared_by TEXT NOT NULL DEFAULT '';     -- who gave it to the organization
