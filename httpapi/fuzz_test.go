package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever comes back to the callback: it ends at a page of ours, nothing is
// exchanged, and nothing of it is passed on.
func FuzzCallback(f *testing.F) {
	for _, query := range []string{
		"", "state=a&code=b", "state=a&state=b", "code=%00&state=%ff", "error=access_denied&state=x", "iss=https://evil.example",
		"state=" + strings.Repeat("x", 9000), "%zz", "state=a;code=b", "code=<script>",
	} {
		f.Add(query, "tv_attempt=x")
	}
	r := newRig(f)
	path := r.Mount() + "/oauth/callback/" + r.AppID("", "mail")
	f.Fuzz(func(t *testing.T, query, cookie string) {
		req := httptest.NewRequest(http.MethodGet, origin+path, http.NoBody)
		req.URL.RawQuery = query
		req.Header.Set("Test-User", "alice")
		req.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		r.browser.ServeHTTP(w, req)
		to, err := url.Parse(w.Header().Get("Location"))
		if w.Code != http.StatusSeeOther || err != nil || to.Scheme+"://"+to.Host != origin || to.Path != "/connect/error" || to.RawQuery != "code=state_invalid" {
			t.Errorf("status %d, led to %s", w.Code, to)
		}
		if r.flow.exchanges.Load() != 0 {
			t.Error("a code was exchanged")
		}
	})
}
