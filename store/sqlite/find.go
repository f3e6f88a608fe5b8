package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ai-token-vault/tokenvault"
)

// sqlFindUsable is the hot path: the clock, the connections, the agent's
// permission for each and the data key of each, in one statement. There is one
// row without a connection if there is none.
//
// Every column costs, so what the query fixes already is not read again. The
// plus signs do nothing in SQLite, but without them the driver copies the
// declared type of every column at every call.
const sqlFindUsable = sqlFindHead + `c.user_id IN (?4, ?5)` + sqlFindTail

// sqlFindOwn is the same for an owner outside any organization, who sees no rows
// but their own: SQLite builds a table for the list, at an eighth of the time.
const sqlFindOwn = sqlFindHead + `c.user_id = ?4` + sqlFindTail

const sqlFindHead = `SELECT clock.now, +c.id, c.user_id = ?4, +c.auth_method, +c.app_id, +c.account_id, +c.account_label,
		+c.status, +c.reason, +c.scopes, +c.version, +c.expires_at, +c.obtained_at, +c.created_at, +c.updated_at, +c.revoked_at, +c.shared_by,
		+c.key_space, +c.key_version, +c.sealed,
		+p.id, +p.scopes, +p.release, +p.granted_at, +p.expires_at, +k.wrapped
	FROM (SELECT ` + sqlNow + ` AS now) AS clock
	LEFT JOIN connections AS c ON c.tenant = ?2 AND c.organization_id = ?3 AND `

const sqlFindTail = `
		AND c.provider_id = ?6 AND (?7 = '' OR c.id = ?7)
	LEFT JOIN permissions AS p ON p.tenant = ?2 AND p.connection_id = c.id AND p.agent_id = ?8
		AND p.organization_id = ?3 AND p.user_id = ?4 AND (p.expires_at = 0 OR p.expires_at > clock.now)
	LEFT JOIN data_keys AS k ON k.tenant = ?2 AND k.space = c.key_space AND k.version = c.key_version`

// FindUsable implements [tokenvault.ConnectionStore]. It is one prepared
// statement on a connection that waits for no writer. Once begun it is not
// canceled: watching the context would cost more than the read.
func (s *Store) FindUsable(ctx context.Context, q tokenvault.FindQuery) (tokenvault.Found, error) {
	if err := ctx.Err(); err != nil {
		return tokenvault.Found{}, fmt.Errorf("sqlite: find usable: %w", err)
	}
	found, err := s.find(context.WithoutCancel(ctx), q)
	return found, s.wrap("find usable", err)
}

func (s *Store) find(ctx context.Context, q tokenvault.FindQuery) (tokenvault.Found, error) {
	query := sqlFindUsable
	if q.Owner.OrganizationID == "" {
		query = sqlFindOwn
	}
	rows, err := s.reader.QueryContext(ctx, query, s.boundNow(), q.Owner.Tenant, q.Owner.OrganizationID, q.Owner.UserID,
		shared(q.Owner), q.ProviderID, q.ConnectionID, q.AgentID)
	if err != nil {
		return tokenvault.Found{}, err
	}
	defer func() { _ = rows.Close() }() // a failure to read is in Err
	var found tokenvault.Found
	var r foundRow
	dest := r.dest()
	for rows.Next() {
		r = foundRow{}
		if err := rows.Scan(dest...); err != nil {
			return tokenvault.Found{}, err
		}
		found.Now = timeOf(int64(r.now))
		if r.c.ID == "" {
			break
		}
		c, err := r.candidate(q)
		if err != nil {
			return tokenvault.Found{}, err
		}
		found.Candidates = append(found.Candidates, c)
	}
	slices.SortFunc(found.Candidates, func(a, b tokenvault.Candidate) int { return cmp.Compare(a.ID, b.ID) })
	return found, rows.Err()
}

// foundRow is a row of sqlFindUsable while it is scanned. A column may be NULL
// where nothing was joined.
type foundRow struct {
	c tokenvault.Candidate
	p tokenvault.Permission

	now, own, version, keyVersion                number
	expires, obtained, created, updated, revoked number
	permitted, permittedUntil                    number
	scopes, permittedScopes                      text
}

func (r *foundRow) dest() []any {
	c := &r.c
	return []any{
		&r.now, (*text)(&c.ID), &r.own, (*text)(&c.AuthMethod), (*text)(&c.AppID), (*text)(&c.Account.ID), (*text)(&c.Account.Label),
		(*text)(&c.Status), (*text)(&c.Reason), &r.scopes, &r.version, &r.expires, &r.obtained, &r.created, &r.updated, &r.revoked, (*text)(&c.SharedBy),
		(*text)(&c.Record.KeySpace), &r.keyVersion, (*blob)(&c.Record.Blob),
		(*text)(&r.p.ID), &r.permittedScopes, (*text)(&r.p.Release), &r.permitted, &r.permittedUntil, (*blob)(&c.WrappedKey),
	}
}

func (r *foundRow) candidate(q tokenvault.FindQuery) (tokenvault.Candidate, error) {
	c := r.c
	c.Owner, c.ProviderID, c.Version = q.Owner, q.ProviderID, int64(r.version)
	if r.own == 0 {
		c.Owner.UserID = ""
	}
	c.ExpiresAt, c.ObtainedAt, c.CreatedAt = timeOf(int64(r.expires)), timeOf(int64(r.obtained)), timeOf(int64(r.created))
	c.UpdatedAt, c.RevokedAt = timeOf(int64(r.updated)), timeOf(int64(r.revoked))
	c.Record.KeyVersion = uint32(r.keyVersion) //nolint:gosec // written from a uint32
	var err error
	if c.Scopes, err = scopesOf(string(r.scopes)); err != nil || r.p.ID == "" {
		return c, err
	}
	p := r.p
	p.Owner, p.AgentID, p.ConnectionID = q.Owner, q.AgentID, c.ID
	p.GrantedAt, p.ExpiresAt = timeOf(int64(r.permitted)), timeOf(int64(r.permittedUntil))
	p.Scopes, err = scopesOf(string(r.permittedScopes))
	c.Permission = &p
	return c, err
}
