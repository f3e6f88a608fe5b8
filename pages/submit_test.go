package pages_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

const enteredKey = "canary-key-7f3a9c51d2"

// desk is a service whose keys people enter.
type desk struct {
	*httptest.Server
	account atomic.Value // whose the key is
	status  atomic.Int32 // of every answer; 0: as the key deserves
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{}
	d.account.Store("acc-1")
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch status := int(d.status.Load()); {
		case status != 0:
			w.WriteHeader(status)
		case r.Header.Get("X-Api-Key") != enteredKey:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"id": d.account.Load(), "name": "Shop & Sons"})
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *desk) host() string { return strings.TrimPrefix(d.URL, "http://") }

func (d *desk) provider() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "desk-apikey", Name: "Desk", Service: "desk", Description: "Tickets & more.", AuthMethod: tokenvault.AuthAPIKey, Hosts: []string{d.host()},
		APIKey: &tokenvault.KeyAuth{
			Fields: []tokenvault.KeyField{
				{Name: "place", Label: "Subdomain", Help: "The part before .desk.example.", Pattern: `\w+`},
				{Name: "apiKey", Label: "API <key>", HelpURL: "https://desk.example/keys?a=1&b=2", Secret: true},
			},
			Inject: []tokenvault.Injection{{Header: "X-Api-Key", Value: "{apiKey}"}},
			Probe:  tokenvault.KeyProbe{URL: d.URL + "/{place}/me", AccountID: []string{"id"}, AccountLabel: []string{"name"}},
		},
	}
}

// askDesk lets alice's agent ask for Desk.
func (r *rig) askDesk(t *testing.T, release tokenvault.Release) string {
	t.Helper()
	return r.askFor(t, "desk-apikey", alice, "release bot", release).ID
}

func entered(place, key string) url.Values {
	return url.Values{"field.place": {place}, "field.apiKey": {key}}
}

func TestGoldenEnter(t *testing.T) {
	r := newRig(t, headerAuth{}, "https://app.example")
	id := r.askDesk(t, tokenvault.ReleaseToken)
	checkGolden(t, "enter", 200, r.get("/connect/"+id+"?returnTo=/done"))
	checkGolden(t, "enter_new", 200, r.get("/connect/new?providerId=desk-apikey"))
	checkGolden(t, "enter_refused", 422, r.post("/connect/"+id+"/submit", entered("shop", "canary-wrong")))
	checkGolden(t, "enter_malformed", 422, r.post("/connect/"+id+"/submit", entered("sh op canary", enteredKey)))
	checkGolden(t, "enter_visitor", 403, r.get("/connect/"+id, as("guest")))
	r.desk.status.Store(503)
	checkGolden(t, "enter_away", 503, r.post("/connect/"+id+"/submit", entered("shop", enteredKey)))
	r.desk.status.Store(418)
	checkGolden(t, "enter_error", 502, r.post("/connect/"+id+"/submit", entered("shop", enteredKey)))
	r.desk.status.Store(0)
	res := r.post("/connect/"+id+"/submit", entered("shop", enteredKey))
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/connect/"+id {
		t.Errorf("submitting leads to %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	checkGolden(t, "entered", 200, r.get("/connect/"+id))

	again, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "desk-apikey", ConnectionID: r.connection(t, id)})
	if err != nil {
		t.Fatal(err)
	}
	r.desk.account.Store("acc-2")
	checkGolden(t, "enter_other_account", 409, r.post("/connect/"+again.ID+"/submit", entered("shop", enteredKey)))
}

// connection returns what a request ended with.
func (r *rig) connection(t *testing.T, id string) string {
	t.Helper()
	req, err := r.AuthRequest(t.Context(), users["alice"], id)
	if err != nil || req.Status != tokenvault.AuthConnected {
		t.Fatalf("status %s, %v", req.Status, err)
	}
	return req.ConnectionID
}

func TestSubmittingLeadsBackToTheApplication(t *testing.T) {
	r := newRig(t, headerAuth{})
	for _, returnTo := range []string{"https://app.example/done", "/settings?tab=2"} {
		req, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "desk-apikey"})
		if err != nil {
			t.Fatal(err)
		}
		form := entered("shop", enteredKey)
		form.Set("returnTo", returnTo)
		res := r.post("/connect/"+req.ID+"/submit", form)
		if strings.HasPrefix(returnTo, "/") {
			if want := "/settings?authRequestId=" + req.ID + "&status=connected&tab=2"; res.Header.Get("Location") != want {
				t.Errorf("leads to %s, want %s", res.Header.Get("Location"), want)
			}
			continue
		}
		// Another origin is reached by a page: a policy for forms covers redirects.
		page := body(t, res)
		for _, link := range linksOf(t, page) {
			if want := returnTo + "?authRequestId=" + req.ID + "&status=connected"; link != want {
				t.Errorf("leads to %s, want %s", link, want)
			}
		}
		if len(linksOf(t, page)) != 2 {
			t.Errorf("page: %s", page)
		}
	}
}

func TestSubmittingElsewhereLeadsNowhere(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.askDesk(t, tokenvault.ReleaseInject)
	before := r.store.writes.Load()
	for name, tc := range map[string]struct {
		status int
		res    *http.Response
	}{
		"another user":      {404, r.post("/connect/"+id+"/submit", entered("shop", enteredKey), as("eve"))},
		"a visitor":         {401, r.post("/connect/"+id+"/submit", entered("shop", enteredKey), as("guest"))},
		"an agent":          {401, r.post("/connect/"+id+"/submit", entered("shop", enteredKey), as("agent"))},
		"nobody":            {401, r.post("/connect/"+id+"/submit", entered("shop", enteredKey), as(""))},
		"another site":      {403, r.post("/connect/"+id+"/submit", entered("shop", enteredKey), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })},
		"a GET":             {405, r.get("/connect/" + id + "/submit?" + entered("shop", enteredKey).Encode())},
		"too much":          {400, r.post("/connect/"+id+"/submit", entered("shop", strings.Repeat("x", 70<<10)))},
		"a return URL":      {400, r.post("/connect/"+id+"/submit", url.Values{"returnTo": {"https://evil.example/"}, "field.place": {"shop"}, "field.apiKey": {enteredKey}})},
		"values in the URL": {422, r.post("/connect/"+id+"/submit?"+entered("shop", enteredKey).Encode(), nil)},
	} {
		if tc.res.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d", name, tc.res.StatusCode, tc.status)
		}
		if strings.Contains(body(t, tc.res), "canary") {
			t.Errorf("%s: the page shows the key", name)
		}
	}
	if n := r.store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestANewKeyConnectLeadsToItsForm(t *testing.T) {
	r := newRig(t, headerAuth{})
	res := r.post("/connect/new", url.Values{"providerId": {"desk-apikey"}, "returnTo": {"https://app.example/done"}})
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/connect/ar_") || !strings.HasSuffix(to, "?returnTo=https%3A%2F%2Fapp.example%2Fdone") {
		t.Fatalf("leads to %d %s", res.StatusCode, to)
	}
	if page := body(t, r.get(to)); !strings.Contains(page, `name="field.apiKey" type="password"`) || !strings.Contains(page, `value="https://app.example/done"`) {
		t.Errorf("page: %s", page)
	}
}

func TestAnotherKeyIsConnectedBesideTheFirst(t *testing.T) {
	r := newRig(t, headerAuth{})
	first := r.askDesk(t, tokenvault.ReleaseInject)
	r.post("/connect/"+first+"/submit", entered("shop", enteredKey))
	r.desk.account.Store("acc-2")
	other := r.askFor(t, "desk-apikey", alice, "other bot", tokenvault.ReleaseInject).ID
	// The request names the first account; its page offers to connect another.
	res := r.post("/connect/"+other+"/confirm", url.Values{"account": {"new"}, "returnTo": {"/done"}})
	to := res.Header.Get("Location")
	if to != "/connect/"+other+"?account=new&returnTo=%2Fdone" {
		t.Fatalf("leads to %d %s", res.StatusCode, to)
	}
	checkGolden(t, "enter_another", 200, r.get(to))
	form := entered("shop", enteredKey)
	form.Set("account", "new")
	form.Set("permissionTtl", "24h")
	if res := r.post("/connect/"+other+"/submit", form); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", res.StatusCode, body(t, res))
	}
	list, err := r.Connections(t.Context(), users["alice"], tokenvault.Page{})
	if err != nil || len(list) != 2 {
		t.Errorf("%d connections, %v, want 2", len(list), err)
	}
	permissions, err := r.Permissions(t.Context(), users["alice"], tokenvault.Page{})
	if err != nil || len(permissions) != 2 || permissions[0].ExpiresAt.IsZero() == permissions[1].ExpiresAt.IsZero() {
		t.Errorf("permissions: %+v, %v", permissions, err)
	}
}

func TestGoldenConfirmTheApp(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.askFor(t, "machine", alice, "release bot", tokenvault.ReleaseInject).ID
	checkGolden(t, "app", 200, r.get("/connect/"+id))
	checkGolden(t, "app_new", 200, r.get("/connect/new?providerId=machine"))
	r.flow.refused = &tokenvault.ProviderError{ProviderID: "machine", Op: "exchange", Transient: true}
	checkGolden(t, "app_away", 503, r.post("/connect/"+id+"/submit", nil))
	r.flow.refused = nil
	if res := r.post("/connect/"+id+"/submit", nil); res.Header.Get("Location") != "/connect/"+id {
		t.Errorf("leads to %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	checkGolden(t, "app_connected", 200, r.get("/connect/"+id))
}

func TestConnectingTheAppOfOnesOwnAccordTakesOneStep(t *testing.T) {
	r := newRig(t, headerAuth{})
	res := r.post("/connect/new", url.Values{"providerId": {"machine"}, "returnTo": {"/settings"}})
	if to := res.Header.Get("Location"); !strings.HasPrefix(to, "/settings?authRequestId=ar_") || !strings.HasSuffix(to, "&status=connected") {
		t.Errorf("leads to %d %s", res.StatusCode, to)
	}
	if res := r.post("/connect/new", url.Values{"providerId": {"machine"}}, as("guest")); res.StatusCode != http.StatusNotFound {
		t.Errorf("a visitor: status %d", res.StatusCode)
	}
}
