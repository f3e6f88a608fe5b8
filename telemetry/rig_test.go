package telemetry_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
	"github.com/ai-token-vault/tokenvault/telemetry"
)

// A collector receives spans by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	header http.Header
	raw    bytes.Buffer // all that came
	spans  []*tracepb.Span
	status int // to answer; 0: 200
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent tracepb.TracesData
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &sent) != nil {
			t.Errorf("not an export: %s %s", r.Method, r.URL)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.header = r.Header
		c.raw.Write(body)
		for _, resource := range sent.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		if c.status != 0 {
			w.WriteHeader(c.status)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// named returns the only span with a name.
func (c *collector) named(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *tracepb.Span
	for _, s := range c.spans {
		if s.GetName() == name {
			if found != nil {
				t.Fatalf("more than one span is named %q", name)
			}
			found = s
		}
	}
	if found == nil {
		t.Fatalf("no span is named %q", name)
	}
	return found
}

// A rig is an observed vault with its API, and what it says.
type rig struct {
	*tokenvault.Vault
	telemetry *telemetry.Telemetry
	handler   http.Handler
	flow      *canaryFlow
	clock     *clock
	log       *bytes.Buffer
}

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// canaryFlow issues credentials that can be recognised anywhere.
type canaryFlow struct{ fail bool }

func (*canaryFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	q := url.Values{"state": {in.State.Reveal()}}
	return tokenvault.Step{URL: in.Provider.OAuth2.AuthorizationURL + "?" + q.Encode(), Private: tokenvault.NewSecret("canary-verifier")}, nil
}

func (*canaryFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	return tokenvault.Completed{
		Credential: canaryCredential(), Account: tokenvault.Account{ID: "canary-account", Label: "canary@mail.example"},
		Scopes: in.Scopes, ExpiresIn: time.Hour,
	}, nil
}

func (f *canaryFlow) Refresh(context.Context, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	if f.fail {
		return tokenvault.Transient{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Status: 503, Transient: true}}
	}
	return tokenvault.Rotated{Credential: canaryCredential(), ExpiresIn: time.Hour}
}

func canaryCredential() tokenvault.Credential {
	return tokenvault.Credential{
		AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", TokenURL: "https://auth.mail.example/token",
		AccessToken: tokenvault.NewSecret("canary-access"), RefreshToken: tokenvault.NewSecret("canary-refresh"),
	}
}

var admin = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}

func newRig(t *testing.T, environ map[string]string) *rig {
	t.Helper()
	r := &rig{flow: &canaryFlow{}, clock: &clock{now: time.Now()}, log: &bytes.Buffer{}}
	log := slog.New(telemetry.Logs(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	var err error
	r.telemetry, err = telemetry.New(telemetry.Options{Version: "1.2.3", Logger: log, Environ: func(name string) string { return environ[name] }})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := tokenvault.NewCatalog(tokenvault.Provider{
		ID: "mail", Name: "Mail", Service: "mail", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"api.mail.example"},
		OAuth2: &tokenvault.OAuth2{AuthorizationURL: "https://auth.mail.example/authorize", TokenURL: "https://auth.mail.example/token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	sealer, err := keyring.FromKey(tokenvault.NewSecret(base64.StdEncoding.EncodeToString(b)))
	if err != nil {
		t.Fatal(err)
	}
	r.Vault, err = tokenvault.New(memory.New(&memory.Options{Clock: r.clock.Now}), sealer, cat, &tokenvault.Options{
		PublicURL: "https://vault.example", Observer: r.telemetry, Logger: log,
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: r.flow},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	r.telemetry.Watch(r.Vault)
	r.handler = r.telemetry.Handler(httpapi.NewV1Handler(r.Vault, &httpapi.Options{Logger: log}))
	_, err = r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "canary-client", ClientSecret: tokenvault.NewSecret("canary-client-secret")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// key creates the key of an agent of a user.
func (r *rig) key(t *testing.T) tokenvault.Secret {
	t.Helper()
	_, key, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{
		Name: "canary-agent", Kind: tokenvault.ActorAgent, Owner: tokenvault.Owner{Tenant: "default", UserID: "canary-user"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// call sends a request to the API and returns the status.
func (r *rig) call(t *testing.T, method, target, body string, header http.Header) int {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Code
}

// scrape returns the metrics.
func (r *rig) scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.telemetry.Metrics().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics: %d", w.Code)
	}
	return w.Body.String()
}
