-- Names are looked up in the vault's schema, which is the only one on the search
-- path, and then in pg_catalog.
--
-- Conventions of every table:
--   * tenant is never empty, and leads every key.
--   * a time that is NULL is none; an empty text means none in a key, so that keys
--     stay unique.
--   * ids sort by their bytes.
--   * sealed holds ciphertext, key_space and key_version name the data key; sealed
--     is NULL where there is nothing or where it was erased.

-- +goose Up
CREATE TABLE connections (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    provider_id     text COLLATE "C" NOT NULL DEFAULT '',
    auth_method     text COLLATE "C" NOT NULL DEFAULT '',
    app_id          text COLLATE "C" NOT NULL DEFAULT '',
    account_id      text COLLATE "C" NOT NULL DEFAULT '',
    account_label   text COLLATE "C" NOT NULL DEFAULT '',
    status          text COLLATE "C" NOT NULL DEFAULT '' CHECK (status IN ('active', 'needs_reauth', 'revoked')),
    reason          text COLLATE "C" NOT NULL DEFAULT '',
    scopes          text[]      NOT NULL,
    version         bigint      NOT NULL CHECK (version >= 1),
    expires_at      timestamptz,
    obtained_at     timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    shared_by       text COLLATE "C" NOT NULL DEFAULT '',
    fence           bigint      NOT NULL DEFAULT 0,     -- grows with every turn and every end of one
    lease_until     timestamptz,                        -- nobody gets a turn before
    marked          boolean     NOT NULL DEFAULT false, -- a refresh request may have been sent
    uncertain       boolean     NOT NULL DEFAULT false, -- the turn found the mark of an earlier one
    key_space       text COLLATE "C" NOT NULL DEFAULT '',
    key_version     bigint      NOT NULL DEFAULT 0,
    sealed          bytea,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, organization_id, user_id, provider_id, account_id),
    CHECK (status <> 'revoked' OR sealed IS NULL)
);
-- Ciphertext does not compress, and a row of the hot read should be one page.
ALTER TABLE connections ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE connections SET (fillfactor = 80);
CREATE INDEX connections_by_key ON connections (tenant, key_space, key_version); -- rotation looks for what a key sealed
CREATE INDEX connections_by_owner ON connections (tenant, organization_id, user_id, id);

CREATE TABLE permissions (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    agent_id        text COLLATE "C" NOT NULL DEFAULT '',
    connection_id   text COLLATE "C" NOT NULL DEFAULT '',
    scopes          text[]      NOT NULL,
    release         text COLLATE "C" NOT NULL DEFAULT '' CHECK (release IN ('inject', 'token')),
    granted_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    PRIMARY KEY (tenant, connection_id, agent_id, organization_id, user_id), -- how resolve finds it
    UNIQUE (tenant, id),
    FOREIGN KEY (tenant, connection_id) REFERENCES connections (tenant, id) ON DELETE CASCADE
);
CREATE INDEX permissions_by_owner ON permissions (tenant, organization_id, user_id, id);

CREATE TABLE auth_requests (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    request_key     text COLLATE "C" NOT NULL DEFAULT '', -- what is asked for: see AuthRequest.Key
    agent_id        text COLLATE "C" NOT NULL DEFAULT '',
    provider_id     text COLLATE "C" NOT NULL DEFAULT '',
    provider_name   text COLLATE "C" NOT NULL DEFAULT '',
    auth_method     text COLLATE "C" NOT NULL DEFAULT '',
    connection_id   text COLLATE "C" NOT NULL DEFAULT '',
    reason          text COLLATE "C" NOT NULL DEFAULT '',
    scopes          text[]      NOT NULL,
    release         text COLLATE "C" NOT NULL DEFAULT '',
    run_id          text COLLATE "C" NOT NULL DEFAULT '',
    thread_id       text COLLATE "C" NOT NULL DEFAULT '',
    status          text COLLATE "C" NOT NULL DEFAULT '' CHECK (status IN ('pending', 'connected', 'declined', 'expired', 'failed')),
    failure_code    text COLLATE "C" NOT NULL DEFAULT '',
    connect_url     text COLLATE "C" NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    settled_at      timestamptz,
    PRIMARY KEY (tenant, id),
    CHECK ((status = 'pending') = (settled_at IS NULL))
);
CREATE UNIQUE INDEX auth_requests_pending ON auth_requests (tenant, request_key) WHERE status = 'pending';
CREATE INDEX auth_requests_due ON auth_requests (expires_at) WHERE status = 'pending';

CREATE TABLE attempts (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    auth_request_id text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    provider_id     text COLLATE "C" NOT NULL DEFAULT '',
    app_id          text COLLATE "C" NOT NULL DEFAULT '',
    state_hash      text COLLATE "C" NOT NULL DEFAULT '' UNIQUE, -- the only key that is known when a browser returns
    browser_hash    text COLLATE "C" NOT NULL DEFAULT '',
    issuer          text COLLATE "C" NOT NULL DEFAULT '',
    return_url      text COLLATE "C" NOT NULL DEFAULT '',
    scopes          text[]      NOT NULL,
    permission_ttl  bigint      NOT NULL DEFAULT 0,     -- microseconds; 0: until withdrawn
    new_account     boolean     NOT NULL DEFAULT false, -- beside the one that the request names
    poll_interval   bigint      NOT NULL DEFAULT 0,     -- microseconds between two questions; 0: the provider is not asked
    poll_at         timestamptz,                        -- when the next one may be
    state           text COLLATE "C" NOT NULL DEFAULT '' CHECK (state IN ('begun', 'returned', 'consumed')),
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    key_space       text COLLATE "C" NOT NULL DEFAULT '',
    key_version     bigint      NOT NULL DEFAULT 0,
    sealed          bytea,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, auth_request_id) REFERENCES auth_requests (tenant, id) ON DELETE CASCADE
);
CREATE INDEX attempts_by_request ON attempts (tenant, auth_request_id);
CREATE INDEX attempts_due ON attempts (expires_at);

CREATE TABLE nonces (
    tenant     text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    hash       text COLLATE "C" NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, hash)
);
CREATE INDEX nonces_due ON nonces (expires_at);

CREATE TABLE apps (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    provider_id     text COLLATE "C" NOT NULL DEFAULT '',
    client_id       text COLLATE "C" NOT NULL DEFAULT '',
    has_secret      boolean     NOT NULL DEFAULT false,
    scopes          text[]      NOT NULL,
    legacy_callback boolean     NOT NULL DEFAULT false,
    version         bigint      NOT NULL CHECK (version >= 1),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    key_space       text COLLATE "C" NOT NULL DEFAULT '',
    key_version     bigint      NOT NULL DEFAULT 0,
    sealed          bytea,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, organization_id, provider_id)
);
CREATE INDEX apps_by_key ON apps (tenant, key_space, key_version);

-- Providers that a tenant or an organization defined itself. The definition is
-- sealed so that nobody who can write this table can redirect credentials.
CREATE TABLE providers (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '', -- empty: the whole tenant's
    version         bigint      NOT NULL CHECK (version >= 1),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    key_space       text COLLATE "C" NOT NULL DEFAULT '',
    key_version     bigint      NOT NULL,
    sealed          bytea       NOT NULL,
    PRIMARY KEY (tenant, id, organization_id)
);
CREATE INDEX providers_by_organization ON providers (tenant, organization_id, id);

CREATE TABLE data_keys (
    tenant     text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    space      text COLLATE "C" NOT NULL DEFAULT '',
    version    bigint      NOT NULL CHECK (version >= 1),
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, space, version)
);

CREATE TABLE api_keys (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '' UNIQUE, -- tells the tenant
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    name            text COLLATE "C" NOT NULL DEFAULT '',
    kind            text COLLATE "C" NOT NULL DEFAULT '',
    agent_id        text COLLATE "C" NOT NULL DEFAULT '',
    scopes          text COLLATE "C" NOT NULL DEFAULT '', -- names with a space between
    mac             bytea       NOT NULL,
    key_version     bigint      NOT NULL, -- of the tenant's data key, for mac
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE jobs (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '' UNIQUE,
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    kind            text COLLATE "C" NOT NULL DEFAULT '',
    provider_id     text COLLATE "C" NOT NULL DEFAULT '',
    app_id          text COLLATE "C" NOT NULL DEFAULT '',
    connection_id   text COLLATE "C" NOT NULL DEFAULT '',
    state           text COLLATE "C" NOT NULL DEFAULT '' CHECK (state IN ('ready', 'leased', 'dead')),
    attempts        bigint      NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL, -- leased: when the lease runs out; dead: when it died
    error           text COLLATE "C" NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    key_space       text COLLATE "C" NOT NULL DEFAULT '',
    key_version     bigint      NOT NULL DEFAULT 0,
    sealed          bytea,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('ready', 'leased');
CREATE INDEX jobs_by_key ON jobs (tenant, key_space, key_version);

-- ids hold the number of the transaction that wrote the entry, and sort as the
-- entries were written: see the package's documentation.
CREATE TABLE audit (
    tenant          text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    id              text COLLATE "C" NOT NULL DEFAULT '',
    at              timestamptz NOT NULL,
    kind            text COLLATE "C" NOT NULL DEFAULT '',
    actor_kind      text COLLATE "C" NOT NULL DEFAULT '',
    actor_id        text COLLATE "C" NOT NULL DEFAULT '',
    owner_tenant    text COLLATE "C" NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL DEFAULT '',
    user_id         text COLLATE "C" NOT NULL DEFAULT '',
    for_user_id     text COLLATE "C" NOT NULL DEFAULT '',
    provider_id     text COLLATE "C" NOT NULL DEFAULT '',
    connection_id   text COLLATE "C" NOT NULL DEFAULT '',
    auth_request_id text COLLATE "C" NOT NULL DEFAULT '',
    run_id          text COLLATE "C" NOT NULL DEFAULT '',
    thread_id       text COLLATE "C" NOT NULL DEFAULT '',
    detail          text COLLATE "C" NOT NULL DEFAULT '',
    writer          text COLLATE "C" NOT NULL DEFAULT '' CHECK (writer <> ''),
    position        bigint      NOT NULL CHECK (position >= 1),
    hash            text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, writer, position)
);

CREATE TABLE audit_heads (
    tenant      text COLLATE "C" NOT NULL DEFAULT '' CHECK (tenant <> ''),
    writer      text COLLATE "C" NOT NULL DEFAULT '',
    position    bigint      NOT NULL CHECK (position >= 1),
    hash        text COLLATE "C" NOT NULL DEFAULT '',
    event_id    text COLLATE "C" NOT NULL DEFAULT '',
    at          timestamptz NOT NULL, -- of the entry
    key_version bigint      NOT NULL,
    mac         bytea       NOT NULL,
    cut         bytea,                -- a second signature: the entries up to here were dropped
    PRIMARY KEY (tenant, writer, position),
    UNIQUE (tenant, event_id)
);

-- Entries leave by whole segments, and nothing else of the log changes.
-- +goose StatementBegin
CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM audit_heads AS h WHERE h.tenant = OLD.tenant AND h.writer = OLD.writer
        AND h.position >= OLD.position AND h.cut IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit entries are never changed, nor deleted but by a cut at a signed head';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_stays();

-- +goose StatementBegin
CREATE FUNCTION audit_heads_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.cut IS NULL AND NEW.cut IS NOT NULL
        AND (NEW.tenant, NEW.writer, NEW.position, NEW.hash, NEW.event_id, NEW.at, NEW.key_version, NEW.mac)
        = (OLD.tenant, OLD.writer, OLD.position, OLD.hash, OLD.event_id, OLD.at, OLD.key_version, OLD.mac) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit heads are never changed, but that they are cut once';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_heads_stay BEFORE UPDATE OR DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION audit_heads_stay();

-- Transactions are numbered anew in a database that was restored elsewhere. The
-- epoch comes before their number in ids, so that these go on ascending.
CREATE TABLE audit_epoch (
    id    integer PRIMARY KEY CHECK (id = 1),
    epoch bigint NOT NULL
);
INSERT INTO audit_epoch (id, epoch) VALUES (1, 1);

-- One row that a health check writes, to prove that the database can be written.
CREATE TABLE health (
    id         integer PRIMARY KEY CHECK (id = 1),
    checked_at timestamptz
);
INSERT INTO health (id) VALUES (1);
