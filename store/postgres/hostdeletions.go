package postgres

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

var _ tokenvault.HostDeletionStore = (*Store)(nil)

const sqlHostDeletions = `SELECT organization_id, user_id FROM tv.host_deletions
	WHERE tenant = $1 ORDER BY organization_id, user_id LIMIT $2`

// HostDeletions implements [tokenvault.HostDeletionStore].
func (s *Store) HostDeletions(ctx context.Context, tenant string, limit int) ([]tokenvault.Owner, error) {
	scan := func(from row) (tokenvault.Owner, error) {
		owner := tokenvault.Owner{Tenant: tenant}
		err := from.Scan(&owner.OrganizationID, &owner.UserID)
		return owner, err
	}
	return list(ctx, s, "host deletions", tenant, scan, sqlHostDeletions, tenant, limited(tokenvault.Page{Limit: limit}))
}
