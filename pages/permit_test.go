package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// only returns the only permission that alice granted.
func (r *rig) only(t *testing.T) tokenvault.Permission {
	t.Helper()
	list, err := r.Permissions(t.Context(), users["alice"], tokenvault.Page{})
	if err != nil || len(list) != 1 {
		t.Fatalf("permissions: %+v, %v", list, err)
	}
	return list[0]
}

func TestAPersonChoosesHowLong(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 0, "1h": time.Hour, "24h": 24 * time.Hour, "720h": 720 * time.Hour, "2160h": 2160 * time.Hour} {
		r := newRig(t, headerAuth{})
		r.connectOwn(t, "1", "octocat", "repo")
		req := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo")
		if resp := r.post("/connect/"+req.ID+"/permit", url.Values{"permissionTtl": {value}}); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("%q: status %d", value, resp.StatusCode)
		}
		var until time.Time
		if want != 0 {
			until = r.now.Add(want)
		}
		if p := r.only(t); !p.ExpiresAt.Equal(until) {
			t.Errorf("%q: the permission ends %s, want %s", value, p.ExpiresAt, until)
		}
	}
}

func TestTheDurationComesBackFromTheProvider(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo")
	resp := r.post("/connect/"+req.ID+"/confirm", url.Values{"permissionTtl": {"24h"}})
	r.comeBack(t, resp)
	if p := r.only(t); !p.ExpiresAt.Equal(r.now.Add(24 * time.Hour)) {
		t.Errorf("the permission ends %s", p.ExpiresAt)
	}
}

func TestOnlyOfferedDurations(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	for _, action := range []string{"/confirm", "/permit"} {
		for _, bad := range []string{"2h", "-1h", "0", "87600h", "x"} {
			if resp := r.post("/connect/"+id+action, url.Values{"permissionTtl": {bad}}); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s for %q: status %d", action, bad, resp.StatusCode)
			}
		}
	}
}

// comeBack follows the page that leads to the provider, and returns as alice.
func (r *rig) comeBack(t *testing.T, left *http.Response) tokenvault.Finished {
	t.Helper()
	if left.StatusCode != http.StatusOK || len(left.Cookies()) != 1 {
		t.Fatalf("status %d, cookies %v", left.StatusCode, left.Cookies())
	}
	links := linksOf(t, body(t, left))
	u, err := url.Parse(links[0])
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.FinishConnect(t.Context(), users["alice"], tokenvault.Return{
		AppID: r.AppID("", "github"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Browser: tokenvault.NewSecret(left.Cookies()[0].Value),
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// C23: after a return with another account, the page asks what to do with it.
func TestC23TheOtherAccountIsOfferedAsANewOne(t *testing.T) {
	r := newRig(t, headerAuth{})
	first := r.connectOwn(t, "1", "octocat", "repo")
	again, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "github", ConnectionID: first.ConnectionID})
	if err != nil {
		t.Fatal(err)
	}
	path, offer := "/connect/"+again.ID, `formaction="/connect/`+again.ID+`/confirm"`
	if strings.Contains(body(t, r.get(path)), offer) {
		t.Error("another account is offered though nobody came back with one")
	}
	page := r.get(path + "?error=account_mismatch")
	checkGolden(t, "ask_other_account", 200, page)
	// An application leads to that by a link.
	other := body(t, r.get(path+"?account=new&returnTo=/done"))
	if !strings.Contains(other, `name="account" value="new"`) || !strings.Contains(other, `action="`+path+`/confirm"`) || !strings.Contains(other, "beside the one that is there") || strings.Contains(other, "octocat") {
		t.Errorf("page for another account:\n%s", other)
	}
	r.flow.account = tokenvault.Account{ID: "2", Label: "hubot"}
	done := r.comeBack(t, r.post(path+"/confirm", url.Values{"account": {"new"}}))
	if done.Request.Status != tokenvault.AuthConnected || done.Request.ConnectionID == first.ConnectionID {
		t.Errorf("request = %+v", done.Request)
	}
}

func TestAnAccountThatAllowsTooLittleSaysSo(t *testing.T) {
	r := newRig(t, headerAuth{})
	r.connectOwn(t, "1", "octocat", "repo")
	r.connectOwn(t, "2", "hubot", "gist")
	req := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo")
	page := body(t, r.get("/connect/"+req.ID))
	if strings.Count(page, "Has to allow more") != 1 || !strings.Contains(page, `<bdi>hubot</bdi> <span class="note">Has to allow more`) {
		t.Errorf("page:\n%s", page)
	}
}

func TestAnotherAccountInsteadOfAChoice(t *testing.T) {
	r := newRig(t, headerAuth{})
	r.connectOwn(t, "1", "octocat", "repo")
	r.connectOwn(t, "2", "octocat-at-work", "repo")
	req := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo")
	r.flow.account = tokenvault.Account{ID: "3", Label: "hubot"}
	if page := body(t, r.get("/connect/"+req.ID+"?account=new")); strings.Contains(page, `type="radio"`) || !strings.Contains(page, `action="/connect/`+req.ID+`/confirm"`) {
		t.Errorf("page for another account:\n%s", page)
	}
	done := r.comeBack(t, r.post("/connect/"+req.ID+"/confirm", url.Values{"account": {"new"}, "permissionTtl": {"1h"}}))
	p := r.only(t)
	if done.Request.Status != tokenvault.AuthConnected || p.ConnectionID != done.Request.ConnectionID || !p.ExpiresAt.Equal(r.now.Add(time.Hour)) {
		t.Errorf("request %+v, permission %+v", done.Request, p)
	}
}
