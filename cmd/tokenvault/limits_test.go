package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A7: the server counts what each client does, also of those behind a proxy that
// it trusts.
func TestA7ServeLimits(t *testing.T) {
	env := []string{
		"TOKENVAULT_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "TOKENVAULT_LISTEN=127.0.0.1:0",
		"TOKENVAULT_LIMIT_FAILURES=2", "TOKENVAULT_LIMIT_KEY=1", "TOKENVAULT_TRUSTED_PROXIES=127.0.0.0/8",
	}
	key := succeed(t, env, "apikey", "create", "agent", "--user", "local")
	p := start(t, env, "serve")
	lines := p.readUntil(t, linkText)
	_, url, _ := strings.Cut(lines[len(lines)-2], "Serving ")
	call := func(key, client string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/connections", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("X-Forwarded-For", client)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	for _, tc := range []struct {
		key, client string
		status      int
	}{
		{"guess", "192.0.2.7", http.StatusUnauthorized},
		{"guess", "192.0.2.7", http.StatusUnauthorized},
		{"guess", "192.0.2.7", http.StatusTooManyRequests},
		{key, "192.0.2.7", http.StatusTooManyRequests},
		{"guess", "192.0.2.8", http.StatusUnauthorized},
		{key, "192.0.2.8", http.StatusOK},
	} {
		res := call(tc.key, tc.client)
		if res.StatusCode != tc.status || (res.StatusCode == http.StatusTooManyRequests) != (res.Header.Get("Retry-After") != "") {
			t.Fatalf("from %s: status %d, want %d", tc.client, res.StatusCode, tc.status)
		}
	}
	for call(key, "192.0.2.8").StatusCode == http.StatusOK { // until the key's own limit
		continue
	}
}
