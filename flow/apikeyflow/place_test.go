package apikeyflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/apikeyflow"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// placed is a service with a host per account, which takes a name and a key by
// basic authentication.
func placed(t *testing.T) (*tokenvault.Vault, *http.Transport, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, key, _ := r.BasicAuth()
		host, _, _ := net.SplitHostPort(r.Host)
		switch {
		case host != "shop.localhost" && host != "other.localhost":
			w.WriteHeader(http.StatusNotFound)
		case key != goodKey:
			_, _ = w.Write([]byte(`{"user":{"id":null,"name":"Anonymous"}}`))
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"user": map[string]any{"id": 12, "name": name + " " + key}})
		}
	}))
	t.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, to.Host)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	cat, err := tokenvault.NewCatalog(tokenvault.Provider{
		ID: "desk-apikey", Name: "Desk", Service: "desk", AuthMethod: tokenvault.AuthAPIKey, Hosts: []string{"{place}.localhost:" + to.Port()},
		APIKey: &tokenvault.KeyAuth{
			Fields: []tokenvault.KeyField{{Name: "place", Label: "Place"}, {Name: "mail", Label: "Mail"}, {Name: "key", Label: "Key", Secret: true}},
			Inject: []tokenvault.Injection{{Username: "{mail}/token", Password: "{key}"}},
			Probe: tokenvault.KeyProbe{
				URL: "http://{place}.localhost:" + to.Port() + "/me", AccountID: []string{"user.id"}, AccountLabel: []string{"user.name"},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(memory.New(nil), sealer, cat, &tokenvault.Options{
		PublicURL: "https://vault.example",
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{
			tokenvault.AuthAPIKey: apikeyflow.New(&apikeyflow.Options{HTTPClient: &http.Client{Transport: transport}}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	return v, transport, to.Port()
}

func at(place, mail, key string) map[string]tokenvault.Secret {
	return map[string]tokenvault.Secret{
		"place": tokenvault.NewSecret(place), "mail": tokenvault.NewSecret(mail), "key": tokenvault.NewSecret(key),
	}
}

// A credential of one place of a service is good for that place only.
func TestAKeyGoesToItsOwnPlaceOnly(t *testing.T) {
	v, transport, port := placed(t)
	resolve := func() (*tokenvault.Access, error) {
		return v.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "desk-apikey"})
	}
	_, err := resolve()
	if _, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: required(t, err).ID, Values: at("Shop", "me@desk.example", goodKey)}); err != nil {
		t.Fatal(err)
	}
	access, err := resolve()
	if err != nil {
		t.Fatal(err)
	}
	// The answer repeats the key in the name: that is no label.
	if got := access.Connection().Account; got != (tokenvault.Account{ID: "shop/12", Label: "Shop · me@desk.example"}) {
		t.Errorf("account: %+v", got)
	}
	client := &http.Client{Transport: access.Transport(transport)}
	for host, allowed := range map[string]bool{
		"shop.localhost:" + port: true, "SHOP.localhost:" + port: true, "other.localhost:" + port: false, "shop.localhost": false, "localhost:" + port: false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/tickets", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if allowed != (err == nil) || !allowed && !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s: %v", host, err)
		}
		if err == nil {
			_ = res.Body.Close()
		}
	}
}

func TestARefusalIsToldAtItsField(t *testing.T) {
	v, _, _ := placed(t)
	req, err := v.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "desk-apikey"})
	if err != nil {
		t.Fatal(err)
	}
	for want, values := range map[string]map[string]tokenvault.Secret{
		"place": at("elsewhere", "me@desk.example", goodKey), // 404
		"key":   at("shop", "me@desk.example", "wrong"),      // 200, to a stranger
		"mail":  at("shop", "me:desk", goodKey),              // would end the user name
	} {
		_, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: req.ID, Values: values})
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != want {
			t.Errorf("err = %v, want a FieldError of %s", err, want)
		}
	}
	for _, place := range []string{"evil.example/", "a.b", "x@evil"} {
		_, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: req.ID, Values: at(place, "me", goodKey)})
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "place" {
			t.Errorf("place %q: %v", place, err)
		}
	}
}

// The same id at two places is two accounts.
func TestTheSameIDAtTwoPlacesIsTwoAccounts(t *testing.T) {
	v, _, _ := placed(t)
	for _, place := range []string{"shop", "other", "shop"} {
		req, err := v.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "desk-apikey"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: req.ID, Values: at(place, "me", goodKey)}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := v.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 2 {
		t.Errorf("%d connections, %v, want 2", len(list), err)
	}
}
