package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// sqlFindUsable is the hot path: the clock, the connections, the agent's
// permission for each and the data key of each, in one statement and one round
// trip. There is one row without a connection if there is none. The views are
// bound by no policy: the predicates keep tenants apart.
const sqlFindUsable = `SELECT clock.now, c.id, c.user_id, c.auth_method, c.app_id, c.account_id, c.account_label,
		c.status, c.reason, c.scopes, c.version, c.expires_at, c.obtained_at, c.created_at, c.updated_at, c.revoked_at, c.shared_by,
		c.key_space, c.key_version, c.sealed,
		p.id, p.scopes, p.release, p.granted_at, p.expires_at, k.wrapped
	FROM (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now) AS clock
	LEFT JOIN tv.hot_connections AS c ON c.tenant = $2 AND c.organization_id = $3 AND c.user_id IN ($4, $5)
		AND c.provider_id = $6 AND ($7 = '' OR c.id = $7)
	LEFT JOIN tv.hot_permissions AS p ON p.tenant = $2 AND p.connection_id = c.id AND p.agent_id = $8
		AND p.organization_id = $3 AND p.user_id = $4 AND (p.expires_at IS NULL OR p.expires_at > clock.now)
	LEFT JOIN tv.hot_data_keys AS k ON k.tenant = $2 AND k.space = c.key_space AND k.version = c.key_version`

// FindUsable implements [tokenvault.ConnectionStore].
func (s *Store) FindUsable(ctx context.Context, q tokenvault.FindQuery) (tokenvault.Found, error) {
	var found tokenvault.Found
	err := s.bounded(ctx, func(ctx context.Context) (err error) {
		found, err = s.findTogether(ctx, q)
		return err
	})
	if err != nil {
		return tokenvault.Found{}, s.wrap("find usable", err)
	}
	return found, nil
}

func (s *Store) find(ctx context.Context, q tokenvault.FindQuery) (tokenvault.Found, error) {
	rows, err := s.pool.Query(ctx, s.sql(sqlFindUsable), s.findArgs(q)...)
	if err != nil {
		return tokenvault.Found{}, err
	}
	return scanFound(rows, q)
}

func (s *Store) findArgs(q tokenvault.FindQuery) []any {
	return []any{
		s.boundNow(), q.Owner.Tenant, q.Owner.OrganizationID, q.Owner.UserID, shared(q.Owner), q.ProviderID, q.ConnectionID, q.AgentID,
	}
}

func scanFound(rows pgx.Rows, q tokenvault.FindQuery) (tokenvault.Found, error) {
	defer rows.Close()
	var found tokenvault.Found
	for rows.Next() {
		var r foundRow
		if err := rows.Scan(r.dest()...); err != nil {
			return tokenvault.Found{}, err
		}
		found.Now = r.now.UTC()
		if r.id != nil {
			found.Candidates = append(found.Candidates, r.candidate(q))
		}
	}
	slices.SortFunc(found.Candidates, func(a, b tokenvault.Candidate) int { return cmp.Compare(a.ID, b.ID) })
	return found, rows.Err()
}

// foundRow is a row of sqlFindUsable while it is scanned. What may be NULL is
// scanned into a pointer.
type foundRow struct {
	now time.Time

	id, user, method, app, account, label, status, reason, sharedBy, space *string
	scopes                                                                 []string
	version, keyVersion                                                    *int64
	expires, obtained, created, updated, revoked                           *time.Time
	sealed, wrapped                                                        []byte

	permissionID, release *string
	permitted             []string
	granted, until        *time.Time
}

func (r *foundRow) dest() []any {
	return []any{
		&r.now, &r.id, &r.user, &r.method, &r.app, &r.account, &r.label, &r.status, &r.reason, &r.scopes, &r.version,
		&r.expires, &r.obtained, &r.created, &r.updated, &r.revoked, &r.sharedBy, &r.space, &r.keyVersion, &r.sealed,
		&r.permissionID, &r.permitted, &r.release, &r.granted, &r.until, &r.wrapped,
	}
}

// candidate is called for a row with a connection.
func (r *foundRow) candidate(q tokenvault.FindQuery) tokenvault.Candidate {
	var c tokenvault.Candidate
	c.ID, c.Owner, c.ProviderID, c.AuthMethod, c.AppID = *r.id, q.Owner, q.ProviderID, tokenvault.AuthMethod(*r.method), *r.app
	c.Owner.UserID = *r.user
	c.Account = tokenvault.Account{ID: *r.account, Label: *r.label}
	c.Status, c.Reason = tokenvault.ConnectionStatus(*r.status), tokenvault.ReauthReason(*r.reason)
	c.Scopes, c.Version, c.SharedBy = r.scopes, *r.version, *r.sharedBy
	c.ExpiresAt, c.ObtainedAt, c.CreatedAt = timeOf(r.expires), timeOf(r.obtained), timeOf(r.created)
	c.UpdatedAt, c.RevokedAt = timeOf(r.updated), timeOf(r.revoked)
	c.Record = tokenvault.SealedRecord{KeySpace: *r.space, KeyVersion: uint32(*r.keyVersion), Blob: r.sealed} //nolint:gosec // written from a uint32
	c.WrappedKey = r.wrapped
	if r.permissionID != nil {
		c.Permission = &tokenvault.Permission{
			ID: *r.permissionID, Owner: q.Owner, AgentID: q.AgentID, ConnectionID: c.ID, Scopes: r.permitted,
			Release: tokenvault.Release(*r.release), GrantedAt: timeOf(r.granted), ExpiresAt: timeOf(r.until),
		}
	}
	return c
}
