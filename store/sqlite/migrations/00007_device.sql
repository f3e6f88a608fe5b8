-- +goose Up
ALTER TABLE attempts ADD COLUMN poll_interval INTEGER NOT NULL DEFAULT 0; -- microseconds between two questions; 0: the provider is not asked
ALTER TABLE attempts ADD COLUMN poll_at INTEGER NOT NULL DEFAULT 0;       -- when the next one may be
