package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ai-token-vault/tokenvault"
)

const (
	acme     = "acme" // the tenant of most rows
	provider = "mail"
	agent    = "helper"
)

func alice() tokenvault.Owner { return tokenvault.Owner{Tenant: acme, UserID: "alice"} }
func bob() tokenvault.Owner   { return tokenvault.Owner{Tenant: acme, UserID: "bob"} }

// eng is an organization, and member a user in it.
func eng() tokenvault.Owner { return tokenvault.Owner{Tenant: acme, OrganizationID: "eng"} }

func member(user string) tokenvault.Owner {
	return tokenvault.Owner{Tenant: acme, OrganizationID: "eng", UserID: user}
}

// A clock stands still until it is moved. It ticks in microseconds, the finest
// unit that every database keeps.
type clock struct {
	mu  sync.Mutex // protects now
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// A fixture is an empty store, its clock, and shorthands that fail the test.
type fixture struct {
	tokenvault.Store
	clock    *clock
	count    atomic.Int64
	keysMade sync.Once // by sealed

	connections, requests []row // that the shorthands made, for dump
}

type row struct {
	owner tokenvault.Owner
	id    string
}

func newFixture(t *testing.T, newStore func(*testing.T, func() time.Time) tokenvault.Store) *fixture {
	t.Helper()
	c := &clock{now: time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC)}
	return &fixture{Store: newStore(t, c.read), clock: c}
}

func (f *fixture) now() time.Time { return f.clock.read() }

func (f *fixture) advance(d time.Duration) {
	f.clock.mu.Lock()
	defer f.clock.mu.Unlock()
	f.clock.now = f.clock.now.Add(d)
}

// id returns an id that is greater than those before.
func (f *fixture) id(prefix string) string { return fmt.Sprintf("%s_%06d", prefix, f.count.Add(1)) }

// sealed returns a record that is like no other, under a data key that is there.
// Stores cannot tell that it is not sealed.
func (f *fixture) sealed() tokenvault.SealedRecord {
	f.keysMade.Do(func() {
		for _, tenant := range []string{acme, "globex"} {
			_, _ = f.CreateDataKey(context.Background(), sealedBy(tenant), tokenvault.Event{}) // a store that fails is told by what follows
		}
	})
	return tokenvault.SealedRecord{KeySpace: "org:eng", KeyVersion: 1, Blob: tokenvault.Sealed(f.id("sealed\x00\xff"))}
}

// sealedBy returns the data key that sealed says it used.
func sealedBy(tenant string) tokenvault.DataKey {
	return tokenvault.DataKey{Tenant: tenant, Space: "org:eng", Version: 1, Wrapped: tokenvault.Sealed("wrapped")}
}

// event returns an event of owner's that is like no other.
func (f *fixture) event(kind tokenvault.EventKind, owner tokenvault.Owner) tokenvault.Event {
	return tokenvault.Event{
		Kind: kind, Tenant: owner.Tenant, ActorKind: tokenvault.ActorUser, ActorID: "actor", Owner: owner,
		ProviderID: provider, RunID: f.id("run"),
	}
}

// request returns a request that was not stored yet. Each has a key of its own.
func (f *fixture) request(owner tokenvault.Owner) tokenvault.AuthRequest {
	id := f.id("ar")
	return tokenvault.AuthRequest{
		ID: id, Owner: owner, AgentID: agent, ProviderID: provider, ProviderName: "Mail", AuthMethod: tokenvault.AuthOAuth2,
		Reason: tokenvault.ReasonMissing, Scopes: []string{"read", id}, Release: tokenvault.ReleaseInject,
		RunID: "run", ThreadID: "thread", ConnectURL: "https://vault.example/connect/" + id,
	}
}

// opening returns the command that stores req for ten minutes.
func (f *fixture) opening(req tokenvault.AuthRequest) tokenvault.NewAuthRequest {
	return tokenvault.NewAuthRequest{Request: req, TTL: 10 * time.Minute, Event: f.event(tokenvault.EventAuthRequested, req.Owner)}
}

// open stores a new request of owner's.
func (f *fixture) open(t *testing.T, owner tokenvault.Owner) tokenvault.AuthRequest {
	t.Helper()
	req, joined, err := f.OpenOrJoin(t.Context(), f.opening(f.request(owner)))
	if err != nil || joined {
		t.Fatalf("OpenOrJoin: joined = %t, err = %v", joined, err)
	}
	f.requests = append(f.requests, row{owner, req.ID})
	return req
}

// fresh returns a new connection that was not stored yet.
func (f *fixture) fresh(owner tokenvault.Owner, account string) *tokenvault.SettledConnection {
	c := &tokenvault.SettledConnection{ExpiresIn: time.Hour}
	c.Connection = tokenvault.Connection{
		ID: f.id("cn"), Owner: owner, ProviderID: provider, AuthMethod: tokenvault.AuthOAuth2, AppID: "app",
		Account: tokenvault.Account{ID: account, Label: account + "@mail.example"}, Scopes: []string{"read", "send"}, Version: 1,
	}
	c.Record = f.sealed()
	return c
}

// renewed returns c with its next credential.
func (f *fixture) renewed(c tokenvault.SealedConnection) *tokenvault.SettledConnection {
	next := &tokenvault.SettledConnection{SealedConnection: c, ExpiresIn: 2 * time.Hour}
	next.Version++
	next.Record = f.sealed()
	return next
}

// connecting returns the command that settles req with c, or with nothing if c
// is nil.
func (f *fixture) connecting(req tokenvault.AuthRequest, c *tokenvault.SettledConnection) tokenvault.Settlement {
	return tokenvault.Settlement{
		Owner: req.Owner, AuthRequestID: req.ID, Status: tokenvault.AuthConnected, Connection: c,
		Events: []tokenvault.Event{f.event(tokenvault.EventConnected, req.Owner)},
	}
}

func (f *fixture) settle(t *testing.T, cmd tokenvault.Settlement) tokenvault.AuthRequest {
	t.Helper()
	req, err := f.Settle(t.Context(), cmd)
	if err != nil {
		t.Fatalf("Settle: %v", err)
	}
	if c := cmd.Connection; c != nil && c.Version == 1 {
		f.connections = append(f.connections, row{c.Owner, c.ID})
	}
	return req
}

// connect stores a connection of owner's to the account.
func (f *fixture) connect(t *testing.T, owner tokenvault.Owner, account string) tokenvault.SealedConnection {
	t.Helper()
	return f.keep(t, f.fresh(owner, account))
}

// keep stores c by settling a request of its owner's.
func (f *fixture) keep(t *testing.T, c *tokenvault.SettledConnection) tokenvault.SealedConnection {
	t.Helper()
	f.settle(t, f.connecting(f.open(t, c.Owner), c))
	return f.get(t, c.Owner, c.ID)
}

func (f *fixture) get(t *testing.T, owner tokenvault.Owner, id string) tokenvault.SealedConnection {
	t.Helper()
	c, err := f.GetConnection(t.Context(), owner, id)
	if err != nil {
		t.Fatalf("GetConnection: %v", err)
	}
	return c
}

// permission returns what owner may grant, not stored yet.
func (f *fixture) permission(owner tokenvault.Owner, connectionID string, scopes ...string) *tokenvault.Permission {
	return &tokenvault.Permission{
		ID: f.id("pm"), Owner: owner, AgentID: agent, ConnectionID: connectionID, Scopes: scopes, Release: tokenvault.ReleaseInject,
	}
}

// permit grants p, until withdrawn, by settling a request of its owner's.
func (f *fixture) permit(t *testing.T, p *tokenvault.Permission) {
	t.Helper()
	f.permitFor(t, p, 0)
}

// permitFor grants p for a time.
func (f *fixture) permitFor(t *testing.T, p *tokenvault.Permission, ttl time.Duration) {
	t.Helper()
	cmd := f.connecting(f.open(t, p.Owner), nil)
	cmd.Permission, cmd.PermissionTTL = p, ttl
	f.settle(t, cmd)
}

// claim begins a refresh, which must be the caller's turn.
func (f *fixture) claim(t *testing.T, c tokenvault.Connection, lease time.Duration) tokenvault.RefreshTurn {
	t.Helper()
	turn := f.claimAny(t, c, lease)
	if !turn.Held {
		t.Fatalf("BeginRefresh: the turn is not held; retry in %s", turn.RetryIn)
	}
	return turn
}

func (f *fixture) claimAny(t *testing.T, c tokenvault.Connection, lease time.Duration) tokenvault.RefreshTurn {
	t.Helper()
	turn, err := f.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: c.Owner, ConnectionID: c.ID, Version: c.Version, Lease: lease})
	if err != nil {
		t.Fatalf("BeginRefresh: %v", err)
	}
	return turn
}

// commit returns the command that ends turn with a new credential.
func (f *fixture) commit(turn tokenvault.RefreshTurn) tokenvault.RefreshCommit {
	c := turn.Connection
	return tokenvault.RefreshCommit{
		Owner: c.Owner, ConnectionID: c.ID, Fence: turn.Fence, Record: f.sealed(), ExpiresIn: time.Hour, Scopes: []string{"read"},
		Event: f.event(tokenvault.EventRefreshed, c.Owner),
	}
}

// failure returns the command that ends turn without one.
func (f *fixture) failure(turn tokenvault.RefreshTurn) tokenvault.RefreshFailure {
	c := turn.Connection
	return tokenvault.RefreshFailure{
		Owner: c.Owner, ConnectionID: c.ID, Fence: turn.Fence, Event: f.event(tokenvault.EventRefreshFailed, c.Owner),
	}
}

// equal compares what a store returned. It takes no difference between a slice
// that is nil and one that is empty, or between time zones.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
