package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func TestResolvePausesThenReleases(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	const path, body = "/v1/credentials/mail/resolve", `{"release":"token","runId":"run-1","threadId":"thread-1"}`

	paused := r.with(key, "POST", path, body)
	paused.want(t, http.StatusPreconditionRequired, "auth_required")
	if got := paused.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %s", got)
	}
	id, _ := paused.json(t, "authRequest.authRequestId").(string)
	if paused.json(t, "authRequest.connectUrl") != origin+"/connect/"+id || paused.json(t, "authRequest.type") != "auth_required" {
		t.Errorf("payload: %s", paused.text)
	}
	r.back("alice", r.leave(t, "alice", id, ""), "code=code")

	released := r.with(key, "POST", path, body)
	released.want(t, http.StatusOK, "")
	if released.json(t, "accessToken") != "access-canary" || released.json(t, "tokenType") != "Bearer" {
		t.Errorf("answer: %s", released.text)
	}
	if strings.Contains(released.text, "refresh-canary") {
		t.Error("an agent was given a refresh token")
	}
	events, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e tokenvault.Event) bool {
		return e.Kind == tokenvault.EventReleased && e.RunID == "run-1" && e.ThreadID == "thread-1" && e.ActorID == "assistant"
	}) {
		t.Error("the release was not audited with run and thread")
	}
}

// A check asks the owner for what a release would, and then tells that the agent may
// have it, and nothing of it.
func TestACheckReleasesNoToken(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	const path, check, release = "/v1/credentials/mail/resolve", `{"release":"token","check":true,"runId":"run-1"}`, `{"release":"token"}`
	paused := r.with(key, "POST", path, check)
	paused.want(t, http.StatusPreconditionRequired, "auth_required")
	id, _ := paused.json(t, "authRequest.authRequestId").(string)
	if again := r.with(key, "POST", path, release); again.json(t, "authRequest.authRequestId") != id {
		t.Errorf("a release asks for something else: %s", again.text)
	}
	r.back("alice", r.leave(t, "alice", id, ""), "code=code")

	checked := r.with(key, "POST", path, check)
	checked.want(t, http.StatusOK, "")
	if strings.Contains(checked.text, "canary") || checked.json(t, "credentialId") == "" || checked.json(t, "tokenType") != "Bearer" {
		t.Errorf("answer: %s", checked.text)
	}
	if released := r.with(key, "POST", path, release); released.json(t, "accessToken") != "access-canary" {
		t.Errorf("the release that follows: %s", released.text)
	}
	events, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var given []string
	for _, e := range events {
		if strings.HasPrefix(string(e.Kind), "credential.") {
			given = append(given, fmt.Sprint(e.Kind, e.RunID))
		}
	}
	if got := strings.Join(given, " "); got != "credential.checkedrun-1 credential.released" {
		t.Errorf("audited: %s", got)
	}
}

func TestInjectReleasesNoToken(t *testing.T) {
	r := newRig(t)
	r.connect(t, "alice")
	res := r.with(r.agentKey(t, "alice"), "POST", "/v1/credentials/mail/resolve", `{}`)
	res.want(t, http.StatusOK, "")
	if strings.Contains(res.text, "canary") {
		t.Error("a token was released for inject")
	}
}

// A6: what was permitted as inject is not released as a token, and the try is
// audited.
func TestA6ATokenNeedsItsOwnPermission(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	const path = "/v1/credentials/mail/resolve"
	first := r.with(key, "POST", path, `{"release":"inject"}`)
	id, _ := first.json(t, "authRequest.authRequestId").(string)
	r.back("alice", r.leave(t, "alice", id, ""), "code=code")
	r.with(key, "POST", path, `{"release":"inject"}`).want(t, http.StatusOK, "")

	res := r.with(key, "POST", path, `{"release":"token","runId":"greedy"}`)
	res.want(t, http.StatusForbidden, "denied")
	if strings.Contains(res.text, "canary") || !strings.Contains(res.text, "withdrawn that permission") {
		t.Errorf("answer: %s", res.text)
	}
	events, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e tokenvault.Event) bool {
		return e.Kind == tokenvault.EventReleaseDenied && e.RunID == "greedy"
	}) {
		t.Error("the denial was not audited")
	}

	// What the answer says to do leads on.
	permissions, err := r.Permissions(t.Context(), person("alice"), tokenvault.Page{})
	if err != nil || len(permissions) != 1 {
		t.Fatalf("permissions: %v, %v", permissions, err)
	}
	if err := r.WithdrawPermission(t.Context(), person("alice"), permissions[0].ID); err != nil {
		t.Fatal(err)
	}
	r.with(key, "POST", path, `{"release":"token"}`).want(t, http.StatusPreconditionRequired, "auth_required")
}

func TestOnlyABackEndNamesTheOwner(t *testing.T) {
	r := newRig(t)
	r.connect(t, "alice")
	backend := r.key(t, tokenvault.APIKeyInput{Name: "assistant", Kind: tokenvault.ActorBackend})
	res := r.with(backend, "POST", "/v1/credentials/mail/resolve", `{"owner":{"userId":"alice"},"release":"token"}`)
	res.want(t, http.StatusOK, "")
	r.with(backend, "GET", "/v1/connections?userId=alice", "").want(t, http.StatusOK, "")
	r.with(r.agentKey(t, "eve"), "POST", "/v1/credentials/mail/resolve", `{"owner":{"userId":"alice"}}`).want(t, http.StatusBadRequest, "invalid")
	r.with(r.agentKey(t, "eve"), "GET", "/v1/connections?userId=alice", "").want(t, http.StatusBadRequest, "invalid")
	confined := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend, Owner: tokenvault.Owner{OrganizationID: "acme"}})
	r.with(confined, "POST", "/v1/credentials/mail/resolve", `{"owner":{"userId":"alice"}}`).want(t, http.StatusForbidden, "denied")
}

func TestA5OnlyAValidKeyCalls(t *testing.T) {
	r := newRig(t)
	expired := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAgent, Owner: owner("alice"), TTL: time.Nanosecond})
	revoked, text, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "old", Kind: tokenvault.ActorAgent, Owner: owner("alice")})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RevokeAPIKey(t.Context(), admin, revoked.ID); err != nil {
		t.Fatal(err)
	}
	valid := r.agentKey(t, "alice")
	for name, authorization := range map[string]string{
		"none": "", "empty": "Bearer ", "basic": "Basic " + valid, "garbage": "Bearer canary-key", "cut": "Bearer " + valid[:len(valid)-1],
		"expired": "Bearer " + expired, "revoked": "Bearer " + text.Reveal(),
	} {
		res := request(r.v1, "GET", "/v1/connections", "", header("Authorization", authorization))
		if res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" || strings.Contains(res.text, "canary") {
			t.Errorf("%s: status %d, %s", name, res.StatusCode, res.text)
		}
	}
	r.with(valid, "GET", "/v1/connections", "").want(t, http.StatusOK, "")
}

func TestAnAgentMayNotAdminister(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	for _, rt := range []struct{ method, path, body string }{
		{"POST", "/v1/apps", `{"providerId":"mail","clientId":"evil"}`},
		{"GET", "/v1/apps", ""},
		{"DELETE", "/v1/apps/mail", ""},
		{"GET", "/v1/keys", ""},
		{"POST", "/v1/keys", `{"name":"x","kind":"admin"}`},
		{"GET", "/v1/audit", ""},
		{"DELETE", "/v1/connections/" + r.connect(t, "alice"), ""},
	} {
		r.with(key, rt.method, rt.path, rt.body).want(t, http.StatusForbidden, "denied")
	}
}

func TestALongPollEndsWithTheRequest(t *testing.T) {
	r := newRig(t)
	key, req := r.agentKey(t, "alice"), r.ask(t, "alice")
	done := make(chan answer, 1)
	go func() { done <- r.with(key, "GET", "/v1/auth-requests/"+req.ID+"?wait=50s", "") }()
	if _, err := r.Decline(t.Context(), person("alice"), req.ID); err != nil {
		t.Fatal(err)
	}
	if res := <-done; res.json(t, "status") != "declined" {
		t.Errorf("answer: %s", res.text)
	}
}

func TestALongPollEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		key, req := r.agentKey(t, "alice"), r.ask(t, "alice")
		for wait, most := range map[string]time.Duration{"": 0, "3s": 3 * time.Second, "2h": maxWait} {
			begun := time.Now()
			res := r.with(key, "GET", "/v1/auth-requests/"+req.ID+"?wait="+wait, "")
			if res.json(t, "status") != "pending" || time.Since(begun) > most {
				t.Errorf("wait %q: %s after %s", wait, res.text, time.Since(begun))
			}
		}
		r.with(key, "GET", "/v1/auth-requests/"+req.ID+"?wait=soon", "").want(t, http.StatusBadRequest, "invalid")
	})
}

func TestAStreamTellsTheEnd(t *testing.T) {
	r := newRig(t)
	server := httptest.NewServer(r.v1)
	defer server.Close()
	req := r.ask(t, "alice")
	call, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/auth-requests/"+req.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	call.Header.Set("Accept", "text/event-stream")
	call.Header.Set("Authorization", "Bearer "+r.agentKey(t, "alice"))
	res, err := server.Client().Do(call)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	if next := nextEvent(t, lines); next.Status != tokenvault.AuthPending {
		t.Fatalf("first: %s", next.Status)
	}
	if _, err := r.Decline(t.Context(), person("alice"), req.ID); err != nil {
		t.Fatal(err)
	}
	if next := nextEvent(t, lines); next.Status != tokenvault.AuthDeclined {
		t.Errorf("then: %s", next.Status)
	}
	if lines.Scan() && lines.Text() != "" || lines.Scan() {
		t.Error("the stream goes on after the end")
	}
}

// Only people are told what is asked of them.
func TestALongPollEndsWithANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.connect(t, "alice")
		req := r.ask(t, "alice", "write")
		path := "/v1/auth-requests/" + req.ID + "?wait=30s"
		key, polled := r.agentKey(t, "alice"), make(chan answer, 1)
		go func() { polled <- r.with(key, "GET", path, "") }()
		synctest.Wait()
		begun := time.Now()
		r.flow.account = "2"
		r.back("alice", r.leave(t, "alice", req.ID, ""), "code=code")
		if a := <-polled; a.json(t, "notice") != "account_mismatch" || a.json(t, "status") != "pending" || a.json(t, "asks") != nil || time.Since(begun) > 0 {
			t.Errorf("after %s: %s", time.Since(begun), a.text)
		}
		if a := r.with(key, "GET", path, ""); a.json(t, "notice") != "account_mismatch" || time.Since(begun) != 30*time.Second {
			t.Errorf("what is known already answers after %s: %s", time.Since(begun), a.text)
		}
	})
}

func TestAStreamTellsOfAnotherAccount(t *testing.T) {
	r := newRig(t)
	r.connect(t, "alice")
	req := r.ask(t, "alice", "write")
	server := httptest.NewServer(r.browser)
	defer server.Close()
	call, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+r.Mount()+"/auth-requests/"+req.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	call.Header.Set("Accept", "text/event-stream")
	call.Header.Set("Test-User", "alice")
	res, err := server.Client().Do(call)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	if first := nextEvent(t, lines); first.Notice != "" || first.Asks == nil || *first.Asks != (asks{"assistant", tokenvault.ReleaseToken}) {
		t.Fatalf("first: %+v, asks %+v", first, first.Asks)
	}
	r.flow.account = "2"
	if back := r.back("alice", r.leave(t, "alice", req.ID, ""), "code=code"); !strings.HasSuffix(back.Header.Get("Location"), "error=account_mismatch") {
		t.Fatalf("the callback led to %s", back.Header.Get("Location"))
	}
	noted := nextEvent(t, lines)
	if noted.Status != tokenvault.AuthPending || noted.Notice != tokenvault.NoticeOtherAccount || noted.NoticedAt == nil {
		t.Errorf("then: %+v", noted)
	}
	r.flow.account = "1"
	s := r.leave(t, "alice", req.ID, "")
	if next := nextEvent(t, lines); next.Status != tokenvault.AuthPending || next.Notice != "" || next.NoticedAt != nil {
		t.Errorf("of a new attempt: %+v", next)
	}
	r.back("alice", s, "code=code")
	if last := nextEvent(t, lines); last.Status != tokenvault.AuthConnected {
		t.Errorf("last: %+v", last)
	}
}

func nextEvent(t *testing.T, lines *bufio.Scanner) (next authRequestOutput) {
	t.Helper()
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &next); err != nil {
				t.Fatal(err)
			}
			return next
		}
	}
	t.Fatal("the stream ended")
	return next
}

// Whoever misspells a provider does not look for a wrong path.
func TestAnUnknownProviderIsToldApartFromAWrongPath(t *testing.T) {
	r := newRig(t)
	res := r.with(r.agentKey(t, "alice"), "POST", "/v1/credentials/mial/resolve", `{}`)
	res.want(t, http.StatusNotFound, "not_found")
	if !strings.Contains(res.text, "no such provider") {
		t.Errorf("answer: %s", res.text)
	}
}
