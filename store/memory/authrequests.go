package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// request returns the request with the id if it is exactly the owner's.
func (s *Store) request(owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	r, ok := s.requests[rowID{owner.Tenant, id}]
	if !ok || r.Owner != owner {
		return tokenvault.AuthRequest{}, tokenvault.ErrNotFound
	}
	return r, nil
}

func (s *Store) keepRequest(r tokenvault.AuthRequest) { s.requests[rowID{r.Owner.Tenant, r.ID}] = r }

func copyRequest(r tokenvault.AuthRequest) tokenvault.AuthRequest {
	r.Scopes = slices.Clone(r.Scopes)
	return r
}

// pending returns nil if something may still come of r. Once a request expired
// it stays expired; once it was settled otherwise its time does not matter.
func pending(r tokenvault.AuthRequest, now time.Time) error {
	switch {
	case r.Status == tokenvault.AuthExpired, r.Status == tokenvault.AuthPending && over(r.ExpiresAt, now):
		return tokenvault.ErrExpired
	case r.Status.Settled():
		return tokenvault.ErrConflict
	}
	return nil
}

// keepExpired stores a request that expired, and records it.
func (s *Store) keepExpired(r tokenvault.AuthRequest, now time.Time) {
	s.keepRequest(r)
	s.tell(now, tokenvault.MessageOfRequest(r))
	s.write(now, tokenvault.Event{
		Kind: tokenvault.EventAuthExpired, Tenant: r.Owner.Tenant, ActorKind: tokenvault.ActorSystem, Owner: r.Owner,
		ProviderID: r.ProviderID, ConnectionID: r.ConnectionID, AuthRequestID: r.ID, RunID: r.RunID, ThreadID: r.ThreadID,
	})
}

// expire settles r if its time is over.
func expire(r *tokenvault.AuthRequest, now time.Time) bool {
	if r.Status != tokenvault.AuthPending || !over(r.ExpiresAt, now) {
		return false
	}
	r.Status, r.SettledAt = tokenvault.AuthExpired, now
	r.Notice, r.NoticedAt = "", time.Time{}
	return true
}

// OpenOrJoin implements [tokenvault.AuthRequestStore].
func (s *Store) OpenOrJoin(ctx context.Context, cmd tokenvault.NewAuthRequest) (req tokenvault.AuthRequest, joined bool, err error) {
	now, unlock, err := s.lock(ctx, "open auth request")
	if err != nil {
		return tokenvault.AuthRequest{}, false, err
	}
	defer unlock()
	req = copyRequest(cmd.Request)
	if _, taken := s.requests[rowID{req.Owner.Tenant, req.ID}]; taken {
		return tokenvault.AuthRequest{}, false, failed("open auth request", tokenvault.ErrConflict)
	}
	for _, r := range s.requests {
		if r.Status != tokenvault.AuthPending || r.Owner != req.Owner || r.Key() != req.Key() {
			continue
		}
		if !expire(&r, now) {
			return copyRequest(r), true, nil
		}
		s.keepExpired(r, now)
	}
	req.Status, req.FailureCode = tokenvault.AuthPending, ""
	req.Notice, req.NoticedAt = "", time.Time{}
	req.CreatedAt, req.ExpiresAt, req.SettledAt = now, now.Add(cmd.TTL), time.Time{}
	s.keepRequest(req)
	s.tell(now, tokenvault.MessageOfRequest(req))
	s.write(now, cmd.Event)
	return copyRequest(req), false, nil
}

// GetAuthRequest implements [tokenvault.AuthRequestStore].
func (s *Store) GetAuthRequest(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	now, unlock, err := s.lock(ctx, "get auth request")
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	defer unlock()
	r, err := s.request(owner, id)
	if err != nil {
		return tokenvault.AuthRequest{}, failed("get auth request", err)
	}
	if expire(&r, now) {
		r.SettledAt = r.ExpiresAt // nobody settled it yet
	}
	return copyRequest(r), nil
}

// FindAuthRequest implements [tokenvault.AuthRequestStore].
func (s *Store) FindAuthRequest(ctx context.Context, tenant, id string) (tokenvault.AuthRequest, error) {
	_, unlock, err := s.lock(ctx, "find auth request")
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	owner := s.requests[rowID{tenant, id}].Owner
	unlock()
	return s.GetAuthRequest(ctx, owner, id)
}

// Settle implements [tokenvault.AuthRequestStore].
func (s *Store) Settle(ctx context.Context, cmd tokenvault.Settlement) (tokenvault.AuthRequest, error) {
	now, unlock, err := s.lock(ctx, "settle auth request")
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	defer unlock()
	r, err := s.request(cmd.Owner, cmd.AuthRequestID)
	if err == nil {
		err = pending(r, now)
	}
	if err == nil {
		err = s.checkSettlement(cmd)
	}
	if err != nil {
		return tokenvault.AuthRequest{}, failed("settle auth request", err)
	}
	r.Status, r.FailureCode, r.SettledAt = cmd.Status, cmd.FailureCode, now
	r.Notice, r.NoticedAt = "", time.Time{}
	if id := settledConnectionID(cmd); id != "" {
		r.ConnectionID = id
	}
	s.keepRequest(r)
	s.tell(now, tokenvault.MessageOfRequest(r))
	if cmd.Connection != nil {
		s.settleConnection(*cmd.Connection, now)
		s.tell(now, cmd.Connection.MessageOf(now))
	}
	if cmd.Permission != nil {
		s.grant(*cmd.Permission, cmd.PermissionTTL, now)
	}
	s.write(now, cmd.Events...)
	return copyRequest(r), nil
}

// NoteAuthRequest implements [tokenvault.NoticeStore].
func (s *Store) NoteAuthRequest(ctx context.Context, owner tokenvault.Owner, id string, notice tokenvault.AuthNotice) (tokenvault.AuthRequest, error) {
	now, unlock, err := s.lock(ctx, "note auth request")
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	defer unlock()
	r, err := s.request(owner, id)
	if err == nil {
		err = pending(r, now)
	}
	if err != nil {
		return tokenvault.AuthRequest{}, failed("note auth request", err)
	}
	r.Notice, r.NoticedAt = notice, now
	s.keepRequest(r)
	return copyRequest(r), nil
}

// settledConnectionID returns the connection that the request ends with.
func settledConnectionID(cmd tokenvault.Settlement) string {
	switch {
	case cmd.Status != tokenvault.AuthConnected:
		return ""
	case cmd.Connection != nil:
		return cmd.Connection.ID
	case cmd.Permission != nil:
		return cmd.Permission.ConnectionID
	}
	return ""
}

// checkSettlement reports what would keep Settle from storing all of cmd.
func (s *Store) checkSettlement(cmd tokenvault.Settlement) error {
	if cmd.Connection != nil {
		if err := s.checkConnection(cmd.Owner, *cmd.Connection); err != nil {
			return err
		}
		if err := s.checkKey(cmd.Owner.Tenant, cmd.Connection.Record); err != nil {
			return err
		}
	}
	if cmd.Permission == nil {
		return nil
	}
	granter := cmd.Permission.Owner
	if !cmd.Owner.Sees(granter) {
		return tokenvault.ErrNotFound
	}
	if cmd.Connection != nil && cmd.Connection.ID == cmd.Permission.ConnectionID && granter.Sees(cmd.Connection.Owner) {
		return nil
	}
	c, err := s.connection(granter, cmd.Permission.ConnectionID)
	if err == nil && c.Status == tokenvault.ConnectionRevoked {
		err = tokenvault.ErrConflict // the permission would outlive the revocation
	}
	return err
}

func (s *Store) checkConnection(owner tokenvault.Owner, c tokenvault.SettledConnection) error {
	old, exists := s.connections[rowID{c.Owner.Tenant, c.ID}]
	same, taken := s.account(c.Owner, c.ProviderID, c.Account.ID)
	switch {
	case !owner.Sees(c.Owner):
		return tokenvault.ErrNotFound
	case taken && same.ID != c.ID:
		return tokenvault.ErrConflict
	case c.Version == 1 && !exists:
		return nil
	case c.Version > 1 && exists && old.Owner == c.Owner && old.ProviderID == c.ProviderID && old.Version == c.Version-1:
		return nil
	}
	return tokenvault.ErrConflict
}

// settleConnection stores c, which was checked. What is not the new credential's
// stays.
func (s *Store) settleConnection(c tokenvault.SettledConnection, now time.Time) {
	row := s.connections[rowID{c.Owner.Tenant, c.ID}]
	before, created := row.Connection, row.CreatedAt
	if c.Version == 1 {
		created = now
	}
	row.SealedConnection = c.SealedConnection
	row.SharedBy, row.Name, row.LastUsedAt, row.LastUsedBy = before.SharedBy, before.Name, before.LastUsedAt, before.LastUsedBy
	row.Scopes, row.Record = slices.Clone(c.Scopes), copyRecord(c.Record)
	row.Status, row.Reason, row.RevokedAt = tokenvault.ConnectionActive, "", time.Time{}
	row.CreatedAt, row.ObtainedAt, row.UpdatedAt = created, now, now
	row.ExpiresAt = expiry(now, c.ExpiresIn)
	row.fenceOff()
	s.keepConnection(row)
}

// ExpireAuthRequests implements [tokenvault.AuthRequestStore].
func (s *Store) ExpireAuthRequests(ctx context.Context, limit int) ([]tokenvault.AuthRequest, error) {
	now, unlock, err := s.lock(ctx, "expire auth requests")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var due []tokenvault.AuthRequest
	for _, r := range s.requests {
		if expire(&r, now) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b tokenvault.AuthRequest) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	due = due[:min(len(due), max(limit, 0))]
	for i, r := range due {
		s.keepExpired(r, now)
		due[i] = copyRequest(r)
	}
	s.deleteShortLived(now)
	return due, nil
}

// PruneAuthRequests implements [tokenvault.AuthRequestStore].
func (s *Store) PruneAuthRequests(ctx context.Context, tenant string, age time.Duration, limit int) (int, error) {
	now, unlock, err := s.lock(ctx, "prune auth requests")
	if err != nil {
		return 0, err
	}
	defer unlock()
	var old []tokenvault.AuthRequest
	for _, r := range s.requests {
		if r.Owner.Tenant == tenant && r.Status.Settled() && now.Sub(r.SettledAt) > age {
			old = append(old, r)
		}
	}
	slices.SortFunc(old, func(a, b tokenvault.AuthRequest) int {
		return cmp.Or(a.SettledAt.Compare(b.SettledAt), cmp.Compare(a.ID, b.ID))
	})
	old = old[:min(len(old), max(limit, 0))]
	for _, r := range old {
		delete(s.requests, rowID{tenant, r.ID})
		maps.DeleteFunc(s.attempts, func(_ string, a tokenvault.Attempt) bool { return a.Owner.Tenant == tenant && a.AuthRequestID == r.ID })
	}
	return len(old), nil
}
