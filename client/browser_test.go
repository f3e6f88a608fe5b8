package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

func TestABrowserLoginArrivesAsTheFormatSays(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = string(body)
		w.Header().Set("Content-Type", "application/json")
		answer := `"browserState":{"cookies":[{"name":"sid","value":"state-canary","domain":"bank.example","path":"/","expires":-1,"httpOnly":true,"secure":true,"sameSite":"Lax"}],"origins":[]},"viewport":{"width":1280,"height":800}`
		switch {
		case strings.Contains(asked, "cookie_header"):
			answer = `"cookieHeader":"sid=state-canary"`
		case strings.Contains(asked, "raw"):
			answer = `"tokenVersion":1`
		}
		_, _ = io.WriteString(w, `{"credentialId":"cn_1","version":1,"scopes":[],"tokenType":"browser","userAgent":"Mozilla/5.0",`+answer+`}`)
	}))
	defer server.Close()
	agent, err := client.New(server.URL, tokenvault.NewSecret("tvk_agent"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := client.ResolveRequest{ProviderID: "bank", Release: tokenvault.ReleaseToken}
	token, err := agent.Resolve(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	state, err := tokenvault.ParseStorageState(tokenvault.NewSecret(string(token.BrowserState)))
	if err != nil || len(state.Cookies) != 1 || state.Cookies[0].Value != "state-canary" || token.Viewport.Width != 1280 {
		t.Errorf("state: %v, %v", len(state.Cookies), err)
	}
	if text := fmt.Sprintf("%v %+v", token, token); strings.Contains(text, "canary") {
		t.Errorf("a token prints its state: %s", text)
	}
	ask.Format, ask.URL = client.FormatCookieHeader, "https://bank.example/account"
	if token, err = agent.Resolve(t.Context(), ask); err != nil || token.CookieHeader.Reveal() != "sid=state-canary" {
		t.Errorf("cookies: %v", err)
	}
	if !strings.Contains(asked, `"url":"https://bank.example/account"`) {
		t.Errorf("asked with %s", asked)
	}
	ask.Format = client.FormatRaw
	if _, err := agent.Resolve(t.Context(), ask); err == nil {
		t.Error("an answer without a state was taken for one")
	}
}
