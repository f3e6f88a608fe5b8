package apikeyflow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/apikeyflow"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

const (
	goodKey = "canary-key-7f3a9c51d2"
	nextKey = "canary-key-1b8e64f0aa"
)

var (
	alice      = tokenvault.Owner{Tenant: "default", UserID: "alice"}
	aliceUser  = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "alice", Owner: alice}
	bobUser    = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "bob", Owner: tokenvault.Owner{Tenant: "default", UserID: "bob"}}
	aliceAgent = tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: alice}
	admin      = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}
)

// service is the outside service: it knows keys, and its accounts.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	accounts map[string]string // by key
	status   int               // of every answer; 0: as the key deserves
	requests []*http.Request
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{accounts: map[string]string{goodKey: "acc-1"}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	account, ok := s.accounts[r.Header.Get("X-Api-Key")]
	switch {
	case s.status != 0:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(s.status)
	case !ok:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"user": map[string]any{"id": account, "mail": account + "@acme.example"}})
	}
}

// set changes what the service does.
func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *service) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request{}, s.requests...)
}

func (s *service) host() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *service) provider() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "acme-apikey", Name: "Acme", Service: "acme", AuthMethod: tokenvault.AuthAPIKey, Hosts: []string{s.host()},
		APIKey: &tokenvault.KeyAuth{
			Fields: []tokenvault.KeyField{{Name: "apiKey", Label: "API key", Secret: true, Pattern: `canary-key-\w+`}},
			Inject: []tokenvault.Injection{{Header: "X-Api-Key", Value: "{apiKey}"}},
			Probe: tokenvault.KeyProbe{
				URL: s.URL + "/v1/me", Headers: map[string]string{"Api-Version": "3"},
				AccountID: []string{"user.id"}, AccountLabel: []string{"user.mail"},
			},
		},
	}
}

type rig struct {
	*tokenvault.Vault
	service *service
	store   tokenvault.Store
	log     *bytes.Buffer
	dir     string // of the database; empty if it is in memory
}

// onBothStores runs a test on each store.
func onBothStores(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, newRig(t, memory.New(nil), "", newService(t))) })
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		store, err := sqlite.Open(t.Context(), filepath.Join(dir, "vault.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		test(t, newRig(t, store, dir, newService(t)))
	})
}

func newRig(t *testing.T, store tokenvault.Store, dir string, service *service) *rig {
	t.Helper()
	r := &rig{service: service, store: store, dir: dir, log: &bytes.Buffer{}}
	key, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := tokenvault.NewCatalog(r.service.provider())
	if err != nil {
		t.Fatal(err)
	}
	r.Vault, err = tokenvault.New(store, key, cat, &tokenvault.Options{
		PublicURL: "https://vault.example", VerifyURL: "https://app.example/verify",
		Logger: slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{
			tokenvault.AuthAPIKey: apikeyflow.New(&apikeyflow.Options{Allow: []string{r.service.host()}}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

func (r *rig) resolve(t *testing.T, release tokenvault.Release) (*tokenvault.Access, error) {
	t.Helper()
	return r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "acme-apikey", Release: release})
}

// ask resolves and returns what the call pauses on.
func (r *rig) ask(t *testing.T, release tokenvault.Release) tokenvault.AuthRequest {
	t.Helper()
	_, err := r.resolve(t, release)
	return required(t, err)
}

func required(t *testing.T, err error) tokenvault.AuthRequest {
	t.Helper()
	paused, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("err = %v, want an AuthRequiredError", err)
	}
	return paused.Request
}

func values(key string) map[string]tokenvault.Secret {
	return map[string]tokenvault.Secret{"apiKey": tokenvault.NewSecret(key)}
}

func (r *rig) submit(t *testing.T, id, key string) tokenvault.AuthRequest {
	t.Helper()
	req, err := r.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: id, Values: values(key)})
	if err != nil || req.Status != tokenvault.AuthConnected {
		t.Fatalf("SubmitConnect: %s, %v", req.Status, err)
	}
	return req
}

func (r *rig) connections(t *testing.T) []tokenvault.Connection {
	t.Helper()
	list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// events returns the kinds and details of the audit log, and fails if it names a
// key.
func (r *rig) events(t *testing.T) (kinds []string) {
	t.Helper()
	all, err := r.Events(t.Context(), admin, tokenvault.EventQuery{Page: tokenvault.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		text, err := json.Marshal(e)
		if err != nil || strings.Contains(string(text), "canary") {
			t.Errorf("event %s, %v", text, err)
		}
		kinds = append(kinds, strings.TrimSuffix(string(e.Kind)+":"+e.Detail, ":"))
	}
	return kinds
}

// count returns how many of the events are of a kind.
func count(events []string, kind string) (n int) {
	for _, e := range events {
		if e == kind {
			n++
		}
	}
	return n
}

// otherProcess is another vault on the same store.
func (r *rig) otherProcess(t *testing.T) *rig {
	t.Helper()
	return newRig(t, r.store, r.dir, r.service)
}

// askBob returns an auth request of another user.
func (r *rig) askBob(t *testing.T) string {
	t.Helper()
	req, err := r.RequestConnect(t.Context(), bobUser, tokenvault.ConnectRequest{ProviderID: "acme-apikey"})
	if err != nil {
		t.Fatal(err)
	}
	return req.ID
}
