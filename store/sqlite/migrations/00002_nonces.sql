-- +goose Up
CREATE TABLE nonces (
    tenant     TEXT    NOT NULL,
    hash       TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_due ON nonces (expires_at);
