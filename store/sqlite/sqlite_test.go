package sqlite

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store { return openNew(t, clock) })
}

// What is sealed stays sealed: no file holds what was given under seal, wherever
// a command put it.
func TestNoPlaintextInTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	s := openAt(t, path, nil)
	ctx, canary := t.Context(), rand.Text()
	key := make([]byte, envelope.KeySize)
	_, _ = rand.Read(key)
	aead, err := envelope.NewAEAD(key)
	if err != nil {
		t.Fatal(err)
	}
	sealed := tokenvault.SealedRecord{KeySpace: "space", KeyVersion: 1, Blob: envelope.Seal(aead, 1, []byte(canary), nil)}

	connect(t, s, alice, "cn_1", sealed.Blob)
	turn, err := s.BeginRefresh(ctx, tokenvault.RefreshClaim{Owner: alice, ConnectionID: "cn_1", Version: 1, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CommitRefresh(ctx, tokenvault.RefreshCommit{Owner: alice, ConnectionID: "cn_1", Fence: turn.Fence, Record: sealed})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.PutApp(ctx, tokenvault.SealedApp{App: tokenvault.App{
		ID: "app_1", Tenant: "t1", ProviderID: "github", ClientID: "client", Version: 1,
	}, Record: sealed}, tokenvault.Event{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoke(ctx, tokenvault.Revocation{Owner: alice, ConnectionID: "cn_1", Job: &tokenvault.Job{
		ID: "jb_1", Kind: tokenvault.JobRevokeGrant, Owner: alice, Record: sealed,
	}}); err != nil {
		t.Fatal(err)
	}
	if !inFiles(t, path, sealed.Blob) {
		t.Error("the sealed form is not in the files: this test proves nothing")
	}
	storetest.CheckNoPlaintext(t, canary, path, path+"-wal", path+"-shm")
}
