package tokenvault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/spool"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// newTimedRig is a rig whose store has the bubble's clock.
func newTimedRig(t *testing.T, key tokenvault.Sealer, change ...func(*tokenvault.Options)) *rig {
	t.Helper()
	r := &rig{store: memory.New(nil), key: key, flow: &scriptedFlow{}}
	r.flow.completed = tokenvault.Completed{
		Credential: credential("at-0", "rt-0"), Account: tokenvault.Account{ID: "acc-1"}, ExpiresIn: time.Hour,
	}
	r.Vault = newVault(t, r.store, r.key, r.flow, change...)
	_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client", ClientSecret: tokenvault.NewSecret("client-secret")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// versions returns the versions of each space that records are sealed under.
func (r *rig) versions(t *testing.T) map[string][]uint32 {
	t.Helper()
	counts, err := r.store.CountSealed(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]uint32{}
	for _, c := range counts {
		if !slices.Contains(found[c.KeySpace], c.KeyVersion) {
			found[c.KeySpace] = append(found[c.KeySpace], c.KeyVersion)
		}
	}
	return found
}

func (r *rig) wantReadable(t *testing.T) {
	t.Helper()
	found, err := r.VerifySealed(t.Context(), admin)
	if err != nil || len(found.Unreadable) > 0 || found.Records == 0 {
		t.Errorf("verify: %+v, %v", found, err)
	}
}

func (r *rig) rotate(t *testing.T) tokenvault.RotatedKeys {
	t.Helper()
	done, err := r.RotateDataKeys(t.Context(), admin, tokenvault.DataKeyRotation{})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestDataKeysAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTimedRig(t, rootKey(t))
		for i := range 3 {
			r.connectFor(t, fmt.Sprintf("user-%d", i))
		}
		r.connect(t, "read")
		if err := r.Revoke(t.Context(), aliceUser, r.connections(t)[0].ID); err != nil { // leaves a job
			t.Fatal(err)
		}
		r.connect(t, "read")
		r.start(t, r.mustAsk(t, "read", "more").ID) // an attempt under way
		session, err := r.SignIn(t.Context(), aliceUser, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, key, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "helper", Kind: tokenvault.ActorAgent, Owner: alice})
		if err != nil {
			t.Fatal(err)
		}
		before := r.connections(t)

		done := r.rotate(t)
		if done.Created == 0 || done.Kept != 0 || done.Deleted != done.Created-1 { // the tenant's stays
			t.Errorf("rotated: %+v", done)
		}
		for space, versions := range r.versions(t) {
			if !slices.Equal(versions, []uint32{2}) {
				t.Errorf("%s is sealed under versions %v", space, versions)
			}
		}
		r.wantReadable(t)
		if got := r.connections(t); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("rotation changed connections:\n%v\n%v", before, got)
		}
		if got := r.token(t, "read"); got != "at-0" {
			t.Errorf("token = %q", got)
		}
		if user, err := r.AuthenticateSession(t.Context(), session.Token, "https://vault.example"); err != nil || user.ID != "alice" {
			t.Errorf("the session of before: %v, %v", user, err)
		}
		if agent, err := r.another(t, nil).AuthenticateKey(t.Context(), key); err != nil || agent.Owner != alice {
			t.Errorf("the API key of before: %v, %v", agent, err)
		}
		again, err := r.RotateDataKeys(t.Context(), admin, tokenvault.DataKeyRotation{MinAge: time.Hour})
		if err != nil || again != (tokenvault.RotatedKeys{}) {
			t.Errorf("again: %+v, %v; want nothing to be done", again, err)
		}
		if n := len(r.events(t, tokenvault.EventDataKeyDeleted)); n != done.Deleted {
			t.Errorf("%d events of %d deletions", n, done.Deleted)
		}
	})
}

func TestOnlyTheOrganizationsDataKeyIsRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTimedRig(t, rootKey(t))
		r.connect(t, "read")
		_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{OrganizationID: "acme", ProviderID: "mail", ClientID: "c", ClientSecret: tokenvault.NewSecret("s")})
		if err != nil {
			t.Fatal(err)
		}
		done, err := r.RotateDataKeys(t.Context(), admin, tokenvault.DataKeyRotation{OrganizationID: "acme"})
		if err != nil || done != (tokenvault.RotatedKeys{Created: 1, Resealed: 1, Deleted: 1}) {
			t.Errorf("rotated %+v, %v", done, err)
		}
		for space, versions := range r.versions(t) {
			if want := map[bool]uint32{true: 2, false: 1}[space == "org:acme"]; !slices.Equal(versions, []uint32{want}) {
				t.Errorf("%s is sealed under versions %v", space, versions)
			}
		}
		_, err = r.RotateDataKeys(t.Context(), admin, tokenvault.DataKeyRotation{OrganizationID: "nobody"})
		if !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("an organization without a key: %v", err)
		}
	})
}

func TestOnlyAnAdministratorOfTheTenantHandlesKeys(t *testing.T) {
	r := newRig(t)
	confined := admin
	confined.Owner.OrganizationID = "acme"
	for _, actor := range []tokenvault.Actor{aliceUser, aliceAgent, confined} {
		_, rotateErr := r.RotateDataKeys(t.Context(), actor, tokenvault.DataKeyRotation{})
		_, rewrapErr := r.RewrapDataKeys(t.Context(), actor, nil)
		_, listErr := r.DataKeys(t.Context(), actor)
		_, verifyErr := r.VerifySealed(t.Context(), actor)
		for _, err := range []error{rotateErr, rewrapErr, listErr, verifyErr} {
			if !errors.Is(err, tokenvault.ErrDenied) {
				t.Errorf("%s: %v, want ErrDenied", actor.Kind, err)
			}
		}
	}
}

// While keys are rotated, other processes refresh and release.
func TestRotationGoesOnUnderTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTimedRig(t, rootKey(t))
		const users = 10
		for i := range users {
			r.connectFor(t, fmt.Sprintf("user-%d", i))
		}
		r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
			<-time.After(700 * time.Millisecond)
			return tokenvault.Rotated{Credential: credential(fmt.Sprint("at-", n), fmt.Sprint("rt-", n)), ExpiresIn: time.Second}
		}
		other := r.another(t, r.flow.outcome)
		<-time.After(2 * time.Hour) // tokens expire from now on
		ctx, stop := context.WithCancel(t.Context())
		var traffic sync.WaitGroup
		var released atomic.Int64
		for i := range users {
			for _, v := range []*tokenvault.Vault{r.Vault, other.Vault} {
				traffic.Go(func() {
					for ctx.Err() == nil {
						_, err := v.Resolve(ctx, agentOf(fmt.Sprintf("user-%d", i)), tokenvault.ResolveRequest{ProviderID: "mail"})
						if err != nil && ctx.Err() == nil {
							t.Errorf("user %d: %v", i, err)
							return
						}
						released.Add(1)
						<-time.After(300 * time.Millisecond)
					}
				})
			}
		}
		for range 3 {
			if done := r.rotate(t); done.Kept != 0 {
				t.Errorf("rotated %+v", done)
			}
		}
		stop()
		traffic.Wait()
		for space, versions := range r.versions(t) {
			if !slices.Equal(versions, []uint32{4}) {
				t.Errorf("%s is sealed under versions %v", space, versions)
			}
		}
		r.wantReadable(t)
		if released.Load() == 0 {
			t.Error("no traffic")
		}
	})
}

// A credential that was sealed before its data key went, and is stored after it.
func TestWhatWasSealedUnderADeletedKeyIsSealedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTimedRig(t, rootKey(t))
		r.connect(t, "read")
		store := &brittle{Store: r.store, refused: make(chan struct{}, 1)}
		late := newVaultWith(t, store, r, nil)
		<-time.After(2 * time.Hour)
		store.commitFails.Store(true)
		got := make(chan error, 1)
		go func() {
			_, err := late.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}})
			got <- err
		}()
		<-store.refused // sealed
		if done := r.rotate(t); done.Kept != 0 {
			t.Fatalf("rotated %+v", done)
		}
		store.commitFails.Store(false)
		if err := <-got; err != nil {
			t.Errorf("the late process: %v", err)
		}
		r.wantReadable(t)
		if token := r.token(t, "read"); token != "at-1" {
			t.Errorf("token = %q, want at-1", token)
		}
	})
}

func TestSpooledCredentialsAreSealedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, err := spool.Open(filepath.Join(t.TempDir(), "spool"))
		if err != nil {
			t.Fatal(err)
		}
		r := newTimedRig(t, rootKey(t), func(o *tokenvault.Options) { o.Spool = kept })
		r.connect(t, "read")
		store := &brittle{Store: r.store, refused: make(chan struct{}, 1)}
		dying := newVaultWith(t, store, r, kept)
		<-time.After(2 * time.Hour)
		store.commitFails.Store(true)
		_, err = dying.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}})
		if err == nil {
			t.Fatal("released what could not be stored")
		}
		if names, err := kept.Names(t.Context()); len(names) != 1 || err != nil {
			t.Fatalf("spooled: %v, %v", names, err)
		}
		// A turn is under way, so that it is not stored either.
		c := r.connections(t)[0]
		turn, err := r.store.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: alice, ConnectionID: c.ID, Version: c.Version, Lease: time.Minute})
		if err != nil || !turn.Held {
			t.Fatalf("turn %+v, %v", turn, err)
		}
		if done := r.rotate(t); done.Kept != 0 || done.Resealed == 0 {
			t.Errorf("rotated %+v", done)
		}
		r.wantReadable(t)
		<-time.After(time.Minute)
		if got := r.token(t, "read"); got != "at-1" {
			t.Errorf("token = %q, want the spooled at-1", got)
		}
	})
}

func TestTheRootKeyIsRotatedUnderRunningProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "root-key.json")
		serving, err := keyring.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		r := newTimedRig(t, serving)
		r.connect(t, "read")
		operator, err := keyring.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		v := newVault(t, r.store, operator, r.flow)
		id, err := operator.Rotate(t.Context())
		if err != nil || id != 2 {
			t.Fatalf("Rotate = %d, %v", id, err)
		}
		n, err := v.RewrapDataKeys(t.Context(), admin, nil)
		if err != nil || n == 0 {
			t.Fatalf("rewrapped %d, %v", n, err)
		}
		<-time.After(11 * time.Minute) // no data key is open any more
		if got := r.token(t, "read"); got != "at-0" {
			t.Errorf("token = %q", got)
		}
		r.connectFor(t, "bob") // the running process makes a data key
		if n, err := v.RewrapDataKeys(t.Context(), admin, nil); n != 0 || err != nil {
			t.Errorf("still wrapped by the old key: %d, %v", n, err)
		}
		if err := operator.Retire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		<-time.After(11 * time.Minute)
		r.wantReadable(t)
		if keys := serving.Keys(); len(keys) != 1 || keys[0].ID != 2 {
			t.Errorf("the running process holds %v", keys)
		}
	})
}

// brokenSealer is a key service that can be down.
type brokenSealer struct {
	tokenvault.Sealer
	down atomic.Bool
}

var errKMS = errors.New("kms: no route to host")

func (s *brokenSealer) Seal(ctx context.Context, plaintext, aad []byte) (tokenvault.Sealed, error) {
	if s.down.Load() {
		return nil, errKMS
	}
	return s.Sealer.Seal(ctx, plaintext, aad)
}

func (s *brokenSealer) Open(ctx context.Context, sealed tokenvault.Sealed, aad []byte) ([]byte, error) {
	if s.down.Load() {
		return nil, errKMS
	}
	return s.Sealer.Open(ctx, sealed, aad)
}

func TestK5WithoutTheKeyServiceOpenKeysServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sealer := &brokenSealer{Sealer: rootKey(t)}
		r := newTimedRig(t, sealer)
		r.connect(t, "read")
		<-time.After(52 * time.Minute) // the token is about to expire
		r.token(t, "read")
		if _, err := r.SignIn(t.Context(), aliceUser, time.Hour); err != nil { // opens the tenant's data key too
			t.Fatal(err)
		}
		sealer.down.Store(true)
		<-time.After(8*time.Minute + 30*time.Second) // expired; which key is the newest was looked up longer ago
		if got := r.token(t, "read"); got == "at-0" {
			t.Error("an expired token was released")
		}
		before := len(r.versions(t))
		acme := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}
		_, err := r.SetApp(t.Context(), acme, tokenvault.AppInput{OrganizationID: "new", ProviderID: "mail", ClientID: "c", ClientSecret: tokenvault.NewSecret("s")})
		if !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("a new key space: %v, want ErrUnavailable", err)
		}
		if len(r.versions(t)) != before {
			t.Error("something was stored")
		}

		// Once the data keys are closed nothing is released, and no refresh token is sent.
		<-time.After(2 * time.Hour)
		_, refreshes, _ := r.flow.counts()
		if _, err := r.resolve(t, "read"); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("with closed data keys: %v, want ErrUnavailable", err)
		}
		if _, now, _ := r.flow.counts(); now != refreshes {
			t.Error("a refresh token was sent though nothing can be sealed")
		}
		if _, err := tokenvault.New(r.store, sealer, r.Catalog(), nil); err == nil {
			t.Error("a start without the key service succeeded")
		}
		sealer.down.Store(false)
		r.token(t, "read")
	})
}

func TestVerifyNamesWhatCannotBeRead(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	rows, err := r.store.ListSealed(t.Context(), tokenvault.SealedQuery{Tenant: "default", Table: tokenvault.SealedConnections})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	broken := rows[0].Record
	broken.Blob = slices.Clone(broken.Blob)
	broken.Blob[len(broken.Blob)-1] ^= 1
	if n, err := r.store.Reseal(t.Context(), []tokenvault.Resealed{{SealedRow: rows[0], New: broken}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	found, err := r.VerifySealed(t.Context(), admin)
	want := tokenvault.Unreadable{Tenant: "default", Table: "connection", ID: rows[0].ID, KeySpace: broken.KeySpace, KeyVersion: 1}
	if err != nil || len(found.Unreadable) != 1 || found.Unreadable[0] != want {
		t.Errorf("found %+v, %v; want %+v", found.Unreadable, err, want)
	}
}

// Rotation and verification open what is sealed at every place. A token is not
// stored, and the tenant's keys stay.
func TestEveryPlaceIsKnownToRotation(t *testing.T) {
	known, err := os.ReadFile("vault_keys.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (\(v \*Vault\) )?([a-z]\w*Place)\(`).FindAllStringSubmatch(string(text), -1) {
			found++
			if name := m[2]; name != "tokenPlace" && !strings.Contains(string(known), name+"(") {
				t.Errorf("%s: what is sealed at %s is not in placesOf", file, name)
			}
		}
	}
	if found < 8 {
		t.Errorf("%d places found: the test proves nothing", found)
	}
}
