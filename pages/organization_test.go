package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

var carol = tokenvault.Owner{Tenant: "default", OrganizationID: "acme", UserID: "carol"}

func TestAnAdministratorConnectsForTheOrganization(t *testing.T) {
	r := newRig(t, headerAuth{})
	checkGolden(t, "new_organization", 200, r.get("/connect/new?providerId=github&organization=true"))
	checkGolden(t, "administrator", 403, r.get("/connect/new?providerId=github&organization=true", as("carol")))
	if resp := r.post("/connect/new", url.Values{"providerId": {"github"}, "organization": {"true"}}, as("carol")); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a member: status %d", resp.StatusCode)
	}
	done := r.comeBack(t, r.post("/connect/new", url.Values{"providerId": {"github"}, "organization": {"true"}}))
	if done.Request.Owner != orgOwner || done.Request.Status != tokenvault.AuthConnected {
		t.Errorf("request = %+v", done.Request)
	}
	again := r.get("/connect/new?providerId=github&organization=true&connectionId=" + done.Request.ConnectionID)
	if page := body(t, again); !strings.Contains(page, "Reconnect GitHub") || !strings.Contains(page, `name="connectionId" value="`+done.Request.ConnectionID) {
		t.Errorf("page:\n%s", page)
	}
}

// A member whose agent waits for a shared connection is told who has to act.
func TestAMemberIsToldThatAnAdministratorHasToAct(t *testing.T) {
	r := newRig(t, headerAuth{})
	r.flow.expiresIn = time.Hour
	shared := r.comeBack(t, r.post("/connect/new", url.Values{"providerId": {"github"}, "organization": {"true"}}))
	permit := r.ask(t, carol, "bot", tokenvault.ReleaseInject, "read:user")
	checkGolden(t, "ask_shared", 200, r.get("/connect/"+permit.ID, as("carol")))
	if _, err := r.Permit(t.Context(), users["carol"], tokenvault.Permit{AuthRequestID: permit.ID}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(2 * time.Hour) // there is no refresh token
	req := r.ask(t, carol, "bot", tokenvault.ReleaseInject, "read:user")
	if req.ConnectionID != shared.Request.ConnectionID {
		t.Fatalf("request = %+v", req)
	}
	checkGolden(t, "ask_administrator", 200, r.get("/connect/"+req.ID, as("carol")))
	for _, action := range []string{"/confirm", "/decline", "/permit"} {
		if resp := r.post("/connect/"+req.ID+action, nil, as("carol")); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s by a member: status %d", action, resp.StatusCode)
		}
	}
	r.comeBack(t, r.post("/connect/"+req.ID+"/confirm", nil))
	if page := body(t, r.get("/connect/"+req.ID, as("carol"))); !strings.Contains(page, `data-status="connected"`) {
		t.Errorf("result:\n%s", page)
	}
}
