-- +goose Up
ALTER TABLE auth_requests ADD COLUMN notice text COLLATE "C" NOT NULL DEFAULT ''; -- what the latest attempt came to; counts while pending
ALTER TABLE auth_requests ADD COLUMN noticed_at timestamptz;
