-- +goose Up
ALTER TABLE audit ADD COLUMN for_user_id TEXT NOT NULL DEFAULT '';

-- The place of an entry in its chain. Entries from before have none.
ALTER TABLE audit ADD COLUMN writer TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX audit_chain ON audit (tenant, writer, position) WHERE position > 0;

CREATE TABLE audit_heads (
    tenant      TEXT    NOT NULL,
    writer      TEXT    NOT NULL,
    position    INTEGER NOT NULL CHECK (position >= 1),
    hash        TEXT    NOT NULL,
    seq         INTEGER NOT NULL, -- of the entry
    at          INTEGER NOT NULL, -- of the entry
    key_version INTEGER NOT NULL,
    mac         BLOB    NOT NULL,
    cut         BLOB,             -- a second signature: the entries up to here were dropped
    PRIMARY KEY (tenant, writer, position),
    UNIQUE (tenant, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_heads_cut ON audit_heads (tenant, writer, position, seq) WHERE cut IS NOT NULL;

-- Entries leave by whole segments: what is behind the newest cut stays.
DROP TRIGGER audit_is_never_deleted;
-- +goose StatementBegin
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
WHEN NOT CASE WHEN OLD.position > 0
    THEN EXISTS (SELECT 1 FROM audit_heads h WHERE h.tenant = OLD.tenant AND h.writer = OLD.writer
        AND h.position >= OLD.position AND h.cut IS NOT NULL)
    ELSE EXISTS (SELECT 1 FROM audit_heads h WHERE h.tenant = OLD.tenant AND h.seq > OLD.seq AND h.cut IS NOT NULL)
    END
BEGIN
    SELECT RAISE(ABORT, 'audit entries are never deleted but by a cut at a signed head');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_heads_are_cut_once BEFORE UPDATE ON audit_heads
WHEN OLD.cut IS NOT NULL OR NEW.cut IS NULL
    OR (NEW.tenant, NEW.writer, NEW.position, NEW.hash, NEW.seq, NEW.at, NEW.key_version, NEW.mac)
    IS NOT (OLD.tenant, OLD.writer, OLD.position, OLD.hash, OLD.seq, OLD.at, OLD.key_version, OLD.mac)
BEGIN
    SELECT RAISE(ABORT, 'audit heads are never changed');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_heads_are_never_deleted BEFORE DELETE ON audit_heads
BEGIN
    SELECT RAISE(ABORT, 'audit heads are never deleted');
END;
-- +goose StatementEnd
