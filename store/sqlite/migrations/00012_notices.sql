-- +goose Up
ALTER TABLE auth_requests ADD COLUMN notice TEXT NOT NULL DEFAULT ''; -- what the latest attempt came to; counts while pending
ALTER TABLE auth_requests ADD COLUMN noticed_at INTEGER NOT NULL DEFAULT 0;
