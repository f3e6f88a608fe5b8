package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// own connects an account of the user's own accord, as the pages do.
func (r *rig) own(t *testing.T, user tokenvault.Actor, account, threadID string) tokenvault.AuthRequest {
	t.Helper()
	r.flow.account = account
	req, err := r.RequestConnect(t.Context(), user, tokenvault.ConnectRequest{ProviderID: "mail", ThreadID: threadID})
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.StartConnect(t.Context(), user, tokenvault.StartConnect{AuthRequestID: req.ID})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.FinishConnect(t.Context(), user, tokenvault.Return{
		AppID: r.AppID("", "mail"), State: tokenvault.NewSecret(u.Query().Get("state")), Code: tokenvault.NewSecret("code"),
		Iss: "https://auth.example", Browser: to.CookieValue,
	})
	if err != nil || done.Request.Status != tokenvault.AuthConnected {
		t.Fatalf("%s, %v", done.Request.Status, err)
	}
	return done.Request
}

func acme(user string) tokenvault.Actor {
	actor := person(user)
	actor.Owner.OrganizationID = "acme"
	return actor
}

// rows returns the user's credentials by id.
func (r *rig) rows(t *testing.T, user string) map[string]map[string]any {
	t.Helper()
	res := r.as(user, "GET", "/credentials", "")
	var list []map[string]any
	if err := json.Unmarshal([]byte(res.text), &list); err != nil {
		t.Fatalf("%v: %s", err, res.text)
	}
	byID := map[string]map[string]any{}
	for _, row := range list {
		id, _ := row["id"].(string)
		byID[id] = row
	}
	return byID
}

func TestAUserSharesAndUnshares(t *testing.T) {
	r := newRig(t)
	id := r.own(t, acme("carol"), "1", "").ConnectionID
	share := "/credentials/" + id + "/share"
	r.as("dave@acme", "POST", share, "").want(t, http.StatusNotFound, "not_found")
	shared := r.as("carol@acme", "POST", share, "")
	shared.want(t, http.StatusOK, "")
	for _, row := range []map[string]any{r.rows(t, "dave@acme")[id], r.rows(t, "carol@acme")[id]} {
		if row["shared"] != true || row["sharedBy"] != "carol" || row["organizationId"] != "acme" || row["userId"] != nil || row["externalAccountLabel"] != "alice@mail.example" {
			t.Errorf("row = %v", row)
		}
	}
	r.as("dave@acme", "DELETE", share, "").want(t, http.StatusForbidden, "denied")
	r.as("dave@acme", "DELETE", "/credentials/"+id, "").want(t, http.StatusForbidden, "denied")
	back := r.as("root", "DELETE", share, "") // an administrator of the organization
	back.want(t, http.StatusOK, "")
	if row := r.rows(t, "carol@acme")[id]; row["shared"] != false || row["userId"] != "carol" || row["sharedBy"] != nil {
		t.Errorf("row = %v", row)
	}
	if n := len(r.rows(t, "dave@acme")); n != 0 {
		t.Errorf("dave still sees %d", n)
	}
}

func TestABackEndSharesForAUser(t *testing.T) {
	r := newRig(t)
	id := r.own(t, acme("carol"), "1", "").ConnectionID
	backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend})
	agent := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAgent, Owner: acme("carol").Owner})
	path := "/v1/connections/" + id + "/share"
	for _, method := range []string{"POST", "DELETE"} {
		if res := r.with(agent, method, path, ""); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s by an agent: %d", method, res.StatusCode)
		}
		r.with(backend, method, path+"?userId=dave&organizationId=globex", "").want(t, http.StatusNotFound, "not_found")
		res := r.with(backend, method, path+"?userId=carol&organizationId=acme", "")
		res.want(t, http.StatusOK, "")
		if res.json(t, "shared") != (method == "POST") {
			t.Errorf("%s: %s", method, res.text)
		}
	}
}

func TestAnAccountThatIsSharedAlreadyIsAConflict(t *testing.T) {
	r := newRig(t)
	r.as("carol@acme", "POST", "/credentials/"+r.own(t, acme("carol"), "1", "").ConnectionID+"/share", "").want(t, http.StatusOK, "")
	second := r.own(t, acme("dave"), "1", "").ConnectionID
	r.as("dave@acme", "POST", "/credentials/"+second+"/share", "").want(t, http.StatusConflict, "account_taken")
	alone := r.own(t, person("alice"), "1", "").ConnectionID
	r.as("alice", "POST", "/credentials/"+alone+"/share", "").want(t, http.StatusBadRequest, "invalid")
}

func TestAUserListsAndWithdrawsPermissions(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	res := r.as("alice", "GET", "/permissions", "")
	items, _ := res.json(t, "items").([]any)
	if len(items) != 1 {
		t.Fatalf("answer: %s", res.text)
	}
	row, _ := items[0].(map[string]any)
	if row["agentId"] != "assistant" || row["credentialId"] != id || row["release"] != "token" || row["grantedAt"] == nil || row["expiresAt"] != nil {
		t.Errorf("row = %v", row)
	}
	permission, _ := row["id"].(string)
	r.as("alice", "DELETE", "/permissions/"+permission, "", header("Sec-Fetch-Site", "cross-site")).want(t, http.StatusForbidden, "denied")
	r.as("alice", "DELETE", "/permissions/"+permission, "").want(t, http.StatusOK, "")
	r.as("alice", "DELETE", "/permissions/"+permission, "").want(t, http.StatusNotFound, "not_found")
	asked := r.with(r.agentKey(t, "alice"), "POST", "/v1/credentials/mail/resolve", `{"release":"token"}`)
	asked.want(t, http.StatusPreconditionRequired, "auth_required")
	if asked.json(t, "authRequest.reason") != "permission_required" {
		t.Errorf("answer: %s", asked.text)
	}
	r.as("", "GET", "/permissions", "").want(t, http.StatusUnauthorized, "unauthenticated")
}

// What a client of the reference implementation reads of a credential.
func TestACredentialHasItsParityFields(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	row := r.rows(t, "alice")[id]
	for name, want := range map[string]any{
		"providerId": "mail", "authMethod": "oauth2", "usageMode": "token", "shared": false, "userId": "alice", "scope": "",
		"externalAccountId": "1", "externalAccountLabel": "alice@mail.example", "status": "active",
	} {
		if got, ok := row[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"accessTokenExpiresAt", "lastValidatedAt", "createdAt", "updatedAt"} {
		if text, _ := row[name].(string); !strings.HasSuffix(text, "Z") {
			t.Errorf("%s = %v, want a time in UTC", name, row[name])
		}
	}
	if provider, _ := row["provider"].(map[string]any); provider["name"] != "MAIL" {
		t.Errorf("provider = %v", row["provider"])
	}
}

// A thread that is given when a connect begins is told by the request and by every
// audit entry that follows from it.
func TestTheThreadIsTold(t *testing.T) {
	r := newRig(t)
	req := r.own(t, person("alice"), "1", "thread-7")
	if got := r.as("alice", "GET", "/auth-requests/"+req.ID, ""); got.json(t, "threadId") != "thread-7" {
		t.Errorf("answer: %s", got.text)
	}
	events, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events {
		if e.AuthRequestID == req.ID {
			told++
			if e.ThreadID != "thread-7" {
				t.Errorf("%s names the thread %q", e.Kind, e.ThreadID)
			}
		}
	}
	if told < 4 {
		t.Errorf("%d entries, want opened, started, returned and connected", told)
	}
}

// manyConnections lists one more connection than a bare list holds.
type manyConnections struct{ tokenvault.Store }

func (manyConnections) ListConnections(_ context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Connection, error) {
	list := make([]tokenvault.Connection, page.Limit)
	for i := range list {
		list[i] = tokenvault.Connection{ID: "cn_" + page.After + "x", Owner: owner, ProviderID: "mail"}
	}
	return list, nil
}

func TestALongListLinksToTheRest(t *testing.T) {
	r := newRig(t)
	many, err := tokenvault.New(manyConnections{r.store}, rootKey(t), r.Catalog(), &tokenvault.Options{PublicURL: origin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = many.Close(context.Background()) })
	res := request(NewHandler(many, headerAuth{}, nil), "GET", many.Mount()+"/credentials?after=a", "", header("Test-User", "alice"))
	if got, want := res.Header.Get("Link"), "<"+many.Mount()+`/credentials?after=cn_ax>; rel="next"`; got != want {
		t.Errorf("Link = %q, want %q", got, want)
	}
	if strings.Count(res.text, `"id":"cn_`) != maxList {
		t.Errorf("%d entries", strings.Count(res.text, `"id":"cn_`))
	}
	if link := r.as("alice", "GET", "/credentials", "").Header.Get("Link"); link != "" {
		t.Errorf("a short list links to %s", link)
	}
}
