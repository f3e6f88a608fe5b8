-- Conventions of every table:
--   * times are INTEGER microseconds since 1970-01-01 UTC; 0 means none. The
--     database's own clock ticks in milliseconds.
--   * an empty text means none: keys hold no NULL, so that they stay unique.
--   * scopes are a JSON array of text.
--   * sealed holds ciphertext, key_space and key_version name the data key;
--     sealed is NULL where there is nothing or where it was erased.

-- +goose Up
PRAGMA application_id = 0x746b7674; -- "tkvt"

CREATE TABLE connections (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    provider_id     TEXT    NOT NULL,
    auth_method     TEXT    NOT NULL,
    app_id          TEXT    NOT NULL DEFAULT '',
    account_id      TEXT    NOT NULL DEFAULT '',
    account_label   TEXT    NOT NULL DEFAULT '',
    status          TEXT    NOT NULL CHECK (status IN ('active', 'needs_reauth', 'revoked')),
    reason          TEXT    NOT NULL DEFAULT '',
    scopes          TEXT    NOT NULL,
    version         INTEGER NOT NULL CHECK (version >= 1),
    expires_at      INTEGER NOT NULL DEFAULT 0,
    obtained_at     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    revoked_at      INTEGER NOT NULL DEFAULT 0,
    fence           INTEGER NOT NULL DEFAULT 0, -- grows with every turn and every end of one
    lease_until     INTEGER NOT NULL DEFAULT 0, -- nobody gets a turn before
    marked          INTEGER NOT NULL DEFAULT 0, -- a refresh request may have been sent
    uncertain       INTEGER NOT NULL DEFAULT 0, -- the turn found the mark of an earlier one
    key_space       TEXT    NOT NULL DEFAULT '',
    key_version     INTEGER NOT NULL DEFAULT 0,
    sealed          BLOB,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, organization_id, user_id, provider_id, account_id),
    CHECK (status <> 'revoked' OR sealed IS NULL)
) STRICT;
CREATE INDEX connections_by_owner ON connections (tenant, organization_id, user_id, id);

CREATE TABLE permissions (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    agent_id        TEXT    NOT NULL,
    connection_id   TEXT    NOT NULL,
    scopes          TEXT    NOT NULL,
    release         TEXT    NOT NULL CHECK (release IN ('inject', 'token')),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, connection_id, agent_id, organization_id, user_id), -- how resolve finds it
    UNIQUE (tenant, id),
    FOREIGN KEY (tenant, connection_id) REFERENCES connections (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX permissions_by_owner ON permissions (tenant, organization_id, user_id, id);

CREATE TABLE auth_requests (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    request_key     TEXT    NOT NULL, -- what is asked for: see AuthRequest.Key
    agent_id        TEXT    NOT NULL DEFAULT '',
    provider_id     TEXT    NOT NULL,
    provider_name   TEXT    NOT NULL DEFAULT '',
    auth_method     TEXT    NOT NULL,
    connection_id   TEXT    NOT NULL DEFAULT '',
    reason          TEXT    NOT NULL,
    scopes          TEXT    NOT NULL,
    release         TEXT    NOT NULL,
    run_id          TEXT    NOT NULL DEFAULT '',
    thread_id       TEXT    NOT NULL DEFAULT '',
    status          TEXT    NOT NULL CHECK (status IN ('pending', 'connected', 'declined', 'expired', 'failed')),
    failure_code    TEXT    NOT NULL DEFAULT '',
    connect_url     TEXT    NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    settled_at      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id),
    CHECK ((status = 'pending') = (settled_at = 0))
) STRICT;
CREATE UNIQUE INDEX auth_requests_pending ON auth_requests (tenant, request_key) WHERE status = 'pending';
CREATE INDEX auth_requests_due ON auth_requests (expires_at) WHERE status = 'pending';

CREATE TABLE attempts (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    auth_request_id TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    provider_id     TEXT    NOT NULL,
    app_id          TEXT    NOT NULL DEFAULT '',
    state_hash      TEXT    NOT NULL UNIQUE, -- the only key that is known when a browser returns
    browser_hash    TEXT    NOT NULL DEFAULT '',
    issuer          TEXT    NOT NULL DEFAULT '',
    return_url      TEXT    NOT NULL DEFAULT '',
    scopes          TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('begun', 'returned', 'consumed')),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    key_space       TEXT    NOT NULL DEFAULT '',
    key_version     INTEGER NOT NULL DEFAULT 0,
    sealed          BLOB,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, auth_request_id) REFERENCES auth_requests (tenant, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX attempts_by_request ON attempts (tenant, auth_request_id);
CREATE INDEX attempts_due ON attempts (expires_at);

CREATE TABLE apps (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    organization_id TEXT    NOT NULL DEFAULT '',
    provider_id     TEXT    NOT NULL,
    client_id       TEXT    NOT NULL,
    has_secret      INTEGER NOT NULL DEFAULT 0,
    scopes          TEXT    NOT NULL,
    legacy_callback INTEGER NOT NULL DEFAULT 0,
    version         INTEGER NOT NULL CHECK (version >= 1),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    key_space       TEXT    NOT NULL DEFAULT '',
    key_version     INTEGER NOT NULL DEFAULT 0,
    sealed          BLOB,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, organization_id, provider_id)
) STRICT;

CREATE TABLE data_keys (
    tenant     TEXT    NOT NULL,
    space      TEXT    NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    wrapped    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, space, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL UNIQUE, -- tells the tenant
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    name            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    agent_id        TEXT    NOT NULL DEFAULT '',
    mac             BLOB    NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL DEFAULT 0,
    revoked_at      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE jobs (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL UNIQUE,
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    kind            TEXT    NOT NULL,
    provider_id     TEXT    NOT NULL DEFAULT '',
    app_id          TEXT    NOT NULL DEFAULT '',
    connection_id   TEXT    NOT NULL DEFAULT '',
    state           TEXT    NOT NULL CHECK (state IN ('ready', 'leased', 'dead')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    due_at          INTEGER NOT NULL, -- leased: when the lease runs out; dead: when it died
    error           TEXT    NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL,
    key_space       TEXT    NOT NULL DEFAULT '',
    key_version     INTEGER NOT NULL DEFAULT 0,
    sealed          BLOB,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('ready', 'leased');

CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY, -- ascending: rows are never deleted
    tenant          TEXT    NOT NULL,
    at              INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    actor_kind      TEXT    NOT NULL,
    actor_id        TEXT    NOT NULL DEFAULT '',
    owner_tenant    TEXT    NOT NULL DEFAULT '',
    organization_id TEXT    NOT NULL DEFAULT '',
    user_id         TEXT    NOT NULL DEFAULT '',
    provider_id     TEXT    NOT NULL DEFAULT '',
    connection_id   TEXT    NOT NULL DEFAULT '',
    auth_request_id TEXT    NOT NULL DEFAULT '',
    run_id          TEXT    NOT NULL DEFAULT '',
    thread_id       TEXT    NOT NULL DEFAULT '',
    detail          TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX audit_by_tenant ON audit (tenant, seq);

-- +goose StatementBegin
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit entries are never changed');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit entries are never deleted');
END;
-- +goose StatementEnd

-- One row that a health check writes, to prove that the file can be written.
CREATE TABLE health (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    checked_at INTEGER NOT NULL
) STRICT;
INSERT INTO health (id, checked_at) VALUES (1, 0);
