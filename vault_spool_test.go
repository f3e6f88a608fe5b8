package tokenvault_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/spool"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// brittle is a store that cannot be written when it is told so.
type brittle struct {
	*memory.Store
	beginFails, commitFails atomic.Bool
	refused                 chan struct{} // one for each commit that was refused
}

var errDown = fmt.Errorf("disk: %w", tokenvault.ErrUnavailable)

func (s *brittle) BeginRefresh(ctx context.Context, cmd tokenvault.RefreshClaim) (tokenvault.RefreshTurn, error) {
	if s.beginFails.Load() {
		return tokenvault.RefreshTurn{}, errDown
	}
	return s.Store.BeginRefresh(ctx, cmd)
}

func (s *brittle) CommitRefresh(ctx context.Context, cmd tokenvault.RefreshCommit) (tokenvault.SealedConnection, error) {
	if s.commitFails.Load() {
		select {
		case s.refused <- struct{}{}:
		default:
		}
		return tokenvault.SealedConnection{}, errDown
	}
	return s.Store.CommitRefresh(ctx, cmd)
}

func newBrittleRig(t *testing.T) (*rig, *brittle, *spool.Dir) {
	t.Helper()
	kept, err := spool.Open(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	store := &brittle{Store: r.store, refused: make(chan struct{}, 1)}
	r.connect(t, "read")
	r.Vault = newVaultWith(t, store, r, kept)
	return r, store, kept
}

// newVaultWith is another process on the same store, with the same root key.
func newVaultWith(t *testing.T, store tokenvault.Store, r *rig, kept tokenvault.Spool) *tokenvault.Vault {
	t.Helper()
	return newVault(t, store, r.key, r.flow, func(o *tokenvault.Options) { o.Spool = kept })
}

// R8: the provider has rotated, and the store is gone until after the process
// ended. The next process finds the credential in the spool.
func TestR8WhatTheStoreCannotTakeIsSpooled(t *testing.T) {
	for name, atStart := range map[string]bool{
		"the next process stores it at its start": true,
		"the next refresh finds it":               false,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { spoolAndHeal(t, atStart) })
		})
	}
}

func spoolAndHeal(t *testing.T, atStart bool) {
	r, store, kept := newBrittleRig(t)
	r.clock.advance(2 * time.Hour)
	store.commitFails.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := r.Resolve(ctx, aliceAgent, tokenvault.ResolveRequest{ProviderID: "mail", Release: tokenvault.ReleaseToken})
	if err == nil {
		t.Fatal("a credential was released that is not stored")
	}
	_ = r.Close(t.Context()) // the process ends
	if names, err := kept.Names(t.Context()); err != nil || len(names) != 1 {
		t.Fatalf("spool: %v, %v", names, err)
	}
	store.commitFails.Store(false)
	r.Vault = newVaultWith(t, store, r, kept)
	if atStart {
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = r.Run(ctx) }()
		synctest.Wait()
		stop()
	} else {
		r.clock.advance(time.Minute) // the lease of the process that ended
	}
	if got := r.token(t); got != "at-1" {
		t.Errorf("token = %s, want at-1", got)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Errorf("the provider was asked %d times, want once", refreshes)
	}
	if names, err := kept.Names(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("spool afterwards: %v, %v", names, err)
	}
	if c := r.connections(t)[0]; c.Status != tokenvault.ConnectionActive || c.Version != 2 {
		t.Errorf("connection: %s, version %d", c.Status, c.Version)
	}
}

// R9: a store that cannot be written before means that the refresh token is not
// spent.
func TestR9WithoutAStoreTheRefreshTokenIsNotSpent(t *testing.T) {
	r, store, _ := newBrittleRig(t)
	r.clock.advance(2 * time.Hour)
	store.beginFails.Store(true)
	_, err := r.resolve(t)
	if !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("err = %v, want ErrUnavailable", err)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 0 {
		t.Errorf("the provider was asked %d times", refreshes)
	}
	store.beginFails.Store(false)
	if got := r.token(t); got != "at-1" {
		t.Errorf("token = %s, want at-1", got)
	}
}

// A store that comes back within the lease has the credential without a spool.
func TestAStoreThatComesBackLosesNothing(t *testing.T) {
	r, store, kept := newBrittleRig(t)
	r.clock.advance(2 * time.Hour)
	store.commitFails.Store(true)
	go func() {
		<-store.refused
		store.commitFails.Store(false)
	}()
	if got := r.token(t); got != "at-1" {
		t.Errorf("token = %s, want at-1", got)
	}
	if names, _ := kept.Names(t.Context()); len(names) != 0 {
		t.Errorf("spool: %v", names)
	}
}

func TestASpooledCredentialOfAnotherPlaceIsOfNoUse(t *testing.T) {
	r, store, kept := newBrittleRig(t)
	if err := kept.Put(t.Context(), r.connections(t)[0].ID, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	r.Vault = newVaultWith(t, store, r, kept)
	if got := r.token(t); got != "at-0" {
		t.Errorf("token = %s, want at-0", got)
	}
}
