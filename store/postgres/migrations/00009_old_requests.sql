-- +goose Up
-- How requests that were settled long ago are found.
CREATE INDEX auth_requests_settled ON auth_requests (tenant, settled_at, id) WHERE status <> 'pending';
