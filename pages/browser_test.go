package pages_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestGoldenBrowser(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.askFor(t, "bank", alice, "release bot", tokenvault.ReleaseToken)
	checkGolden(t, "browser_ask", 200, r.get("/connect/"+req.ID))
	checkGolden(t, "browser_new", 200, r.get("/connect/new?providerId=bank"))
	started := r.post("/connect/"+req.ID+"/confirm", url.Values{"permissionTtl": {"24h"}})
	if to := started.Header.Get("Location"); started.StatusCode != http.StatusSeeOther || to != "/connect/"+req.ID+"/browser" {
		t.Fatalf("confirm: %d, %s", started.StatusCode, to)
	}
	checkGolden(t, "browser", 200, r.get("/connect/"+req.ID+"/browser"))

	r.browsers.fail(fmt.Errorf("nobody: %w", tokenvault.ErrDenied))
	checkGolden(t, "browser_not_signed_in", 409, r.post("/connect/"+req.ID+"/browser/finish", nil))
	r.browsers.fail(nil)
	done := r.post("/connect/"+req.ID+"/browser/finish", nil)
	if to := done.Header.Get("Location"); to != "/connect/"+req.ID {
		t.Fatalf("finish leads to %s", to)
	}
	checkGolden(t, "browser_connected", 200, r.get("/connect/"+req.ID))
	if again := r.get("/connect/" + req.ID + "/browser"); again.Header.Get("Location") != "/connect/"+req.ID {
		t.Errorf("the live view of a finished login: %d, %s", again.StatusCode, again.Header.Get("Location"))
	}
}

func TestTheLiveViewsPageTalksToOurAPIOnly(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.askFor(t, "bank", alice, "bot", tokenvault.ReleaseInject)
	r.post("/connect/"+req.ID+"/confirm", nil)
	page := r.get("/connect/" + req.ID + "/browser")
	want := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"connect-src 'self' wss://vault.example"
	if got := page.Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("policy %q, want %q", got, want)
	}
	script := r.get("/assets/liveview.js")
	if script.StatusCode != 200 || script.Header.Get("Access-Control-Allow-Origin") != "*" || script.Header.Get("ETag") == "" ||
		!strings.Contains(body(t, script), "export function liveView") {
		t.Errorf("the script that others import: %d %v", script.StatusCode, script.Header)
	}
	if same := r.get("/assets/liveview.js", func(req *http.Request) { req.Header.Set("If-None-Match", script.Header.Get("ETag")) }); same.StatusCode != http.StatusNotModified {
		t.Errorf("the same script again: %d", same.StatusCode)
	}
}

func TestB1ThePageOfALoginIsItsOwners(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.askFor(t, "bank", alice, "bot", tokenvault.ReleaseInject)
	r.post("/connect/"+req.ID+"/confirm", nil)
	running := r.browsers.last
	for _, user := range []string{"eve", "carol"} {
		for name, resp := range map[string]*http.Response{
			"page": r.get("/connect/"+req.ID+"/browser", as(user)), "finish": r.post("/connect/"+req.ID+"/browser/finish", nil, as(user)),
			"cancel": r.post("/connect/"+req.ID+"/browser/cancel", nil, as(user)),
		} {
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s as %s: %d, want 404", name, user, resp.StatusCode)
			}
		}
	}
	if resp := r.get("/connect/"+req.ID+"/browser", as("guest")); resp.StatusCode == http.StatusOK {
		t.Error("a visitor whom nobody has proven sees a live view")
	}
	cross := func(req *http.Request) { req.Header.Set("Sec-Fetch-Site", "cross-site") }
	if resp := r.post("/connect/"+req.ID+"/browser/cancel", nil, cross); resp.StatusCode != http.StatusForbidden {
		t.Errorf("cancelled by another site: %d", resp.StatusCode)
	}
	select {
	case <-running.ended:
		t.Error("somebody else ended the login")
	default:
	}
	r.post("/connect/"+req.ID+"/browser/cancel", nil)
	<-running.ended
	checkGolden(t, "browser_cancelled", 200, r.get("/connect/"+req.ID))
}

func TestALoginThatCannotStartSaysSo(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.askFor(t, "bank", alice, "bot", tokenvault.ReleaseInject)
	r.browsers.fail(fmt.Errorf("the queue is full: %w", tokenvault.ErrUnavailable))
	resp := r.post("/connect/"+req.ID+"/confirm", nil)
	checkGolden(t, "browser_none_free", 200, r.get(resp.Header.Get("Location")))
	if resp := r.get("/connect/" + req.ID + "/browser"); resp.Header.Get("Location") != "/connect/"+req.ID {
		t.Errorf("the live view of no login: %d", resp.StatusCode)
	}
}

func TestALoginThatCrashedSaysSo(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.askFor(t, "bank", alice, "bot", tokenvault.ReleaseInject)
	r.post("/connect/"+req.ID+"/confirm", nil)
	_ = r.browsers.last.Close(t.Context())
	if settled, err := r.Wait(t.Context(), users["alice"], req.ID); err != nil || settled.FailureCode != tokenvault.FailBrowserCrashed {
		t.Fatalf("request is %s (%s), %v", settled.Status, settled.FailureCode, err)
	}
	checkGolden(t, "browser_crashed", 200, r.get("/connect/"+req.ID))
}

func TestAnotherAccountIsConnectedBesideInANewBrowser(t *testing.T) {
	r := newRig(t, headerAuth{})
	first := r.askFor(t, "bank", alice, "bot", tokenvault.ReleaseInject)
	r.post("/connect/"+first.ID+"/confirm", nil)
	r.post("/connect/"+first.ID+"/browser/finish", nil)
	settled, err := r.AuthRequest(t.Context(), users["alice"], first.ID)
	if err != nil {
		t.Fatal(err)
	}
	renew, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "bank", ConnectionID: settled.ConnectionID})
	if err != nil {
		t.Fatal(err)
	}
	r.browsers.account = tokenvault.Account{ID: "2", Label: "at work"}
	r.post("/connect/"+renew.ID+"/confirm", nil)
	resp := r.post("/connect/"+renew.ID+"/browser/finish", nil)
	checkGolden(t, "browser_other_account", 200, r.get(resp.Header.Get("Location")))
	r.post("/connect/"+renew.ID+"/confirm", url.Values{"account": {"new"}})
	r.post("/connect/"+renew.ID+"/browser/finish", nil)
	if list, err := r.Connections(t.Context(), users["alice"], tokenvault.Page{}); err != nil || len(list) != 2 {
		t.Errorf("%d connections, %v, want both", len(list), err)
	}
}
