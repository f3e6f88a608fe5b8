package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

var alice = tokenvault.Owner{Tenant: "t1", OrganizationID: "acme", UserID: "alice"}

// migrated is the content of a database without rows. To copy it is quicker than to
// migrate each test's.
var migrated = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "sqlite-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "vault.db")
	s, err := Open(context.Background(), path, nil)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// openNew opens a database without rows.
func openNew(t testing.TB, clock func() time.Time) *Store {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vault.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return openAt(t, path, clock)
}

func openAt(t testing.TB, path string, clock func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, &Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// connect stores a connection of owner with a data key and a permission for the
// agent "agent".
func connect(t testing.TB, s *Store, owner tokenvault.Owner, id string, sealed []byte) tokenvault.SealedConnection {
	t.Helper()
	ctx := t.Context()
	_, err := s.CreateDataKey(ctx, tokenvault.DataKey{
		Tenant: owner.Tenant, Space: "space", Version: 1, Wrapped: []byte("wrapped key"),
	}, tokenvault.Event{})
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := s.OpenOrJoin(ctx, tokenvault.NewAuthRequest{TTL: time.Hour, Request: tokenvault.AuthRequest{
		ID: "ar_" + id, Owner: owner, AgentID: "agent", ProviderID: "github", AuthMethod: tokenvault.AuthOAuth2,
		Reason: tokenvault.ReasonMissing, Scopes: []string{id}, Release: tokenvault.ReleaseInject,
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := tokenvault.SettledConnection{ExpiresIn: time.Hour}
	c.ID, c.Owner, c.ProviderID, c.AuthMethod, c.Version = id, owner, "github", tokenvault.AuthOAuth2, 1
	c.AppID, c.Account = "app_1", tokenvault.Account{ID: "account of " + id, Label: id + "@example.com"}
	c.Scopes = []string{"repo", "user:email"}
	c.Record = tokenvault.SealedRecord{KeySpace: "space", KeyVersion: 1, Blob: sealed}
	_, err = s.Settle(ctx, tokenvault.Settlement{
		Owner: owner, AuthRequestID: req.ID, Status: tokenvault.AuthConnected, Connection: &c,
		Permission: &tokenvault.Permission{
			ID: "pm_" + id, Owner: owner, AgentID: "agent", ConnectionID: id, Scopes: []string{"repo"}, Release: tokenvault.ReleaseInject,
		},
		Events: []tokenvault.Event{{Kind: tokenvault.EventConnected, Tenant: owner.Tenant, Owner: owner, ConnectionID: id}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.GetConnection(ctx, owner, id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func fill(t testing.TB, s *Store, owners int) {
	t.Helper()
	for i := range owners {
		n := strconv.Itoa(i)
		connect(t, s, tokenvault.Owner{Tenant: "t1", OrganizationID: "acme", UserID: "user" + n}, "cn_"+n, []byte("sealed "+n))
	}
}
