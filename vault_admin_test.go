package tokenvault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func TestAppsKeepTheirIDAndSecret(t *testing.T) {
	r := newRig(t)
	again, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client-2"})
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != r.AppID("", "mail") || !again.HasSecret || again.Version != 2 {
		t.Errorf("app = %+v", again)
	}
	if strings.Contains(fmt.Sprintf("%+v", again), "client-secret") {
		t.Error("the secret can be read back")
	}
	r.connect(t, "read") // the kept secret opens
	for name, actor := range map[string]tokenvault.Actor{"user": aliceUser, "agent": aliceAgent} {
		if _, err := r.SetApp(t.Context(), actor, tokenvault.AppInput{ProviderID: "mail", ClientID: "x"}); !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("SetApp by %s: %v, want ErrDenied", name, err)
		}
	}
}

func TestWithoutAnAppNobodyIsAsked(t *testing.T) {
	r := newRig(t)
	open, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "mail"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteApp(t.Context(), admin, "", "mail"); err != nil {
		t.Fatal(err)
	}
	_, start := r.StartConnect(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: open.ID})
	_, request := r.RequestConnect(t.Context(), bobUser, tokenvault.ConnectRequest{ProviderID: "mail"})
	_, resolve := r.resolve(t, "read")
	for name, err := range map[string]error{"start": start, "request": request, "resolve": resolve} {
		if !errors.Is(err, tokenvault.ErrNoApp) || !strings.Contains(err.Error(), "tokenvault app set mail") {
			t.Errorf("%s: %v, want ErrNoApp with the next step", name, err)
		}
	}
	if n := len(r.events(t, tokenvault.EventAuthRequested)); n != 1 {
		t.Errorf("%d requests were opened", n)
	}
}

func TestRevokeErasesAndEndsTheGrantAtTheProvider(t *testing.T) {
	r := newRig(t)
	req := r.connect(t, "read")
	if err := r.Revoke(t.Context(), aliceAgent, req.ConnectionID); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("Revoke by an agent: %v", err)
	}
	if err := r.Revoke(t.Context(), bobUser, req.ConnectionID); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Revoke by another user: %v", err)
	}
	for range 2 { // twice is no error
		if err := r.Revoke(t.Context(), aliceUser, req.ConnectionID); err != nil {
			t.Fatal(err)
		}
	}
	if again := r.mustAsk(t, "read"); again.Reason != tokenvault.ReasonRevoked {
		t.Errorf("reason = %s, want revoked", again.Reason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for len(r.events(t, tokenvault.EventProviderRevoked)) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the grant was not ended at the provider")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, _, revoked := r.flow.counts(); !slices.Equal(revoked, []string{"at-0"}) {
		t.Errorf("ended at the provider: %q", revoked)
	}
}

func TestAuthorizeChecksTheHost(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	access, err := r.resolve(t, "read")
	if err != nil {
		t.Fatal(err)
	}
	for target, allowed := range map[string]bool{
		"https://api.mail.example/v1": true, "https://API.mail.example:443/": true,
		"http://api.mail.example/": false, "https://api.mail.example:8443/": false, "https://evil.example/": false,
		"https://api.mail.example.evil.example/": false, "https://u@api.mail.example/": false, "https://mail.example/": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "agent=1")
		err = access.Authorize(req)
		if got := req.Header.Get("Authorization") == "Bearer at-0"; got != allowed || (err == nil) != allowed {
			t.Errorf("%s: authorized = %t, err = %v; want %t", target, got, err, allowed)
		}
	}
	spoofed, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.mail.example/", http.NoBody)
	spoofed.Host = "evil.example"
	if err := access.Authorize(spoofed); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("another Host header: %v", err)
	}
}

func TestA5OnlyAValidKeyAuthenticates(t *testing.T) {
	r := newRig(t)
	key, text, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "helper", Kind: tokenvault.ActorAgent, Owner: alice, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	actor, err := r.AuthenticateKey(t.Context(), text)
	want := aliceAgent
	want.Scopes = tokenvault.ScopesOf(tokenvault.ActorAgent)
	if err != nil || actor != want {
		t.Errorf("actor = %+v, %v", actor, err)
	}
	flipped := []byte(text.Reveal())
	flipped[40] ^= 1
	for name, wrong := range map[string]string{"altered": string(flipped), "empty": "", "garbage": "tv_x", "unknown": strings.Replace(text.Reveal(), key.ID, strings.Repeat("a", 26), 1)} {
		if _, err := r.AuthenticateKey(t.Context(), tokenvault.NewSecret(wrong)); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("%s key: %v, want ErrUnauthenticated", name, err)
		}
	}
	if err := r.RevokeAPIKey(t.Context(), admin, key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AuthenticateKey(t.Context(), text); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("revoked key: %v", err)
	}
}

func TestAForgedKeyRowAuthenticatesNobody(t *testing.T) {
	r := newRig(t)
	_, text, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "helper", Kind: tokenvault.ActorAgent, Owner: alice})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := r.APIKeys(t.Context(), admin, tokenvault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	// Somebody who can write the database gives a key of his own to bob.
	forged := keys[0]
	id := strings.Repeat("b", 26)
	stolen := strings.Replace(text.Reveal(), forged.ID, id, 1)
	forged.ID, forged.Owner = id, bob
	if _, err := r.store.CreateAPIKey(t.Context(), forged, tokenvault.Event{Tenant: "default"}); err != nil {
		t.Fatal(err)
	}
	if actor, err := r.AuthenticateKey(t.Context(), tokenvault.NewSecret(stolen)); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("a forged row authenticates %+v, %v", actor, err)
	}
}

func TestABackendActsWithinItsConfines(t *testing.T) {
	backend := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "web", Owner: tokenvault.Owner{Tenant: "default", OrganizationID: "acme"}}
	if _, err := backend.ActFor(tokenvault.Owner{OrganizationID: "other", UserID: "u"}); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("another organization: %v", err)
	}
	if a, err := backend.ActFor(tokenvault.Owner{Tenant: "evil", OrganizationID: "acme", UserID: "u"}); err != nil || a.Owner.Tenant != "default" {
		t.Errorf("the tenant is a parameter: %+v, %v", a, err)
	}
	if _, err := aliceAgent.ActFor(bob); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("an agent names an owner: %v", err)
	}
}

func TestBadOptionsNameTheField(t *testing.T) {
	for text, field := range map[string]string{
		"http://vault.example": "publicUrl", "https://vault.example/": "publicUrl", "vault": "publicUrl", "https://u@vault.example": "publicUrl",
	} {
		_, err := tokenvault.New(nil, nil, nil, &tokenvault.Options{PublicURL: text})
		bad, ok := errors.AsType[*tokenvault.FieldError](err)
		if !ok || bad.Field != field {
			t.Errorf("%q: err = %v, want a FieldError of %s", text, err, field)
		}
	}
}

func TestAuthenticatedToolPausesAndRetries(t *testing.T) {
	r := newRig(t)
	runs := 0
	spec := tokenvault.ToolSpec{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken}
	spec.Pause = func(ctx context.Context, _ tokenvault.Actor, required *tokenvault.AuthRequiredError) error {
		_, err := r.FinishConnect(ctx, aliceUser, r.start(t, required.Request.ID))
		return err
	}
	tool := tokenvault.AuthenticatedTool(r.Vault, spec, func(_ context.Context, in string, access *tokenvault.Access) (string, error) {
		runs++
		if runs == 1 {
			return "", fmt.Errorf("upstream: %w", tokenvault.ErrCredentialRejected)
		}
		cred, err := access.Reveal()
		return in + " " + cred.AccessToken.Reveal(), err
	})
	got, err := tool(t.Context(), aliceAgent, "hello")
	if err != nil || got != "hello at-1" || runs != 2 {
		t.Errorf("tool = %q, %v after %d runs", got, err, runs)
	}
}
