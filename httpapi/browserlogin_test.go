package httpapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// The three endpoints of the reference implementation, as a client written for it
// calls them.
func TestABrowserLoginAsTheReferenceHasIt(t *testing.T) {
	r := newLoginRig(t)
	res := r.as("alice", "POST", "/browser-login/start", `{"providerId":"bank"}`)
	res.want(t, http.StatusOK, "")
	id, _ := res.json(t, "sessionId").(string)
	credential := res.json(t, "credentialId")
	for path, want := range map[string]any{
		"loginUrl": "https://bank.example/login", "loginDetectionStrategy": "url_pattern", "loginSuccessUrlPattern": "https://bank\\.example/home",
		"liveViewUrl": fmt.Sprint(r.server.URL, "/connect/", res.json(t, "authRequestId"), "/browser"),
	} {
		if got := res.json(t, path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	status := "/browser-login/status?loginSuccessUrlPattern=.*&sessionId=" + id
	waits := r.as("alice", "GET", status, "")
	waits.want(t, http.StatusOK, "")
	if waits.json(t, "status") != "waiting" || waits.json(t, "currentUrl") != "https://bank.example/login" {
		t.Errorf("status: %s, want one that waits, whatever pattern the client sends", waits.text)
	}
	complete := `{"sessionId":"` + id + `","providerId":"bank"}`
	r.flow.deny(true)
	r.as("alice", "POST", "/browser-login/complete", complete).want(t, http.StatusConflict, "not_signed_in")
	r.flow.deny(false)
	r.as("alice", "POST", "/browser-login/complete", `{"sessionId":"`+id+`","providerId":"driven"}`).want(t, http.StatusNotFound, "not_found")
	done := r.as("alice", "POST", "/browser-login/complete", complete)
	done.want(t, http.StatusOK, "")
	if done.json(t, "success") != true || done.json(t, "credentialId") != credential || done.json(t, "sessionMode") != false {
		t.Errorf("complete: %s, want the reserved credential %v", done.text, credential)
	}
	again := r.as("alice", "POST", "/browser-login/complete", complete)
	again.want(t, http.StatusOK, "")
	if over := r.as("alice", "GET", status, ""); over.json(t, "status") != "authenticated" {
		t.Errorf("status afterwards: %s", over.text)
	}
	list := r.as("alice", "GET", "/credentials", "")
	if !strings.Contains(list.text, fmt.Sprint(credential)) || strings.Contains(list.text, "canary") {
		t.Errorf("credentials: %s", list.text)
	}
}

func TestABrowserLoginThatEndedIsNotAskedForForever(t *testing.T) {
	r := newLoginRig(t)
	id, s := r.start(t, "alice", "bank")
	s.end(tokenvault.BrowserEndCrashed)
	row := r.as("alice", "GET", "/browser-login/"+id, "")
	for deadline := time.Now().Add(20 * time.Second); row.json(t, "authRequest.status") == "pending" && time.Now().Before(deadline); {
		row = r.as("alice", "GET", "/browser-login/"+id, "")
	}
	if row.json(t, "authRequest.failureCode") != "browser_crashed" || row.json(t, "phase") != "ended" {
		t.Errorf("login: %s, want it ended by a crash", row.text)
	}
	r.as("alice", "GET", "/browser-login/status?sessionId="+id, "").want(t, http.StatusGone, "expired")
	r.as("alice", "POST", "/browser-login/complete", `{"sessionId":"`+id+`","providerId":"bank"}`).want(t, http.StatusGone, "expired")
}

func TestABrowserLoginOfAnAuthRequest(t *testing.T) {
	r := newLoginRig(t)
	asked := r.with(r.agentKey(t, "alice"), "POST", "/v1/credentials/bank/resolve", `{"release":"token"}`)
	asked.want(t, http.StatusPreconditionRequired, "auth_required")
	request, _ := asked.json(t, "authRequest.authRequestId").(string)
	path := "/auth-requests/" + request + "/browser-login"
	begun := r.as("alice", "POST", path, `{"width":800,"height":600}`)
	begun.want(t, http.StatusOK, "")
	id, _ := begun.json(t, "sessionId").(string)
	if begun.json(t, "authRequest.asks.agent") != "assistant" || begun.json(t, "authRequest.asks.release") != "token" || begun.json(t, "usageMode") != "token" {
		t.Errorf("what signing in permits is not told: %s", begun.text)
	}
	if asked.json(t, "authRequest.asks") != nil {
		t.Errorf("an agent is told %s", asked.text)
	}
	if latest := r.as("alice", "GET", path, ""); latest.json(t, "sessionId") != id || latest.json(t, "phase") != "open" {
		t.Errorf("latest: %s", latest.text)
	}
	r.as("alice", "POST", path, `{"width":99999}`).want(t, http.StatusBadRequest, "invalid")
	done := r.as("alice", "POST", "/browser-login/"+id+"/finish", "")
	done.want(t, http.StatusOK, "")
	if done.json(t, "authRequest.status") != "connected" {
		t.Errorf("finish: %s", done.text)
	}
	declined := r.with(r.agentKey(t, "bob"), "POST", "/v1/credentials/bank/resolve", `{}`)
	other, _ := declined.json(t, "authRequest.authRequestId").(string)
	begun = r.as("bob", "POST", "/auth-requests/"+other+"/browser-login", `{}`)
	cancelled := r.as("bob", "POST", fmt.Sprint("/browser-login/", begun.json(t, "sessionId"), "/cancel"), "")
	if cancelled.json(t, "authRequest.status") != "declined" {
		t.Errorf("cancel: %s", cancelled.text)
	}
}

// The one place where a state leaves the vault over HTTP.
func TestABrowserLoginIsReleasedInThreeForms(t *testing.T) {
	r := newLoginRig(t)
	key := r.agentKey(t, "alice")
	asked := r.with(key, "POST", "/v1/credentials/bank/resolve", `{"release":"token"}`)
	begun := r.as("alice", "POST", fmt.Sprint("/auth-requests/", asked.json(t, "authRequest.authRequestId"), "/browser-login"), `{}`)
	r.as("alice", "POST", fmt.Sprint("/browser-login/", begun.json(t, "sessionId"), "/finish"), "").want(t, http.StatusOK, "")
	for _, tc := range []struct{ body, has, hasNot string }{
		{`{"release":"token"}`, `"value":"state-canary"`, "tab-canary"},
		{`{"release":"token","format":"storage_state"}`, `"userAgent":"Mozilla/5.0"`, "tab-canary"},
		{`{"release":"token","format":"raw"}`, "tab-canary", "cookieHeader"},
		{`{"release":"token","format":"cookie_header","url":"https://bank.example/account"}`, `"cookieHeader":"sid=state-canary"`, "browserState"},
		{`{"release":"inject"}`, `"tokenType":"browser"`, "canary"},
		{`{"release":"token","check":true}`, `"tokenType":"browser"`, "canary"},
	} {
		res := r.with(key, "POST", "/v1/credentials/bank/resolve", tc.body)
		res.want(t, http.StatusOK, "")
		if !strings.Contains(res.text, tc.has) || strings.Contains(res.text, tc.hasNot) {
			t.Errorf("%s: %s, want %s and no %s", tc.body, res.text, tc.has, tc.hasNot)
		}
	}
	for body, code := range map[string]string{
		`{"release":"token","format":"jar"}`:                                         "invalid",
		`{"release":"token","format":"raw","check":true}`:                            "invalid",
		`{"release":"token","format":"cookie_header"}`:                               "invalid",
		`{"release":"token","format":"cookie_header","url":"https://evil.example/"}`: "denied",
	} {
		if res := r.with(key, "POST", "/v1/credentials/bank/resolve", body); res.json(t, "code") != code || strings.Contains(res.text, "canary") {
			t.Errorf("%s: %s, want %s", body, res.text, code)
		}
	}
}

func TestALiveViewShowsAndTakesInput(t *testing.T) {
	r := newLoginRig(t)
	id, s := r.start(t, "alice", "bank")
	ticket, url := r.ticket(t, "alice", id)
	conn := r.view(t, url, ticket)
	s.updates <- tokenvault.ViewUpdate{Scene: &tokenvault.ViewScene{Phase: tokenvault.BrowserOpen, Origin: "https://bank.example", Secure: true}}
	if kind, text, _ := hear(t, conn); kind != websocket.MessageText || !strings.Contains(text, `"origin":"https://bank.example"`) {
		t.Errorf("scene = %s", text)
	}
	s.updates <- tokenvault.ViewUpdate{Frame: []byte("\x00\x00\x00\x01\x05\x00\x03\x20JPEG")}
	if kind, text, _ := hear(t, conn); kind != websocket.MessageBinary || text != "\x00\x00\x00\x01\x05\x00\x03\x20JPEG" {
		t.Errorf("frame = %q", text)
	}
	say(t, conn, map[string]any{"kind": "touch"}) // the browser finds that it makes no sense: the view goes on
	say(t, conn, map[string]any{"kind": "key", "action": "down", "key": "a", "code": "KeyA", "text": "a"})
	if in := <-s.inputs; in.Kind != tokenvault.ViewKey || in.Text.Reveal() != "a" {
		t.Errorf("input = %+v", in)
	}
	s.end(tokenvault.BrowserEndCrashed)
	if _, why, code := hear(t, conn); code != closeEnded || !strings.Contains(why, "crashed") {
		t.Errorf("closed with %d: %s", code, why)
	}
}

func TestB1ALiveViewTakesATicketOnce(t *testing.T) {
	r := newLoginRig(t)
	id, _ := r.start(t, "alice", "bank")
	ticket, url := r.ticket(t, "alice", id)
	first := r.view(t, url, ticket)
	say(t, first, map[string]any{"kind": "keyframe"})
	<-r.flow.session(id).inputs // it is open
	for name, sent := range map[string]any{
		"used": map[string]string{"ticket": ticket}, "guessed": map[string]string{"ticket": "x"}, "none": map[string]string{},
		"input before a ticket": map[string]string{"kind": "key"},
	} {
		conn, _, err := dial(t, url, r.server.URL)
		if err != nil {
			t.Fatal(err)
		}
		say(t, conn, sent)
		if _, _, code := hear(t, conn); code != closeRefused {
			t.Errorf("%s: closed with %d, want %d", name, code, closeRefused)
		}
	}
	again, _ := r.ticket(t, "alice", id)
	second := r.view(t, url, again)
	if _, _, code := hear(t, first); code != closeReplaced {
		t.Errorf("the first view was closed with %d, want %d", code, closeReplaced)
	}
	say(t, second, map[string]any{"kind": "reload", "no such field": true})
	if _, _, code := hear(t, second); code != websocket.StatusUnsupportedData {
		t.Errorf("nonsense: closed with %d", code)
	}
}

func TestB2ALiveViewOfAnotherOriginIsRefused(t *testing.T) {
	r := newLoginRig(t)
	id, _ := r.start(t, "alice", "bank")
	_, url := r.ticket(t, "alice", id)
	for _, origin := range []string{"https://evil.example", "null", "", r.server.URL + ".evil.example", "http://localhost"} {
		if _, res, err := dial(t, url, origin); err == nil || res == nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: %v, want 403", origin, err)
		}
	}
	r.as("alice", "POST", "/browser-login/"+id+"/ticket", "", header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site")).
		want(t, http.StatusForbidden, "denied")
	ticket, _ := r.ticket(t, "alice", id)
	registered, _, err := dial(t, url, "https://app.example")
	if err != nil {
		t.Fatal(err)
	}
	say(t, registered, map[string]string{"ticket": ticket}) // of our own page, brought by another origin's
	if _, _, code := hear(t, registered); code != closeRefused {
		t.Errorf("closed with %d, want %d", code, closeRefused)
	}
}

func TestAPageOfARegisteredOriginEmbedsTheLiveView(t *testing.T) {
	const host = "https://app.example"
	r := newLoginRig(t)
	id, s := r.start(t, "alice", "bank")
	created, err := r.CreateSession(t.Context(), tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "b", Owner: owner("alice")}, tokenvault.SessionInput{Origin: host})
	if err != nil {
		t.Fatal(err)
	}
	res := request(r.browser, "POST", r.Mount()+"/browser-login/"+id+"/ticket", "",
		header("Authorization", "Bearer "+created.Token.Reveal()), header("Origin", host), header("Sec-Fetch-Site", "cross-site"))
	res.want(t, http.StatusOK, "")
	conn, _, err := dial(t, fmt.Sprint(res.json(t, "viewUrl")), host)
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, map[string]any{"ticket": res.json(t, "ticket")})
	say(t, conn, map[string]any{"kind": "back"})
	if in := <-s.inputs; in.Kind != tokenvault.ViewBack {
		t.Errorf("input = %+v", in)
	}
}

// Two processes share a store; the browser runs in one, and the user's requests
// arrive at the other.
func TestAnotherProcessSendsOnWhatConcernsALogin(t *testing.T) {
	store := &watched{Store: memory.New(nil)}
	flow := &browsers{sessions: make(map[string]*session)}
	public := httptest.NewUnstartedServer(nil)
	public.Start()
	t.Cleanup(public.Close)
	process := func() (*rig, *httptest.Server) {
		node := httptest.NewUnstartedServer(nil)
		node.Start()
		t.Cleanup(node.Close)
		r := newLoginVault(t, store, flow, func(o *tokenvault.Options) { o.PublicURL, o.NodeURL = public.URL, node.URL })
		node.Config.Handler = r.browser
		return r, node
	}
	near, nearServer := process()
	far, _ := process()
	public.Config.Handler = far.browser // every request of the user's arrives there
	both := &loginRig{rig: near, flow: flow, server: public}
	id, s := both.start(t, "alice", "bank")
	row := far.as("alice", "GET", "/browser-login/"+id, "")
	row.want(t, http.StatusOK, "")
	if row.json(t, "phase") != "open" || row.Header.Get("Content-Security-Policy") == "" || len(row.Header.Values("Cache-Control")) != 1 {
		t.Errorf("login seen by the other process: %s %v", row.text, row.Header)
	}
	if status := far.as("alice", "GET", "/browser-login/status?sessionId="+id, ""); status.json(t, "status") != "waiting" {
		t.Errorf("status: %s", status.text)
	}
	far.as("bob", "GET", "/browser-login/"+id, "").want(t, http.StatusNotFound, "not_found")
	both.rig = far
	ticket, url := both.ticket(t, "alice", id)
	if !strings.HasPrefix(url, strings.Replace(public.URL, "http", "ws", 1)) || strings.Contains(url, nearServer.Listener.Addr().String()) {
		t.Errorf("view URL %s shows where a process is", url)
	}
	conn := both.view(t, url, ticket)
	say(t, conn, map[string]any{"kind": "reload"})
	if in := <-s.inputs; in.Kind != tokenvault.ViewReload {
		t.Errorf("input = %+v", in)
	}
	far.as("alice", "GET", "/browser-login/"+id, "", header(hopHeader, "1")).want(t, http.StatusServiceUnavailable, "unavailable")
	done := far.as("alice", "POST", "/browser-login/complete", `{"sessionId":"`+id+`","providerId":"bank"}`)
	done.want(t, http.StatusOK, "")
	if _, _, code := hear(t, conn); code != closeEnded {
		t.Errorf("the view was closed with %d, want %d", code, closeEnded)
	}
	other, _ := both.startAt(t, near, "alice")
	nearServer.Close()
	far.as("alice", "GET", "/browser-login/"+other, "").want(t, http.StatusServiceUnavailable, "unavailable")
	cancelled := far.as("alice", "POST", "/browser-login/"+other+"/cancel", "")
	if cancelled.json(t, "authRequest.status") != "declined" {
		t.Errorf("cancel without the process: %s", cancelled.text)
	}
}

func (r *loginRig) startAt(t *testing.T, at *rig, user string) (string, *session) {
	t.Helper()
	return (&loginRig{rig: at, flow: r.flow, server: r.server}).start(t, user, "bank")
}

func TestASessionIsDrivenOverAWebSocket(t *testing.T) {
	r := newLoginRig(t)
	key := r.agentKey(t, "alice")
	asked := r.with(key, "POST", "/v1/credentials/driven/resolve", `{}`)
	begun := r.as("alice", "POST", fmt.Sprint("/auth-requests/", asked.json(t, "authRequest.authRequestId"), "/browser-login"), `{}`)
	done := r.as("alice", "POST", fmt.Sprint("/browser-login/", begun.json(t, "sessionId"), "/finish"), "")
	credential, _ := done.json(t, "credentialId").(string)
	url := strings.Replace(r.server.URL, "http", "ws", 1) + "/v1/browser-sessions/" + credential + "/cdp"
	as := func(key string) func(http.Header) {
		return func(h http.Header) { h.Set("Authorization", "Bearer "+key) }
	}
	for name, tc := range map[string]struct {
		url, key string
		status   int
	}{
		"no key": {url, "x", http.StatusUnauthorized}, "another user's agent": {url, r.agentKey(t, "eve"), http.StatusNotFound},
		"more than is permitted": {url + "?release=token", key, http.StatusForbidden},
		"another agent":          {url, r.key(t, tokenvault.APIKeyInput{Name: "other", Kind: tokenvault.ActorAgent, Owner: owner("alice")}), http.StatusPreconditionRequired},
	} {
		if _, res, err := dial(t, tc.url, "", as(tc.key)); err == nil || res == nil || res.StatusCode != tc.status {
			t.Errorf("%s: %v, want %d", name, err, tc.status)
		}
	}
	conn, _, err := dial(t, url, "", as(key))
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, map[string]any{"id": 1, "method": "Page.enable"})
	if _, text, _ := hear(t, conn); text != `{"id":1,"method":"Page.enable"}` {
		t.Errorf("answer = %s", text)
	}
	say(t, conn, map[string]any{"id": 2, "method": "Storage.getCookies"})
	if _, text, _ := hear(t, conn); !strings.Contains(text, "refused by the vault") {
		t.Errorf("answer = %s, want it refused", text)
	}
	r.as("alice", "DELETE", "/credentials/"+credential, "").want(t, http.StatusOK, "")
	if _, _, code := hear(t, conn); code != closeEnded {
		t.Errorf("closed with %d, want %d", code, closeEnded)
	}
}

func TestA1AnotherOwnersLoginsDoNotExist(t *testing.T) {
	r := newLoginRig(t)
	id, _ := r.start(t, "alice", "bank")
	row := r.as("alice", "GET", "/browser-login/"+id, "")
	request, _ := row.json(t, "authRequest.authRequestId").(string)
	for _, tc := range []struct{ method, path, id, body string }{
		{"GET", "/browser-login/{id}", id, ""},
		{"POST", "/browser-login/{id}/finish", id, ""},
		{"POST", "/browser-login/{id}/cancel", id, ""},
		{"POST", "/browser-login/{id}/ticket", id, ""},
		{"GET", "/browser-login/status?sessionId={id}", id, ""},
		{"POST", "/browser-login/complete", id, `{"sessionId":"{id}","providerId":"bank"}`},
		{"POST", "/auth-requests/{id}/browser-login", request, `{}`},
		{"GET", "/auth-requests/{id}/browser-login", request, ""},
	} {
		var answers []answer
		for _, id := range []string{tc.id, "zz_00000000000000000000000000"} {
			answers = append(answers, r.as("eve", tc.method, strings.ReplaceAll(tc.path, "{id}", id), strings.ReplaceAll(tc.body, "{id}", id)))
		}
		if answers[0].StatusCode != http.StatusNotFound || answers[0].text != answers[1].text {
			t.Errorf("%s %s: %d %s, and for an id that never was: %d %s", tc.method, tc.path,
				answers[0].StatusCode, answers[0].text, answers[1].StatusCode, answers[1].text)
		}
	}
	if row := r.as("alice", "GET", "/browser-login/"+id, ""); row.json(t, "phase") != "open" {
		t.Errorf("login afterwards: %s", row.text)
	}
}

// B6: what a person types, and what is shown of it, goes to the browser and nowhere
// else.
func TestB6NothingThatIsTypedIsLogged(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r := newLoginRig(t, func(o *tokenvault.Options) { o.Logger = logger })
	r.server.Config.Handler = NewHandler(r.Vault, headerAuth{}, &Options{Logger: logger})
	id, s := r.start(t, "alice", "bank")
	ticket, url := r.ticket(t, "alice", id)
	conn := r.view(t, url, ticket)
	for _, input := range []map[string]any{
		{"kind": "key", "action": "down", "key": "typed-canary", "code": "typed-canary", "text": "typed-canary"},
		{"kind": "text", "text": "typed-canary"},
		{"kind": "sign_in", "accept": true, "name": "typed-canary", "text": "typed-canary"},
		{"kind": "answer", "accept": true, "text": "typed-canary"},
	} {
		say(t, conn, input)
		if in := <-s.inputs; strings.Contains(fmt.Sprintf("%v %+v", in, in), "canary") {
			t.Errorf("an input prints what was typed: %v", in.Kind)
		}
	}
	say(t, conn, map[string]any{"kind": "typed-canary", "unknown": "typed-canary"}) // refused
	hear(t, conn)
	s.end(tokenvault.BrowserEndCrashed)
	events, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if err := r.Close(t.Context()); err != nil { // nobody writes to the log any more
		t.Fatal(err)
	}
	if text := log.String() + fmt.Sprintf("%+v", events); strings.Contains(text, "canary") || strings.Contains(text, ticket) {
		t.Errorf("what was typed, or the ticket, was written down:\n%s", text)
	}
}
